//! The keyring: every key but the master key, sealed in one record. The record has a
//! slot for each master key that opens it, nearly always one; while the master key is
//! being changed there are two, so that at every moment one that the operator holds
//! opens the data. Changing the master key rewrites this record and nothing else.
//!
//! ```text
//! record:  0x01 ‖ number of slots (u8) ‖ slots, oldest master key first
//! slot:    header ‖ length of the envelope (u32) ‖ envelope, bound to the header
//! header:  number of the master key (u32) ‖ its id (16 bytes) ‖ 0x00
//!          or, for a passphrase, … ‖ 0x01 ‖ memory KiB ‖ passes ‖ lanes (u32 each) ‖ salt (16)
//! in the envelope: 0x01 ‖ index key ‖ audit key ‖ session key id (u32) ‖ session key
//!          ‖ number of root keys (u32) ‖ per root key: generation (u32) ‖ key
//! ```
//! The master key's id tells a wrong master key from a damaged record.

use super::envelope::{self, Binding, OpenError};
use super::keys::{AuditKey, IndexKey, KEY_BYTES, RootKey, SessionKey};
use super::unlock::{Master, MasterKeyId, MasterLabel, MasterSecret, Stretch};
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const TABLE: &str = "keyring";

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

/// An opened keyring record.
pub struct OpenedRing {
    /// The keys.
    pub ring: Keyring,
    /// The master key that opened it.
    pub master: Master,
    /// Older master keys that open it too.
    pub older: Vec<MasterLabel>,
    /// Newer master keys that open it too.
    pub newer: Vec<MasterLabel>,
}

/// Why a keyring did not open.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyringError {
    /// The key is a good one, but not the one this data was made with.
    WrongMasterKey {
        /// Which key was tried; `None` for a passphrase.
        given: Option<MasterKeyId>,
        /// Which would do.
        needed: Vec<MasterLabel>,
    },
    /// The key is right, the record is not.
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
    #[cfg_attr(not(test), expect(clippy::expect_used, reason = "a keyring is made and read with one"))]
    pub fn newest_root(&self) -> (u32, &RootKey) {
        let (generation, key) = self.roots.last().expect("a keyring has a root key");
        (*generation, key)
    }

    /// Whether there is a root key older than the newest.
    #[must_use]
    pub const fn has_older_roots(&self) -> bool {
        self.roots.len() > 1
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

    /// This ring with one root key more, which is the newest from now on.
    #[must_use]
    pub fn with_new_root(&self) -> Self {
        let mut ring = self.copy();
        ring.roots.push((self.newest_root().0 + 1, RootKey::generate()));
        ring
    }

    /// This ring with its newest root key alone.
    #[must_use]
    pub fn without_older_roots(&self) -> Self {
        let mut ring = self.copy();
        ring.roots.drain(..self.roots.len() - 1);
        ring
    }

    /// This ring with another session key: what the old one signed is void.
    #[must_use]
    pub fn with_new_session(&self) -> Self {
        let session_key_id = self.session_key_id.wrapping_add(1);
        Self { session: SessionKey::generate(), session_key_id, ..self.copy() }
    }

    /// The ring as one record that each of `masters` opens, oldest first.
    ///
    /// # Panics
    /// Never: nobody has 256 master keys at a time.
    #[must_use]
    #[cfg_attr(not(test), expect(clippy::expect_used, reason = "there are two at most"))]
    pub fn seal(&self, masters: &[Master]) -> Vec<u8> {
        let mut plain = Zeroizing::new(Vec::with_capacity(128 + self.roots.len() * 36));
        plain.push(FORMAT);
        plain.extend_from_slice(self.index.expose());
        plain.extend_from_slice(self.audit.expose());
        plain.extend_from_slice(&self.session_key_id.to_be_bytes());
        plain.extend_from_slice(self.session.expose());
        plain.extend_from_slice(&length(self.roots.len()));
        for (generation, key) in &self.roots {
            plain.extend_from_slice(&generation.to_be_bytes());
            plain.extend_from_slice(key.expose());
        }
        let mut record = vec![FORMAT, u8::try_from(masters.len()).expect("few master keys")];
        for master in masters {
            let header = header(master);
            let sealed = envelope::seal(&master.key, 0, Binding { table: TABLE, key: &header }, &plain);
            record.extend_from_slice(&header);
            record.extend_from_slice(&length(sealed.len()));
            record.extend_from_slice(&sealed);
        }
        record
    }

    /// Opens a record that [`Keyring::seal`] made.
    ///
    /// # Errors
    /// If `secret` is none of its keys, or the record is damaged.
    pub fn open(secret: &MasterSecret, record: &[u8]) -> Result<OpenedRing, KeyringError> {
        let slots = slots(record).map_err(KeyringError::Damaged)?;
        let label = |slot: &Slot<'_>| MasterLabel {
            number: slot.number,
            id: slot.id,
            passphrase: slot.stretch.is_some(),
        };
        for (place, slot) in slots.iter().enumerate().rev() {
            let Some(key) = secret.key_for(slot.stretch.as_ref()) else { continue };
            if MasterKeyId::of(&key) != slot.id {
                continue;
            }
            let binding = Binding { table: TABLE, key: slot.header };
            let plain = envelope::open(&key, binding, slot.sealed).map_err(KeyringError::Damaged)?;
            let ring = Self::parse(&plain).ok_or(KeyringError::Damaged(OpenError::UnknownFormat))?;
            return Ok(OpenedRing {
                ring,
                master: Master { key, number: slot.number, stretch: slot.stretch },
                older: slots[..place].iter().map(label).collect(),
                newer: slots[place + 1..].iter().map(label).collect(),
            });
        }
        let needed = slots.iter().map(label).collect();
        Err(KeyringError::WrongMasterKey { given: secret.id(), needed })
    }

    fn parse(plain: &[u8]) -> Option<Self> {
        let mut plain = Reader(plain.strip_prefix(&[FORMAT])?);
        let (index, audit) = (IndexKey::from_bytes(plain.key()?), AuditKey::from_bytes(plain.key()?));
        let (session_key_id, session) = (plain.number()?, SessionKey::from_bytes(plain.key()?));
        let count = plain.number()?;
        let mut roots = Vec::new();
        for _ in 0..count {
            roots.push((plain.number()?, RootKey::from_bytes(plain.key()?)));
        }
        let complete = plain.0.is_empty() && !roots.is_empty() && roots.is_sorted_by(|a, b| a.0 < b.0);
        complete.then_some(Self { roots, index, audit, session, session_key_id })
    }

    fn copy(&self) -> Self {
        let root = |(generation, key): &(u32, RootKey)| (*generation, RootKey::from_bytes(*key.expose()));
        Self {
            roots: self.roots.iter().map(root).collect(),
            index: IndexKey::from_bytes(*self.index.expose()),
            audit: AuditKey::from_bytes(*self.audit.expose()),
            session: SessionKey::from_bytes(*self.session.expose()),
            session_key_id: self.session_key_id,
        }
    }
}

