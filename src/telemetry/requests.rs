//! What is counted of requests: how many, and how long they took, by route and result.
//! A route is told by its pattern, which is one of the program's own words.

use crate::base::meter::{self, Counters, Histograms, Meters};
use std::time::Duration;

/// The instruments of requests.
#[derive(Debug)]
pub struct Requests {
    answered: Counters,
    seconds: Histograms,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            answered: meter::counters(
                "keywayd_http_requests_total",
                "Requests, by method, route and status; 499: the client left before the answer.",
                &["method", "route", "status"],
            ),
            seconds: meter::histograms(
                "keywayd_http_request_duration_seconds",
                "Time from a request's head to its answer, by method and route.",
                &["method", "route"],
                meter::SECONDS,
            ),
        }
    }
}

impl Requests {
    /// Shows them.
    pub fn show(&self, meters: &Meters) {
        meters.show(&self.answered);
        meters.show(&self.seconds);
    }

    /// Counts a request that was answered with `status`, `elapsed` after its head had come.
    pub fn answered(&self, method: &str, route: &'static str, status: u16, elapsed: Duration) {
        let method = known(method);
        self.answered.with_label_values(&[method, route, &status.to_string()]).inc();
        self.seconds.with_label_values(&[method, route]).observe(elapsed.as_secs_f64());
    }
}

/// Clients can make up methods, and every label is a line for ever.
fn known(method: &str) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    METHODS.into_iter().find(|one| *one == method).unwrap_or("other")
}
