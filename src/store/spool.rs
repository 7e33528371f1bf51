//! The spool: a small file beside the database, in which audit entries of reads wait to
//! be moved into the audit log.
//!
//! Values that are read leave after their audit entry is on the disk. A commit of the
//! database for each group of readers is some forty writes and two waits for the disk;
//! the spool takes the entries of a group in one sealed record, one write and one wait.
//! The next commit moves what is in the spool into the log, before anything else that it
//! writes, and none is later than a second. So the log is in the order of what happened,
//! and `writer` is the only one who knows that there is a spool.
//!
//! # The file
//!
//! ```text
//! blocks of 4 KiB; a record begins with a block, and zeros fill its last one
//! record:    "kwS1" ‖ length of the envelope (u32) ‖ last entry of the log (u64) ‖ number (u32) ‖ envelope
//! envelope:  sealed by the root key, bound to the head of the log (number and MAC) and the record's number
//! in it:     per entry: length (u32) ‖ the entry as a record of its own
//! ```
//!
//! Records count from 0 and go on from a *head*: the end of the log at the last commit.
//! A commit that moves them gives the log another head. So a record that was moved is
//! known by its head and is never moved twice, nothing in the database has to say how far
//! the moving went, and the next records are written over the old ones, from the start.
//! A head holds a MAC over ids that are made up, so it belongs to one database at one
//! time: a spool beside other data, or beside an older copy, does not open.
//!
//! The file is made at the first read, written full of zeros so that later writes change
//! nothing but its contents, and is removed when the store is closed. If there is one at
//! the start, the process before was killed, and the store opens after its entries are in
//! the log. Nothing in the database has another shape than without a spool, so it is no
//! matter of the schema; entries carry their own format, as everywhere.
//!
//! # What can be wrong
//!
//! - The last record is there in part, because the power went: nobody had been answered.
//!   It cannot be told from one that somebody damaged afterwards, and is warned about.
//! - A record is damaged or gone and a later one opens: its readers were answered. What
//!   opens is moved, the log gets an entry that says how many records are missing, and the
//!   file stays, under another name.
//! - The spool goes on from a head that the log has not reached: an older database was put
//!   in the place of the one it belongs to. None of that is moved; else the same.
//! - The disk refuses: then readers wait for commits, as if there were no spool, and after
//!   a minute it is tried again.
//!
//! None of these keeps the store from serving. A spool that cannot be read at all does:
//! what is in it would be written over.

mod file;

pub(super) use file::{SpoolFile, beside};

use super::StoreError;
use super::audit::{End, Head};
use super::codec;
use super::engine::{Snapshot, Writing};
use super::error::FileError;
use super::queue::RELAXED_DELAY;
use super::records::{Action, Entry};
use crate::base::{Clock, SystemClock};
use crate::crypto::{Binding, Keyring, envelope};
use redb::Database;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The length of the file, in bytes.
pub(super) const SPOOL_BYTES: usize = 4 << 20;
/// Where records begin: what a disk writes at once, so that writing one harms no other.
const BLOCK: usize = 4096;
const MAGIC: &[u8; 4] = b"kwS1";
const HEADER_BYTES: usize = 20;
/// In the place of a table's name.
const TABLE: &str = "audit spool";
const KIND: &str = "record of the audit spool";
/// Most entries in it: putting them into the log is what the next reader waits for.
const ENTRIES: usize = 1_024;
/// After the disk refused, it is left alone for so long.
const RETRY: Duration = Duration::from_secs(60);

/// Where the spool lies. Tests have disks that fail.
pub(super) trait Medium: Send {
    /// What lies there. `None`: nothing.
    fn read(&self) -> Result<Option<Vec<u8>>, FileError>;
    /// Makes it anew, of [`SPOOL_BYTES`] zeros.
    fn make(&mut self) -> Result<(), FileError>;
    /// Writes `bytes` at `offset` of what was made, and sees them onto the disk.
    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), FileError>;
    /// Removes it, if it is there.
    fn remove(&mut self) -> Result<(), FileError>;
    /// Gives it another name, which is answered.
    fn set_aside(&mut self) -> Result<PathBuf, FileError>;
}

/// The spool of an open store.
pub(super) struct Spool {
    /// `None`: this store does without.
    medium: Option<Box<dyn Medium>>,
    state: State,
    /// Where the next record goes.
    at: usize,
    /// Its number.
    number: u32,
    /// What is in it, in order.
    entries: Vec<Entry>,
    /// Since when something is.
    since: Option<Instant>,
    holds: Arc<AtomicBool>,
}

#[derive(Clone, Copy)]
enum State {
    Absent,
    Ready,
    Refused(Instant),
}

impl Spool {
    /// A spool at `medium`, where there is none now.
    pub(super) fn new(medium: Option<Box<dyn Medium>>) -> Self {
        let (entries, holds) = (Vec::new(), Arc::default());
        Self { medium, state: State::Absent, at: 0, number: 0, entries, since: None, holds }
    }

