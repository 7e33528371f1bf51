//! Where words go: data to standard output, so that it can be piped on; everything
//! meant for people to standard error. A reader that has gone away is no failure.

use crate::domain::{Error, ErrorKind};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Prints data.
pub fn data(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
}

/// Prints words for people.
pub fn words(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end_matches('\n'));
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

    /// Tells the user and says how to exit.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        words(&format!("error: {}", self.message));
        ExitCode::from(if self.ours { 2 } else { 1 })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match (error.kind, error.cause) {
            (ErrorKind::Internal, Some(cause)) => Self::ours(cause),
            (ErrorKind::Internal, None) => Self::ours(error.detail),
            _ => Self::user(error.detail),
        }
    }
}
