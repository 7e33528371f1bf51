//! The keys: one type per purpose, so that none can be used for another's work.
//! They have no `Debug`, `Clone` or `Serialize` and are wiped when dropped.

use crate::base::random;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of every key, in bytes.
pub const KEY_BYTES: usize = 32;

macro_rules! keys {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; KEY_BYTES]);

        impl $name {
            /// A fresh random key.
            #[must_use]
            pub fn generate() -> Self {
                let mut key = Self([0; KEY_BYTES]);
                random::fill(&mut key.0);
                key
            }

            /// The key with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
                Self(bytes)
            }

            /// The key's bytes, for sealing it under another key.
            #[must_use]
            pub const fn expose(&self) -> &[u8; KEY_BYTES] {
                &self.0
            }
        }
    )+};
}

keys! {
    /// Seals the keyring; lives outside the database.
    MasterKey;
    /// Seals records and vault keys.
    RootKey;
    /// Seals what belongs to one vault.
    VaultKey;
    /// Hashes names into lookup keys.
    IndexKey;
    /// Links the entries of the audit log.
    AuditKey;
    /// Signs session tokens.
    SessionKey;
}

/// A key that seals records.
pub trait SealingKey {
    /// What the key is for, bound into everything it seals.
    fn label(&self) -> &'static str;
    /// The key's bytes.
    fn bytes(&self) -> &[u8; KEY_BYTES];
}

macro_rules! sealing {
    ($($name:ident = $label:literal;)+) => {$(
        impl SealingKey for $name {
            fn label(&self) -> &'static str {
                $label
            }

            fn bytes(&self) -> &[u8; KEY_BYTES] {
                &self.0
            }
        }
    )+};
}

sealing! {
    MasterKey = "keywayd master";
    RootKey = "keywayd root";
    VaultKey = "keywayd vault";
}
