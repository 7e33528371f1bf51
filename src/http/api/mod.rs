//! The API, one file per resource. Each has its routes on top and its handlers below.

mod api_keys;
mod environments;
mod github;
mod health;
mod secrets;
mod transfer;
mod users;
mod vaults;

use super::router::Route;

/// The routes of the API, as they are served and documented.
#[must_use]
pub const fn routes() -> &'static [&'static [Route]] {
    &[
        health::ROUTES,
        users::ROUTES,
        vaults::ROUTES,
        environments::ROUTES,
        secrets::ROUTES,
        transfer::ROUTES,
        api_keys::ROUTES,
        github::ROUTES,
    ]
}
