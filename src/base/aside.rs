//! Work that computes for long, aside from what answers: on half of the processors, and
//! when nothing else wants them.
//!
//! Answers take turns on a few threads, and wait for the one that writes. Tens of
//! milliseconds for a password's hash or a body of megabytes must not be spent on those, or
//! nobody else is answered; nor beside them as one of their kind, or the system gives the
//! computation milliseconds each time that one of them rests. So it gets a thread of its
//! own, of the lowest priority; to start one costs a thousandth of what is done there.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use tokio::sync::{Semaphore, oneshot};

/// The lowest priority there is.
const LOWEST: i32 = 19;

/// Places for such work.
pub struct Aside(Arc<Semaphore>);

/// The work panicked, or there was no thread for it.
#[derive(Debug, thiserror::Error)]
#[error("work that was put aside did not come to its end")]
pub struct Unfinished;

impl Aside {
    /// Places for half of the processors, for one at least and for `most` at most.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self(Arc::new(Semaphore::new((processors / 2).min(most).max(1))))
    }

    /// Waits for a place and then for what `work` returns. Who stops waiting does not end it.
    ///
    /// # Errors
    /// If it panics, or no thread can be started.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|_closed| Unfinished)?;
        let (sender, receiver) = oneshot::channel();
        let work = move || {
            let _place = place;
            // Where a sandbox does not allow it, the work is one among others.
            let _ = rustix::process::nice(LOWEST);
            // Who asked may have gone.
            let _ = sender.send(work());
        };
        thread::Builder::new().name("aside".to_owned()).spawn(work).map_err(|_none| Unfinished)?;
        receiver.await.map_err(|_dropped| Unfinished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// How little the thread that asks is preferred, by the 19th field of proc(5)'s `stat`.
    fn niceness() -> i32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn it_has_the_lowest_priority_and_nobody_else_has() {
        let (here, aside) = (niceness(), Aside::new(1).run(niceness).await.unwrap());
        assert_eq!((here, aside), (niceness(), LOWEST));
    }

    #[tokio::test]
    async fn there_are_only_so_many_places_and_a_panic_gives_its_own_back() {
        let (aside, busy) = (Aside::new(1), Arc::new(AtomicUsize::new(0)));
        assert!(aside.run::<()>(|| panic!("on purpose")).await.is_err());
        let one = || {
            let busy = Arc::clone(&busy);
            aside.run(move || {
                let at_once = busy.fetch_add(1, Ordering::SeqCst);
                thread::yield_now();
                busy.fetch_sub(1, Ordering::SeqCst);
                at_once
            })
        };
        let (first, second, third) = tokio::join!(one(), one(), one());
        assert_eq!([first, second, third].map(Result::unwrap), [0; 3]);
    }
}
