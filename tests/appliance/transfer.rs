//! Moving to another appliance with nothing but an archive and a passphrase, and in from `.env` files: what
//! arrives is what was there, every name is told, no value is, and what is no whole archive brings nothing.

use super::harness::{Appliance, Outcome, skipped, snapshot, with_short_files};
use age::secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

const REPO: &str = "admin/app";
const WORDS: &str = "correct horse battery staple\n";

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

/// Values that are hard to carry.
fn awkward() -> Value {
    json!({
        "EMPTY": "", "LINES": "one\ntwo\r\n", "QUOTES": "'\"`\\", "HASH": " # not a comment ", "UNICODE": "é\u{2028}🔑",
        "lower_case": "x", "LONG": "z".repeat(60_000), "VALUE_NEVER_SHOWN": "hunter2-hunter2",
    })
}

/// An appliance with two vaults, a protected environment and an override.
fn filled() -> Appliance {
    let appliance = Appliance::start();
    let admin = appliance.admin();
    admin.create_vault(REPO);
    admin.create_vault("admin/Other.Repo");
    admin.push(REPO, "production", &awkward()).ok();
    admin.push(REPO, "local", &json!({ "A": "1" })).ok();
    let production = format!("/v1/vaults/{REPO}/environments/production/type");
    admin.patch(&production, &json!({ "type": "protected" })).ok();
    let rule = json!({ "environment": "staging", "targetType": "role", "targetRole": "write", "canRead": true, "canWrite": false });
    admin.post(&format!("/v1/vaults/{REPO}/permissions/overrides"), &rule).created();
    appliance
}

fn no_values(outcome: &Outcome) {
    for words in [&outcome.stdout, &outcome.stderr] {
        assert!(!words.contains("hunter2") && !words.contains("zzzz"), "{words}");
    }
}

#[test]
fn an_archive_moves_everything_to_another_appliance() {
    let mut from = filled();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("all.age");
    let outcome = from.cli_with(&["export", text(&file)], WORDS);
    assert!(outcome.stderr.contains("8 environments with 9 secrets"), "{outcome:?}");
    no_values(&outcome);
    outcome.done();
    let sealed = fs::read(&file).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
    for plain in ["hunter2", "VALUE_NEVER_SHOWN", "admin/app", "production"] {
        assert!(!sealed.windows(plain.len()).any(|window| window == plain.as_bytes()), "{plain}");
    }
    let told = from.cli_with(&["export", text(&file)], WORDS).refused(1);
    assert!(told.contains("exists already"), "{told}");

    let mut to = Appliance::start();
    for dry_run in [true, false] {
        let mut arguments = vec!["import", text(&file)];
        arguments.extend(dry_run.then_some("--dry-run"));
        let outcome = to.cli_with(&arguments, WORDS);
        no_values(&outcome);
        assert!(outcome.stderr.contains("9 taken, 0 changed, 0 as they were, 0 refused"), "{outcome:?}");
        assert_eq!(outcome.stderr.contains("nothing was written"), dry_run, "{outcome:?}");
        let listed = outcome.done();
        assert!(listed.contains("taken    admin/app production VALUE_NEVER_SHOWN\n"), "{listed}");
        assert!(listed.contains("new      admin/Other.Repo staging\n"), "{listed}");
        let there = to.admin().get(&format!("/v1/vaults/{REPO}"));
        assert_eq!(there.status, if dry_run { 404 } else { 200 });
    }
    let (old, new) = (from.admin(), to.admin());
    for environment in ["local", "development", "staging", "production"] {
        assert_eq!(new.secrets(REPO, environment), old.secrets(REPO, environment), "{environment}");
    }
    assert_eq!(new.secrets(REPO, "production"), awkward());
    // Types and overrides, seen through somebody with the role `write`.
    for appliance in [&from, &to] {
        let writer = appliance.account("writer");
        appliance.cli(&["repo", "grant", REPO, "writer", "write"]).done();
        let rights = writer.get(&format!("/v1/vaults/{REPO}/permissions/effective")).ok();
        assert_eq!(
            rights["permissions"]["production"],
            json!({ "canRead": true, "canWrite": false }),
            "{rights}"
        );
        assert_eq!(
            rights["permissions"]["staging"],
            json!({ "canRead": true, "canWrite": false }),
            "{rights}"
        );
        assert_eq!(rights["permissions"]["local"], json!({ "canRead": true, "canWrite": true }), "{rights}");
    }
    // Both logs say so; and neither a value nor the passphrase.
    for (appliance, action) in [(&from, "environment_exported"), (&to, "environment_imported")] {
        let log = appliance.cli(&["audit", "export"]).done();
        assert_eq!(log.matches(&format!("\"{action}\"")).count(), 8, "{log}");
        assert!(!log.contains("hunter2") && !log.contains("battery"), "{log}");
        appliance.cli(&["audit", "verify"]).done();
        appliance.cli(&["verify"]).done();
    }
    // Again, and with the server stopped: nothing is new; what was changed since is set back and kept as a version.
    to.admin().push(REPO, "local", &json!({ "A": "2", "B": "3" })).ok();
    to.stop();
    let outcome = to.cli_with(&["import", text(&file), "--json"], WORDS);
    let report: Value = serde_json::from_str(&outcome.done()).unwrap();
    let local = report["environments"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["environment"] == "local" && one["repository"] == REPO);
    assert_eq!(local.unwrap()["changed"], json!(["A"]), "{report}");
    to.restart();
    assert_eq!(to.admin().secrets(REPO, "local"), json!({ "A": "1", "B": "3" }), "nothing is deleted");
    from.stop();
    from.cli_with(&["export", text(&place.path().join("offline.age"))], WORDS).done();
}

