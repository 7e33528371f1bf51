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
                Ok(()) => self.complained = None,
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
        tracing::error!(last_good = last, failures = state.failures, "the last good backup is too old");
    }

    async fn take(&self, services: &Services, quit: &CancellationToken) -> Result<(), String> {
        let unusable = |error: io::Error| format!("cannot use `{}`: {error}", self.dir.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(unusable)?;
        self.remove_unfinished().map_err(unusable)?;
        let number = self.kept().map_err(unusable)?.last().map_or(1, |last| last.number + 1);
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
        self.remove_oldest().map_err(unusable)
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
        let (number, stamp) = name.split_once('-')?;
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
