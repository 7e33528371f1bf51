//! What the server says about itself: structured logs on standard error, as text
//! for people or JSON for machines, and one line per request.
//!
//! Credentials and values never reach this room as plain text: secrets are types
//! that print as `[redacted]`, the access line has no query string, panics are
//! logged by place and not by message, and other people's crates speak only from
//! `warn` up, because at `debug` some of them print what they send and receive.

mod access;
mod panics;
pub mod redact;
mod sink;

pub use access::Access;
pub use panics::{hide_expected_panics, log_panics};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    const fn directives(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "warn,keywayd=info",
            Self::Debug => "warn,keywayd=debug",
            Self::Trace => "warn,keywayd=trace",
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

/// Starts logging to standard error for the whole process, panics included.
///
/// # Errors
/// If logging was started before.
pub fn start(format: LogFormat, level: LogLevel) -> Result<Log, tracing_subscriber::util::TryInitError> {
    let sink = Sink::default();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level.directives()))
        .with_writer(sink.clone())
        .with_ansi(false);
    match format {
        LogFormat::Text => lines.finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    log_panics();
    Ok(Log(sink))
}
