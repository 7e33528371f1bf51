//! What a backup costs those who pull meanwhile: the latency that 99 of 100 pulls do not
//! exceed, while one backup after the other is taken and while none is, in turns.

use crate::Outcome;
use crate::load::{self, Call};
use crate::measure::median;
use crate::process::Server;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Vaults in the file.
pub(crate) const VAULTS: usize = 2_000;
const CONNECTIONS: usize = 8;
/// So long at least, that a backup falls into it from begin to end.
const SLICE_MIN: Duration = Duration::from_secs(5);

/// Medians over the rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backups {
    /// 99 of 100 pulls, while nothing else is done.
    pub(crate) alone: Duration,
    /// The same while backups are taken.
    pub(crate) beside: Duration,
    /// How long a backup took beside the pulls.
    pub(crate) each: Duration,
}

/// Measures on the `server` of `dir`.
pub(crate) fn measure(
    server: &Server,
    dir: &Path,
    pulls: &Arc<[Call]>,
    rounds: usize,
    slice: Duration,
) -> Outcome<Backups> {
    let pull = || load::run(server.address, pulls, CONNECTIONS, slice.max(SLICE_MIN));
    let (mut alone, mut beside, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(pull()?.latency(0.99));
        let enough = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let backing_up = scope.spawn(|| {
                let mut times = Vec::new();
                while !enough.load(Ordering::Relaxed) {
                    times.push(back_up(dir)?);
                }
                Outcome::Ok(times)
            });
            let pulled = pull();
            enough.store(true, Ordering::Relaxed);
            each.append(&mut backing_up.join().map_err(|_| "taking backups panicked")??);
            beside.push(pulled?.latency(0.99));
            Outcome::Ok(())
        })?;
    }
    Ok(Backups { alone: median(alone), beside: median(beside), each: median(each) })
}

fn back_up(dir: &Path) -> Outcome<Duration> {
    let (begin, file) = (Instant::now(), dir.join("backup"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywayd"));
    let done = command.arg("backup").arg(&file).arg("--data-dir").arg(dir).output()?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    let took = begin.elapsed();
    fs::remove_file(file)?;
    Ok(took)
}
