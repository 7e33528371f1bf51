//! The access line: one per request, at `info`, when the answer is ready or the
//! client has gone. At the same moment the request is counted.
//!
//! It names the route's pattern and not the path, so that lines can be counted and
//! no name from a vault gets into the log. There is no query string and no header.

use super::Requests;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How the line is told from all others. To operators it is a line of `http`.
pub(super) const TARGET: &str = "keywayd::http::access";

/// The status of a request whose client left before the answer was ready, as nginx writes it.
const CLIENT_GONE: u16 = 499;

/// Writes its line when dropped: a request that is abandoned half-way is logged too.
#[derive(Debug)]
pub struct Access<'a, Id: fmt::Display> {
    counted: &'a Requests,
    id: Id,
    address: IpAddr,
    method: String,
    route: &'static str,
    status: u16,
    started: Instant,
}

impl<'a, Id: fmt::Display> Access<'a, Id> {
    /// A request has arrived.
    #[must_use]
    pub fn begin(counted: &'a Requests, id: Id, address: IpAddr, method: &str) -> Self {
        // Extension methods have any length the client likes.
        let method = method.chars().take(16).collect();
        Self { counted, id, address, method, route: "-", status: CLIENT_GONE, started: Instant::now() }
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

impl<Id: fmt::Display> Drop for Access<'_, Id> {
    fn drop(&mut self) {
        let elapsed = self.elapsed();
        self.counted.answered(&self.method, self.route, self.status, elapsed);
        let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
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
