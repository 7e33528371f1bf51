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
//!
//! An attack that gives the server much to reckon may be felt as much as any one thread that computes on the same
//! processors, be that more than five times: whom the system lets run is not the server's to say, and it decides for
//! milliseconds, of which an answer takes half of one.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]

#[path = "abuse/apart.rs"]
mod apart;
#[path = "abuse/attacks.rs"]
mod attacks;
mod listening;
#[path = "abuse/target.rs"]
mod target;

use apart::Halves;
use attacks::{ATTACKS, Attack, BESIDE, NONE};
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
    attack: &'static Attack,
    /// What the attacker said it did.
    done: String,
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
    let (mut rows, mut quiets) = (Vec::new(), Vec::new());
    let is_wanted = |name: &str| {
        wanted.is_empty()
            || name == NONE
            || name == BESIDE
            || wanted.iter().any(|word| name.contains(word.as_str()))
    };
    for attack in ATTACKS.iter().filter(|attack| is_wanted(attack.name)) {
        let quiet = target.pulls(slice)?.most;
        quiets.push(quiet);
        target.forget_peak()?;
        let attacker = begin(attack.name, &target, &halves)?;
        sleep(WARM_UP);
        let under = target.pulls(slice)?;
        let done = end(attacker)?;
        rows.push(Row { attack, done, under: under.most, answers: under.answers, peak: target.peak()? });
        eprintln!("{}: {} µs to {} µs", attack.name, under.most.as_micros(), quiet.as_micros());
        sleep(COOL_DOWN);
    }
    quiets.sort_unstable();
    let quiet = quiets.get(quiets.len() / 2).copied().unwrap_or_default();
    println!("{}; the server at rest: {:.0} MiB", halves.told, mib(at_rest));
    println!("99 % of pulls in quiet within {:.2} ms, the median of {quiets:.1?}\n", millis(quiet));
    print(&rows, quiet);
    let log = target.stop()?;
    if log.contains("panicked") {
        return Err(format!("something panicked:\n{log}").into());
    }
    let control = |name: &str| rows.iter().find(|row| row.attack.name == name);
    if control(NONE).is_none_or(|row| row.ratio(quiet) > MOST_OF_NOTHING) {
        return Err(
            "no verdict: without an attack the client felt it all the same; is the machine quiet?".into()
        );
    }
    let beside = control(BESIDE).map_or(0.0, |row| row.ratio(quiet));
    let mut good = true;
    for row in rows.iter().filter(|row| ![NONE, BESIDE].contains(&row.attack.name)) {
        let most = if row.attack.heavy { beside.max(MOST) } else { MOST };
        if row.ratio(quiet) > most || row.peak.saturating_sub(at_rest) > GROWTH {
            println!("too much: {}", row.attack.name);
            good = false;
        }
    }
    Ok(good)
}

impl Row {
    /// To `quiet`.
    fn ratio(&self, quiet: Duration) -> f64 {
        self.under.as_secs_f64() / quiet.as_secs_f64()
    }
}

fn begin(name: &str, target: &Target, halves: &Halves) -> Outcome<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["attack", name, &target.address.to_string(), &target.token]);
    if name == BESIDE {
        halves.take_the_servers()?;
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    halves.take_the_others()?;
    Ok(child?)
}

/// Calls the attacker off, and has what it did.
fn end(mut attacker: Child) -> Outcome<String> {
    drop(attacker.stdin.take());
    Ok(String::from_utf8(attacker.wait_with_output()?.stdout)?.trim().to_owned())
}

fn print(rows: &[Row], quiet: Duration) {
    println!("| attack | sent | 99 % of pulls within | to quiet | pulls | memory at most |");
    println!("|---|---|---|---|---|---|");
    for row in rows {
        let Row { attack, done, under, answers, peak } = row;
        let (name, ratio) = (attack.name, row.ratio(quiet));
        let (under, peak) = (millis(*under), mib(*peak));
        println!("| {name} | {done} | {under:.1} ms | {ratio:.1} × | {answers} | {peak:.0} MiB |");
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
