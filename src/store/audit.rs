//! The audit log's chain. Every entry carries a MAC over itself, its number and the
//! MAC before it, and a sealed head names the last one: an entry that is altered,
//! removed, moved or cut off is found by walking the chain (`audit_check`). Entries
//! past their retention leave from the front; a sealed base then says where the chain
//! goes on from, so that what is left can still be verified.
//!
//! ```text
//! table `audit`, key u64 big end: sealed( MAC (32 bytes) ‖ encoded entry )
//! table `meta`,  key "audit_head": sealed( number of the last entry (u64) ‖ its MAC )
//! table `meta`,  key "audit_base": the same for the last entry that has left
//! tables `audit_by_vault`, `audit_by_user`, key id ‖ ordinal: sealed( number of the entry )
//! ```
//!
//! The ordinals of one vault or user have no gaps, so the first and the last of them
//! tell how many entries there are, and any page is one jump away.

use super::StoreError;
use super::batch::Change;
use super::codec;
use super::engine::{Tables, Writing};
use super::keys::{Span, TableKey};
use super::records::Entry;
use super::tables::{AUDIT, AUDIT_BY_USER, AUDIT_BY_VAULT, META, Table};
use super::view::View;
use crate::base::ids::{UserId, VaultId};
use crate::crypto::{Binding, ChainMac, Keyring, envelope};
use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use zeroize::Zeroizing;

pub(super) const HEAD: &[u8] = b"audit_head";
pub(super) const BASE: &[u8] = b"audit_base";
const MARK_BYTES: usize = 40;
pub(super) const MAC_BYTES: usize = 32;
/// Most journals whose last ordinal is remembered; some 60 bytes each.
const JOURNALS_KNOWN: usize = 4_096;

/// A place in the chain: an entry's number and its MAC.
///
/// Written as `NUMBER-MAC` it is a checkpoint, to be kept where whoever can write the
/// file cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Head {
    /// Number of the entry; 0 when there is none.
    pub sequence: u64,
    /// Its MAC; zeros when there is none.
    pub mac: ChainMac,
}

impl Head {
    pub(super) const START: Self = Self { sequence: 0, mac: [0; MAC_BYTES] };

    /// Reads a checkpoint. `None`: it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (sequence, hex) = text.trim().split_once('-')?;
        let sequence = sequence.parse().ok()?;
        if hex.len() != 2 * MAC_BYTES || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut mac = [0; MAC_BYTES];
        for (byte, at) in mac.iter_mut().zip((0..hex.len()).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
        }
        Some(Self { sequence, mac })
    }

    /// Where the writer goes on. A head that is missing or does not fit the log is no reason
    /// to stop serving, but what is there must not be overwritten: then the chain goes on
    /// behind everything and behind a gap, and verifying it finds the place ever after.
    pub(super) fn to_continue(view: View<'_>) -> Result<Self, StoreError> {
        let last = last_number(view)?;
        let head = match read_mark(view, HEAD) {
            Ok(Some(head)) if head.sequence == last => return Ok(head),
            Ok(Some(head)) => head,
            Ok(None) | Err(StoreError::Damaged { .. }) => Self { sequence: last + 1, ..Self::START },
            Err(error) => return Err(error),
        };
        tracing::error!(last, "the audit log and its end do not fit together; run `keywayd audit verify`");
        Ok(Self { sequence: head.sequence.max(last), mac: head.mac })
    }

    fn plain(&self) -> Vec<u8> {
        [self.sequence.to_be_bytes().as_slice(), &self.mac].concat()
    }

    /// Writes the head.
    fn save(&self, tables: &Writing<'_>, keyring: &Keyring) -> Result<(), StoreError> {
        let (key, value) = self.sealed(keyring);
        tables.put(META, key, &value)
    }

    /// The record in `meta` that says that the log ends here.
    pub(super) fn sealed(&self, keyring: &Keyring) -> (&'static [u8], Vec<u8>) {
        (HEAD, seal(keyring, META, HEAD, &self.plain()))
    }

    /// This place as the base, to be written.
    pub(super) fn as_base(&self, keyring: &Keyring) -> Change {
        let value = Some(seal(keyring, META, BASE, &self.plain()));
        Change { table: META, key: BASE.to_vec(), value }
    }
}

