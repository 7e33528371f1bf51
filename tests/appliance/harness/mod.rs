//! What tests stand on: the running appliance, its log, its command line, and an HTTP client that sends exactly
//! what it is told.

mod answer;
mod appliance;
mod browser;
mod chromium;
pub(crate) mod disk;
mod github;
mod http;
mod log;
mod scarce;
mod tunnel;

pub(crate) use answer::{Answer, is_time, is_uuid, members};
pub(crate) use appliance::{Appliance, Outcome, keywayd, run, snapshot};
pub(crate) use browser::{Browser, Page, form};
pub(crate) use chromium::Chromium;
pub(crate) use github::{GitHub, Mood};
pub(crate) use http::{Client, Request, Wire};
pub(crate) use log::Log;
pub(crate) use scarce::{on_small_disk, with_short_files};
pub(crate) use tunnel::Tunnel;

use std::io::Write;
use std::time::Duration;

/// After this long a wait has failed. Far longer than anything takes, so that a slow machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Lets this process have so many files open, if it may.
pub(crate) fn open_files(wanted: u64) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be asked");
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).expect("up to the hard limit");
    }
}

/// Says loudly that something is not tested here. Not by `eprintln!`, which the test harness keeps to itself when a
/// test passes.
pub(crate) fn skipped(what: &str) {
    told(&format!("SKIPPED: {what}"));
}

/// Says something to whoever reads the output of a run that goes well.
pub(crate) fn told(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}
