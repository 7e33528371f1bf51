//! Instruments: counters and histograms that the rooms keep of their own work, and the
//! page on which they are shown, in Prometheus' text format.
//!
//! Each room makes its own instruments and counts with them whether or not anybody
//! looks; an instrument is a few atomics. Who wants to look puts them on a page.
//! Labels are words of this program (routes as patterns, names of services), never
//! names that people chose: who may read numbers may not learn whose they are.

#![cfg_attr(not(test), expect(clippy::expect_used, reason = "names are literals, which a test reads"))]

use prometheus::core::Collector;
use prometheus::{HistogramOpts, IntGauge, Opts, PullingGauge, Registry, TextEncoder};

pub use prometheus::{
    Histogram, HistogramVec as Histograms, IntCounter as Counter, IntCounterVec as Counters,
};

/// What a page is in, for `Content-Type`.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Times of requests and calls, in seconds.
pub const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0];

/// Names and labels are literals of this program, and checked by the test that reads the page.
const NAMED: &str = "the name is in the grammar of names";

/// A counter.
#[must_use]
pub fn counter(name: &str, help: &str) -> Counter {
    Counter::new(name, help).expect(NAMED)
}

/// Counters that differ in `labels`.
#[must_use]
pub fn counters(name: &str, help: &str, labels: &[&str]) -> Counters {
    Counters::new(Opts::new(name, help), labels).expect(NAMED)
}

/// A histogram; `bounds` are the upper ends of its buckets.
#[must_use]
pub fn histogram(name: &str, help: &str, bounds: &[f64]) -> Histogram {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec())).expect(NAMED)
}

/// Histograms that differ in `labels`.
#[must_use]
pub fn histograms(name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> Histograms {
    Histograms::new(HistogramOpts::new(name, help).buckets(bounds.to_vec()), labels).expect(NAMED)
}

/// The page. Cheap to clone; all clones are the same page.
#[derive(Clone, Default)]
pub struct Meters(Registry);

impl Meters {
    /// Shows an instrument. Clones of an instrument are the same instrument.
    pub fn show(&self, instrument: &(impl Collector + Clone + 'static)) {
        self.add(instrument.clone());
    }

    /// Shows a number that is looked up by `read` whenever the page is read.
    pub fn gauge(&self, name: &str, help: &str, read: impl Fn() -> f64 + Send + Sync + 'static) {
        self.add(PullingGauge::new(name, help, Box::new(read)).expect(NAMED));
    }

    /// Shows a fact: a 1 whose label says it.
    pub fn fact(&self, name: &str, help: &str, (label, value): (&str, &str)) {
        let fact = IntGauge::with_opts(Opts::new(name, help).const_label(label, value)).expect(NAMED);
        fact.set(1);
        self.add(fact);
    }

    /// The page as it is now.
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.0.gather()).unwrap_or_default()
    }

    fn add(&self, instrument: impl Collector + 'static) {
        // Twice on one page would be a mistake of the program, and costs the second one only.
        if self.0.register(Box::new(instrument)).is_err() {
            debug_assert!(false, "an instrument is on the page already");
        }
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_what_was_counted() {
        let meters = Meters::default();
        let calls = counters("calls_total", "Calls.", &["result"]);
        meters.show(&calls);
        meters.gauge("age_seconds", "Age.", || f64::INFINITY);
        calls.with_label_values(&["good"]).inc();
        let text = meters.text();
        assert!(text.contains("# TYPE calls_total counter\ncalls_total{result=\"good\"} 1\n"), "{text}");
        assert!(text.contains("# TYPE age_seconds gauge\nage_seconds inf\n"), "{text}");
    }
}
