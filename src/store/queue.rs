//! Jobs on their way to the writer, which takes them in groups. A group is one wait for the
//! disk, which costs the same whatever is in it, so the queue is also where groups
//! are made large without making anybody wait for nothing:
//!
//! - Jobs that nobody waits for stay until somebody's job comes along, they fill a
//!   group, or [`RELAXED_DELAY`] is over.
//! - Clients that were answered just now will be back in a moment. If the writer ran
//!   off with the first of them, the others would wait for that commit and then for
//!   their own; so it waits for as many as it has just answered, for a part of the
//!   time that the last commit took. A lone client is never waited for.
//!
//! Whoever puts a job in wakes the writer only when that ends its waiting.

use super::StoreError;
use super::meters::Instruments;
use super::writer::Job;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most jobs waiting for the writer; the next one is turned away.
const QUEUE_JOBS: usize = 4_096;
/// Most jobs in one commit.
const GROUP_JOBS: usize = 1_024;
/// How long jobs that nobody waits for may stay unwritten.
pub(super) const RELAXED_DELAY: Duration = Duration::from_secs(1);
/// What part of the time that the disk took clients are waited for.
const PATIENCE: u32 = 4;
/// However slow the disk is, they are not waited for longer than this.
const PATIENCE_MAX: Duration = Duration::from_millis(5);

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    pub(super) instruments: Instruments,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// How many of the jobs somebody waits for.
    urgent: usize,
    closed: bool,
    /// What the writer sleeps for, if it sleeps.
    wake: Option<Wake>,
}

/// What ends the writer's sleep.
#[derive(Clone, Copy)]
struct Wake {
    /// This many jobs.
    jobs: usize,
    /// Or this many that somebody waits for.
    urgent: usize,
}

/// Whom the writer has just answered, and how long it may wait for them to return.
#[derive(Clone, Copy, Default)]
pub(super) struct Answered {
    clients: usize,
    patience: Duration,
}

impl Answered {
    /// So many clients, who had to wait for the disk for so long.
    pub(super) fn of(clients: usize, took: Duration) -> Self {
        Self { clients, patience: (took / PATIENCE).min(PATIENCE_MAX) }
    }
}

impl Queue {
    /// Puts `job` at the end.
    ///
    /// # Errors
    /// If the queue is full or closed.
    pub(super) fn push(&self, job: Job) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        if waiting.jobs.len() >= QUEUE_JOBS {
            self.instruments.turned_away.inc();
            return Err(StoreError::Busy);
        }
        waiting.urgent += usize::from(job.is_urgent());
        waiting.jobs.push_back(job);
        let (jobs, urgent) = (waiting.jobs.len(), waiting.urgent);
        if waiting.wake.is_some_and(|wake| jobs >= wake.jobs || urgent >= wake.urgent) {
            waiting.wake = None;
            drop(waiting);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Whether the writer has fallen behind.
    pub(super) fn is_half_full(&self) -> bool {
        self.lock().jobs.len() >= QUEUE_JOBS / 2
    }

    /// Whether the next job would be turned away.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= QUEUE_JOBS
    }

