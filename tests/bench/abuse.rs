//! What a well-behaved client feels of somebody who means harm: `cargo bench --bench abuse`.
//!
//! One client pulls, over one connection, a few hundred times a second, and pauses in between. That goes on while
//! nothing else happens and while each of the attacks is on, in turns; what is told is the latency that 99 % of its
//! answers do not exceed, as a multiple of the same in quiet, and how large the server became. More than five times,
//! or more than 256 MiB beyond the quiet size, is a failure.
//!
//! Limits are on, but out of reach: what is measured is the server without their help. Attackers are a process of
//! their own on the same machine, where they take processors from the server as they never could from afar; so
//! they run at the lowest priority.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]

#[path = "abuse/attacks.rs"]
mod attacks;
#[path = "abuse/target.rs"]
mod target;

use attacks::ATTACKS;
use std::error::Error;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;
use target::Target;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The latency may grow by this.
const MOST: f64 = 5.0;
/// The server may grow by this, in bytes: what it sets aside for bodies, and some room.
const GROWTH: u64 = 256 << 20;
/// From the start of an attack until it counts.
const WARM_UP: Duration = Duration::from_millis(1_500);

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let outcome = match words.next().as_deref() {
        Some("attack") => attacks::run(words),
        seconds => measure(Duration::from_secs(seconds.and_then(|word| word.parse().ok()).unwrap_or(6))),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One row of the table.
struct Row {
    name: &'static str,
    /// What the attacker said it did.
    done: String,
    quiet: Duration,
    under: Duration,
    answers: usize,
    peak: u64,
}

/// Whether every claim is met.
fn measure(slice: Duration) -> Outcome<bool> {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 8_192, 8_192)?;
    let target = Target::start()?;
    target.pulls(slice)?;
    let at_rest = target.resident()?;
    let mut rows = Vec::new();
    for attack in ATTACKS {
        let quiet = target.pulls(slice)?;
        target.forget_peak()?;
        let attacker = begin(attack.name, &target)?;
        sleep(WARM_UP);
        let under = target.pulls(slice)?;
        let done = end(attacker)?;
        rows.push(Row {
            name: attack.name,
            done,
            quiet: quiet.most,
            under: under.most,
            answers: under.answers,
            peak: target.peak()?,
        });
        eprintln!("{}: {} µs to {} µs", attack.name, under.most.as_micros(), quiet.most.as_micros());
    }
    print(&rows, at_rest);
    let log = target.stop()?;
    if log.contains("panicked") {
        return Err(format!("something panicked:\n{log}").into());
    }
    Ok(rows.iter().all(|row| row.ratio() <= MOST && row.peak.saturating_sub(at_rest) <= GROWTH))
}

impl Row {
    fn ratio(&self) -> f64 {
        self.under.as_secs_f64() / self.quiet.as_secs_f64()
    }
}

fn begin(name: &str, target: &Target) -> Outcome<Child> {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(std::env::current_exe()?).args(["attack", name]);
    command.arg(target.address.to_string()).arg(&target.token);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// Calls the attacker off, and has what it did.
fn end(mut attacker: Child) -> Outcome<String> {
    drop(attacker.stdin.take());
    Ok(String::from_utf8(attacker.wait_with_output()?.stdout)?.trim().to_owned())
}

fn print(rows: &[Row], at_rest: u64) {
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    println!("the server at rest: {:.0} MiB\n", mib(at_rest));
    println!("| attack | sent | 99 % of pulls within, quiet | under attack | ratio | pulls | peak |");
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        let Row { name, done, quiet, under, answers, peak } = row;
        println!(
            "| {name} | {done} | {:.1} ms | {:.1} ms | {:.1} × | {answers} | {:.0} MiB |",
            quiet.as_secs_f64() * 1e3,
            under.as_secs_f64() * 1e3,
            row.ratio(),
            mib(*peak)
        );
    }
}
