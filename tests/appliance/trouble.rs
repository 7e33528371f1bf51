//! Every command of the operator's that touches the data, on a machine in trouble: a full disk, a disk that only
//! reads, a master key that cannot be had, a damaged page. Each says what is wrong, leaves the data as it was, and
//! does its work once the trouble is over.

use super::harness::{Appliance, Outcome, run, skipped, snapshot, with_short_files};
use nix::unistd::{Gid, Uid, chown};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const REPO: &str = "admin/app";

/// An appliance at rest, a good backup of it, and `.env` files that it has not seen.
struct Place {
    appliance: Appliance,
    there: Value,
    outside: TempDir,
    recipient: String,
}

impl Place {
    fn new() -> Self {
        let mut appliance = Appliance::start();
        let admin = appliance.admin();
        admin.create_vault(REPO);
        let long =
            |n: u32| (0..3_000_u32).map(|at| char::from(b'a' + (at * n % 23) as u8)).collect::<String>();
        let secrets: Value = (0..60).map(|n| (format!("K{n}"), json!(long(n)))).collect();
        admin.push(REPO, "production", &secrets).ok();
        let there = admin.secrets(REPO, "production");
        let outside = tempfile::tempdir().expect("a temporary directory");
        let new = outside.path().join("env/admin/new");
        fs::create_dir_all(&new).expect("directories can be made");
        let lines: String = (0..60).map(|n| format!("K{n}={}\n", long(n + 1))).collect();
        fs::write(new.join("staging.env"), lines).expect("it can be written");
        appliance.cli(&["backup", text(&outside.path().join("good"))]).done();
        appliance.stop();
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        Self { appliance, there, outside, recipient }
    }

    /// The commands; after those that change the key the backup is of no use any more.
    fn commands(&self) -> [Vec<String>; 8] {
        let file = |name: &str| text(&self.outside.path().join(name)).to_owned();
        let words = |line: &[&str]| line.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        [
            words(&["verify"]),
            words(&["backup", &file("fresh")]),
            words(&["export", &file("fresh"), "--recipient", &self.recipient]),
            words(&["restore", &file("good"), "--force"]),
            words(&["compact"]),
            words(&["import", &file("env")]),
            words(&["key", "rotate"]),
            words(&["key", "rotate", "--root", "--data"]),
        ]
    }

