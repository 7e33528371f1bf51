//! The one writer. It owns the write transaction and commits in groups: while one
//! commit waits for the disk, the next jobs queue up and share the commit after it
//! (`queue`).
//!
//! A job first reads and may refuse; only then are its changes applied, so a refused
//! job leaves its neighbours in the batch untouched. A failure of the engine fails the
//! whole batch, and every waiter is told. Nobody is answered before the commit.

use super::StoreError;
use super::audit::End;
use super::batch::Batch;
use super::engine::{Latest, Writing};
use super::opened::Opened;
use super::queue::{Answered, Queue};
use super::view::View;
use crate::crypto::Keyring;
use redb::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What part of a commit's time the next one may wait for clients to return.
const PATIENCE: u32 = 4;
/// However slow the disk is, they are not waited for longer than this.
const PATIENCE_MAX: Duration = Duration::from_millis(5);

/// What the writer is asked to do.
pub(super) trait Work: Send {
    /// Reads, and collects changes. `false`: refused, there is nothing to apply.
    fn check(&mut self, view: View<'_>, batch: &mut Batch<'_>) -> bool;
    /// Hears how the commit went.
    fn done(self: Box<Self>, outcome: Result<(), StoreError>);
}

pub(super) struct Job {
    pub(super) work: Box<dyn Work>,
    /// Whether somebody waits for the commit.
    pub(super) urgent: bool,
}

pub(super) struct Writer {
    pub(super) database: Arc<Database>,
    pub(super) latest: Arc<Latest>,
    pub(super) failed: Arc<AtomicBool>,
    pub(super) end: End,
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, queue: Arc<Queue>) {
        let queue = Attended(queue);
        let mut answered = Answered::default();
        while let Some(group) = queue.0.next_group(answered) {
            let clients = group.iter().filter(|job| job.urgent).count();
            let mut jobs: Vec<_> = group.into_iter().map(|job| (job, Verdict::Heard)).collect();
            let begin = Instant::now();
            let outcome = self.commit(&mut jobs);
            let took = begin.elapsed();
            answered = Answered { clients, patience: (took / PATIENCE).min(PATIENCE_MAX) };
            queue.0.instruments.committed(jobs.len(), outcome.is_ok(), took);
            if let Err(StoreError::Engine(error)) = &outcome {
                tracing::error!(%error, "a commit failed; the store serves no more writes");
                self.failed.store(true, Ordering::Relaxed);
            }
            for (job, verdict) in jobs {
                let own = if verdict == Verdict::Panicked { Err(StoreError::Panicked) } else { Ok(()) };
                job.work.done(outcome.clone().and(own));
            }
        }
    }

    fn commit(&mut self, jobs: &mut [(Job, Verdict)]) -> Result<(), StoreError> {
        let before = self.end.head();
        match self.try_commit(jobs) {
            Ok((Committed::Nothing, _)) => Ok(()),
            Ok((committed, keyring)) => {
                self.latest.renew(&self.database, keyring, committed == Committed::Aside)
            }
            Err(error) => {
                self.end.rewind(before);
                Err(error)
            }
        }
    }

    /// What the commit wrote to, and the keys that open it.
    fn try_commit(&mut self, jobs: &mut [(Job, Verdict)]) -> Result<(Committed, Arc<Keyring>), StoreError> {
        let mut transaction = self.database.begin_write()?;
        // After a crash the file opens at once instead of after a walk through all of it.
        transaction.set_quick_repair(true);
        let before = self.end.head();
        // Keys that come into force with this group seal nothing before the next.
        let keyring = Arc::clone(self.latest.snapshot().keyring());
        let mut in_force = Arc::clone(&keyring);
        let tables = Writing::new(&transaction);
        let mut committed = Committed::Nothing;
        for (job, verdict) in jobs {
            let mut batch = Batch::new(&keyring);
            let view = View { tables: &tables, keyring: &keyring };
            match catch_unwind(AssertUnwindSafe(|| job.work.check(view, &mut batch))) {
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
        if self.end.head() != before {
            self.end.head().save(&tables, &keyring)?;
        }
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
    Ok(committed)
}
