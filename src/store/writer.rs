//! The one writer. It owns the write transaction and commits in groups: while one
//! commit waits for the disk, the next jobs queue up and share the commit after it
//! (`queue`).
//!
//! A job first reads and may refuse; only then are its changes applied, so a refused
//! job leaves its neighbours in the batch untouched. A failure of the engine fails the
//! whole batch, and every waiter is told. Nobody is answered before what they asked for
//! is on the disk: by a commit, or, for a group of nothing but audit entries, in the
//! spool (`spool`), from where the next commit moves them into the log.

use super::StoreError;
use super::audit::End;
use super::batch::Batch;
use super::engine::{Latest, Tables, Writing};
use super::meters::Instruments;
use super::opened::Opened;
use super::queue::{Answered, Queue};
use super::records::Entry;
use super::spool::Spool;
use super::view::View;
use crate::crypto::Keyring;
use redb::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::oneshot;

/// What the writer is asked to do.
pub(super) trait Work: Send {
    /// Reads, and collects changes. `false`: refused, there is nothing to apply.
    fn check(&mut self, view: View<'_>, batch: &mut Batch<'_>) -> bool;
    /// Hears how the commit went.
    fn done(self: Box<Self>, outcome: Result<(), StoreError>);
}

pub(super) enum Job {
    /// Something that only a commit can do. Somebody waits for it.
    Change(Box<dyn Work>),
    /// An entry for the audit log.
    Note(Box<Note>),
}

pub(super) struct Note {
    pub(super) entry: Entry,
    /// Whoever waits for it, if somebody does.
    pub(super) waiting: Option<Waiting>,
}

/// Somebody who waits for the disk.
pub(super) type Waiting = oneshot::Sender<Result<(), StoreError>>;

impl Job {
    /// Whether somebody waits for it.
    pub(super) const fn is_urgent(&self) -> bool {
        match self {
            Self::Change(_) => true,
            Self::Note(note) => note.waiting.is_some(),
        }
    }

    /// The audit entry, if it is that and nothing else.
    const fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Change(_) => None,
            Self::Note(note) => Some(&note.entry),
        }
    }

    fn into_note(self) -> Option<Box<Note>> {
        match self {
            Self::Change(_) => None,
            Self::Note(note) => Some(note),
        }
    }

    fn done(self, outcome: Result<(), StoreError>) {
        match self {
            Self::Change(work) => work.done(outcome),
            Self::Note(note) => note.done(outcome),
        }
    }
}

impl Note {
    fn done(self, outcome: Result<(), StoreError>) {
        match (self.waiting, outcome) {
            // Whoever asked may have gone; the entry stands all the same.
            (Some(waiting), outcome) => drop(waiting.send(outcome)),
            (None, Err(error)) => tracing::error!(%error, "an audit entry was not written"),
            (None, Ok(())) => {}
        }
    }
}