/// One way to open a record.
struct Slot<'a> {
    number: u32,
    id: MasterKeyId,
    stretch: Option<Stretch>,
    header: &'a [u8],
    sealed: &'a [u8],
}

fn header(master: &Master) -> Vec<u8> {
    let mut header = master.number.to_be_bytes().to_vec();
    header.extend_from_slice(&MasterKeyId::of(&master.key).0);
    header.push(u8::from(master.stretch.is_some()));
    if let Some(Stretch { memory_kib, passes, lanes, salt }) = &master.stretch {
        for number in [memory_kib, passes, lanes] {
            header.extend_from_slice(&number.to_be_bytes());
        }
        header.extend_from_slice(salt);
    }
    header
}

fn slots(record: &[u8]) -> Result<Vec<Slot<'_>>, OpenError> {
    let (&format, rest) = record.split_first().ok_or(OpenError::Truncated)?;
    if format != FORMAT {
        return Err(OpenError::UnknownFormat);
    }
    let mut rest = Reader(rest);
    let [count] = rest.take().ok_or(OpenError::Truncated)?;
    let slots = (0..count).map(|_| slot(&mut rest)).collect::<Option<Vec<_>>>();
    slots.filter(|slots| !slots.is_empty() && rest.0.is_empty()).ok_or(OpenError::Truncated)
}

fn slot<'a>(rest: &mut Reader<'a>) -> Option<Slot<'a>> {
    let start = rest.0;
    let (number, id) = (rest.number()?, MasterKeyId(rest.take()?));
    let stretch = match rest.take()? {
        [0] => None,
        [1] => Some(Stretch {
            memory_kib: rest.number()?,
            passes: rest.number()?,
            lanes: rest.number()?,
            salt: rest.take()?,
        }),
        _ => return None,
    };
    let header = &start[..start.len() - rest.0.len()];
    let sealed_bytes = usize::try_from(rest.number()?).ok()?;
    let (sealed, after) = rest.0.split_at_checked(sealed_bytes)?;
    rest.0 = after;
    Some(Slot { number, id, stretch, header, sealed })
}

