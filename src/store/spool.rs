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
mod left;
mod record;

pub(super) use file::{SpoolFile, beside};
pub(super) use left::{take_in, take_over};

use super::audit::Head;
use super::error::FileError;
use super::queue::RELAXED_DELAY;
use super::records::Entry;
use crate::crypto::Keyring;
use record::record;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The length of the file, in bytes.
pub(super) const SPOOL_BYTES: usize = 4 << 20;
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