pub(super) struct Writer {
    pub(super) database: Arc<Database>,
    pub(super) latest: Arc<Latest>,
    pub(super) failed: Arc<AtomicBool>,
    pub(super) end: End,
    pub(super) spool: Spool,
    /// How many of the entries in the spool are appended to the log, to be written.
    pub(super) appended: usize,
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, queue: Arc<Queue>) {
        let queue = Attended(queue);
        let instruments = &queue.0.instruments;
        let mut answered = Answered::default();
        while let Some(group) = queue.0.next_group(answered, self.due()) {
            let clients = group.iter().filter(|job| job.is_urgent()).count();
            let begin = Instant::now();
            match self.spool(group, instruments) {
                Ok(waiting) => {
                    answered = Answered::of(clients, begin.elapsed());
                    // Whoever asked may have gone; the entry stands all the same.
                    waiting.into_iter().for_each(|waiting| drop(waiting.send(Ok(()))));
                    self.prepare();
                }
                Err(group) => {
                    let mut jobs: Vec<_> = group.into_iter().map(|job| (job, Verdict::Heard)).collect();
                    let outcome = self.commit_counted(&mut jobs, instruments);
                    answered = Answered::of(clients, begin.elapsed());
                    jobs.into_iter().for_each(|(job, verdict)| job.done(verdict.of(&outcome)));
                }
            }
        }
        if self.spool.entries().is_empty() || self.commit_counted(&mut [], instruments).is_ok() {
            self.spool.remove();
        }
    }

    /// Until when something has to be committed, whether or not there is work. What cannot be
    /// written any more stays in the spool.
    fn due(&self) -> Option<Instant> {
        if self.failed.load(Ordering::Relaxed) { None } else { self.spool.due() }
    }

    /// Sees a group of audit entries onto the disk by way of the spool, and answers who waits
    /// for that. A group that has to be committed is handed back.
    fn spool(&mut self, group: Vec<Job>, instruments: &Instruments) -> Result<Vec<Waiting>, Vec<Job>> {
        let awaited = group.iter().any(Job::is_urgent) && !self.failed.load(Ordering::Relaxed);
        let entries: Option<Vec<_>> = group.iter().map(Job::entry).collect();
        let keyring = Arc::clone(self.latest.snapshot().keyring());
        match entries {
            Some(entries) if awaited && self.spool.append(&keyring, &self.end.committed(), &entries) => {}
            _ => return Err(group),
        }
        instruments.spooled(group.len());
        let notes = group.into_iter().filter_map(Job::into_note);
        let waiting = notes.filter_map(|note| {
            self.spool.keep(note.entry);
            note.waiting
        });
        Ok(waiting.collect())
    }

    /// Seals what is in the spool for the log while nobody waits, so that the commit is quick.
    fn prepare(&mut self) {
        let snapshot = self.latest.snapshot();
        if let Err(error) = self.append(snapshot.as_ref(), snapshot.keyring()) {
            tracing::error!(%error, "the audit log was not prepared; the next commit tries again");
            self.rewind();
        }
    }

    /// Appends what is in the spool to the log, to be written.
    fn append(&mut self, tables: &dyn Tables, keyring: &Keyring) -> Result<(), StoreError> {
        for entry in self.spool.entries().iter().skip(self.appended) {
            self.end.append(tables, keyring, entry)?;
            self.appended += 1;
        }
        Ok(())
    }

    fn rewind(&mut self) {
        self.end.rewind();
        self.appended = 0;
    }

    fn commit_counted(
        &mut self,
        jobs: &mut [(Job, Verdict)],
        instruments: &Instruments,
    ) -> Result<(), StoreError> {
        let (begin, writes) = (Instant::now(), self.spool.entries().len() + jobs.len());
        let outcome = self.commit(jobs);
        instruments.committed(writes, outcome.is_ok(), begin.elapsed());
        if let Err(StoreError::Engine(error)) = &outcome {
            tracing::error!(%error, "a commit failed; the store serves no more writes");
            self.failed.store(true, Ordering::Relaxed);
        }
        outcome
    }

    fn commit(&mut self, jobs: &mut [(Job, Verdict)]) -> Result<(), StoreError> {
        let keys = Arc::clone(self.latest.snapshot().keyring());
        match self.try_commit(jobs) {
            Ok((Committed::Nothing, _)) => Ok(()),
            Ok((committed, keyring)) => {
                self.end.commit();
                self.appended = 0;
                let keys_changed = !Arc::ptr_eq(&keys, &keyring);
                let outcome = self.latest.renew(&self.database, keyring, committed == Committed::Aside);
                // Not before others can see where the entries are now.
                self.spool.committed(keys_changed);
                outcome
            }
            Err(error) => {
                self.rewind();
                self.spool.not_committed();
                Err(error)
            }
        }
    }

    /// What the commit wrote to, and the keys that open it.
    fn try_commit(&mut self, jobs: &mut [(Job, Verdict)]) -> Result<(Committed, Arc<Keyring>), StoreError> {
        let mut transaction = self.database.begin_write()?;
        // After a crash the file opens at once instead of after a walk through all of it.
        transaction.set_quick_repair(true);
        // Keys that come into force with this group seal nothing before the next.
        let keyring = Arc::clone(self.latest.snapshot().keyring());
        let mut in_force = Arc::clone(&keyring);
        let tables = Writing::new(&transaction);
        let mut committed = Committed::Nothing;
        if !self.spool.entries().is_empty() {
            committed = Committed::Aside;
            self.append(&tables, &keyring)?;
            self.end.write(&tables)?;
        }
        for (job, verdict) in jobs {
            let work = match job {
                Job::Change(work) => work,
                Job::Note(note) => {
                    committed = committed.max(Committed::Aside);
                    self.end.append(&tables, &keyring, &note.entry)?;
                    self.end.write(&tables)?;
                    continue;
                }
            };
            let mut batch = Batch::new(&keyring);
            let view = View { tables: &tables, keyring: &keyring };
            match catch_unwind(AssertUnwindSafe(|| work.check(view, &mut batch))) {
                Ok(true) => {
                    if let Some(fresh) = batch.keyring_from_now.take() {
                        in_force = fresh;
                        committed = Committed::Kept;
                    }
                    committed = committed.max(apply(batch, &tables, &keyring, &mut self.end)?);
                }
                Ok(false) => {}
                Err(_) => *verdict = Verdict::Panicked,
            }
        }
        if committed == Committed::Nothing {
            drop(tables);
            transaction.abort()?;
            return Ok((committed, keyring));
        }
        self.end.save(&tables, &keyring)?;
        drop(tables);
        transaction.commit()?;
        Ok((committed, in_force))
    }
}

/// What a commit wrote to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Committed {
    /// Nothing at all.
    Nothing,
    /// No table of which records are kept open.
    Aside,
    /// Any other.
    Kept,
}

impl Committed {
    fn to(table: &str) -> Self {
        if Opened::keeps(table) { Self::Kept } else { Self::Aside }
    }
}

/// The queue as long as there is a writer. Should it die, nobody waits for it in vain.
struct Attended(Arc<Queue>);

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Heard,
    Panicked,
}

impl Verdict {
    /// What one job hears of the `outcome` for all.
    fn of(self, outcome: &Result<(), StoreError>) -> Result<(), StoreError> {
        match self {
            Self::Panicked => outcome.clone().and(Err(StoreError::Panicked)),
            Self::Heard => outcome.clone(),
        }
    }
}

fn apply(
    batch: Batch<'_>,
    tables: &Writing<'_>,
    keyring: &Keyring,
    end: &mut End,
) -> Result<Committed, StoreError> {
    let mut committed = Committed::Nothing;
    for change in batch.changes {
        committed = committed.max(Committed::to(change.table));
        match change.value {
            Some(value) => tables.put(change.table, &change.key, &value)?,
            None => tables.delete(change.table, &change.key)?,
        }
    }
    for entry in &batch.entries {
        committed = committed.max(Committed::Aside);
        end.append(tables, keyring, entry)?;
    }
    end.write(tables)?;
    Ok(committed)
}
