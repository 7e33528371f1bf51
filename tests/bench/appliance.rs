//! How fast the appliance is, and what the time goes into: `cargo bench --bench appliance`.
//!
//! Three processes share the machine: this one, which is the client; the appliance; and
//! the yardstick, a bare hyper server that returns the bytes of a pull and does nothing
//! else. Machines differ and are noisy, so every claim is a ratio within one run: what is
//! compared takes turns, round after round, and the medians are told.
//!
//! It is run by hand and tested by nobody: a test that asserts times fails on a busy machine.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]

mod backups;
mod bare;
mod costs;
mod endurance;
mod fill;
mod listening;
mod load;
mod machine;
mod measure;
mod process;
mod table;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the command line may change.
struct Plan {
    /// How often everything is measured.
    rounds: usize,
    /// How long each measurement takes.
    slice: Duration,
    /// Vaults in the large file.
    vaults: usize,
    /// Where the data directories are made; the disk under it is what is measured.
    dir: PathBuf,
    /// Puts on this load alone, for a profiler to look at.
    only: Option<String>,
    /// Puts on mixed load for so long, and nothing else.
    minutes: Option<u32>,
}

const USAGE: &str = "\
cargo bench --bench appliance -- [--rounds 5] [--millis 1500] [--vaults 100000] [--dir PATH] [--only LOAD] \
[--minutes 30]";

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if_eq(bare::COMMAND).is_some() {
        return bare::serve(words.next().ok_or(USAGE)?);
    }
    let plan = plan(words)?;
    std::fs::create_dir_all(&plan.dir)?;
    let outcome = match plan.minutes {
        Some(minutes) => endurance::run(&plan, minutes).map(|()| None),
        None => measure::all(&plan),
    };
    std::fs::remove_dir_all(&plan.dir)?;
    if let Some(results) = outcome? {
        table::print(&results);
    }
    Ok(())
}

fn plan(mut words: impl Iterator<Item = String>) -> Outcome<Plan> {
    let here = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let slice = Duration::from_millis(1_500);
    let mut plan = Plan { rounds: 5, slice, vaults: 100_000, dir: here, only: None, minutes: None };
    while let Some(word) = words.next() {
        if word == "--bench" {
            // `cargo bench` says so to every program.
            continue;
        }
        let value = words.next().ok_or(USAGE)?;
        match word.as_str() {
            "--rounds" => plan.rounds = value.parse()?,
            "--millis" => plan.slice = Duration::from_millis(value.parse()?),
            "--vaults" => plan.vaults = value.parse()?,
            "--minutes" => plan.minutes = Some(value.parse()?),
            "--only" => plan.only = Some(value),
            "--dir" => plan.dir = value.into(),
            _ => return Err(USAGE.into()),
        }
    }
    plan.dir.push(format!("bench-{}", std::process::id()));
    Ok(plan)
}