    fn cli(&self, command: &[String]) -> Outcome {
        self.appliance.cli(&command.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn with_data_dir(&self, command: &[String]) -> Vec<String> {
        [command, &["--data-dir".to_owned(), text(&self.appliance.data_dir()).to_owned()]].concat()
    }

    /// The trouble is over: what was there is there, and `command` does its work.
    fn recovers(&mut self, command: &[String]) {
        self.appliance.cli(&["verify"]).done();
        let left: Vec<_> = files(&self.appliance.data_dir());
        assert!(left.iter().all(|name| !name.ends_with("ing") && !name.contains("partial")), "{left:?}");
        self.cli(command).done();
        let _ = fs::remove_file(self.outside.path().join("fresh"));
        self.appliance.restart();
        assert_eq!(self.appliance.admin().secrets(REPO, "production"), self.there, "{command:?}");
        self.appliance.stop();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it can be read");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

/// Runs the program where `directory` can be read and not written.
fn on_a_disk_that_only_reads(directory: &Path, arguments: &[String]) -> Option<Outcome> {
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit 99
        touch \"$1/probe\" 2>/dev/null && exit 99
        shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(directory);
    command.arg(env!("CARGO_BIN_EXE_keywayd")).args(arguments);
    let outcome = run(command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "");
    (outcome.status != 99 && !outcome.stderr.starts_with("unshare")).then_some(outcome)
}

#[test]
fn on_a_full_disk_nothing_is_lost_and_it_is_said() {
    let mut place = Place::new();
    for command in place.commands() {
        let arguments = place.with_data_dir(&command);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let Some(outcome) = with_short_files(64, &arguments) else {
            return skipped("commands on a full disk: this machine does not limit files");
        };
        if command[0] == "verify" {
            outcome.done();
        } else {
            assert_eq!(outcome.status, 1, "{command:?} {outcome:?}");
            assert!(outcome.stderr.contains("there is no room"), "{command:?} {outcome:?}");
            assert!(!place.outside.path().join("fresh").exists(), "{command:?}");
        }
        place.recovers(&command);
    }
}

#[test]
fn on_a_disk_that_only_reads_nothing_is_tried() {
    let mut place = Place::new();
    for command in place.commands() {
        let untouched = snapshot(&place.appliance.data_dir());
        let arguments = place.with_data_dir(&command);
        let Some(outcome) = on_a_disk_that_only_reads(&place.appliance.data_dir(), &arguments) else {
            return skipped("commands on a disk that only reads: this machine has no mounts of its own");
        };
        let told = outcome.refused(1);
        assert!(told.contains("Read-only file system"), "{command:?} {told}");
        assert_eq!(snapshot(&place.appliance.data_dir()), untouched, "{command:?}");
        place.recovers(&command);
    }
}

#[test]
fn without_a_usable_master_key_nothing_is_touched() {
    let mut place = Place::new();
    let key = place.outside.path().join("the.key");
    fs::rename(place.appliance.data_dir().join("master.key"), &key).expect("it can be moved");
    place.appliance.set("KEYWAYD_MASTER_KEY__FILE", text(&key));
    let aside = place.outside.path().join("aside");
    let set_mode = |mode| fs::set_permissions(&key, Permissions::from_mode(mode)).expect("it can be set");
    for command in place.commands() {
        let refused = |words: &str| {
            let untouched = snapshot(&place.appliance.data_dir());
            let told = place.cli(&command).refused(1);
            assert!(told.contains(words) && told.contains("hint: "), "{command:?} `{words}`\n{told}");
            assert_eq!(snapshot(&place.appliance.data_dir()), untouched, "{command:?} {words}");
        };
        set_mode(0o644);
        refused("readable by others");
        set_mode(0o600);
        fs::rename(&key, &aside).expect("it can be moved");
        refused("is missing");
        fs::create_dir(&key).expect("it can be made");
        refused("is a directory");
        fs::remove_dir(&key).expect("it is empty");
        fs::write(&key, "ab".repeat(20)).expect("it can be written");
        set_mode(0o600);
        refused("has the wrong length");
        fs::rename(&aside, &key).expect("it can be moved");
        place.recovers(&command);
    }
}

/// Commands that root runs act as the owner of the data, who may not be let at the key.
#[test]
fn a_key_that_the_owner_of_the_data_may_not_read_is_told() {
    if !Uid::effective().is_root() {
        return skipped("another owner of the data: only root can make one");
    }
    let mut place = Place::new();
    let key = place.outside.path().join("the.key");
    fs::rename(place.appliance.data_dir().join("master.key"), &key).expect("it can be moved");
    place.appliance.set("KEYWAYD_MASTER_KEY__FILE", text(&key));
    let nobody = |path: &Path| {
        chown(path, Some(Uid::from_raw(65_534)), Some(Gid::from_raw(65_534))).expect("root may do that");
    };
    let data = place.appliance.data_dir();
    files(&data).iter().map(|name| data.join(name)).chain([data.clone()]).for_each(|path| nobody(&path));
    let open = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it can be set");
    };
    open(place.appliance.home(), 0o755);
    open(place.outside.path(), 0o777);
    let untouched = snapshot(&data);
    for command in place.commands() {
        let told = place.cli(&command).refused(1);
        assert!(told.contains("cannot read") && told.contains("Permission denied"), "{command:?} {told}");
        assert_eq!(snapshot(&data), untouched, "{command:?}");
    }
}

/// One page after the other: whoever only reads leaves the file as it is, nobody panics, and no backup or archive of
/// damaged data is made.
#[test]
fn a_damaged_page_is_told_and_not_made_worse() {
    let mut place = Place::new();
    let database = place.appliance.database();
    let whole = fs::read(&database).expect("it can be read");
    let pages = whole.len() / 4_096;
    for command in place.commands() {
        let mut told = 0;
        for page in (0..pages).step_by(pages.div_ceil(12)) {
            let mut damaged = whole.clone();
            damaged[page * 4_096 + 100..page * 4_096 + 116].fill(0xa5);
            fs::write(&database, &damaged).expect("it can be written");
            let outcome = place.cli(&command);
            assert!(!outcome.stderr.contains("panicked"), "{command:?}, page {page}: {outcome:?}");
            told += u32::from(outcome.status != 0);
            if outcome.status != 0 {
                assert!(outcome.stderr.contains("error: "), "{command:?}, page {page}: {outcome:?}");
                assert!(!place.outside.path().join("fresh").exists(), "{command:?}, page {page}");
            }
            if command[0] == "verify" {
                assert!(fs::read(&database).expect("it can be read") == damaged, "{command:?}, page {page}");
            }
            put_back(&place, &whole);
        }
        let looks_at_all = ["verify", "backup", "export", "compact"].contains(&command[0].as_str());
        assert!(told > 0 || !looks_at_all, "{command:?}: nobody noticed");
        place.recovers(&command);
        put_back(&place, &whole);
    }
}

/// The database as it was, with the key that opens it.
fn put_back(place: &Place, whole: &[u8]) {
    let data = place.appliance.data_dir();
    fs::write(place.appliance.database(), whole).expect("it can be written");
    let kept = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.contains("master.key.") && !name.ends_with(".new")
    };
    if let Some(old) = files(&data).iter().map(|name| data.join(name)).find(kept) {
        fs::rename(old, data.join("master.key")).expect("it can be moved");
    }
    let _ = fs::remove_file(place.outside.path().join("fresh"));
}

/// What was acknowledged is there; what was not is refused in words, to the client, to probes and in the log.
#[test]
fn a_server_on_a_full_disk_says_so_and_loses_nothing() {
    if with_short_files(64, &["version"]).is_none() {
        return skipped("a server on a full disk: this machine does not limit files");
    }
    let mut place = Place::new();
    let appliance = &mut place.appliance;
    let kib = fs::metadata(appliance.database()).expect("it is there").len() * 3 / 1_024;
    let limited = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
    appliance.through(&["/bin/bash", "-c", &limited, "bash"]);
    appliance.restart();
    let admin = appliance.admin();
    assert_eq!(admin.get("/ready").status, 200);
    let mut acknowledged = 0;
    let refused = loop {
        let secrets = json!({ "N": (acknowledged + 1).to_string(), "LONG": "y".repeat(40_000) });
        let answer = admin.push(REPO, "staging", &secrets);
        if answer.status != 200 {
            break answer.refused(503);
        }
        acknowledged += 1;
        assert!(acknowledged < 10_000, "the limit is not kept");
    };
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("no room")), "{refused}");
    for path in ["/health", "/ready"] {
        let refused = appliance.stranger().get(path).refused(503);
        assert!(
            refused["detail"].as_str().is_some_and(|detail| detail.contains("cannot serve")),
            "{refused}"
        );
    }
    let again = admin.push(REPO, "staging", &json!({ "N": "more" })).refused(503);
    assert!(again["detail"].as_str().is_some_and(|detail| detail.contains("cannot serve")), "{again}");
    let line = appliance.log().wait_for("a commit failed").expect("the log tells");
    assert!(line.contains("ERROR") && line.contains("File too large"), "{line}");
    appliance.stop();
    appliance.through(&[]);
    appliance.restart();
    assert!(acknowledged > 0, "there was room for one");
    assert_eq!(appliance.admin().secrets(REPO, "staging")["N"], acknowledged.to_string());
    appliance.cli(&["verify"]).done();
}