fn length(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SecretText;
    use crate::crypto::MasterKey;

    fn key() -> MasterSecret {
        MasterSecret::Key(MasterKey::generate())
    }

    fn words(text: &str) -> MasterSecret {
        MasterSecret::Passphrase(SecretText::new(text.to_owned()))
    }

    #[test]
    fn a_ring_survives_sealing() {
        let (secret, ring) = (key(), Keyring::generate().with_new_root());
        let again = Keyring::open(&secret, &ring.seal(&[secret.master(1)])).ok().unwrap().ring;
        assert_eq!(again.newest_root().0, 2);
        assert_eq!(ring.newest_root().1.expose(), again.newest_root().1.expose());
        assert_eq!(ring.roots[0].1.expose(), again.roots[0].1.expose());
        assert_eq!(ring.index.expose(), again.index.expose());
        assert_eq!(ring.audit.expose(), again.audit.expose());
        assert_eq!(ring.session.expose(), again.session.expose());
        assert!(again.has_older_roots() && !again.without_older_roots().has_older_roots());
        assert_eq!(again.without_older_roots().newest_root().0, 2);
        let (signed_out, id) = (ring.with_new_session(), ring.session_key_id);
        assert_ne!(ring.session.expose(), signed_out.session.expose());
        assert_eq!(signed_out.session_key_id, id + 1, "tokens of the old key name it");
    }

    #[test]
    fn each_generation_is_opened_by_its_own_key() {
        let old = Keyring::generate();
        let ring = old.with_new_root();
        let here = Binding { table: "things", key: b"one" };
        for (generation, key) in [old.newest_root(), ring.newest_root()] {
            let sealed = envelope::seal(key, generation, here, b"plain");
            assert_eq!(ring.root_for(&sealed).unwrap().expose(), key.expose(), "{generation}");
        }
        let sealed = envelope::seal(ring.newest_root().1, 3, here, b"plain");
        assert_eq!(ring.root_for(&sealed).err(), Some(OpenError::UnknownGeneration(3)));
        assert_eq!(ring.root_for(b"").err(), Some(OpenError::Truncated));
    }

    /// As only a faulty version could have sealed it.
    #[test]
    fn a_ring_is_whole_or_none() {
        let plain = |generations: &[u32], more: &[u8]| {
            let mut plain = vec![FORMAT];
            plain.extend([1; 2 * KEY_BYTES]);
            plain.extend(7_u32.to_be_bytes());
            plain.extend([2; KEY_BYTES]);
            plain.extend(length(generations.len()));
            for generation in generations {
                plain.extend(generation.to_be_bytes());
                plain.extend([3; KEY_BYTES]);
            }
            plain.extend(more);
            Keyring::parse(&plain).map(|ring| (ring.session_key_id, ring.newest_root().0))
        };
        assert_eq!(plain(&[1, 4], b""), Some((7, 4)));
        assert_eq!(plain(&[], b""), None, "no root key");
        assert_eq!(plain(&[1], b"x"), None, "something is left over");
        assert_eq!(plain(&[4, 1], b""), None, "the newest is the last");
        assert_eq!(plain(&[1, 1], b""), None, "one key for each generation");
    }

    #[test]
    fn each_of_several_master_keys_opens_and_knows_the_others() {
        let (old, new) = (key(), words("correct horse battery staple"));
        let record = Keyring::generate().seal(&[old.master(1), new.master(2)]);
        let by_old = Keyring::open(&old, &record).ok().unwrap();
        let by_new = Keyring::open(&new, &record).ok().unwrap();
        assert_eq!(by_old.ring.index.expose(), by_new.ring.index.expose());
        assert_eq!((by_old.older.len(), by_old.newer[0]), (0, by_new.master.label()));
        assert_eq!((by_new.newer.len(), by_new.older[0]), (0, by_old.master.label()));
        assert!(by_new.master.label().passphrase && by_new.master.label().number == 2);
        assert!(Keyring::open(&words("correct horse battery"), &record).is_err());
    }

    #[test]
    fn a_wrong_master_key_is_told_apart_from_damage_and_told_the_right_one() {
        let (secret, other) = (key(), key());
        let record = Keyring::generate().seal(&[secret.master(7)]);
        match Keyring::open(&other, &record).err() {
            Some(KeyringError::WrongMasterKey { given, needed }) => {
                assert_eq!(given, other.id());
                assert_eq!((needed.len(), needed[0].number, Some(needed[0].id)), (1, 7, secret.id()));
            }
            other => panic!("{other:?}"),
        }
        for odd in [[record.as_slice(), b"x"].concat(), vec![FORMAT, 0]] {
            let opened = Keyring::open(&secret, &odd);
            assert!(matches!(opened, Err(KeyringError::Damaged(OpenError::Truncated))));
        }
        for at in 0..record.len() {
            let mut damaged = record.clone();
            damaged[at] ^= 1;
            assert!(Keyring::open(&secret, &damaged).is_err(), "byte {at}");
            assert!(
                matches!(Keyring::open(&secret, &record[..at]), Err(KeyringError::Damaged(_))),
                "cut {at}"
            );
        }
    }
}
