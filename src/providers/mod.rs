//! Services that secrets are synchronised with, one file each, all of the same shape:
//! who a token belongs to, which projects there are, where a place is, what is in it,
//! and writing it. What they share in speaking HTTP is in `api`, and how consent is had
//! in `oauth`.
//!
//! | | place | read back | several at once | consent |
//! |---|---|---|---|---|
//! | `vercel` | project and target or custom environment | unless sensitive | yes, refused one by one | OAuth |
//! | `netlify` | site and deploy context | unless secret | new ones only | OAuth |
//! | `railway` | project, environment and service | unless sealed | yes, all or none | OAuth with PKCE, refreshed |
//! | `fly` | app | never | yes, all or none | tokens only |

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

mod api;
mod fly;
mod netlify;
mod oauth;
mod railway;
mod vercel;

pub use fly::Fly;
pub use netlify::Netlify;
pub use oauth::App;
pub use railway::Railway;
pub use vercel::Vercel;
