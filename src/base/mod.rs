//! The vocabulary every room shares: ids, names, roles, time, randomness, secret
//! text, limits, pages, the instruments that count what is done, and threads for long
//! computations. No I/O happens here, except that the clock and the random source ask the
//! operating system; nothing else in the program may.

pub mod agent;
pub mod aside;
pub mod clock;
pub mod duration;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod ids;
pub mod limits;
pub mod meter;
pub mod names;
pub mod page;
pub mod panics;
pub mod quota;
pub mod random;
pub mod role;
pub(crate) mod schema;
pub mod scope;
pub mod secret;

pub use agent::{Agent, Platform};
pub use aside::Aside;
pub use clock::{Clock, SystemClock, Timestamp};
pub use names::{AccountName, EnvironmentName, ForgeLogin, NameError, OwnerName, RepoName, SecretName};
pub use page::{Page, Paged};
pub use quota::Quota;
pub use role::Role;
pub use scope::{Scope, Scopes};
pub use secret::SecretText;
