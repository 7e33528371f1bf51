//! What is counted of calls: how many, how they went, and how long they took, by the
//! service that was called.

use super::{CallError, Reply};
use crate::base::meter::{self, Counters, Histograms, Meters};
use std::time::Duration;

/// The instruments of calls. Clones are the same instruments.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    made: Counters,
    seconds: Histograms,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            made: meter::counters(
                "keywayd_outbound_calls_total",
                "Calls to other services, by service and result: the class of the status, or `failed` without one.",
                &["service", "result"],
            ),
            seconds: meter::histograms(
                "keywayd_outbound_call_duration_seconds",
                "Time that calls to other services took, by service.",
                &["service"],
                meter::SECONDS,
            ),
        }
    }
}

impl Calls {
    pub(super) fn show(&self, meters: &Meters) {
        meters.show(&self.made);
        meters.show(&self.seconds);
    }

    pub(super) fn made(&self, service: &'static str, outcome: &Result<Reply, CallError>, elapsed: Duration) {
        let result = match outcome.as_ref().map(|reply| reply.status / 100) {
            Ok(1) => "1xx",
            Ok(2) => "2xx",
            Ok(3) => "3xx",
            Ok(4) => "4xx",
            Ok(_) => "5xx",
            Err(_) => "failed",
        };
        self.made.with_label_values(&[service, result]).inc();
        self.seconds.with_label_values(&[service]).observe(elapsed.as_secs_f64());
    }
}
