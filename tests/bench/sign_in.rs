//! Whether the time a sign-in takes tells which accounts exist. `cargo bench --bench
//! sign_in`: two thousand tries with a wrong password, half of them of accounts that
//! exist, in random order, on a real file, each timed as a whole. The two halves are
//! compared with Welch's t-test; beyond 4.5, the usual bound for leaks of this kind, is
//! a failure.
//!
//! Everybody who tries has an address of their own and each name gets fewer tries than
//! the throttle allows, so that what is measured is the check and not a refusal.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use keywayd::base::ids::RequestId;
use keywayd::base::{AccountName, Agent, SecretText, SystemClock, random};
use keywayd::crypto::{MasterKey, MasterSecret};
use keywayd::domain::integrations::Integrations;
use keywayd::domain::sign_in::PasswordSignIn;
use keywayd::domain::{ErrorKind, Origin, Services, Settings};
use keywayd::store::{DataDir, Store};
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

const SAMPLES: usize = 2_000;
/// Accounts of each kind; so many tries of one are fewer than its throttle allows.
const NAMES: usize = 20;
const MOST: f64 = 4.5;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let scratch = tempfile::tempdir().expect("a scratch directory can be made");
    let services = appliance(&scratch).await;
    let mut order: Vec<usize> = (0..SAMPLES).collect();
    shuffle(&mut order);
    // What is only slow the first time is over before anything counts.
    for number in 0..20 {
        time(&services, number % 2 == 0, number, SAMPLES + number).await;
    }
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (address, sample) in order.into_iter().enumerate() {
        let exists = sample % 2 == 0;
        let millis = time(&services, exists, sample / 2, address).await;
        if exists { known.push(millis) } else { unknown.push(millis) }
    }
    let t = welch(&known, &unknown);
    for (name, sample) in [("exists", &mut known), ("does not exist", &mut unknown)] {
        let (mean, variance) = moments(sample);
        let median = median(sample);
        println!("{name:>14}: median {median:.3} ms, mean {mean:.3} ms, deviation {:.3} ms", variance.sqrt());
    }
    println!("t = {t:.2} over {SAMPLES} tries; beyond ±{MOST} the two could be told apart");
    if t.abs() > MOST { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn appliance(scratch: &tempfile::TempDir) -> Services {
    let master = MasterSecret::Key(MasterKey::generate());
    let dir = DataDir::at(scratch.path().join("data"));
    dir.create().expect("a directory can be made");
    let lock = dir.lock().expect("nobody else has it");
    let store = Store::create(&dir, lock, &master, 16 << 20).expect("a database can be made");
    let services =
        Services::new(store, Arc::new(SystemClock), Settings::default(), None, Integrations::none());
    for number in 0..NAMES {
        let name = AccountName::parse(&name(true, number)).expect("a name");
        let password = Some(SecretText::new("correct horse".to_owned()));
        services.add_account(name, false, password).await.expect("an account can be made");
    }
    services
}

fn name(exists: bool, number: usize) -> String {
    format!("{}-{:02}", if exists { "person" } else { "nobody" }, number % NAMES)
}

/// How long a wrong password for one of the accounts takes, in milliseconds.
async fn time(services: &Services, exists: bool, number: usize, address: usize) -> f64 {
    let password = SecretText::new("a wrong password".to_owned());
    let form = PasswordSignIn { name: name(exists, number), password, mark: None };
    let address = u32::try_from(address).expect("there are few").to_be_bytes();
    let origin = Origin {
        request_id: RequestId::from_bytes([0; 16]),
        address: IpAddr::from([10, address[1], address[2], address[3]]),
        user_agent: "bench".to_owned(),
        agent: Agent::Other,
    };
    let begin = Instant::now();
    let outcome = services.sign_in(form, origin).await;
    let took = begin.elapsed();
    assert_eq!(outcome.err().map(|error| error.kind), Some(ErrorKind::Unauthorized));
    took.as_secs_f64() * 1e3
}

/// Fisher and Yates.
fn shuffle(all: &mut [usize]) {
    for end in (1..all.len()).rev() {
        let mut bytes = [0; 8];
        random::fill(&mut bytes);
        all.swap(end, u64::from_le_bytes(bytes) as usize % (end + 1));
    }
}

fn moments(sample: &[f64]) -> (f64, f64) {
    let count = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / count;
    (mean, sample.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (count - 1.0))
}

fn median(sample: &mut [f64]) -> f64 {
    sample.sort_by(f64::total_cmp);
    sample[sample.len() / 2]
}

/// Welch's t of two samples, without their slowest twentieth: a machine that does
/// something else in between is no leak.
fn welch(a: &[f64], b: &[f64]) -> f64 {
    let cut = |sample: &[f64]| {
        let mut sorted = sample.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.truncate(sorted.len() - sorted.len() / 20);
        sorted
    };
    let (a, b) = (cut(a), cut(b));
    let ((mean_a, variance_a), (mean_b, variance_b)) = (moments(&a), moments(&b));
    (mean_a - mean_b) / (variance_a / a.len() as f64 + variance_b / b.len() as f64).sqrt()
}
