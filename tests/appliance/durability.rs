//! `kill -9`, again and again, in the middle of pushes and pulls: what was acknowledged is there, whole, with its
//! entry in the audit log; what was not is there whole or not at all. Whoever got values is in the log.

use super::harness::{Appliance, Client, Request};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// How often the server is killed, unless `KEYWAYD_TEST_KILLS` says otherwise.
const KILLS: u64 = 250;
/// Keys in each push: all of them carry the same number, so that a mixture of two pushes shows.
const KEYS: usize = 12;
/// Environments with one writer each, and one in which the last two writers meet.
const ENVIRONMENTS: [&str; 5] = ["local", "development", "staging", "production", "production"];
/// Clients that pull meanwhile.
const READERS: usize = 2;

/// What a writer knows.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// The number of the last push it began.
    begun: u64,
    /// The number of the last push that was acknowledged.
    acknowledged: u64,
    /// How many were.
    count: u64,
}

#[expect(clippy::disallowed_methods, reason = "tests are configured by the environment")]
fn kills() -> u64 {
    std::env::var("KEYWAYD_TEST_KILLS").map_or(KILLS, |count| count.parse().expect("a number"))
}

/// The set that `writer` pushes as its push `number`. Its size changes, so that keys come and go.
fn set(writer: usize, number: u64) -> Value {
    let count = KEYS + usize::try_from(number % 5).expect("below five");
    let value = |at: usize| format!("{writer}.{number}.{}", "x".repeat(at * 40));
    (0..count).map(|at| (format!("KEY_{at:02}"), json!(value(at)))).collect()
}

/// Which push `secrets` is, which must be one and whole.
fn push_of(secrets: &Value) -> Option<(usize, u64)> {
    let first = secrets.get("KEY_00")?.as_str().expect("values are text");
    let mut parts = first.split('.');
    let mut number = || parts.next().and_then(|part| part.parse().ok()).expect("a number");
    let (writer, number) = (usize::try_from(number()).expect("a writer"), number());
    assert_eq!(*secrets, set(writer, number), "a push is there in part");
    Some((writer, number))
}

/// Pushes until the server is gone.
fn write(client: &Client, writer: usize, mut progress: Progress, total: &AtomicU64) -> Progress {
    loop {
        progress.begun += 1;
        let secrets = set(writer, progress.begun);
        let body =
            json!({ "repoFullName": "acme/app", "environment": ENVIRONMENTS[writer], "secrets": secrets });
        let Ok(answer) = client.try_send(&Request::new("POST", "/v1/secrets/push").json(&body)) else {
            return progress;
        };
        answer.check();
        answer.ok();
        progress.acknowledged = progress.begun;
        progress.count += 1;
        total.fetch_add(1, Ordering::Relaxed);
    }
}

/// Pulls until the server is gone; answers the ids of the requests that were answered.
fn read(client: &Client, reader: usize) -> Vec<String> {
    let mut answered = Vec::new();
    loop {
        let target = format!("/v1/secrets/pull?repo=acme/app&environment={}", ENVIRONMENTS[reader]);
        let Ok(answer) = client.try_send(&Request::new("GET", &target)) else {
            return answered;
        };
        answer.ok();
        answered.push(answer.header("x-request-id").expect("every answer has one").to_owned());
    }
}

