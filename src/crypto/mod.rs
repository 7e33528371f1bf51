//! Keys and what is done with them. Nothing here knows what a vault or a user is:
//! bytes and a label go in, bytes come out.
//!
//! ```text
//! master key (random, or from a passphrase) never in the database
//!   └─ seals the keyring
//!        ├─ root keys, by generation ── seal records and vault keys
//!        │     └─ vault keys         ── seal one vault's environments, versions, trash
//!        ├─ index key                ── keyed hashes of names that serve as lookup keys
//!        ├─ audit key                ── the MAC chain of the audit log
//!        └─ session key, with its id ── signs session tokens
//! ```

pub mod archive;
pub mod digest;
pub mod envelope;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod keyring;
pub mod keys;
pub mod master;
pub mod password;
pub mod session;
pub mod token;
pub mod unlock;

pub use digest::ChainMac;
pub use envelope::{Binding, OpenError};
pub use keyring::{Keyring, KeyringError, OpenedRing};
pub use keys::{AuditKey, IndexKey, MasterKey, RootKey, SessionKey, VaultKey};
pub use master::MasterKeyError;
pub use password::{HashMemory, PasswordHash};
pub use session::SessionClaims;
pub use unlock::{Master, MasterKeyId, MasterLabel, MasterSecret};