    /// Set for as long as there is something in it: so long there are entries that somebody
    /// was answered for and that are not in the log.
    pub(super) fn holds(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.holds)
    }

    /// Until when it has to be emptied by a commit.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + RELAXED_DELAY)
    }

    /// What a commit has to put into the log before anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Sees `entries` onto the disk, in one record that goes on from `head`. `false`: they
    /// have to be committed, together with what is in the spool.
    pub(super) fn append(&mut self, keyring: &Keyring, head: &Head, entries: &[&Entry]) -> bool {
        let is_full = self.entries.len() + entries.len() > ENTRIES;
        if is_full || self.due().is_some_and(|due| due <= Instant::now()) || !self.is_ready() {
            return false;
        }
        match record(keyring, head, self.number, entries) {
            Ok(record) if self.at + record.len() <= SPOOL_BYTES && self.write(&record) => {
                self.at += record.len();
                self.number += 1;
            }
            _ => return false,
        }
        self.since.get_or_insert_with(Instant::now);
        self.holds.store(true, Ordering::Release);
        true
    }

    /// Takes over an entry that was appended.
    pub(super) fn keep(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// A commit has put all entries into the log; the next record is the first. What is
    /// sealed with keys that are not in force any more is not kept.
    pub(super) fn committed(&mut self, keys_changed: bool) {
        (self.at, self.number, self.since) = (0, 0, None);
        self.entries.clear();
        self.holds.store(false, Ordering::Release);
        if keys_changed {
            self.remove();
        }
    }

    /// The commit has to be tried again, but not at once.
    pub(super) fn not_committed(&mut self) {
        self.since = self.since.map(|_| Instant::now());
    }

    /// Removes the file, out of which everything is in the log. It is made again when it is
    /// needed.
    pub(super) fn remove(&mut self) {
        if matches!(self.state, State::Ready) {
            self.state = State::Absent;
        }
        if let Some(Err(error)) = self.medium.as_mut().map(|medium| medium.remove()) {
            tracing::warn!(%error, "the audit spool was not removed; all of it is in the log");
        }
    }

    fn is_ready(&mut self) -> bool {
        match (self.state, self.medium.as_mut()) {
            (_, None) => false,
            (State::Ready, _) => true,
            (State::Refused(since), _) if since.elapsed() < RETRY => false,
            // What is in it is nowhere else on the disk.
            _ if !self.entries.is_empty() => false,
            (State::Absent | State::Refused(_), Some(medium)) => {
                let made = medium.make();
                self.is_good(made)
            }
        }
    }

    fn write(&mut self, record: &[u8]) -> bool {
        let written = self.medium.as_mut().map(|medium| medium.write(self.at, record));
        written.is_some_and(|written| self.is_good(written))
    }

    fn is_good(&mut self, outcome: Result<(), FileError>) -> bool {
        self.state = match &outcome {
            Ok(()) => State::Ready,
            Err(error) => {
                tracing::error!(%error, "the audit spool cannot be used; for now each read waits for a commit");
                State::Refused(Instant::now())
            }
        };
        outcome.is_ok()
    }
}

/// What a process that was killed left in its spool.
struct Left {
    entries: Vec<Entry>,
    /// What is wrong, if something is.
    problem: Option<String>,
}

/// Moves what is in the spool at `medium` into the audit log of `database`. After that there
/// is no spool any more, or, if something was wrong with it, it has another name.
pub(super) fn take_over(
    database: &Database,
    keyring: &Arc<Keyring>,
    medium: &mut dyn Medium,
) -> Result<(), FileError> {
    let Some(problem) = take(database, keyring, medium, true)? else { return medium.remove() };
    let aside = medium.set_aside()?;
    tracing::error!(kept = %aside.display(), "the audit spool of the process before is not sound: {problem}");
    Ok(())
}

/// Moves what is in the spool at `medium` into the audit log of `database` and leaves the
/// spool as it is: for a database that is only looked at. Answers what is wrong with it.
pub(super) fn take_in(
    database: &Database,
    keyring: &Arc<Keyring>,
    medium: &dyn Medium,
) -> Result<Option<String>, FileError> {
    take(database, keyring, medium, false)
}

