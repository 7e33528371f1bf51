//! What a well-behaved client feels of somebody who means harm: `cargo bench --bench abuse`.
//!
//! One client pulls, over one connection, a few hundred times a second, and pauses in between. That goes on while
//! nothing else happens and while each of the attacks is on, in turns; what is told is the latency that 99 % of its
//! answers do not exceed, as a multiple of the same in quiet, and how large the server became. More than five times,
//! or more than 256 MiB beyond the quiet size, is a failure. `-- 10` has each turn last ten seconds, `-- 6 ping json`
//! tries the attacks whose names hold one of the words.
//!
//! Limits are on, but out of reach: what is measured is the server without their help. It runs on processors of its
//! own (`apart`), for attackers would take them from it as they never could from afar. Whether that works is part of
//! the run: with other work in the place of the attack, nothing may be felt, or there is no verdict.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]

#[path = "abuse/apart.rs"]
mod apart;
#[path = "abuse/attacks.rs"]
mod attacks;
mod listening;
#[path = "abuse/target.rs"]
mod target;

use apart::Halves;
use attacks::{ATTACKS, NONE};
use std::error::Error;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;
use target::Target;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The latency may grow by this.
const MOST: f64 = 5.0;
/// And by this when there is no attack.
const MOST_OF_NOTHING: f64 = 1.5;
/// The server may grow by this, in bytes: what it sets aside for bodies, and some room.
const GROWTH: u64 = 256 << 20;
/// From the start of an attack until it counts.
const WARM_UP: Duration = Duration::from_millis(1_500);
/// From its end until the server has done what it still had to do.
const COOL_DOWN: Duration = Duration::from_millis(1_500);

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let outcome = match words.next().as_deref() {
        Some("attack") => attacks::run(words),
        seconds => {
            let seconds = seconds.and_then(|word| word.parse().ok()).unwrap_or(6);
            measure(Duration::from_secs(seconds), &words.collect::<Vec<_>>())
        }
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
fn measure(slice: Duration, wanted: &[String]) -> Outcome<bool> {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 8_192, 8_192)?;
    let halves = Halves::of_this_machine()?;
    halves.take_the_servers()?;
    let target = Target::start()?;
    halves.take_the_others()?;
    target.pulls(slice)?;
    let at_rest = target.resident()?;
    let mut rows = Vec::new();
    let is_wanted = |name: &str| {
        wanted.is_empty() || name == NONE || wanted.iter().any(|word| name.contains(word.as_str()))
    };
    for attack in ATTACKS.iter().filter(|attack| is_wanted(attack.name)) {
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
        sleep(COOL_DOWN);
    }
    println!("{}; the server at rest: {:.0} MiB\n", halves.told, mib(at_rest));
    print(&rows);
    let log = target.stop()?;
    if log.contains("panicked") {
        return Err(format!("something panicked:\n{log}").into());
    }
    if rows.iter().any(|row| row.name == NONE && row.ratio() > MOST_OF_NOTHING) {
        return Err("no verdict: without an attack the client felt it all the same; is the machine quiet?".into());
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

fn print(rows: &[Row]) {
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

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