/// The end of the log, where the writer goes on. Sealing entries is most of the work of
/// appending them, and needs no transaction: it can be done before there is one.
pub(super) struct End {
    /// Where the log ended after the last commit.
    committed: Head,
    /// Where it ends with what has been appended since.
    last: Head,
    /// What that changes, as far as it was not written yet.
    changes: Vec<Change>,
    /// The last ordinals of journals written to of late: looking one up costs more than
    /// writing the entry.
    ordinals: HashMap<Journal, u64>,
}

impl End {
    pub(super) fn at(head: Head) -> Self {
        Self { committed: head, last: head, changes: Vec::new(), ordinals: HashMap::new() }
    }

    /// Where the log ended after the last commit.
    pub(super) const fn committed(&self) -> Head {
        self.committed
    }

    /// Appends `entry`, to be written. In `tables` is what was written of the log.
    pub(super) fn append(
        &mut self,
        tables: &dyn Tables,
        keyring: &Keyring,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let sequence = self.last.sequence + 1;
        let encoded = codec::encode(entry)?;
        let mac = keyring.audit.link(&self.last.mac, sequence, &encoded);
        let plain = Zeroizing::new([&mac, encoded.as_slice()].concat());
        self.put(keyring, AUDIT.name, sequence.to_bytes(), &plain);
        for journal in Journal::of(entry) {
            let key = journal.key(self.next_ordinal(journal, tables)?);
            self.put(keyring, journal.table(), key, &codec::encode(&sequence)?);
        }
        self.last = Head { sequence, mac };
        Ok(())
    }

    fn put(&mut self, keyring: &Keyring, table: &'static str, key: Vec<u8>, plain: &[u8]) {
        let value = Some(seal(keyring, table, &key, plain));
        self.changes.push(Change { table, key, value });
    }

    /// Writes what was appended.
    pub(super) fn write(&mut self, tables: &Writing<'_>) -> Result<(), StoreError> {
        self.changes.drain(..).try_for_each(|Change { table, key, value }| {
            tables.put(table, &key, value.as_deref().unwrap_or_default())
        })
    }

    /// Writes where the log ends now, if that is elsewhere than before.
    pub(super) fn save(&self, tables: &Writing<'_>, keyring: &Keyring) -> Result<(), StoreError> {
        if self.last == self.committed { Ok(()) } else { self.last.save(tables, keyring) }
    }

    /// What was written is committed.
    pub(super) fn commit(&mut self) {
        self.committed = self.last;
        if self.ordinals.len() > JOURNALS_KNOWN {
            self.ordinals.clear();
        }
    }

    /// Back to the last commit.
    pub(super) fn rewind(&mut self) {
        *self = Self::at(self.committed);
    }

    fn next_ordinal(&mut self, journal: Journal, tables: &dyn Tables) -> Result<u64, StoreError> {
        let next = match self.ordinals.get(&journal) {
            Some(last) => last + 1,
            None => journal.last(tables)?.map_or(0, |last| last + 1),
        };
        self.ordinals.insert(journal, next);
        Ok(next)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.sequence)?;
        self.mac.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Head> for String {
    fn from(head: Head) -> Self {
        head.to_string()
    }
}

impl TryFrom<String> for Head {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("must be a checkpoint as `keywayd audit head` prints it")
    }
}

fn seal(keyring: &Keyring, table: &'static str, key: &[u8], plain: &[u8]) -> Vec<u8> {
    let (generation, root) = keyring.newest_root();
    envelope::seal(root, generation, Binding { table, key }, plain)
}

