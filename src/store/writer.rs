//! The one writer. It owns the write transaction and commits in groups: while one
//! commit waits for the disk, the next jobs queue up and share the commit after it.
//!
//! A job first reads and may refuse; only then are its changes applied, so a refused
//! job leaves its neighbours in the batch untouched. A failure of the engine fails the
//! whole batch, and every waiter is told. Nobody is answered before the commit.

use super::StoreError;
use super::audit::Head;
use super::batch::Batch;
use super::engine::Writing;
use super::view::View;
use crate::crypto::Keyring;
use redb::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Most jobs in one commit.
const GROUP_JOBS: usize = 256;
/// How long jobs that nobody waits for may stay unwritten.
const RELAXED_DELAY: Duration = Duration::from_secs(1);

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
    pub(super) keyring: Arc<Keyring>,
    pub(super) failed: Arc<AtomicBool>,
    pub(super) head: Head,
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        while let Some(mut jobs) = next_group(queue) {
            let outcome = self.commit(&mut jobs);
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
        let mut transaction = self.database.begin_write()?;
        // After a crash the file opens at once instead of after a walk through all of it.
        transaction.set_quick_repair(true);
        let mut head = self.head;
        let tables = Writing::new(&transaction);
        let mut changed = false;
        for (job, verdict) in jobs {
            let mut batch = Batch::new(&self.keyring);
            let view = View { tables: &tables, keyring: &self.keyring };
            match catch_unwind(AssertUnwindSafe(|| job.work.check(view, &mut batch))) {
                Ok(true) => changed |= apply(batch, &tables, &self.keyring, &mut head)?,
                Ok(false) => {}
                Err(_) => *verdict = Verdict::Panicked,
            }
        }
        if !changed {
            drop(tables);
            transaction.abort()?;
            return Ok(());
        }
        if head != self.head {
            head.save(&tables, &self.keyring)?;
        }
        drop(tables);
        transaction.commit()?;
        self.head = head;
        Ok(())
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
    head: &mut Head,
) -> Result<bool, StoreError> {
    let changed = !(batch.changes.is_empty() && batch.entries.is_empty());
    for change in batch.changes {
        match change.value {
            Some(value) => tables.put(change.table, &change.key, &value)?,
            None => tables.delete(change.table, &change.key)?,
        }
    }
    for entry in &batch.entries {
        head.append(tables, keyring, entry)?;
    }
    Ok(changed)
}

/// Waits for work and takes what has queued up. Jobs that nobody waits for stay until
/// somebody's job comes along, or for [`RELAXED_DELAY`]. `None`: the queue is closed.
fn next_group(queue: &Receiver<Job>) -> Option<Vec<(Job, Verdict)>> {
    let first = queue.recv().ok()?;
    let mut urgent = first.urgent;
    let mut group = vec![(first, Verdict::Heard)];
    let deadline = Instant::now() + RELAXED_DELAY;
    while group.len() < GROUP_JOBS {
        let next = if urgent {
            queue.try_recv().ok()
        } else {
            queue.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
        };
        let Some(job) = next else { break };
        urgent |= job.urgent;
        group.push((job, Verdict::Heard));
    }
    Some(group)
}
