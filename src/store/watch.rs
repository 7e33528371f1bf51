//! Long work: how it tells how far it is, how it is called off, and how it leaves the
//! machine to those who wait for answers.

use super::StoreError;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After this much work comes a rest. It is what an answer may have to wait for where no
/// processor is idle, and much longer than it takes to fall asleep.
const STINT: Duration = Duration::from_micros(500);
/// So many times as long as the work was.
const REST: u32 = 3;
/// No rest is longer: what takes long by itself, such as a slow disk, gets no slower.
const REST_MAX: Duration = Duration::from_millis(200);

/// How far the work is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, such as `copying`.
    pub step: String,
    /// Records done.
    pub done: u64,
    /// Records there are, roughly: the data can change meanwhile.
    pub total: u64,
}

type Look = dyn Fn(&Progress) -> ControlFlow<()> + Send + Sync;

/// Somebody who watches long work and may call it off.
#[derive(Clone)]
pub struct Watch(Arc<Look>);

impl Watch {
    /// `look` hears of the progress often and must be quick; when it breaks, the work stops.
    pub fn new(look: impl Fn(&Progress) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    /// Nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self::new(|_| ControlFlow::Continue(()))
    }

    /// Three quarters of the time are left to those who wait for answers.
    #[must_use]
    pub fn gently(self) -> Pace {
        Pace { watch: self, gentle: true }
    }

    /// As fast as it goes.
    #[must_use]
    pub fn at_full_speed(self) -> Pace {
        Pace { watch: self, gentle: false }
    }
}

/// Who watches, and whether others are to be spared.
#[derive(Clone)]
pub struct Pace {
    watch: Watch,
    gentle: bool,
}

/// One stretch of long work.
pub(super) struct Stretch<'a> {
    pace: &'a Pace,
    progress: Progress,
    since: Instant,
}

impl Pace {
    /// Whether others are to be spared.
    #[must_use]
    pub(super) const fn is_gentle(&self) -> bool {
        self.gentle
    }

    pub(super) fn begin(&self, step: &str, total: u64) -> Stretch<'_> {
        let progress = Progress { step: step.to_owned(), done: 0, total };
        Stretch { pace: self, progress, since: Instant::now() }
    }
}

impl Stretch<'_> {
    /// `records` more are done. Now and then says so, and rests where others are to be
    /// spared: only for threads of their own.
    pub(super) fn did(&mut self, records: u64) -> Result<(), StoreError> {
        self.progress.done += records;
        if self.since.elapsed() < STINT {
            return Ok(());
        }
        let rest = self.tell()?;
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
        self.resume();
        Ok(())
    }

    /// `records` more are done, in async work, which rests in its own way: for as long as
    /// is answered.
    pub(super) fn did_at_once(&mut self, records: u64) -> Result<Duration, StoreError> {
        self.progress.done += records;
        self.tell()
    }

    fn tell(&self) -> Result<Duration, StoreError> {
        if (self.pace.watch.0)(&self.progress).is_break() {
            return Err(StoreError::Stopped);
        }
        let rest = if self.pace.gentle { self.since.elapsed() * REST } else { Duration::ZERO };
        Ok(rest.min(REST_MAX))
    }

    /// The rest is over.
    pub(super) fn resume(&mut self) {
        self.since = Instant::now();
    }

    /// The work is done.
    pub(super) fn finish(mut self) {
        self.progress.total = self.progress.done;
        let _ = (self.pace.watch.0)(&self.progress);
    }
}