#[test]
fn an_archive_for_age_keys_is_a_real_age_file() {
    let appliance = filled();
    let place = tempfile::tempdir().unwrap();
    let (file, key) = (place.path().join("x.age"), place.path().join("key.txt"));
    let identity = age::x25519::Identity::generate();
    fs::write(&key, format!("# made for a test\n{}\n", identity.to_string().expose_secret())).unwrap();
    let recipient = identity.to_public().to_string();
    let other = age::x25519::Identity::generate().to_public().to_string();
    appliance.cli(&["export", text(&file), "--recipient", &other, "--recipient", &recipient]).done();

    let decryptor =
        age::Decryptor::new_buffered(std::io::BufReader::new(fs::File::open(&file).unwrap())).unwrap();
    let mut plain = String::new();
    let mut reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).unwrap();
    reader.read_to_string(&mut plain).unwrap();
    let lines: Vec<Value> = plain.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["format"], &lines[0]["version"]), (&json!("keywayd archive"), &json!(1)));
    assert_eq!(lines[lines.len() - 1], json!({ "end": { "environments": 8, "secrets": 9 } }));
    let production =
        lines.iter().find(|line| line["repository"] == REPO && line["environment"] == "production");
    let production = production.unwrap();
    assert_eq!((&production["source"], &production["type"]), (&json!("local"), &json!("protected")));
    assert_eq!(production["secrets"], awkward());

    let to = Appliance::start();
    to.cli(&["import", text(&file), "--identity", text(&key)]).done();
    assert_eq!(to.admin().secrets(REPO, "production"), awkward());
    // And what age itself made is read.
    let again = place.path().join("again.age");
    let encryptor = age::Encryptor::with_user_passphrase(WORDS.trim().to_owned().into());
    let mut writer = encryptor.wrap_output(fs::File::create(&again).unwrap()).unwrap();
    writer.write_all(plain.as_bytes()).unwrap();
    writer.finish().unwrap();
    let outcome = to.cli_with(&["import", text(&again)], WORDS);
    assert!(outcome.stderr.contains("0 taken, 0 changed, 9 as they were"), "{outcome:?}");

    for (arguments, words) in [
        (vec!["import", text(&file)], "opens with a private key"),
        (vec!["import", text(&again), "--identity", text(&key)], "opens with a passphrase"),
        (vec!["import", text(&file), "--identity", text(&file)], "cannot read"),
        (vec!["export", "/nowhere/x", "--recipient", "age1x"], "must be an age public key"),
    ] {
        let outcome = to.cli_with(&arguments, WORDS);
        assert!(outcome.status != 0 && outcome.stderr.contains(words), "{arguments:?} {outcome:?}");
    }
    fs::write(&key, format!("{}\n", age::x25519::Identity::generate().to_string().expose_secret())).unwrap();
    let told = to.cli(&["import", text(&file), "--identity", text(&key)]).refused(1);
    assert!(told.contains("none of those private keys opens it"), "{told}");
}

