//! The pages people see: signing in, letting a device in, connecting a
//! service, and what went wrong. Made on
//! the server, they work without scripts, in any width, with a screen reader, in light
//! and dark, and load nothing from anywhere else. Text is escaped by construction.
//!
//! Every form carries a token that fits the browser it was made for, and does nothing
//! without it.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

mod connect;
mod device;
mod docs;
mod forge;
mod home;
mod layout;
mod login;
mod visit;

use crate::http::Route;

/// The routes of the pages.
#[must_use]
pub const fn routes() -> &'static [&'static [Route]] {
    &[home::ROUTES, login::ROUTES, device::ROUTES, forge::ROUTES, connect::ROUTES, docs::ROUTES]
}
