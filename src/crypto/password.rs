//! Passwords of local accounts: argon2id (RFC 9106) with 19 MiB, two passes and one
//! lane, the first choice of OWASP's Password Storage Cheat Sheet. The parameters
//! stand in every hash, so they can be raised without locking anybody out.

use crate::base::{SecretText, random};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// The memory a hash is worked out in, wiped after every use. It is kept and used again,
/// because what allocators give back to the system is their own affair: many threads
/// that take and return 19 MiB each would hold on to some hundred.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

/// A password as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

impl PasswordHash {
    /// Hashes `password` with a fresh salt. Takes tens of milliseconds, and 19 MiB of
    /// `memory`: not for an async thread.
    #[must_use]
    pub fn of(password: &SecretText, memory: &mut HashMemory) -> Self {
        let mut salt = [0; SALT_BYTES];
        random::fill(&mut salt);
        let mut new =
            Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt, hash: [0; HASH_BYTES] };
        new.hash = new.derive(password, memory).unwrap_or_default();
        new
    }

    /// A hash that no password matches, for making an unknown account cost the same
    /// as a known one.
    #[must_use]
    pub const fn of_nobody() -> Self {
        Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: [0; SALT_BYTES],
            hash: [0; HASH_BYTES],
        }
    }

    /// Whether `password` is the one. As slow as [`PasswordHash::of`].
    #[must_use]
    pub fn matches(&self, password: &SecretText, memory: &mut HashMemory) -> bool {
        let derived = self.derive(password, memory);
        let nobody = self.hash == [0; HASH_BYTES];
        derived.is_some_and(|derived| bool::from(derived.ct_eq(&self.hash))) && !nobody
    }

    /// Whether this is the very hash that `other` is, salt and all.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        bool::from(self.hash.ct_eq(&other.hash) & self.salt.ct_eq(&other.salt))
    }

    /// `None` when the parameters are none that argon2 takes.
    fn derive(&self, password: &SecretText, memory: &mut HashMemory) -> Option<[u8; HASH_BYTES]> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH_BYTES)).ok()?;
        memory.0.resize(params.block_count(), Block::default());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let (password, mut hash) = (password.expose().as_bytes(), [0; HASH_BYTES]);
        let done = argon2.hash_password_into_with_memory(password, &self.salt, &mut hash, &mut memory.0);
        memory.0.iter_mut().for_each(Block::zeroize);
        done.ok().map(|()| hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_matches() {
        let password = SecretText::new("correct horse".to_owned());
        let memory = &mut HashMemory::default();
        let hash = PasswordHash::of(&password, memory);
        assert_eq!((hash.memory_kib, hash.passes, hash.lanes), (19_456, 2, 1), "as the document says");
        assert!(hash.matches(&password, memory));
        assert!(hash.matches(&password, &mut HashMemory::default()));
        assert!(!hash.matches(&SecretText::new("correct hors".to_owned()), memory));
        assert!(!PasswordHash::of_nobody().matches(&password, memory));
        let again = PasswordHash::of(&password, memory);
        assert_ne!(hash.hash, again.hash, "salted");
        assert!(hash.is(&hash.clone()) && !hash.is(&again));
        let other_salt = PasswordHash { salt: again.salt, ..hash.clone() };
        assert!(!hash.is(&other_salt) && !hash.is(&PasswordHash { hash: again.hash, ..hash.clone() }));
        let impossible = PasswordHash { lanes: 0, ..hash };
        assert!(!impossible.matches(&password, memory));
    }
}