#[test]
fn what_is_no_whole_archive_brings_nothing() {
    let from = filled();
    let place = tempfile::tempdir().unwrap();
    let (file, bad, key) = (place.path().join("a.age"), place.path().join("bad"), place.path().join("key"));
    let identity = age::x25519::Identity::generate();
    fs::write(&key, identity.to_string().expose_secret()).unwrap();
    from.cli(&["export", text(&file), "--recipient", &identity.to_public().to_string()]).done();
    let whole = fs::read(&file).unwrap();
    let mut to = Appliance::start();
    to.stop();
    let untouched = snapshot(&to.data_dir());
    let refused = |content: &[u8]| {
        fs::write(&bad, content).unwrap();
        let outcome = to.cli(&["import", text(&bad), "--identity", text(&key)]);
        assert!(!outcome.stderr.contains("panicked") && !outcome.stderr.contains("hunter2"), "{outcome:?}");
        let told = outcome.refused(1);
        assert!(told.contains(text(&bad)), "{told}");
        assert_eq!(snapshot(&to.data_dir()), untouched);
    };
    refused(b"");
    refused(b"A=1\n");
    for part in 0..24 {
        refused(&whole[..whole.len() * part / 24]);
    }
    refused(&whole[..whole.len() - 1]);
    for part in 0..24 {
        let mut altered = whole.clone();
        altered[whole.len() * part / 24] ^= 1;
        refused(&altered);
    }
    // A sound age file with something else in it, or with less than its end says.
    let header = "{\"format\":\"keywayd archive\",\"version\":1,\"madeAt\":\"\",\"madeBy\":\"\"}\n";
    let newer = header.replace("\"version\":1", "\"version\":2");
    let end = "{\"end\":{\"environments\":1,\"secrets\":0}}\n";
    for plain in ["hello", header, &newer, &format!("{header}{end}"), &format!("{header}{{}}\n{end}")] {
        let recipient = identity.to_public();
        let encryptor =
            age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
        writer.write_all(plain.as_bytes()).unwrap();
        writer.finish().unwrap();
        refused(&sealed);
    }
    let words = place.path().join("words.age");
    from.cli_with(&["export", text(&words)], WORDS).done();
    let told = to.cli_with(&["import", text(&words)], "another passphrase entirely\n").refused(1);
    assert!(told.contains("that passphrase does not open it"), "{told}");
    let told = from.cli_with(&["export", text(&place.path().join("short"))], "too short\n").refused(1);
    assert!(told.contains("at least 16 characters"), "{told}");
    assert_eq!(snapshot(&to.data_dir()), untouched);
}

