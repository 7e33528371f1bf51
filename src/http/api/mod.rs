//! The API, one file per resource. Each has its routes on top and its handlers below.

mod github;
mod health;

use super::router::Route;

/// The routes of the API, as they are served and documented.
#[must_use]
pub const fn routes() -> &'static [&'static [Route]] {
    &[health::ROUTES, github::ROUTES]
}
