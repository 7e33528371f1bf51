//! The audit log against somebody who has the file and the right tool for it, and what the operator does with
//! the log: verify, export, keep a checkpoint, copy it elsewhere.
//!
//! What is done to the file here needs no key: entries are changed, removed, copied, moved and cut off as they
//! lie there, sealed.

use super::harness::{Appliance, Outcome, PATIENCE, Request, is_time};
use redb::{Database, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

const AUDIT: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("audit");
const META: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("meta");
const HEAD: &[u8] = b"audit_head";

/// The tables of the log, open for writing.
struct Tool<'txn> {
    audit: redb::Table<'txn, &'static [u8], &'static [u8]>,
    meta: redb::Table<'txn, &'static [u8], &'static [u8]>,
}

impl Tool<'_> {
    /// Works on the file of an appliance that does not run.
    fn on<T>(file: &Path, work: impl FnOnce(&mut Tool<'_>) -> T) -> T {
        let database = Database::open(file).expect("it is a redb file");
        let transaction = database.begin_write().expect("it can be written");
        let audit = transaction.open_table(AUDIT).expect("there is a log");
        let meta = transaction.open_table(META).expect("there is a head");
        let mut tool = Tool { audit, meta };
        let done = work(&mut tool);
        drop(tool);
        transaction.commit().expect("it can be written");
        done
    }

    fn get(&self, number: u64) -> Vec<u8> {
        let entry = self.audit.get(number.to_be_bytes().as_slice()).expect("the table can be read");
        entry.expect("there is such an entry").value().to_vec()
    }

    fn put(&mut self, number: u64, entry: &[u8]) {
        self.audit.insert(number.to_be_bytes().as_slice(), entry).expect("the table can be written");
    }

    fn remove(&mut self, number: u64) {
        self.audit.remove(number.to_be_bytes().as_slice()).expect("the table can be written");
    }

    fn head(&self) -> Vec<u8> {
        self.meta.get(HEAD).expect("the table can be read").expect("there is a head").value().to_vec()
    }

    fn put_head(&mut self, head: &[u8]) {
        self.meta.insert(HEAD, head).expect("the table can be written");
    }

    fn count(&self) -> u64 {
        self.audit.len().expect("the table can be read")
    }
}

/// An appliance that stands still, with a log of some length.
fn with_history() -> Appliance {
    let mut appliance = Appliance::start();
    let admin = appliance.admin();
    admin.create_vault("acme/app");
    for value in ["1", "2", "3"] {
        admin.push("acme/app", "staging", &json!({ "A": value })).ok();
    }
    appliance.stop();
    appliance
}

fn verify(appliance: &Appliance) -> Outcome {
    appliance.cli(&["audit", "verify"])
}

/// The log is refused at `place`, and sound up to entry `sound`.
fn assert_broken(outcome: Outcome, place: &str, sound: u64, case: &str) {
    let words = outcome.refused(2);
    assert!(words.contains(place), "{case}: {words}");
    let up_to = if sound == 0 {
        "no entry is proven as written".to_owned()
    } else {
        format!("entries 1 to {sound}, ")
    };
    assert!(words.contains(&up_to), "{case}: {words}");
}