/// The head or the base, if it was ever written.
pub(super) fn read_mark(view: View<'_>, key: &[u8]) -> Result<Option<Head>, StoreError> {
    let kind = if key == HEAD { "audit head" } else { "audit base" };
    let mut found = None;
    view.tables.get(META, key, &mut |_, sealed| {
        let plain = view.unseal(META, kind, key, sealed)?;
        let plain: [u8; MARK_BYTES] =
            plain.as_slice().try_into().map_err(|_| StoreError::damaged(kind, "it has the wrong length"))?;
        let (sequence, mac) = plain.split_at(8);
        found = Some(Head {
            sequence: sequence.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
            mac: std::array::from_fn(|i| mac[i]),
        });
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// The highest number in the table, whatever the head says.
fn last_number(view: View<'_>) -> Result<u64, StoreError> {
    let mut last = 0;
    view.tables.scan(AUDIT.name, &Span::all().newest_first(), &mut |key, _| {
        last = u64::from_bytes(key).unwrap_or_default();
        Ok(ControlFlow::Break(()))
    })?;
    Ok(last)
}

/// An entry as it stands at its place: its MAC, and its encoded form.
pub(super) fn open(view: View<'_>, key: &[u8], sealed: &[u8]) -> Result<(ChainMac, Vec<u8>), StoreError> {
    let plain = view.unseal(AUDIT.name, Table::<u64, Entry>::KIND, key, sealed)?;
    let short = || StoreError::damaged(Table::<u64, Entry>::KIND, "it is too short");
    let (mac, encoded) = plain.split_first_chunk::<MAC_BYTES>().ok_or_else(short)?;
    Ok((*mac, encoded.to_vec()))
}

/// Whose entries are counted through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Journal {
    /// Those about a vault.
    Vault(VaultId),
    /// Those of a user.
    User(UserId),
}

impl Journal {
    /// The journals that `entry` belongs in.
    pub(super) fn of(entry: &Entry) -> impl Iterator<Item = Self> {
        let user = entry.actor.as_ref().map(|actor| Self::User(actor.user));
        entry.vault.map(Self::Vault).into_iter().chain(user)
    }

    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Vault(_) => AUDIT_BY_VAULT.name,
            Self::User(_) => AUDIT_BY_USER.name,
        }
    }

    pub(super) fn key(self, ordinal: u64) -> Vec<u8> {
        match self {
            Self::Vault(vault) => (vault, ordinal).to_bytes(),
            Self::User(user) => (user, ordinal).to_bytes(),
        }
    }

    fn span(self) -> Span {
        match self {
            Self::Vault(vault) => Span::under(vault),
            Self::User(user) => Span::under(user),
        }
    }

    /// The first and the last ordinal. `None`: there are no entries.
    pub(super) fn bounds(self, tables: &dyn Tables) -> Result<Option<(u64, u64)>, StoreError> {
        let first = self.leading(tables, &self.span())?;
        Ok(first.zip(self.last(tables)?))
    }

    fn last(self, tables: &dyn Tables) -> Result<Option<u64>, StoreError> {
        self.leading(tables, &self.span().newest_first())
    }

    fn leading(self, tables: &dyn Tables, span: &Span) -> Result<Option<u64>, StoreError> {
        let mut ordinal = None;
        tables.scan(self.table(), span, &mut |key, _| {
            ordinal = key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(ordinal)
    }
}

/// The audit log, for reading.
#[derive(Clone, Copy)]
pub struct AuditLog<'a>(pub(super) View<'a>);

impl AuditLog<'_> {
    /// Where the log ends.
    ///
    /// # Errors
    /// If the engine fails or the head is damaged.
    pub fn head(self) -> Result<Head, StoreError> {
        Ok(read_mark(self.0, HEAD)?.unwrap_or(Head::START))
    }

    /// The last entry that is no longer kept; number 0 when all still are.
    ///
    /// # Errors
    /// If the engine fails or the base is damaged.
    pub fn base(self) -> Result<Head, StoreError> {
        Ok(read_mark(self.0, BASE)?.unwrap_or(Head::START))
    }

    /// Hands every entry behind number `sequence` to `visit` until it breaks off.
    ///
    /// # Errors
    /// If the engine fails or an entry is damaged.
    pub fn after(
        self,
        sequence: u64,
        mut visit: impl FnMut(u64, Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.0.tables.scan(AUDIT.name, &Span::all().after(sequence), &mut |key, sealed| {
            let entry = codec::decode(&open(self.0, key, sealed)?.1)?;
            Ok(visit(u64::from_bytes(key).unwrap_or_default(), entry))
        })
    }

    /// The first and the last ordinal of a journal. `None`: it has no entries.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn bounds(self, journal: Journal) -> Result<Option<(u64, u64)>, StoreError> {
        journal.bounds(self.0.tables)
    }

    /// The entry at one ordinal of a journal. `None`: it has none there.
    ///
    /// # Errors
    /// If the engine fails or the entry is damaged.
    pub fn at(self, journal: Journal, ordinal: u64) -> Result<Option<Entry>, StoreError> {
        let number = match journal {
            Journal::Vault(vault) => self.0.find(&AUDIT_BY_VAULT, (vault, ordinal))?,
            Journal::User(user) => self.0.find(&AUDIT_BY_USER, (user, ordinal))?,
        };
        let mut found = None;
        if let Some(number) = number {
            self.0.tables.get(AUDIT.name, &number.to_bytes(), &mut |key, sealed| {
                found = Some(codec::decode(&open(self.0, key, sealed)?.1)?);
                Ok(ControlFlow::Break(()))
            })?;
        }
        Ok(found)
    }
}