fn take(
    database: &Database,
    keyring: &Arc<Keyring>,
    medium: &dyn Medium,
    is_noted: bool,
) -> Result<Option<String>, FileError> {
    let Some(bytes) = medium.read()? else { return Ok(None) };
    let head = {
        let snapshot = Snapshot::of(database, Arc::clone(keyring))?;
        Head::to_continue(snapshot.view())?
    };
    let Left { mut entries, problem } = open(&bytes, keyring, &head);
    if let Some(problem) = problem.as_ref().filter(|_| is_noted) {
        let note = Entry::of_machine(SystemClock.now(), Action::AuditSpoolDamaged);
        entries.push(Entry { subject: Some(problem.clone()), ..note });
    }
    if entries.is_empty() {
        return Ok(problem);
    }
    let mut transaction = database.begin_write().map_err(StoreError::from)?;
    transaction.set_quick_repair(true);
    {
        let tables = Writing::new(&transaction);
        let mut end = End::at(head);
        entries.iter().try_for_each(|entry| end.append(&tables, keyring, entry))?;
        end.write(&tables)?;
        end.save(&tables, keyring)?;
    }
    transaction.commit().map_err(StoreError::from)?;
    tracing::info!(entries = entries.len(), "moved audit entries of the process before into the log");
    Ok(problem)
}

/// The entries in `bytes` that go on from `head`.
fn open(bytes: &[u8], keyring: &Keyring, head: &Head) -> Left {
    let mut records = BTreeMap::new();
    let (mut is_ahead, mut is_torn, mut unread) = (false, false, None);
    for start in (0..bytes.len()).step_by(BLOCK) {
        let Some(found) = bytes.get(start..).and_then(Found::parse) else { continue };
        is_ahead |= found.sequence > head.sequence;
        if found.sequence != head.sequence {
            continue;
        }
        let Some(plain) = found.open(keyring, head) else {
            is_torn = true;
            continue;
        };
        let entries = entries_in(&plain).unwrap_or_else(|error| {
            unread = Some(error);
            Vec::new()
        });
        records.insert(found.number, entries);
    }
    let due = records.last_key_value().map_or(0, |(last, _)| *last as usize + 1);
    let missing = due - records.len();
    let problem = if is_ahead {
        Some("it goes on from a later state: the database was put back to an earlier one".to_owned())
    } else if missing > 0 {
        Some(format!("{missing} of {due} records are damaged or missing"))
    } else {
        unread.map(|error| error.to_string())
    };
    if is_torn && problem.is_none() {
        tracing::warn!(
            "the last record of the audit spool is not whole: the machine stopped before its readers were answered"
        );
    }
    Left { entries: records.into_values().flatten().collect(), problem }
}

/// A record as it lies in the file.
struct Found<'a> {
    sequence: u64,
    number: u32,
    envelope: &'a [u8],
}

impl<'a> Found<'a> {
    /// What begins at the start of `bytes`, if it looks like a record.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        // What is cut short does not open.
        let length = (u32::from_be_bytes(*length) as usize).min(rest.len());
        Some(Self {
            sequence: u64::from_be_bytes(*sequence),
            number: u32::from_be_bytes(*number),
            envelope: rest.get(..length)?,
        })
    }

    fn open(&self, keyring: &Keyring, head: &Head) -> Option<Zeroizing<Vec<u8>>> {
        let root = keyring.root_for(self.envelope).ok()?;
        let key = place(head, self.number);
        envelope::open(root, Binding { table: TABLE, key: &key }, self.envelope).ok()
    }
}

/// The entries in an opened record.
fn entries_in(mut plain: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    while !plain.is_empty() {
        let parts = plain
            .split_first_chunk()
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_be_bytes(*length) as usize));
        let (encoded, rest) = parts.ok_or_else(|| StoreError::damaged(KIND, "it does not decode"))?;
        entries.push(codec::decode(encoded)?);
        plain = rest;
    }
    Ok(entries)
}

fn record(keyring: &Keyring, head: &Head, number: u32, entries: &[&Entry]) -> Result<Vec<u8>, StoreError> {
    let too_long = |_| StoreError::damaged(KIND, "it is too long");
    let mut plain = Zeroizing::new(Vec::with_capacity(BLOCK));
    for entry in entries {
        let encoded = codec::encode(*entry)?;
        plain.extend_from_slice(&u32::try_from(encoded.len()).map_err(too_long)?.to_be_bytes());
        plain.extend_from_slice(&encoded);
    }
    let (generation, root) = keyring.newest_root();
    let key = place(head, number);
    let sealed = envelope::seal(root, generation, Binding { table: TABLE, key: &key }, &plain);
    let bytes = (HEADER_BYTES + sealed.len()).next_multiple_of(BLOCK);
    let mut record = Vec::with_capacity(bytes);
    record.extend_from_slice(MAGIC);
    record.extend_from_slice(&u32::try_from(sealed.len()).map_err(too_long)?.to_be_bytes());
    record.extend_from_slice(&head.sequence.to_be_bytes());
    record.extend_from_slice(&number.to_be_bytes());
    record.extend_from_slice(&sealed);
    record.resize(bytes, 0);
    Ok(record)
}

/// What a record is bound to.
fn place(head: &Head, number: u32) -> Vec<u8> {
    [head.sequence.to_be_bytes().as_slice(), &head.mac, &number.to_be_bytes()].concat()
}