#[test]
fn whatever_is_done_to_entries_is_found_at_its_place() {
    let appliance = with_history();
    let file = appliance.database();
    let sound = fs::read(&file).expect("the file can be read");
    let last = Tool::on(&file, |tool| tool.count());
    assert!(last >= 7, "{last}");
    verify(&appliance).done();

    type Crime = fn(&mut Tool<'_>, u64);
    let altered: Crime = |tool, _| {
        let mut entry = tool.get(4);
        let middle = entry.len() / 2;
        entry[middle] ^= 1;
        tool.put(4, &entry);
    };
    let swapped: Crime = |tool, _| {
        let (third, fourth) = (tool.get(3), tool.get(4));
        tool.put(3, &fourth);
        tool.put(4, &third);
    };
    let moved_up: Crime = |tool, last| {
        for number in 4..last {
            let next = tool.get(number + 1);
            tool.put(number, &next);
        }
        tool.remove(last);
    };
    let crimes: [(&str, Crime, String, u64); 13] = [
        ("altered", altered, "entry 4 was altered, or belongs to another place".into(), 3),
        ("shortened", |tool, _| tool.put(4, b"short"), "entry 4 was altered".into(), 3),
        ("emptied", |tool, _| tool.put(4, b""), "entry 4 was altered".into(), 3),
        ("removed", |tool, _| tool.remove(4), "entry 4 is missing".into(), 3),
        (
            "two removed",
            |tool, _| {
                tool.remove(4);
                tool.remove(5);
            },
            "entry 4 is missing, and so are all up to entry 5".into(),
            3,
        ),
        ("first removed", |tool, _| tool.remove(1), "entry 1 is missing".into(), 0),
        (
            "copied over another",
            |tool, _| {
                let third = tool.get(3);
                tool.put(4, &third);
            },
            "entry 4 was altered, or belongs to another place".into(),
            3,
        ),
        (
            "copied to the end",
            |tool, last| {
                let third = tool.get(3);
                tool.put(last + 1, &third);
            },
            format!("entry {} was altered, or belongs to another place", last + 1),
            last,
        ),
        ("swapped", swapped, "entry 3 was altered, or belongs to another place".into(), 2),
        (
            "removed and the rest moved up",
            moved_up,
            "entry 4 was altered, or belongs to another place".into(),
            3,
        ),
        (
            "last cut off",
            |tool, last| tool.remove(last),
            format!("entry {last} is missing at the end"),
            last - 1,
        ),
        (
            "two cut off",
            |tool, last| {
                tool.remove(last);
                tool.remove(last - 1);
            },
            format!("entry {} is missing at the end, and so are all up to entry {last}", last - 1),
            last - 2,
        ),
        (
            "a record with a foreign key",
            |tool, _| {
                tool.audit.insert(b"x".as_slice(), b"x".as_slice()).expect("the table can be written");
            },
            format!("entry {} a record stands here whose key is no number", last + 1),
            last,
        ),
    ];
    for (case, crime, place, sound_to) in crimes {
        Tool::on(&file, |tool| crime(tool, last));
        assert_broken(verify(&appliance), &place, sound_to, case);
        fs::write(&file, &sound).expect("the file can be written");
    }
    verify(&appliance).done();
}

#[test]
fn a_log_that_was_taken_away_whole_is_missed_ever_after() {
    let mut appliance = with_history();
    Tool::on(&appliance.database(), |tool| {
        tool.audit.retain(|_, _| false).expect("the table can be written");
        tool.meta.remove(HEAD).expect("the table can be written");
    });
    let words = verify(&appliance).refused(2);
    assert!(words.contains("record of the log's end is missing"), "{words}");
    for _ in 0..2 {
        appliance.restart();
        appliance.admin().secrets("acme/app", "staging");
        appliance.stop();
        let words = verify(&appliance).refused(2);
        assert!(words.contains("entry 1 is missing"), "{words}");
    }
}

#[test]
fn whatever_is_done_to_the_end_of_the_log_is_found() {
    let mut appliance = with_history();
    let file = appliance.database();
    let (early, count) = Tool::on(&file, |tool| (tool.head(), tool.count()));
    appliance.restart();
    appliance.admin().secrets("acme/app", "staging");
    appliance.stop();
    let sound = fs::read(&file).expect("the file can be read");
    let now = Tool::on(&file, |tool| tool.count());
    assert_eq!(now, count + 1, "the read is in the log");
    let last = format!("entries 1 to {now}, ");
    let no_end = |words: String| {
        assert!(words.contains("record of the log's end") && words.contains(&last), "{words}")
    };
    Tool::on(&file, |tool| tool.meta.remove(HEAD).expect("the table can be written").is_some());
    no_end(verify(&appliance).refused(2));
    Tool::on(&file, |tool| tool.put_head(b"nonsense"));
    no_end(verify(&appliance).refused(2));
    Tool::on(&file, |tool| tool.put_head(&early));
    assert_broken(
        verify(&appliance),
        &format!("entry {now} stands behind the log's end"),
        now,
        "an old head",
    );
    fs::write(&file, &sound).expect("the file can be written");

    // Entries and head together: what is left is sound, and only a checkpoint from elsewhere tells.
    let checkpoint = appliance.cli(&["audit", "head"]).done();
    Tool::on(&file, |tool| {
        tool.remove(now);
        tool.put_head(&early);
    });
    verify(&appliance).done();
    let with = |checkpoint: &str| appliance.cli(&["audit", "verify", "--head", checkpoint.trim()]);
    let cut_off = format!("entry {now} is missing at the end");
    assert_broken(with(&checkpoint), &cut_off, now - 1, "against a checkpoint");
    fs::write(&file, &sound).expect("the file can be written");
    with(&checkpoint).done();
    let (number, mac) = checkpoint.trim().split_once('-').expect("a checkpoint has two parts");
    let other = format!("{number}-{}", mac.chars().rev().collect::<String>());
    assert_broken(
        with(&other),
        &format!("entry {number} is not the entry that the checkpoint"),
        now,
        "another log",
    );
    assert!(with("17").refused(1).contains("audit head"));
}

#[test]
fn a_broken_log_is_neither_hidden_nor_a_reason_not_to_serve() {
    let mut appliance = with_history();
    let file = appliance.database();
    let last = Tool::on(&file, |tool| {
        let last = tool.count();
        tool.remove(last);
        tool.remove(4);
        last
    });
    appliance.restart();
    let admin = appliance.admin();
    admin.push("acme/app", "staging", &json!({ "A": "after" })).ok();
    assert_eq!(admin.secrets("acme/app", "staging"), json!({ "A": "after" }));
    assert_broken(verify(&appliance), "entry 4 is missing", 3, "while it serves");
    // What is missing is missing from the page as well, so the answer is not held to the rules of all lists.
    let shown = admin.try_send(&Request::new("GET", "/v1/activity?repo=acme/app"));
    let shown = shown.expect("it answers").ok();
    assert_eq!(shown[0]["action"], "secrets_pulled", "what is left is shown: {shown}");
    appliance.stop();
    Tool::on(&file, |tool| {
        assert!(!tool.get(last + 1).is_empty(), "new entries stand behind all that was there")
    });
    assert_broken(verify(&appliance), "entry 4 is missing", 3, "after it has served");
}

#[test]
fn an_older_file_put_in_place_is_found_against_a_checkpoint() {
    let mut appliance = with_history();
    let old = fs::read(appliance.database()).expect("the file can be read");
    appliance.restart();
    appliance.admin().push("acme/app", "staging", &json!({ "A": "new" })).ok();
    let checkpoint = appliance.cli(&["audit", "head"]).done();
    appliance.stop();
    fs::write(appliance.database(), old).expect("the file can be written");
    verify(&appliance).done();
    let words = appliance.cli(&["audit", "verify", "--head", checkpoint.trim()]).refused(2);
    assert!(words.contains("is missing at the end"), "{words}");
}

#[test]
fn the_log_is_exported_whole_and_says_no_values() {
    let mut appliance = Appliance::start();
    let admin = appliance.admin();
    admin.create_vault("acme/app");
    admin.push("acme/app", "staging", &json!({ "API_KEY": "hunter2" })).ok();
    let running = appliance.cli(&["audit", "export", "--since", "1h", "--format", "jsonl"]).done();
    let entries: Vec<Value> =
        running.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let numbers: Vec<_> = entries.iter().map(|entry| entry["sequence"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| is_time(&entry["timestamp"])), "{running}");
    let pushed = entries.iter().find(|entry| entry["action"] == "secrets_pushed").expect("the push is there");
    assert_eq!(pushed["metadata"]["keys"], json!(["API_KEY"]));
    assert!(!running.contains("hunter2"));
    assert_eq!(entries.last().expect("there are entries")["action"], "audit_exported");
    appliance.stop();
    let still = appliance.cli(&["audit", "export"]).done();
    assert!(still.starts_with(&running), "the same when no server runs");
    assert_eq!(appliance.cli(&["audit", "export", "--since", "2100-01-01"]).done(), "");
    let report: Value =
        serde_json::from_str(&appliance.cli(&["audit", "verify", "--json"]).done()).expect("it is JSON");
    assert_eq!(
        (&report["sound"], &report["first"], &report["fault"]),
        (&json!(true), &json!(1), &Value::Null)
    );
}

/// The numbers in a copy of the log.
fn copied(file: &Path) -> Vec<u64> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let number =
        |line: &str| serde_json::from_str::<Value>(line).expect("a line is JSON")["sequence"].as_u64();
    text.lines().map(|line| number(line).expect("an entry has a number")).collect()
}

