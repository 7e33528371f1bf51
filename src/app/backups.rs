//! Backups by the timetable of `[backup]`: when one is due, which are kept, and how
//! loudly it is said when there is no good one. Files are numbered, so that a clock that
//! jumps cannot make the newest look like the oldest.

use super::upkeep::stamp;
use crate::base::{Clock, Timestamp};
use crate::config::Settings;
use crate::domain::Services;
use crate::domain::upkeep::{BackupState, Watch};
use std::fs::{self, DirBuilder};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How soon a failed backup is tried again, at the latest.
const TRY_AGAIN: Duration = Duration::from_secs(15 * 60);
/// How often it is said that there is no good backup.
const COMPLAIN_EVERY: Duration = Duration::from_secs(3_600);
const PREFIX: &str = "keyway-";
const SUFFIX: &str = ".redb";
const UNFINISHED: &str = ".redb.partial";

/// When the newest backup in `dir` was taken; `None`: there is none.
pub(super) fn newest(dir: &Path) -> io::Result<Option<Timestamp>> {
    Ok(files(dir)?.iter().filter_map(|path| Kept::at(path)).max().map(|kept| kept.taken))
}

/// What is to be done when.
pub(super) struct Timetable {
    dir: PathBuf,
    every: Duration,
    keep: usize,
    clock: Arc<dyn Clock>,
    since: Timestamp,
    tried: Option<Instant>,
    complained: Option<Instant>,
}

/// A file of ours, by its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    number: u64,
    taken: Timestamp,
    path: PathBuf,
}

impl Timetable {
    /// The timetable in the settings, if there is one.
    pub(super) fn of(settings: &Settings, clock: Arc<dyn Clock>) -> Option<Self> {
        let dir = settings.backup.dir.clone()?;
        let keep = usize::try_from(settings.backup.keep).unwrap_or(usize::MAX);
        Some(Self::new(dir, settings.backup.every, keep, clock))
    }

    fn new(dir: PathBuf, every: Duration, keep: usize, clock: Arc<dyn Clock>) -> Self {
        let since = clock.now();
        Self { dir, every, keep, clock, since, tried: None, complained: None }
    }

    /// Takes backups until `quit`.
    pub(super) async fn run(mut self, services: Services, quit: CancellationToken) {
        self.remember(&services);
        let mut ticks = tokio::time::interval(LOOK_EVERY.min(self.every));
        while quit.run_until_cancelled(ticks.tick()).await.is_some() {
            self.turn(&services, &quit).await;
        }
    }

    /// Learns of the backups that earlier runs took.
    fn remember(&self, services: &Services) {
        if let Some(newest) = self.kept().ok().and_then(|mut kept| kept.pop()) {
            services
                .set_backup_state(BackupState { last_good: Some(newest.taken), ..BackupState::default() });
        }
    }

    /// Looks at the clock, and does what is due.
    async fn turn(&mut self, services: &Services, quit: &CancellationToken) {
        if self.is_due(services.backup_state()) {
            self.tried = Some(Instant::now());
            match self.take(services, quit).await {
                Ok(()) => {
                    self.complained = None;
                    if let Err(error) = self.remove_oldest() {
                        tracing::error!("old backups in `{}` cannot be removed: {error}", self.dir.display());
                    }
                }
                Err(_) if quit.is_cancelled() => return,
                Err(problem) => tracing::error!("the scheduled backup failed: {problem}"),
            }
        }
        self.complain(services.backup_state());
    }

    fn is_due(&self, state: BackupState) -> bool {
        let again = TRY_AGAIN.min(self.every);
        if state.failures > 0 && self.tried.is_some_and(|tried| tried.elapsed() < again) {
            return false;
        }
        let now = self.clock.now();
        // A last one in the future says that the clock went back; then its time says nothing.
        state.last_good.is_none_or(|last| now < last || now.since(last) >= self.every)
    }

    /// Whether the last good backup is older than two of them should be.
    fn is_too_old(&self, state: BackupState) -> bool {
        let last = state.last_good.unwrap_or(self.since);
        self.clock.now().since(last) > self.every * 2
    }

    fn complain(&mut self, state: BackupState) {
        let lately = self.complained.is_some_and(|last| last.elapsed() < COMPLAIN_EVERY);
        if !self.is_too_old(state) || lately {
            return;
        }
        self.complained = Some(Instant::now());
        let last = state.last_good.map_or("never".to_owned(), |last| last.to_string());
        tracing::error!(
            last_good = last,
            failures = state.failures,
            "the last good backup is too old; see why the last attempts failed, and run `keywayd doctor`"
        );
    }

    async fn take(&self, services: &Services, quit: &CancellationToken) -> Result<(), String> {
        let number = self.next_number().map_err(|error| {
            // It has failed before it was begun.
            let state = services.backup_state();
            services.set_backup_state(BackupState { failures: state.failures + 1, ..state });
            format!("cannot use `{}`: {error}", self.dir.display())
        })?;
        let name = format!("{PREFIX}{number:06}-{}{SUFFIX}", stamp(self.clock.now()));
        let quit = quit.clone();
        let watch =
            Watch::new(
                move |_| {
                    if quit.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                },
            );
        let made = services.backup(self.dir.join(name), watch.gently()).await;
        let made = made.map_err(|error| error.cause.map_or(error.detail, |cause| cause.to_string()))?;
        tracing::info!(file = %made.path.display(), bytes = made.bytes, records = made.records, "backup taken");
        Ok(())
    }