#[test]
fn env_files_are_taken_by_their_place() {
    let mut appliance = Appliance::start();
    appliance.admin().create_vault(REPO);
    appliance.admin().push(REPO, "production", &json!({ "KEPT": "k", "SAME": "s", "CHANGED": "old" })).ok();
    let tree = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write(
        "admin/app/production.env",
        "# c\nexport SAME=s\nCHANGED='new # 1'\nTAKEN=\"two\\nlines\"\n9BAD=hunter2\nhunter2 here\nTWICE=1\nTWICE=2\n",
    );
    write("admin/app/eu-west.env", "A=1\n");
    write("acme/fresh/staging.env", "B=2\n");
    write("acme/fresh/.env", "C=3\n");
    write("acme/fresh/notes.txt", "hunter2");
    write("stray.env", "D=4\n");
    write("acme/fresh/big.env", &format!("BIG={}\n", "z".repeat(70_000)));
    std::os::unix::fs::symlink("/etc/passwd", tree.path().join("acme/fresh/linked.env")).unwrap();
    for dry_run in [true, false, false] {
        let mut arguments = vec!["import", text(tree.path())];
        arguments.extend(dry_run.then_some("--dry-run"));
        let before = appliance.admin().secrets(REPO, "production");
        let outcome = appliance.cli_with(&arguments, "");
        no_values(&outcome);
        assert_eq!(outcome.status, 1, "something was refused: {outcome:?}");
        let listed = &outcome.stdout;
        for refused in
            ["production 9BAD", "line 6", "TWICE", "/.env", "notes.txt", "stray.env", "big BIG", "linked.env"]
        {
            assert!(
                listed.lines().any(|line| line.starts_with("refused") && line.contains(refused)),
                "{refused}\n{listed}"
            );
        }
        if dry_run {
            assert_eq!(appliance.admin().secrets(REPO, "production"), before);
            assert!(
                listed
                    .contains("taken    admin/app production TAKEN\nchanged  admin/app production CHANGED\n"),
                "{listed}"
            );
        }
    }
    let admin = appliance.admin();
    let expected = json!({ "KEPT": "k", "SAME": "s", "CHANGED": "new # 1", "TAKEN": "two\nlines" });
    assert_eq!(admin.secrets(REPO, "production"), expected);
    assert_eq!(admin.secrets(REPO, "eu-west"), json!({ "A": "1" }));
    assert_eq!(admin.secrets("acme/fresh", "staging"), json!({ "B": "2" }));
    let made = admin.get("/v1/vaults/acme/fresh").ok();
    assert_eq!(made["environments"].as_array().map(Vec::len), Some(5), "the usual ones and `big`: {made}");
    appliance.cli(&["verify"]).done();
    appliance.stop();
    let told = appliance.cli(&["import", "/nowhere"]).refused(1);
    assert!(told.contains("`/nowhere`"), "{told}");
}

/// Killed at whatever moment: the data is whole, no archive is there under its name that does not open, and the
/// next run does the whole.
#[test]
fn a_killed_export_or_import_costs_nothing() {
    let mut from = filled();
    let place = tempfile::tempdir().unwrap();
    let (file, key) = (place.path().join("a.age"), place.path().join("key"));
    let identity = age::x25519::Identity::generate();
    fs::write(&key, identity.to_string().expose_secret()).unwrap();
    let recipient = identity.to_public().to_string();
    let mut to = Appliance::start();
    for delay in (0..60).step_by(4).map(Duration::from_millis) {
        let _ = fs::remove_file(&file);
        from.cli_killed(&["export", text(&file), "--recipient", &recipient], delay, false);
        if !file.exists() {
            from.cli(&["export", text(&file), "--recipient", &recipient]).done();
        }
        assert!(!place.path().join("a.age.partial").exists());
        to.cli_killed(&["import", text(&file), "--identity", text(&key)], delay, false);
        to.cli(&["verify"]).done();
        let production =
            to.admin().get(&format!("/v1/secrets/pull?repo={REPO}&environment=production&format=json"));
        assert!(production.status == 404 || production.ok()["secrets"] == awkward(), "whole or not at all");
    }
    to.cli(&["import", text(&file), "--identity", text(&key)]).done();
    assert_eq!(to.admin().secrets(REPO, "production"), awkward());
}

#[test]
fn where_there_is_no_room_for_an_archive_none_is_left() {
    let from = filled();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a.age");
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let told = from.cli(&["export", "/proc/nowhere/x", "--recipient", &recipient]).refused(1);
    assert!(told.contains("cannot write `/proc/nowhere/x.partial`"), "{told}");
    let dir = from.data_dir();
    let arguments = ["export", text(&file), "--recipient", &recipient, "--data-dir", text(&dir)];
    let Some(outcome) = with_short_files(16, &arguments) else {
        return skipped("a full disk: this machine keeps no limit on the length of files");
    };
    let told = outcome.refused(1);
    assert!(told.contains("there is no room"), "{told}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left behind");
}
