//! Backups, and what they are for: what was there is there again, on another machine, with nothing but the
//! file and the key. And what is no whole backup is refused in words, with nothing changed.

use super::harness::{Appliance, skipped, snapshot, with_short_files};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const REPO: &str = "admin/app";
/// How often each client pushes between two backups under load.
const PUSHES_EACH: u64 = 40;

/// An appliance with a vault, an old value, something in the trash, and a backup of that.
fn with_backup() -> (Appliance, TempDir, PathBuf) {
    let appliance = Appliance::start();
    let admin = appliance.admin();
    admin.create_vault(REPO);
    admin.push(REPO, "production", &json!({ "A": "1", "GONE": "x" })).ok();
    admin.push(REPO, "production", &json!({ "A": "2", "LONG": "y".repeat(60_000) })).ok();
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let file = elsewhere.path().join("backup.redb");
    appliance.cli(&["backup", text(&file)]).done();
    (appliance, elsewhere, file)
}

/// Another machine: an appliance that does not run, and takes its key from `other`'s file.
fn elsewhere(other: &Appliance) -> Appliance {
    let mut appliance = Appliance::start();
    appliance.stop();
    appliance.set("KEYWAYD_MASTER_KEY__FILE", text(&other.data_dir().join("master.key")));
    appliance
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

#[test]
fn what_was_backed_up_is_there_again_elsewhere() {
    let (mut appliance, _keep, file) = with_backup();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = appliance.admin().secrets(REPO, "production");
    appliance.admin().push(REPO, "production", &json!({ "A": "later" })).ok();
    let later_key = appliance.key_for("admin", &[]);
    appliance.client(&later_key).get("/v1/users/me").ok();

    let mut other = elsewhere(&appliance);
    let own = snapshot(&other.data_dir());
    let told = other.cli(&["restore", text(&file)]).refused(1);
    assert!(told.contains("`--force`"), "{told}");
    assert_eq!(snapshot(&other.data_dir()), own, "without `--force` nothing is touched");
    let outcome = other.cli(&["restore", text(&file), "--force"]);
    assert!(outcome.stderr.contains("all sessions have ended"), "{outcome:?}");
    assert!(outcome.done().contains(&appliance.token[..8]), "the key of the first login is listed");
    other.restart();
    let there = other.client(&appliance.token);
    assert_eq!(there.secrets(REPO, "production"), before);
    other.client(&later_key).get("/v1/users/me").refused(401);
    other.cli(&["verify"]).done();
    let trash = there.get(&format!("/v1/vaults/{REPO}/trash")).ok();
    assert_eq!(trash[0]["key"], "GONE");
    let aside = fs::read_dir(other.data_dir()).unwrap().filter_map(Result::ok);
    let aside = aside.filter(|entry| entry.file_name().to_string_lossy().contains(".replaced-"));
    assert_eq!(aside.count(), 1, "the database that was there is kept");
    // On the same machine as well, over what is there.
    appliance.stop();
    appliance.cli(&["restore", text(&file), "--force"]).done();
    appliance.restart();
    assert_eq!(appliance.admin().secrets(REPO, "production"), before);
}

#[test]
fn keys_that_were_deleted_since_are_listed() {
    let appliance = Appliance::start();
    let admin = appliance.admin();
    let kept = admin.post("/v1/api-keys", &key("kept")).created();
    let revoked = admin.post("/v1/api-keys", &key("revoked-later")).created();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("b");
    appliance.cli(&["backup", text(&file)]).done();
    admin.delete(&format!("/v1/api-keys/{}", revoked["id"].as_str().unwrap())).no_content();
    let mut appliance = appliance;
    appliance.stop();
    let listed = appliance.cli(&["restore", text(&file), "--force"]).done();
    assert!(listed.contains("revoked-later") && !listed.contains("kept"), "{listed}");
    appliance.restart();
    for key in [&kept, &revoked] {
        appliance.client(key["token"].as_str().unwrap()).get("/v1/users/me").ok();
    }
}

fn key(name: &str) -> Value {
    json!({ "name": name, "environment": "live", "scopes": ["read:secrets"] })
}

#[test]
fn a_backup_is_only_made_whole_and_where_nothing_is() {
    let (mut appliance, place, file) = with_backup();
    let made = fs::read(&file).unwrap();
    for running in [true, false] {
        if !running {
            appliance.stop();
        }
        let told = appliance.cli(&["backup", text(&file)]).refused(1);
        assert!(told.contains("exists already"), "{told}");
        assert_eq!(fs::read(&file).unwrap(), made);
        let nowhere = place.path().join("no/such/place");
        let told = appliance.cli(&["backup", text(&nowhere)]).refused(1);
        assert!(told.contains("no/such/place.partial") && told.contains("No such file"), "{told}");
    }
    // Relative to where the command is run, not the server.
    appliance.restart();
    appliance.cli(&["backup", "here.redb"]).done();
    assert!(appliance.data_dir().parent().unwrap().join("here.redb").exists());
    let report = appliance.cli(&["backup", "json.redb", "--json"]).done();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["records"].as_u64().unwrap() > 10 && report["bytes"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn what_is_no_whole_backup_is_refused_and_nothing_changes() {
    let (appliance, place, file) = with_backup();
    let mut other = elsewhere(&appliance);
    let whole = fs::read(&file).unwrap();
    let untouched = snapshot(&other.data_dir());
    let bad = place.path().join("bad.redb");
    let refused = |content: &[u8], words: &str| {
        fs::write(&bad, content).unwrap();
        let told = other.cli(&["restore", text(&bad), "--force"]).refused(1);
        assert!(told.contains(words), "{words}\n{told}");
        assert!(!told.contains("panicked"), "{told}");
        assert_eq!(snapshot(&other.data_dir()), untouched, "{words}");
        assert_eq!(fs::read(&bad).unwrap(), content, "the file is only read");
    };
    refused(b"", "is damaged or is no keywayd database");
    refused(b"SQLite format 3\0 and so on", "is damaged or is no keywayd database");
    for part in [1, 2, 3, 7, 10, 15] {
        refused(&whole[..whole.len() * part / 16], "restore");
    }
    // One byte in each page: either a page's checksum or a record's seal notices, or the page is free.
    for page in 0..whole.len() / 4096 {
        let mut damaged = whole.clone();
        damaged[page * 4096 + 600] ^= 1;
        fs::write(&bad, &damaged).unwrap();
        let outcome = other.cli(&["restore", text(&bad), "--force"]);
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
        if outcome.status == 0 {
            other.restart();
            assert_eq!(
                other.client(&appliance.token).secrets(REPO, "production"),
                appliance.admin().secrets(REPO, "production"),
                "page {page} was not free"
            );
            other.stop();
        }
    }
    let told = other.cli(&["restore", text(place.path()), "--force"]).refused(1);
    assert!(told.contains("it is no file"), "{told}");
    let told = other.cli(&["restore", "/nowhere", "--force"]).refused(1);
    assert!(told.contains("`/nowhere`"), "{told}");
}

#[test]
fn with_another_key_it_says_which_is_needed() {
    let (_appliance, _place, file) = with_backup();
    let mut other = Appliance::start();
    other.stop();
    let untouched = snapshot(&other.data_dir());
    let told = other.cli(&["restore", text(&file), "--force"]).refused(1);
    assert!(told.contains("it needs master key 1 (id `"), "{told}");
    assert_eq!(snapshot(&other.data_dir()), untouched);
}

#[test]
fn a_running_server_is_not_pushed_aside() {
    let (appliance, _place, file) = with_backup();
    for command in [&["restore", text(&file), "--force"][..], &["compact"]] {
        let told = appliance.cli(command).refused(1);
        assert!(told.contains("stop the server"), "{told}");
    }
    appliance.admin().get("/v1/users/me").ok();
}

#[test]
fn verify_finds_what_is_damaged_and_compact_gives_space_back() {
    let mut appliance = Appliance::start_with(&[("KEYWAYD_SECRETS__VERSIONS_KEPT", "1")]);
    let admin = appliance.admin();
    admin.create_vault(REPO);
    for round in 0..8 {
        let secrets: Value =
            (0..12).map(|n| (format!("K{n}"), json!(format!("{round}{}", "z".repeat(60_000))))).collect();
        admin.push(REPO, "production", &secrets).ok();
    }
    admin.create_vault("admin/kept");
    admin.push("admin/kept", "local", &json!({ "A": "b" })).ok();
    // What is purged leaves its room in the file.
    let big = admin.get(&format!("/v1/vaults/{REPO}")).ok()["id"].as_str().expect("an id").to_owned();
    admin.delete(&format!("/v1/vaults/{REPO}")).no_content();
    admin.delete(&format!("/v1/trash/vaults/{big}")).no_content();
    let said = appliance.cli(&["verify"]);
    assert!(said.stderr.contains("every one opens"), "{said:?}");
    appliance.stop();
    appliance.cli(&["verify"]).done();
    let before = fs::metadata(appliance.database()).unwrap().len();
    appliance.cli(&["compact"]).done();
    let after = fs::metadata(appliance.database()).unwrap().len();
    assert!(after < before, "{before} → {after}");
    assert_eq!(fs::metadata(appliance.database()).unwrap().permissions().mode() & 0o777, 0o600);
    appliance.restart();
    assert_eq!(appliance.admin().secrets("admin/kept", "local"), json!({ "A": "b" }));
    appliance.stop();

    let whole = fs::read(appliance.database()).unwrap();
    let mut noticed = 0;
    for page in (0..whole.len() / 4096).step_by(3) {
        let mut damaged = whole.clone();
        damaged[page * 4096 + 100..page * 4096 + 116].fill(0xa5);
        fs::write(appliance.database(), &damaged).unwrap();
        let outcome = appliance.cli(&["verify"]);
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
        noticed += u32::from(outcome.status == 1);
        assert_eq!(fs::read(appliance.database()).unwrap(), damaged, "verify changes nothing");
    }
    assert!(noticed > 0);
}

#[test]
fn where_there_is_no_room_nothing_is_left_behind() {
    let (mut appliance, place, file) = with_backup();
    appliance.stop();
    let dir = appliance.data_dir();
    let untouched = snapshot(&dir);
    let full = place.path().join("full.redb");
    for arguments in [
        vec!["backup", text(&full), "--data-dir", text(&dir)],
        vec!["compact", "--data-dir", text(&dir)],
        vec!["restore", text(&file), "--force", "--data-dir", text(&dir)],
    ] {
        let Some(outcome) = with_short_files(64, &arguments) else {
            return skipped("a full disk: this machine keeps no limit on the length of files");
        };
        let told = outcome.refused(1);
        assert!(told.contains("there is no room"), "{arguments:?}\n{told}");
        assert_eq!(snapshot(&dir).len(), untouched.len(), "{arguments:?} leaves nothing behind");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "{arguments:?}");
    }
    appliance.cli(&["verify"]).done();
    appliance.restart();
    assert_eq!(appliance.admin().secrets(REPO, "production")["A"], "2");
}

/// Whenever a command is killed: the data is whole, and the next run starts cleanly.
#[test]
fn a_killed_command_costs_nothing() {
    let (mut appliance, place, file) = with_backup();
    appliance.stop();
    let target = place.path().join("killed.redb");
    let commands: [&[&str]; 3] =
        [&["backup", text(&target)], &["compact"], &["restore", text(&file), "--force"]];
    for arguments in commands {
        for delay in (0..60).step_by(4) {
            appliance.cli_killed(arguments, Duration::from_millis(delay), false);
            appliance.cli(&["verify"]).done();
            let _ = fs::remove_file(&target);
        }
        appliance.cli(arguments).done();
        let drafts = fs::read_dir(appliance.data_dir()).unwrap().filter_map(Result::ok);
        let drafts: Vec<_> = drafts.map(|entry| entry.file_name().into_string().unwrap()).collect();
        assert!(!drafts.iter().any(|name| name.ends_with("ing")), "{drafts:?}");
    }
    appliance.restart();
    assert_eq!(appliance.admin().secrets(REPO, "production")["A"], "2");
}

#[test]
fn backups_under_load_hold_a_state_that_was() {
    under_load(12);
}

/// The same two hundred times, for whoever wants to know exactly: `cargo test -- --ignored two_hundred`.
#[test]
#[ignore = "takes minutes"]
fn two_hundred_backups_under_load_hold_a_state_that_was() {
    under_load(200);
}

/// Clients count upwards, each first in one environment and then in another. In a backup, whenever taken, the
/// first is as far as was answered before it began or farther, not farther than was asked for when it
/// was done, and the second equal or one behind.
fn under_load(backups: usize) {
    let appliance = Appliance::start();
    let place = tempfile::tempdir().expect("a temporary directory");
    let repos: Vec<String> = (0..3).map(|n| format!("admin/load-{n}")).collect();
    repos.iter().for_each(|repo| appliance.admin().create_vault(repo));
    let asked: Vec<AtomicU64> = repos.iter().map(|_| AtomicU64::new(0)).collect();
    let answered: Vec<AtomicU64> = repos.iter().map(|_| AtomicU64::new(0)).collect();
    let read = |counts: &[AtomicU64]| counts.iter().map(|n| n.load(Ordering::SeqCst)).collect::<Vec<_>>();
    let (done, begun) = (std::sync::atomic::AtomicBool::new(false), AtomicU64::new(0));
    let mut taken = Vec::new();
    std::thread::scope(|scope| {
        for (index, repo) in repos.iter().enumerate() {
            let (asked, answered, done, begun) = (&asked[index], &answered[index], &done, &begun);
            let client = appliance.admin();
            scope.spawn(move || {
                for number in 1.. {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    // So many between two backups: more would only fill the disk.
                    while number > PUSHES_EACH * (begun.load(Ordering::SeqCst) + 1)
                        && !done.load(Ordering::SeqCst)
                    {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    asked.store(number, Ordering::SeqCst);
                    let secrets = json!({ "N": number.to_string(), "FILL": "f".repeat(5_000) });
                    client.push(repo, "staging", &secrets).ok();
                    client.push(repo, "production", &secrets).ok();
                    answered.store(number, Ordering::SeqCst);
                }
            });
        }
        for number in 0..backups {
            let file = place.path().join(number.to_string());
            begun.fetch_add(1, Ordering::SeqCst);
            let least = read(&answered);
            let outcome = appliance.cli(&["backup", text(&file)]);
            if outcome.status != 0 {
                done.store(true, Ordering::SeqCst);
            }
            outcome.done();
            taken.push((file, least, read(&asked)));
        }
        done.store(true, Ordering::SeqCst);
    });
    let mut other = elsewhere(&appliance);
    for (file, least, most) in taken {
        other.cli(&["restore", text(&file), "--force"]).done();
        other.restart();
        let client = other.client(&appliance.token);
        for (index, repo) in repos.iter().enumerate() {
            let number = |environment| {
                let secrets = client.secrets(repo, environment);
                secrets["N"].as_str().map_or(0, |text| text.parse::<u64>().expect("a number was pushed"))
            };
            let (first, second) = (number("staging"), number("production"));
            assert!((least[index]..=most[index]).contains(&first), "{least:?} {first} {most:?}");
            assert!(second == first || second + 1 == first, "{first} {second}");
        }
        other.stop();
        for entry in fs::read_dir(other.data_dir()).expect("the directory is there").filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().contains(".replaced-") {
                fs::remove_file(entry.path()).expect("our own file");
            }
        }
    }
}

#[test]
fn the_timetable_takes_backups_and_keeps_the_last() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("backups");
    let mut appliance = Appliance::start_with(&[("KEYWAYD_BACKUP__DIR", text(&dir))]);
    let log = appliance.log();
    let line = log.wait_for("backup taken").unwrap_or_else(|| panic!("none is taken:\n{}", log.text()));
    assert!(line.contains("keyway-000001-"), "{line}");
    appliance.stop();
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let mut other = elsewhere(&appliance);
    other.cli(&["restore", text(&files[0]), "--force"]).done();
    other.restart();
    other.client(&appliance.token).get("/v1/users/me").ok();
    // Where it cannot be written the log says so.
    appliance.set("KEYWAYD_BACKUP__DIR", "/proc/nowhere");
    appliance.restart();
    let log = appliance.log();
    assert!(log.wait_for("the scheduled backup failed").is_some(), "{}", log.text());
}
