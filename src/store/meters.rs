//! What is counted of the store's work.

use super::Store;
use super::tables::{API_KEYS, SESSIONS, USERS, VAULTS};
use crate::base::meter::{self, Counter, Histogram, Meters};
use std::sync::Arc;
use std::time::Duration;

/// The instruments of the writer and its queue.
#[derive(Debug)]
pub(super) struct Instruments {
    commits: Counter,
    failed: Counter,
    seconds: Histogram,
    jobs: Histogram,
    spooled: Counter,
    pub(super) turned_away: Counter,
}

impl Default for Instruments {
    fn default() -> Self {
        Self {
            commits: meter::counter("keywayd_store_commits_total", "Commits to the disk."),
            failed: meter::counter(
                "keywayd_store_commits_failed_total",
                "Commits that failed; after one the store serves no more writes.",
            ),
            seconds: meter::histogram(
                "keywayd_store_commit_duration_seconds",
                "Time that commits took, the jobs' own preparation included.",
                meter::SECONDS,
            ),
            jobs: meter::histogram(
                "keywayd_store_commit_jobs",
                "Writes that shared a commit.",
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0],
            ),
            spooled: meter::counter(
                "keywayd_store_spooled_total",
                "Audit entries of reads that were on the disk, in the spool, before a commit took them over.",
            ),
            turned_away: meter::counter(
                "keywayd_store_turned_away_total",
                "Writes that were turned away because the queue was full.",
            ),
        }
    }
}

impl Instruments {
    /// So many writes were committed together, or were not.
    pub(super) fn committed(&self, writes: usize, is_good: bool, elapsed: Duration) {
        if is_good { &self.commits } else { &self.failed }.inc();
        self.seconds.observe(elapsed.as_secs_f64());
        self.jobs.observe(writes as f64);
    }
}

impl Instruments {
    /// So many audit entries are in the spool now.
    pub(super) fn spooled(&self, entries: usize) {
        self.spooled.inc_by(entries as u64);
    }
}

impl Store {
    /// Shows what is counted of the store's work.
    pub fn show(&self, meters: &Meters) {
        let instruments = &self.queue.instruments;
        for counter in
            [&instruments.commits, &instruments.failed, &instruments.spooled, &instruments.turned_away]
        {
            meters.show(counter);
        }
        for histogram in [&instruments.seconds, &instruments.jobs] {
            meters.show(histogram);
        }
        let queue = Arc::clone(&self.queue);
        meters.gauge("keywayd_store_queue_jobs", "Writes that wait for the writer.", move || {
            queue.len() as f64
        });
        for (name, help, table) in [
            ("keywayd_sessions", "Sessions; one that has ended counts until it is swept out.", SESSIONS.name),
            ("keywayd_accounts", "People and accounts that are known.", USERS.name),
            ("keywayd_vaults", "Vaults, those in the trash included.", VAULTS.name),
            ("keywayd_api_keys", "API keys, those revoked or expired included.", API_KEYS.name),
        ] {
            let latest = Arc::clone(&self.latest);
            meters.gauge(name, help, move || {
                latest.snapshot().records(table).map_or(f64::NAN, |records| records as f64)
            });
        }
    }
}
