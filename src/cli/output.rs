//! Where words go: data to standard output, so that it can be piped on; everything
//! meant for people to standard error. A reader that has gone away is no failure.
//!
//! What is told may quote a file that came from elsewhere: its name, a key in it. Control
//! characters are spelt out, so that none of it commands the terminal.

use crate::domain::upkeep::Progress;
use crate::domain::{Error, ErrorKind};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Prints data.
pub fn data(text: &str) {
    print(&harmless(text, |c| c.escape_default().to_string()));
}

/// Prints words for people.
pub fn words(text: &str) {
    let text = harmless(text, |c| c.escape_default().to_string());
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end_matches('\n'));
}

/// Prints data as JSON.
///
/// # Errors
/// If it does not become JSON.
pub fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::ours)?;
    // JSON itself leaves U+007F to U+009F as they are.
    print(&harmless(&text, |c| format!("\\u{:04x}", u32::from(c))));
    Ok(())
}

fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
}

/// `text` with its control characters spelt out, but for those that lay it out.
fn harmless(text: &str, spelt: fn(char) -> String) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if commands(c) { out.push_str(&spelt(c)) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Shows on a terminal how far long work is, in one line that is written over and over.
#[derive(Default)]
pub struct ProgressLine {
    shown: Mutex<Option<Instant>>,
}

impl ProgressLine {
    /// Shows it, at most a few times per second.
    pub fn show(&self, progress: &Progress) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if !somebody_looks() || shown.is_some_and(|last| last.elapsed() < Duration::from_millis(200)) {
            return;
        }
        *shown = Some(Instant::now());
        let percent = (progress.done * 100).checked_div(progress.total).unwrap_or(100).min(100);
        let done = "#".repeat(usize::try_from(percent / 4).unwrap_or(25));
        let line = format!("\r\x1b[K{} [{done:25}] {percent} % of {}", progress.step, progress.total);
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    /// Makes room for other words.
    pub fn clear(&self) {
        if self.shown.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }
}

/// Whether somebody is looking at what [`words`] prints.
#[must_use]
pub fn somebody_looks() -> bool {
    io::stderr().is_terminal()
}

/// Why a command did not do its work.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// The cause; after an empty line perhaps a hint.
    pub message: String,
    /// Whether it is a fault of the program or the machine; else the user can put it right.
    pub ours: bool,
}

impl Failure {
    /// Something the user can put right.
    pub fn user(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), ours: false }
    }

    /// A fault of the program or the machine.
    pub fn ours(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), ours: true }
    }

    /// A command and a server that were not built from the same source.
    #[must_use]
    pub fn misunderstood() -> Self {
        Self::ours("the command and the server do not understand each other; are they the same version?")
    }

    /// Tells the user and says how to exit.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        words(&format!("error: {}", self.message));
        ExitCode::from(if self.ours { 2 } else { 1 })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = error.remedy().map(|remedy| format!("\n\nhint: {remedy}")).unwrap_or_default();
        match (error.kind, error.cause) {
            (ErrorKind::Internal, Some(cause)) => Self::ours(format!("{cause}{hint}")),
            (ErrorKind::Internal, None) => Self::ours(error.detail),
            _ => Self::user(error.detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_told_commands_the_terminal() {
        let spelt = |c: char| c.escape_default().to_string();
        assert!(matches!(harmless("a\tb\nc é", spelt), Cow::Borrowed("a\tb\nc é")));
        assert_eq!(harmless("a\u{1b}[2J\r\u{9b}b", spelt), "a\\u{1b}[2J\\r\\u{9b}b");
    }
}
