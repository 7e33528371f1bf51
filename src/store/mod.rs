//! The encrypted file: typed records in redb, each sealed and bound to its place.
//!
//! Readers see a snapshot ([`Store::read`]); writers hand a job to the one writer
//! ([`Store::write`]), which commits in groups. Records and their audit entries are in
//! the same transaction, and nobody is answered before it is on the disk. Audit entries of
//! reads go by way of a file of their own (`spool`), which is as durable and much quicker.
//!
//! The way to the engine is narrow on purpose: ordered tables, snapshot reads, and
//! writes that first check and then apply. Any ordered store could stand behind it.

mod audit;
mod audit_check;
mod backup;
mod batch;
mod codec;
mod copy;
mod engine;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod keys;
mod location;
mod meters;
mod migrate;
mod open;
mod opened;
mod overlay;
mod queue;
pub mod records;
mod rotate;
mod spool;
pub mod tables;
#[cfg(test)]
mod tests;
mod verify;
mod view;
mod watch;
mod writer;

pub use audit::{AuditLog, Head, Journal};
pub use audit_check::{AuditFault, AuditReport};
pub use backup::{BackupFile, BackupMade, Installed};
pub use batch::Batch;
pub use codec::{InPlace, Record};
pub use copy::{Draft, sync_parent, with_suffix};
pub use error::{FileError, OpenStoreError, RotateError, StoreError};
pub use keys::{Span, TableKey};
pub use location::{DataDir, DataDirLock};
pub use verify::Findings;
pub use view::{VaultSeal, View};
pub use watch::{Pace, Progress, Watch};

use crate::crypto::Keyring;
use audit::End;
use engine::Latest;
use queue::Queue;
use records::Entry;
use redb::{Database, ReadableDatabase};
use rotate::Masters;
use spool::Spool;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use writer::{Job, Note, Work, Writer};

/// The open database.
pub struct Store {
    latest: Arc<Latest>,
    database: Arc<Database>,
    /// Taken for as long as the keyring is being changed.
    masters: tokio::sync::Mutex<Masters>,
    /// Taken for as long as records are being sealed anew.
    resealing: tokio::sync::Mutex<()>,
    failed: Arc<AtomicBool>,
    /// Set while the spool holds entries.
    spooled: Arc<AtomicBool>,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: Option<DataDirLock>,
}

impl Store {
    #[cfg_attr(
        not(test),
        expect(clippy::expect_used, reason = "a process that is starting can start a thread")
    )]
    fn run(
        database: Database,
        latest: Latest,
        masters: Masters,
        head: Head,
        spool: Spool,
        lock: Option<DataDirLock>,
    ) -> Self {
        let (database, latest) = (Arc::new(database), Arc::new(latest));
        let failed = Arc::new(AtomicBool::new(false));
        let (queue, spooled) = (Arc::new(Queue::default()), spool.holds());
        let writer = Writer {
            database: Arc::clone(&database),
            latest: Arc::clone(&latest),
            failed: Arc::clone(&failed),
            end: End::at(head),
            spool,
            appended: 0,
        };
        let jobs = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(jobs))
            .expect("a process that is starting can start a thread");
        Self {
            latest,
            database,
            masters: tokio::sync::Mutex::new(masters),
            resealing: tokio::sync::Mutex::default(),
            failed,
            spooled,
            queue,
            writer: Mutex::new(Some(thread)),
            _lock: lock,
        }
    }

    /// The keys in force.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(self.latest.snapshot().keyring())
    }

    /// Reads from one consistent snapshot. Takes microseconds as long as `read` looks
    /// at single records; a long scan belongs on a blocking thread.
    ///
    /// # Errors
    /// What `read` fails with.
    pub fn read<T, E>(&self, read: impl FnOnce(View<'_>) -> Result<T, E>) -> Result<T, E> {
        read(self.latest.snapshot().view())
    }

    /// Hands `job` to the writer and waits for its commit. The job reads the present
    /// state and collects its changes; if it fails, nothing of it is written. Dropping
    /// the future does not take the job back.
    ///
    /// # Errors
    /// What `job` fails with; else if the queue is full, or the commit fails.
    pub async fn write<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(View<'_>, &mut Batch<'_>) -> Result<T, E> + Send + 'static,
    {
        let (answer, waiting) = oneshot::channel();
        let work = Waited { job: Some(job), result: None, answer };
        self.queue.push(Job::Change(Box::new(work)))?;
        waiting.await.unwrap_or(Err(StoreError::Closed.into()))
    }

    /// Notes that something was read. When this returns, `entry` is on the disk; it is in the
    /// audit log within the second, before whatever is written from now on.
    ///
    /// # Errors
    /// If the queue is full or closed, or the disk refuses.
    pub async fn audit_read(&self, entry: Entry) -> Result<(), StoreError> {
        let (answer, waiting) = oneshot::channel();
        self.queue.push(Job::Note(Box::new(Note { entry, waiting: Some(answer) })))?;
        waiting.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Adds `entry` to the audit log within the second, without waiting for the disk.
    ///
    /// # Errors
    /// If the queue is full or closed.
    pub fn audit_soon(&self, entry: Entry) -> Result<(), StoreError> {
        self.queue.push(Job::Note(Box::new(Note { entry, waiting: None })))
    }

    /// Reads as [`Store::read`] does, from a state in which the audit log has every entry
    /// that somebody was answered for. May wait for a commit: for a thread that may wait.
    ///
    /// # Errors
    /// If the commit fails; else what `read` fails with.
    pub fn read_log<T, E: From<StoreError>>(
        &self,
        read: impl FnOnce(View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.complete_log()?;
        self.read(read)
    }

    /// Has the spool emptied into the log, if something is in it.
    fn complete_log(&self) -> Result<(), StoreError> {
        if !self.spooled.load(Ordering::Acquire) {
            return Ok(());
        }
        let (answer, waiting) = mpsc::channel();
        self.queue.push(Job::Change(Box::new(Commit(answer))))?;
        waiting.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Whether the writer has fallen behind: whoever adds to its work had better wait for it.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.queue.is_half_full()
    }

    /// Whether the next write would be turned away.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// Whether the store can serve.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writes = writer.as_ref().is_some_and(|thread| !thread.is_finished());
        writes && !self.failed.load(Ordering::Relaxed) && self.database.begin_read().is_ok()
    }

    /// Writes what is waiting, and closes the store to further writes.
    pub fn close(&self) {
        self.queue.close();
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// A job whose sender waits for the commit.
struct Waited<F, T, E> {
    job: Option<F>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Work for Waited<F, T, E>
where
    T: Send,
    E: From<StoreError> + Send,
    F: FnOnce(View<'_>, &mut Batch<'_>) -> Result<T, E> + Send,
{
    fn check(&mut self, view: View<'_>, batch: &mut Batch<'_>) -> bool {
        self.result = self.job.take().map(|job| job(view, batch));
        matches!(self.result, Some(Ok(_)))
    }

    fn done(self: Box<Self>, outcome: Result<(), StoreError>) {
        let result = match (outcome, self.result) {
            (Err(error), _) => Err(error.into()),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::Panicked.into()),
        };
        // Whoever asked may have gone; the commit stands all the same.
        let _ = self.answer.send(result);
    }
}

/// A commit of what there is to be committed. Its sender's thread waits for it.
struct Commit(mpsc::Sender<Result<(), StoreError>>);

impl Work for Commit {
    fn check(&mut self, _view: View<'_>, _batch: &mut Batch<'_>) -> bool {
        true
    }

    fn done(self: Box<Self>, outcome: Result<(), StoreError>) {
        let _ = self.0.send(outcome);
    }
}
