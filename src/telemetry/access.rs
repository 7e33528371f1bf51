//! The access line: one per request, at `info`, when the answer is ready or the
//! client has gone.
//!
//! It names the route's pattern and not the path, so that lines can be counted and
//! no name from a vault gets into the log. There is no query string and no header.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How the line is told from all others.
pub(super) const TARGET: &str = module_path!();

/// The status of a request whose client left before the answer was ready, as nginx writes it.
const CLIENT_GONE: u16 = 499;

/// Writes its line when dropped: a request that is abandoned half-way is logged too.
#[derive(Debug)]
pub struct Access<Id: fmt::Display> {
    id: Id,
    address: IpAddr,
    method: String,
    route: &'static str,
    status: u16,
    started: Instant,
}

impl<Id: fmt::Display> Access<Id> {
    /// A request has arrived.
    #[must_use]
    pub fn begin(id: Id, address: IpAddr, method: &str) -> Self {
        // Extension methods have any length the client likes.
        let method = method.chars().take(16).collect();
        Self { id, address, method, route: "-", status: CLIENT_GONE, started: Instant::now() }
    }

    /// Which route it took, as a pattern.
    pub const fn route(&mut self, pattern: &'static str) {
        self.route = pattern;
    }

    /// What it was answered with.
    pub const fn status(&mut self, status: u16) {
        self.status = status;
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl<Id: fmt::Display> Drop for Access<Id> {
    fn drop(&mut self) {
        let duration_us = u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(
            target: TARGET,
            request_id = %self.id,
            method = self.method,
            route = self.route,
            status = self.status,
            duration_us,
            client = %self.address,
            "request"
        );
    }
}
