//! What the server says about itself: structured logs on standard error, as text
//! for people or JSON for machines, and one line per request.
//!
//! Credentials and values never reach this room as plain text: secrets are types
//! that print as `[redacted]`, the access line has no query string, panics are
//! logged by place and not by message, and other people's crates speak only from
//! `warn` up, because at `debug` some of them print what they send and receive.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

mod access;
mod panics;
pub mod redact;
mod requests;
mod sink;

pub use access::Access;
pub use panics::{hide_expected_panics, log_panics};
pub use requests::Requests;

use sink::Sink;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text each.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// The least important lines that are still written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what is about to.
    Warn,
    /// And what happens, one line per request.
    #[default]
    Info,
    /// And how.
    Debug,
    /// And every step of it.
    Trace,
}

impl LogLevel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Lines on their way to standard error; when dropped, they are there.
#[must_use = "at the end of the process, lines are waited for by dropping this"]
pub struct Log(Sink);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// What a filter of the log is made of: other people's crates are held to `warn`.
fn directives(level: LogLevel, rooms: &[(&str, LogLevel)]) -> String {
    let others = level.min(LogLevel::Warn).as_str();
    let rooms = rooms.iter().map(|(room, level)| format!(",keywayd::{room}={}", level.as_str()));
    format!("{others},keywayd={}{}", level.as_str(), rooms.collect::<String>())
}

/// Starts logging to standard error for the whole process, panics included: lines from
/// `level` up, in single rooms of the program from the level that `rooms` gives them.
///
/// # Errors
/// If logging was started before.
pub fn start(
    format: LogFormat,
    level: LogLevel,
    rooms: &[(&str, LogLevel)],
) -> Result<Log, tracing_subscriber::util::TryInitError> {
    let sink = Sink::default();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives(level, rooms)))
        .with_writer(sink.clone())
        .with_ansi(false);
    match format {
        LogFormat::Text => lines.finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    log_panics();
    Ok(Log(sink))
}
