//! Where lines go: to standard error, each whole and in order. Access lines are gathered
//! for a moment and leave together, because a system call for each request, under a lock
//! that all threads share, costs as much as the rest of a small request. Every other
//! line leaves at once, behind what was gathered before it.
//!
//! What may be lost is the last moment of a process that is killed.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait for others.
const GATHERING: Duration = Duration::from_millis(20);
/// Text for which the moment is over at once, in bytes.
const FULL_BYTES: usize = 64 << 10;

/// Standard error, behind a buffer.
#[derive(Clone, Default)]
pub(super) struct Sink(Arc<Buffer>);

#[derive(Default)]
struct Buffer {
    gathered: Mutex<Vec<u8>>,
    begun: Condvar,
    /// What is being written; locked before `gathered`, so that lines leave in order.
    leaving: Mutex<Vec<u8>>,
    /// Whether there is a thread that writes what was gathered. It starts with the first
    /// access line: a process that has yet to change its user must have no other thread.
    clerk: OnceLock<bool>,
}

impl Sink {
    /// Writes what was gathered.
    pub(super) fn flush(&self) {
        let mut leaving = lock(&self.0.leaving);
        std::mem::swap(&mut *leaving, &mut *lock(&self.0.gathered));
        // Nobody could be told that the log cannot be written.
        let _ = io::stderr().write_all(&leaving);
        leaving.clear();
    }

    fn gather(&self, line: &[u8]) {
        let has_clerk = *self.0.clerk.get_or_init(|| self.start_clerk().is_ok());
        let mut gathered = lock(&self.0.gathered);
        let is_first = gathered.is_empty();
        gathered.extend_from_slice(line);
        let is_full = gathered.len() >= FULL_BYTES;
        drop(gathered);
        if is_full || !has_clerk {
            self.flush();
        } else if is_first {
            self.0.begun.notify_one();
        }
    }

    fn start_clerk(&self) -> io::Result<()> {
        let sink = self.clone();
        let work = move || loop {
            let gathered = lock(&sink.0.gathered);
            let begun = sink.0.begun.wait_while(gathered, |gathered| gathered.is_empty());
            drop(begun);
            thread::sleep(GATHERING);
            sink.flush();
        };
        thread::Builder::new().name("log".to_owned()).spawn(work).map(drop)
    }
}

/// Bytes are whole lines whatever their last user died of.
fn lock(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one line.
pub(super) struct Line<'a> {
    sink: &'a Sink,
    may_wait: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.may_wait {
            self.sink.gather(line);
        } else {
            lock(&self.sink.0.gathered).extend_from_slice(line);
            self.sink.flush();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { sink: self, may_wait: false }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        Line { sink: self, may_wait: event.target() == super::access::TARGET }
    }
}
