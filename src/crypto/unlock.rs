//! What unlocks the keyring: the operator's master key, or a passphrase from which it is
//! derived with argon2id. Each master key has a number, counted up by every rotation,
//! and an id, a keyed hash that tells which key it is without telling the key.

use super::digest::fingerprint;
use super::keys::{KEY_BYTES, MasterKey};
use crate::base::{SecretText, random};
use argon2::{Algorithm, Argon2, Params, Version};
use std::fmt;
use zeroize::Zeroizing;

const ID_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
/// Parameters beyond this come from nobody honest, and would only exhaust the memory.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;

/// What the operator keeps: the key itself, or the words it is derived from.
pub enum MasterSecret {
    /// 32 random bytes.
    Key(MasterKey),
    /// A passphrase.
    Passphrase(SecretText),
}

/// Which master key it is; says nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKeyId(pub(super) [u8; ID_BYTES]);

/// Name of a master key, for people: which one a file needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MasterLabel {
    /// Counts up with every rotation.
    pub number: u32,
    /// Which key it is.
    pub id: MasterKeyId,
    /// Whether it is derived from a passphrase.
    pub passphrase: bool,
}

/// A master key in use.
pub struct Master {
    pub(super) key: MasterKey,
    pub(super) number: u32,
    pub(super) stretch: Option<Stretch>,
}

/// How a passphrase becomes a key: argon2id (RFC 9106), by default with that document's
/// second recommendation, 64 MiB, three passes and four lanes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
    pub(super) salt: [u8; SALT_BYTES],
}

impl MasterSecret {
    /// The id of the key; a passphrase has none before it is known how to stretch it.
    #[must_use]
    pub fn id(&self) -> Option<MasterKeyId> {
        match self {
            Self::Key(key) => Some(MasterKeyId::of(key)),
            Self::Passphrase(_) => None,
        }
    }

    /// The key under which this secret seals a keyring from now on. A passphrase gets a
    /// fresh salt, and takes a few tenths of a second and 64 MiB.
    #[must_use]
    #[cfg_attr(not(test), expect(clippy::expect_used, reason = "the parameters are our own"))]
    pub fn master(&self, number: u32) -> Master {
        match self {
            Self::Key(key) => Master { key: MasterKey::from_bytes(*key.expose()), number, stretch: None },
            Self::Passphrase(words) => {
                let stretch = Stretch::fresh();
                let key = stretch.derive(words).expect("our own parameters are among those argon2 takes");
                Master { key, number, stretch: Some(stretch) }
            }
        }
    }

    /// The key this secret stands for where it is stretched so; `None` when it is of the
    /// other kind or the parameters are impossible.
    pub(super) fn key_for(&self, stretch: Option<&Stretch>) -> Option<MasterKey> {
        match (self, stretch) {
            (Self::Key(key), None) => Some(MasterKey::from_bytes(*key.expose())),
            (Self::Passphrase(words), Some(stretch)) => stretch.derive(words),
            _ => None,
        }
    }
}

impl Master {
    /// Which one it is.
    #[must_use]
    pub fn label(&self) -> MasterLabel {
        let (number, passphrase) = (self.number, self.stretch.is_some());
        MasterLabel { number, id: MasterKeyId::of(&self.key), passphrase }
    }
}

impl MasterKeyId {
    pub(super) fn of(key: &MasterKey) -> Self {
        let full = fingerprint(key.expose(), "keywayd master key id");
        Self(std::array::from_fn(|i| full[i]))
    }
}

impl Stretch {
    fn fresh() -> Self {
        let mut salt = [0; SALT_BYTES];
        random::fill(&mut salt);
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4, salt }
    }

    fn derive(&self, words: &SecretText) -> Option<MasterKey> {
        if self.memory_kib > MEMORY_KIB_MAX {
            return None;
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_BYTES)).ok()?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(words.expose().as_bytes(), &self.salt, &mut *key)
            .ok()?;
        Some(MasterKey::from_bytes(*key))
    }
}

/// The first eight hexadecimal digits: enough to tell an operator's few keys apart.
impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for MasterLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.passphrase { ", from a passphrase" } else { "" };
        write!(f, "master key {} (id `{}`{kind})", self.number, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_is_named_by_a_few_digits_and_where_it_comes_from() {
        let id = MasterKeyId(std::array::from_fn(|at| u8::try_from(at).unwrap() + 0xa0));
        assert_eq!((id.to_string(), format!("{id:?}")), ("a0a1a2a3".to_owned(), "a0a1a2a3".to_owned()));
        let label = |passphrase| MasterLabel { number: 7, id, passphrase }.to_string();
        assert_eq!(label(false), "master key 7 (id `a0a1a2a3`)");
        assert_eq!(label(true), "master key 7 (id `a0a1a2a3`, from a passphrase)");
        let key = MasterKey::generate();
        assert!(MasterKeyId::of(&key) == MasterKeyId::of(&key));
        assert!(MasterKeyId::of(&key) != MasterKeyId::of(&MasterKey::generate()));
    }

    #[test]
    fn a_secret_opens_what_is_of_its_kind_and_asks_for_reasonable_work() {
        let (key, words) = (MasterKey::generate(), SecretText::new("correct horse".to_owned()));
        let (key, words) = (MasterSecret::Key(key), MasterSecret::Passphrase(words));
        let Stretch { memory_kib, passes, lanes, .. } = Stretch::fresh();
        assert_eq!((memory_kib, passes, lanes), (65_536, 3, 4), "as the document says");
        let stretch = Stretch { memory_kib: 64, passes: 1, lanes: 1, salt: [7; SALT_BYTES] };
        assert!(key.id().is_some() && words.id().is_none());
        assert!(key.key_for(None).is_some() && key.key_for(Some(&stretch)).is_none());
        assert!(words.key_for(Some(&stretch)).is_some() && words.key_for(None).is_none());
        let derived = |stretch: Stretch| words.key_for(Some(&stretch)).map(|key| *key.expose());
        assert_ne!(derived(stretch), derived(Stretch { salt: [8; SALT_BYTES], ..stretch }));
        for memory_kib in [MEMORY_KIB_MAX + 1, u32::MAX] {
            assert_eq!(derived(Stretch { memory_kib, ..stretch }), None);
        }
    }
}