    /// Makes the directory ready for another backup, and numbers that.
    fn next_number(&self) -> io::Result<u64> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        self.remove_unfinished()?;
        let last = self.kept()?.last().map_or(0, |last| last.number);
        last.checked_add(1).ok_or_else(|| io::Error::other("a file there has the highest of all numbers"))
    }

    /// Our backups, oldest first.
    fn kept(&self) -> io::Result<Vec<Kept>> {
        let mut kept: Vec<_> = files(&self.dir)?.iter().filter_map(|path| Kept::at(path)).collect();
        kept.sort();
        Ok(kept)
    }

    fn remove_oldest(&self) -> io::Result<()> {
        let kept = self.kept()?;
        let surplus = kept.len().saturating_sub(self.keep);
        kept[..surplus].iter().try_for_each(|old| fs::remove_file(&old.path))
    }

    /// Removes what a killed server left behind.
    fn remove_unfinished(&self) -> io::Result<()> {
        let unfinished = |path: &&PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(UNFINISHED))
        };
        files(&self.dir)?.iter().filter(unfinished).try_for_each(fs::remove_file)
    }
}

impl Kept {
    fn at(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let (number, stamp) = name.split_once('-').filter(|(_, stamp)| stamp.is_ascii())?;
        let part = |range: std::ops::Range<usize>| stamp.get(range);
        let (date, time) = (part(0..8)?, part(9..15)?);
        let taken = format!(
            "{}-{}-{}T{}:{}:{}Z",
            &date[..4],
            &date[4..6],
            &date[6..],
            &time[..2],
            &time[2..4],
            &time[4..]
        );
        Some(Self { number: number.parse().ok()?, taken: Timestamp::parse(&taken)?, path: path.to_owned() })
    }
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const DAY: u64 = 86_400_000;

    /// A clock that is set by hand.
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn numbers(table: &Timetable) -> Vec<u64> {
        table.kept().unwrap().iter().map(|kept| kept.number).collect()
    }

    #[tokio::test]
    async fn a_backup_is_taken_when_it_is_due_and_the_last_are_kept_whatever_the_clock_does() {
        let place = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hands(AtomicU64::new(20_000 * DAY)));
        let (services, quit) = (Services::in_memory_at(clock.clone()), CancellationToken::new());
        let mut table = Timetable::new(place.path().join("b"), Duration::from_secs(86_400), 3, clock.clone());
        let mut turn = async |millis: u64| {
            clock.0.store(millis, Ordering::Relaxed);
            table.turn(&services, &quit).await;
            numbers(&table)
        };
        assert_eq!(turn(20_000 * DAY).await, [1]);
        assert_eq!(turn(20_001 * DAY - 1).await, [1], "not yet");
        assert_eq!(turn(20_001 * DAY).await, [1, 2]);
        assert_eq!(turn(20_030 * DAY).await, [1, 2, 3], "late is once");
        // Back by a year: one at once, then by the new time; the newest stay.
        assert_eq!(turn(19_665 * DAY).await, [2, 3, 4]);
        assert_eq!(turn(19_665 * DAY + 1).await, [2, 3, 4]);
        assert_eq!(turn(19_666 * DAY).await, [3, 4, 5]);

        fs::write(place.path().join("b/keyway-000009-20260101T000000Z.redb.partial"), "cut off").unwrap();
        fs::write(place.path().join("b/somebody-elses.redb"), "").unwrap();
        fs::write(place.path().join("b/keyway-1-abc\u{e9}123T102030Z.redb"), "").unwrap();
        assert_eq!(turn(19_667 * DAY).await, [4, 5, 6]);
        assert_eq!(files(&place.path().join("b")).unwrap().len(), 5, "ours and the other ones");
    }

    #[tokio::test]
    async fn an_earlier_run_counts_and_a_late_or_failed_backup_is_noticed() {
        let place = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hands(AtomicU64::new(20_000 * DAY)));
        let every = Duration::from_secs(86_400);
        let (services, quit) = (Services::in_memory_at(clock.clone()), CancellationToken::new());
        let table = || Timetable::new(place.path().join("b"), every, 3, clock.clone());
        table().turn(&services, &quit).await;

        let services = Services::in_memory_at(clock.clone());
        let mut later = table();
        later.remember(&services);
        assert_eq!(services.backup_state().last_good, Some(clock.now()));
        later.turn(&services, &quit).await;
        assert_eq!(numbers(&later), [1], "it is not due");

        fs::remove_dir_all(place.path().join("b")).unwrap();
        fs::write(place.path().join("b"), "a file in the way").unwrap();
        clock.0.store(20_001 * DAY, Ordering::Relaxed);
        later.turn(&services, &quit).await;
        assert!(!later.is_too_old(services.backup_state()));
        assert_eq!(services.backup_state().failures, 1, "a directory that cannot be used is a failure");
        clock.0.store(20_003 * DAY, Ordering::Relaxed);
        assert!(later.is_too_old(services.backup_state()));
    }
}
