//! The keyring: every key but the master key, sealed under the master key in one
//! record. Changing the master key rewrites that record and nothing else.
//!
//! ```text
//! sealed record: 0x01 ‖ master key's id (16 bytes) ‖ envelope
//! in the envelope: 0x01 ‖ index key ‖ audit key ‖ session key id (u32) ‖ session key
//!                  ‖ number of root keys (u32) ‖ per root key: generation (u32) ‖ key
//! ```
//! The master key's id tells a wrong master key from a damaged record.

use super::digest::fingerprint;
use super::envelope::{self, Binding, OpenError};
use super::keys::{AuditKey, IndexKey, KEY_BYTES, MasterKey, RootKey, SessionKey};
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const MASTER_ID_BYTES: usize = 16;
const BINDING: Binding<'static> = Binding { table: "keyring", key: b"keyring" };

/// All keys of an appliance but the master key.
pub struct Keyring {
    roots: Vec<(u32, RootKey)>,
    /// Hashes names into lookup keys.
    pub index: IndexKey,
    /// Links the audit log.
    pub audit: AuditKey,
    /// Signs session tokens.
    pub session: SessionKey,
    /// Names the session key in the tokens it signs.
    pub session_key_id: u32,
}

/// Why a keyring did not open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The key is a good one, but not the one this data was made with.
    #[error("the master key is not the one this data was sealed with")]
    WrongMasterKey,
    /// The key is right, the record is not.
    #[error("the keyring record is damaged ({0})")]
    Damaged(OpenError),
}

impl Keyring {
    /// Fresh keys for a new appliance.
    #[must_use]
    pub fn generate() -> Self {
        Self {
            roots: vec![(1, RootKey::generate())],
            index: IndexKey::generate(),
            audit: AuditKey::generate(),
            session: SessionKey::generate(),
            session_key_id: 1,
        }
    }

    /// The newest root key, which seals what is written now, and its generation.
    ///
    /// # Panics
    /// Never: a keyring is made and read with at least one root key.
    #[must_use]
    pub fn newest_root(&self) -> (u32, &RootKey) {
        let (generation, key) = self.roots.last().expect("a keyring has a root key");
        (*generation, key)
    }

    /// The root key that can open `sealed`.
    ///
    /// # Errors
    /// If `sealed` is no sealed value or its key is not on the ring.
    pub fn root_for(&self, sealed: &[u8]) -> Result<&RootKey, OpenError> {
        let wanted = envelope::generation(sealed)?;
        let found = self.roots.iter().rev().find(|(generation, _)| *generation == wanted);
        found.map(|(_, key)| key).ok_or(OpenError::UnknownGeneration(wanted))
    }

    /// The ring as one record under `master`.
    #[must_use]
    pub fn seal(&self, master: &MasterKey) -> Vec<u8> {
        let mut plain = Zeroizing::new(Vec::with_capacity(128 + self.roots.len() * 36));
        plain.push(FORMAT);
        plain.extend_from_slice(self.index.expose());
        plain.extend_from_slice(self.audit.expose());
        plain.extend_from_slice(&self.session_key_id.to_be_bytes());
        plain.extend_from_slice(self.session.expose());
        plain.extend_from_slice(&u32::try_from(self.roots.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (generation, key) in &self.roots {
            plain.extend_from_slice(&generation.to_be_bytes());
            plain.extend_from_slice(key.expose());
        }
        let mut record = vec![FORMAT];
        record.extend_from_slice(&master_id(master));
        record.extend_from_slice(&envelope::seal(master, 0, BINDING, &plain));
        record
    }

    /// Opens a record that [`Keyring::seal`] made.
    ///
    /// # Errors
    /// If `master` is another key, or the record is damaged.
    pub fn open(master: &MasterKey, record: &[u8]) -> Result<Self, KeyringError> {
        let damaged = |error| KeyringError::Damaged(error);
        let rest = match record {
            [FORMAT, rest @ ..] if rest.len() > MASTER_ID_BYTES => rest,
            [FORMAT, ..] | [] => return Err(damaged(OpenError::Truncated)),
            _ => return Err(damaged(OpenError::UnknownFormat)),
        };
        let (id, sealed) = rest.split_at(MASTER_ID_BYTES);
        let plain = match envelope::open(master, BINDING, sealed) {
            Ok(plain) => plain,
            Err(_) if id != master_id(master) => return Err(KeyringError::WrongMasterKey),
            Err(error) => return Err(damaged(error)),
        };
        Self::parse(&plain).ok_or(damaged(OpenError::UnknownFormat))
    }

    fn parse(plain: &[u8]) -> Option<Self> {
        let mut plain = Reader(plain.strip_prefix(&[FORMAT])?);
        let (index, audit) = (IndexKey::from_bytes(plain.key()?), AuditKey::from_bytes(plain.key()?));
        let (session_key_id, session) = (plain.number()?, SessionKey::from_bytes(plain.key()?));
        let count = plain.number()?;
        let roots = (0..count)
            .map(|_| Some((plain.number()?, RootKey::from_bytes(plain.key()?))))
            .collect::<Option<Vec<_>>>()?;
        (!roots.is_empty() && plain.0.is_empty()).then_some(Self {
            roots,
            index,
            audit,
            session,
            session_key_id,
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn key(&mut self) -> Option<[u8; KEY_BYTES]> {
        self.take()
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }
}

fn master_id(master: &MasterKey) -> [u8; MASTER_ID_BYTES] {
    let full = fingerprint(master.expose(), "keywayd master key id");
    std::array::from_fn(|i| full[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_survives_sealing() {
        let (master, ring) = (MasterKey::generate(), Keyring::generate());
        let again = Keyring::open(&master, &ring.seal(&master)).ok().unwrap();
        assert_eq!(ring.newest_root().1.expose(), again.newest_root().1.expose());
        assert_eq!(ring.index.expose(), again.index.expose());
        assert_eq!(ring.audit.expose(), again.audit.expose());
        assert_eq!(ring.session.expose(), again.session.expose());
    }

    #[test]
    fn a_wrong_master_key_is_told_apart_from_damage() {
        let master = MasterKey::generate();
        let record = Keyring::generate().seal(&master);
        let wrong = Keyring::open(&MasterKey::generate(), &record).err();
        assert_eq!(wrong, Some(KeyringError::WrongMasterKey));
        let mut damaged = record.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(Keyring::open(&master, &damaged), Err(KeyringError::Damaged(_))));
        assert!(matches!(Keyring::open(&master, &record[..10]), Err(KeyringError::Damaged(_))));
        assert!(matches!(Keyring::open(&master, b""), Err(KeyringError::Damaged(_))));
    }
}
