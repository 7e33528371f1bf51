//! The API, one file per resource. Each has its routes on top and its handlers below.

mod activity;
mod api_keys;
mod description;
mod device;
mod environments;
mod github;
mod health;
mod integrations;
mod overrides;
mod revisions;
mod secrets;
mod session;
mod sync;
mod texts;
mod transfer;
mod trash;
mod users;
mod vaults;
mod versions;
mod webhook;

use super::router::Route;

/// The routes of the API, as they are served and documented.
#[must_use]
pub const fn routes() -> &'static [&'static [Route]] {
    &[
        health::ROUTES,
        description::ROUTES,
        device::ROUTES,
        session::ROUTES,
        users::ROUTES,
        vaults::ROUTES,
        environments::ROUTES,
        revisions::ROUTES,
        secrets::ROUTES,
        versions::ROUTES,
        trash::ROUTES,
        overrides::ROUTES,
        transfer::ROUTES,
        api_keys::ROUTES,
        activity::ROUTES,
        github::ROUTES,
        webhook::ROUTES,
        integrations::ROUTES,
        sync::ROUTES,
    ]
}