fn wait_for_copy(file: &Path, last: u64) {
    let begun = Instant::now();
    while !fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("{{\"sequence\":{last},")))
        || !fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))
    {
        assert!(begun.elapsed() < PATIENCE, "entry {last} is not copied");
        std::thread::yield_now();
    }
}

#[test]
fn entries_are_copied_without_gaps_or_repetitions_whatever_happens() {
    let mut appliance = Appliance::start();
    let copy: PathBuf = appliance.data_dir().with_file_name("audit.jsonl");
    let last = |appliance: &Appliance| {
        let head = appliance.cli(&["audit", "head"]).done();
        head.split('-').next().expect("a checkpoint begins with a number").parse::<u64>().expect("a number")
    };
    appliance.admin().create_vault("acme/app");
    appliance.stop();
    appliance.set("KEYWAYD_AUDIT__FORWARD", copy.to_str().expect("a path of letters"));
    appliance.restart();
    wait_for_copy(&copy, last(&appliance));
    appliance.admin().push("acme/app", "staging", &json!({ "A": "1" })).ok();
    appliance.stop();
    let now = last(&appliance);
    assert_eq!(copied(&copy), (1..=now).collect::<Vec<_>>(), "the last ones are copied on the way out");

    appliance.restart();
    appliance.admin().push("acme/app", "staging", &json!({ "A": "2" })).ok();
    wait_for_copy(&copy, now + 1);
    appliance.kill();
    let torn = fs::read_to_string(&copy).expect("the copy can be read") + "{\"sequence\":99";
    fs::write(&copy, torn).expect("the copy can be written");
    appliance.restart();
    appliance.admin().push("acme/app", "staging", &json!({ "A": "3" })).ok();
    wait_for_copy(&copy, now + 2);
    assert_eq!(copied(&copy), (1..=now + 2).collect::<Vec<_>>(), "after a kill in the middle of a line");

    appliance.stop();
    fs::rename(&copy, copy.with_extension("1")).expect("the copy can be rotated");
    appliance.restart();
    appliance.admin().push("acme/app", "staging", &json!({ "A": "4" })).ok();
    wait_for_copy(&copy, now + 3);
    assert_eq!(copied(&copy), [now + 3], "a rotated copy goes on in a new file");
    appliance.stop();
    appliance.set("KEYWAYD_AUDIT__FORWARD", "/nowhere/audit.jsonl");
    let refused = appliance.launch().expect_err("it cannot copy there");
    assert!(refused.stderr.contains("audit.forward"), "{}", refused.stderr);
}