#[test]
fn what_was_acknowledged_survives_any_number_of_kills() {
    let mut appliance = Appliance::start();
    appliance.admin().create_vault("acme/app");
    let mut writers = [Progress::default(); ENVIRONMENTS.len()];
    let mut pulls = Vec::new();
    for round in 0..kills() {
        let total = AtomicU64::new(0);
        let pid = appliance.pid();
        writers = std::thread::scope(|scope| {
            let (appliance, total) = (&appliance, &total);
            let running: [_; ENVIRONMENTS.len()] = std::array::from_fn(|writer| {
                let progress = writers[writer];
                scope.spawn(move || write(&appliance.admin(), writer, progress, total))
            });
            let reading: [_; READERS] =
                std::array::from_fn(|reader| scope.spawn(move || read(&appliance.admin(), reader)));
            // After a number of pushes that changes from round to round, and anywhere within the next.
            while total.load(Ordering::Relaxed) < round % 23 && !running.iter().any(|one| one.is_finished()) {
                std::thread::yield_now();
            }
            for _ in 0..round % 7 * 2_000 {
                std::hint::spin_loop();
            }
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("the process is there");
            pulls.extend(reading.into_iter().flat_map(|reader| reader.join().expect("no bad answer")));
            running.map(|writer| writer.join().expect("no bad answer"))
        });
        appliance.ended();
        appliance.restart();
        assert_nothing_lost(&appliance.admin(), &writers, round);
    }
    let acknowledged: u64 = writers.iter().map(|writer| writer.count).sum();
    assert_audited(&appliance.admin(), acknowledged);
    assert_pulls_audited(&appliance, &pulls);
    assert_chained(&mut appliance);
}

fn assert_nothing_lost(admin: &Client, writers: &[Progress], round: u64) {
    let mut by_environment = BTreeMap::<&str, Vec<usize>>::new();
    for (writer, environment) in ENVIRONMENTS.iter().enumerate() {
        by_environment.entry(environment).or_default().push(writer);
    }
    for (environment, own) in by_environment {
        let Some((writer, number)) = push_of(&admin.secrets("acme/app", environment)) else {
            let none = own.iter().all(|&writer| writers[writer].acknowledged == 0);
            assert!(none, "round {round}: {environment} is empty, though a push was acknowledged");
            continue;
        };
        assert!(own.contains(&writer), "round {round}: {environment} holds what was pushed elsewhere");
        // The last acknowledged push of one of its writers, or one that was under way when the server died: every
        // earlier one has been replaced by a later push of the same writer.
        let Progress { begun, acknowledged, .. } = writers[writer];
        assert!(
            (acknowledged..=begun).contains(&number) && number > 0,
            "round {round}: {environment} holds push {number} of writer {writer}, which had {acknowledged} \
             acknowledged and {begun} begun"
        );
    }
}

/// Every acknowledged push has its entry; those without an answer may have one too.
fn assert_audited(admin: &Client, acknowledged: u64) {
    let mut total = 0;
    loop {
        let target = format!("/v1/activity?repo=acme/app&action=secrets_pushed&limit=100&offset={total}");
        let answer = admin.get(&target);
        total += answer.ok().as_array().expect("a list").len() as u64;
        if answer.json()["meta"]["pagination"]["hasMore"] == false {
            break;
        }
    }
    let most = acknowledged + kills() * ENVIRONMENTS.len() as u64;
    assert!((acknowledged..=most).contains(&total), "{total} entries for {acknowledged} acknowledged pushes");
}

/// Every answered pull has one entry.
fn assert_pulls_audited(appliance: &Appliance, answered: &[String]) {
    assert!(answered.len() as u64 >= kills(), "{} pulls", answered.len());
    appliance.cli(&["audit", "verify"]).done();
    let mut audited = HashSet::new();
    for line in appliance.cli(&["audit", "export"]).done().lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        if entry["action"] == "secrets_pulled" {
            let request = entry["metadata"]["requestId"].as_str().expect("pulls are requests").to_owned();
            assert!(audited.insert(request), "an entry is there twice: {entry}");
        }
    }
    let lost = answered.iter().filter(|request| !audited.contains(*request)).count();
    assert_eq!(lost, 0, "{lost} of {} answered pulls are not in the log", answered.len());
}

/// The entries are numbered from one on without a gap, however often they were cut off.
fn assert_chained(appliance: &mut Appliance) {
    appliance.stop();
    let entries = super::harness::disk::records(&appliance.database(), "audit");
    for (at, (key, _)) in entries.iter().enumerate() {
        assert_eq!(*key, (at as u64 + 1).to_be_bytes(), "an entry is missing or out of order");
    }
}
