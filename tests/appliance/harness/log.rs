//! What the appliance writes to standard error, line by line, to look at and to wait for.

use super::PATIENCE;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};

/// The log of one process.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    /// The process has closed its end.
    ended: bool,
}

impl Log {
    /// Collects `source` in the background until it ends.
    pub(crate) fn of(source: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                writer.change(|lines| lines.lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
            writer.change(|lines| lines.ended = true);
        });
        log
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        self.0.0.lock().expect("nobody panics with the lock").lines.join("\n")
    }

    /// Waits for a line that contains `words`. `None`: the process ended without one.
    pub(crate) fn wait_for(&self, words: &str) -> Option<String> {
        self.wait(|lines| {
            let found = lines.lines.iter().find(|line| line.contains(words)).cloned();
            (found.is_some() || lines.ended).then_some(found)
        })
        .unwrap_or_else(|| panic!("no line with `{words}` within {PATIENCE:?}:\n{}", self.text()))
    }

    /// Waits for the process to close its end, which it does by ending. `false`: it did not.
    pub(crate) fn wait_for_end(&self) -> bool {
        self.wait(|lines| lines.ended.then_some(())).is_some()
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        let (lines, changed) = &*self.0;
        change(&mut lines.lock().expect("nobody panics with the lock"));
        changed.notify_all();
    }

    fn wait<T>(&self, mut look: impl FnMut(&Lines) -> Option<T>) -> Option<T> {
        let (lines, changed) = &*self.0;
        let mut lines = lines.lock().expect("nobody panics with the lock");
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(&lines) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return None;
            }
            lines = changed.wait_timeout(lines, left).expect("nobody panics with the lock").0;
        }
    }
}