    /// Waits for work, until `due` if there is something to do then in any case, and takes
    /// what has gathered. `None`: closed and empty.
    pub(super) fn next_group(&self, answered: Answered, due: Option<Instant>) -> Option<Vec<Job>> {
        let called = Instant::now();
        let until_due = || due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() {
            let left = until_due();
            if waiting.closed {
                return None;
            }
            if left.is_zero() {
                return Some(Vec::new());
            }
            waiting = self.sleep(waiting, Wake { jobs: 1, urgent: 1 }, left);
        }
        let first = Instant::now();
        while !waiting.closed && waiting.urgent == 0 && waiting.jobs.len() < GROUP_JOBS {
            let left = RELAXED_DELAY.saturating_sub(first.elapsed()).min(until_due());
            if left.is_zero() {
                break;
            }
            waiting = self.sleep(waiting, Wake { jobs: GROUP_JOBS, urgent: 1 }, left);
        }
        let everybody = (waiting.jobs.len() + answered.clients).min(GROUP_JOBS);
        while !waiting.closed && waiting.urgent > 0 && waiting.jobs.len() < everybody {
            let Some(left) = answered.patience.checked_sub(called.elapsed()) else { break };
            waiting = self.sleep(waiting, Wake { jobs: everybody, urgent: usize::MAX }, left);
        }
        let count = waiting.jobs.len().min(GROUP_JOBS);
        let group: Vec<Job> = waiting.jobs.drain(..count).collect();
        waiting.urgent -= group.iter().filter(|job| job.is_urgent()).count();
        Some(group)
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Takes no more jobs; those that are waiting can still be fetched.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Closes the queue and drops what is waiting, whose senders hear of it: there is
    /// no writer any more.
    pub(super) fn abandon(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        let jobs = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        drop(jobs);
    }

    fn sleep<'a>(
        &self,
        mut waiting: MutexGuard<'a, Waiting>,
        wake: Wake,
        time: Duration,
    ) -> MutexGuard<'a, Waiting> {
        waiting.wake = Some(wake);
        let woken = self.changed.wait_timeout(waiting, time).unwrap_or_else(PoisonError::into_inner);
        let mut waiting = woken.0;
        waiting.wake = None;
        waiting
    }

    /// A list of jobs is whole whatever its last user died of.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::{Action, Entry};
    use super::super::writer::Note;
    use super::*;
    use crate::base::Timestamp;
    use std::sync::Arc;
    use std::thread;
    use tokio::sync::oneshot;

    fn job(urgent: bool) -> Job {
        let entry = Entry::of_machine(Timestamp::from_millis(1), Action::BackupTaken);
        Job::Note(Box::new(Note { entry, waiting: urgent.then(|| oneshot::channel().0) }))
    }

    fn size(group: Option<Vec<Job>>) -> Option<usize> {
        group.map(|group| group.len())
    }

    #[test]
    fn what_has_gathered_is_one_group_and_a_closed_queue_is_emptied_first() {
        let queue = Queue::default();
        for urgent in [false, true, true] {
            queue.push(job(urgent)).unwrap();
        }
        assert_eq!(size(queue.next_group(Answered::default(), None)), Some(3));
        queue.push(job(false)).unwrap();
        queue.close();
        assert!(matches!(queue.push(job(true)), Err(StoreError::Closed)));
        assert_eq!(size(queue.next_group(Answered::default(), None)), Some(1));
        assert_eq!(size(queue.next_group(Answered::default(), None)), None);
    }

    #[test]
    fn clients_just_answered_are_waited_for() {
        let queue = Arc::new(Queue::default());
        queue.push(job(true)).unwrap();
        let answered = Answered { clients: 2, patience: Duration::from_secs(600) };
        let returning = Arc::clone(&queue);
        let clients = thread::spawn(move || {
            // Who came before the writer looks would be counted among those who were there.
            while returning.lock().wake.is_none() {
                thread::yield_now();
            }
            for _ in 0..2 {
                returning.push(job(true)).unwrap();
            }
        });
        assert_eq!(size(queue.next_group(answered, None)), Some(3));
        clients.join().unwrap();
    }

    #[test]
    fn nobody_is_waited_for_beyond_the_patience() {
        let queue = Queue::default();
        queue.push(job(true)).unwrap();
        let answered = Answered { clients: 2, patience: Duration::from_millis(1) };
        assert_eq!(size(queue.next_group(answered, None)), Some(1));
    }

    #[test]
    fn what_is_due_is_not_waited_beyond() {
        let queue = Queue::default();
        let due = || Some(Instant::now() + Duration::from_millis(1));
        assert_eq!(size(queue.next_group(Answered::default(), due())), Some(0));
        queue.push(job(false)).unwrap();
        assert_eq!(size(queue.next_group(Answered::default(), due())), Some(1));
    }

    #[test]
    fn a_full_queue_turns_jobs_away() {
        let queue = Queue::default();
        for _ in 0..QUEUE_JOBS {
            queue.push(job(false)).unwrap();
        }
        assert!(matches!(queue.push(job(true)), Err(StoreError::Busy)));
        assert!(queue.is_half_full() && queue.is_full());
        assert_eq!(size(queue.next_group(Answered::default(), None)), Some(GROUP_JOBS));
        assert!(!queue.is_full());
        queue.push(job(true)).unwrap();
    }
}
