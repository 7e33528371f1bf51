//! Keys change while people go on reading and writing, and what a stolen old key opens ends there.

use super::harness::{Appliance, PATIENCE};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const REPO: &str = "admin/app";

fn filled() -> (Appliance, Value) {
    let appliance = Appliance::start();
    let admin = appliance.admin();
    admin.create_vault(REPO);
    admin.push(REPO, "production", &json!({ "A": "1", "GONE": "x" })).ok();
    for round in 0..5 {
        let secrets: Value = (0..10).map(|n| (format!("K{n}"), json!(format!("{round} {n}")))).collect();
        admin.push(REPO, "production", &secrets).ok();
    }
    let there = admin.secrets(REPO, "production");
    (appliance, there)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

/// The 24-byte nonce of everything that is sealed in a database file: what has one of these was sealed before.
fn nonces(file: &Path) -> Vec<Vec<u8>> {
    let copy = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::copy(file, copy.path()).expect("the database can be copied");
    let database = redb::Database::open(copy.path()).expect("a database");
    let transaction = database.begin_read().expect("a snapshot");
    let mut found = Vec::new();
    for table in transaction.list_tables().expect("tables") {
        let definition = TableDefinition::<&[u8], &[u8]>::new(table.name());
        let table = transaction.open_table(definition).expect("tables are of bytes");
        for row in table.iter().expect("rows") {
            let (key, value) = row.expect("a row");
            if ![b"schema".as_slice(), b"written_by", b"keyring"].contains(&key.value())
                && value.value().len() > 45
            {
                found.push(value.value()[5..29].to_vec());
            }
        }
    }
    found
}

#[test]
fn the_master_key_changes_while_serving() {
    let (mut appliance, there) = filled();
    let key = appliance.data_dir().join("master.key");
    let old = fs::read(&key).unwrap();
    let outcome = appliance.cli(&["key", "rotate"]);
    assert!(outcome.stderr.contains("the data opens with master key 2 (id `"), "{outcome:?}");
    outcome.done();
    assert_ne!(fs::read(&key).unwrap(), old);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(appliance.admin().secrets(REPO, "production"), there);
    appliance.stop();
    // The key before is kept for old backups, and opens this data no more.
    let kept = fs::read_dir(appliance.data_dir()).unwrap().map(|entry| entry.unwrap().path());
    let kept = kept.filter(|path| fs::read(path).is_ok_and(|content| content == old));
    let kept: Vec<_> = kept.collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    appliance.set("KEYWAYD_MASTER_KEY__FILE", text(&kept[0]));
    let told = appliance.cli(&["verify"]).refused(1);
    assert!(told.contains("it needs master key 2 (id `"), "{told}");
    appliance.set("KEYWAYD_MASTER_KEY__FILE", text(&key));
    // And with the server stopped.
    appliance.cli(&["key", "rotate"]).done();
    appliance.restart();
    assert_eq!(appliance.admin().secrets(REPO, "production"), there);
}

#[test]
fn after_changing_all_keys_nothing_that_was_sealed_before_is_left() {
    let (mut appliance, there) = filled();
    appliance.stop();
    let before = nonces(&appliance.database());
    assert!(before.len() > 60);
    let old_key = appliance.data_dir().join("old.key");
    fs::copy(appliance.data_dir().join("master.key"), &old_key).unwrap();
    appliance.restart();

    // While clients read and write.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (client, done) = (appliance.admin(), &done);
        scope.spawn(move || {
            for number in 0.. {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                let answer = client.push(REPO, "staging", &json!({ "N": number.to_string() }));
                let read = client.get(&format!("/v1/secrets/pull?repo={REPO}&environment=production"));
                if answer.status != 200 || read.status != 200 {
                    done.store(true, Ordering::SeqCst);
                    panic!("{} {}", answer.show(), read.show());
                }
            }
        });
        let outcome = appliance.cli(&["key", "rotate", "--root", "--data"]);
        done.store(true, Ordering::SeqCst);
        assert!(outcome.stderr.contains("every record is sealed anew"), "{outcome:?}");
        outcome.done();
    });
    assert_eq!(appliance.admin().secrets(REPO, "production"), there);
    let trash = appliance.admin().get(&format!("/v1/vaults/{REPO}/trash")).ok();
    assert_eq!(trash.as_array().map(Vec::len), Some(2), "{trash}");
    appliance.cli(&["verify"]).done();
    appliance.stop();
    appliance.cli(&["compact"]).done();

    let file = fs::read(appliance.database()).unwrap();
    let windows: std::collections::HashSet<&[u8]> = file.windows(24).collect();
    assert!(
        nonces(&appliance.database()).iter().all(|nonce| windows.contains(nonce.as_slice())),
        "the search works"
    );
    for nonce in before {
        assert!(!windows.contains(nonce.as_slice()), "something that was sealed before is still there");
    }
    appliance.set("KEYWAYD_MASTER_KEY__FILE", text(&old_key));
    appliance.cli(&["verify"]).refused(1);
    appliance.set("KEYWAYD_MASTER_KEY__FILE", text(&appliance.data_dir().join("master.key")));
    appliance.restart();
    assert_eq!(appliance.admin().secrets(REPO, "production"), there);
}

#[test]
fn the_master_key_moves_between_all_sources() {
    let (mut appliance, there) = filled();
    let home = appliance.data_dir().parent().unwrap().to_owned();
    let secret = |name: &str, content: &str| {
        let path = home.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let words = secret("passphrase", "correct horse battery staple\n");
    fs::create_dir(home.join("credentials")).unwrap();
    secret("credentials/keywayd-key", &"ab".repeat(32));
    appliance.set("CREDENTIALS_DIRECTORY", text(&home.join("credentials")));
    appliance.set("A_KEY", &"cd".repeat(32));
    let sources = [
        ("FILE", format!("file:{}", text(&home.join("moved.key"))), text(&home.join("moved.key")).to_owned()),
        ("PASSPHRASE_FILE", format!("passphrase_file:{}", text(&words)), text(&words).to_owned()),
        ("CREDENTIAL", "credential:keywayd-key".to_owned(), "keywayd-key".to_owned()),
        ("ENV", "env:A_KEY".to_owned(), "A_KEY".to_owned()),
    ];
    let mut before: Option<(&str, String)> = None;
    for (name, to, value) in sources {
        let outcome = appliance.cli(&["key", "rotate", "--to", &to]);
        assert!(outcome.stderr.contains("opens the data from now on"), "{to}\n{outcome:?}");
        outcome.done();
        if name != "PASSPHRASE_FILE" {
            let told = appliance.cli(&["key", "rotate", "--to", &to]).refused(1);
            assert!(told.contains("opens the data already"), "{told}");
        }
        // Until the new source is in force the old one opens the data too.
        appliance.stop();
        appliance.cli(&["user", "list"]).done();
        if let Some((name, _)) = &before {
            appliance.unset(&format!("KEYWAYD_MASTER_KEY__{name}"));
        }
        appliance.set(&format!("KEYWAYD_MASTER_KEY__{name}"), &value);
        appliance.restart();
        assert_eq!(appliance.admin().secrets(REPO, "production"), there, "{to}");
        if let Some((old, old_value)) = &before {
            appliance.stop();
            appliance.unset(&format!("KEYWAYD_MASTER_KEY__{name}"));
            appliance.set(&format!("KEYWAYD_MASTER_KEY__{old}"), old_value);
            let told = appliance.cli(&["verify"]).refused(1);
            assert!(told.contains("it needs master key"), "the old source is done after the start: {told}");
            appliance.unset(&format!("KEYWAYD_MASTER_KEY__{old}"));
            appliance.set(&format!("KEYWAYD_MASTER_KEY__{name}"), &value);
            appliance.restart();
        }
        before = Some((name, value));
    }
    let told = appliance.cli(&["key", "rotate"]).refused(1);
    assert!(told.contains("`--to credential:NAME`"), "{told}");
    // And back to a file that is there already, with the server stopped.
    appliance.stop();
    let fresh = secret("fresh.key", &"ef".repeat(32));
    appliance.cli(&["key", "rotate", "--to", &format!("file:{}", text(&fresh))]).done();
    appliance.unset("KEYWAYD_MASTER_KEY__ENV");
    appliance.set("KEYWAYD_MASTER_KEY__FILE", text(&fresh));
    appliance.restart();
    assert_eq!(appliance.admin().secrets(REPO, "production"), there);
}

#[test]
fn a_passphrase_is_changed_where_it_lies() {
    let (mut appliance, there) = filled();
    let words = appliance.data_dir().parent().unwrap().join("words");
    fs::write(&words, "first passphrase of all\n").unwrap();
    let told =
        appliance.cli(&["key", "rotate", "--to", &format!("passphrase_file:{}", text(&words))]).refused(1);
    assert!(told.contains("chmod 600"), "{told}");
    fs::set_permissions(&words, fs::Permissions::from_mode(0o600)).unwrap();
    appliance.cli(&["key", "rotate", "--to", &format!("passphrase_file:{}", text(&words))]).done();
    appliance.stop();
    appliance.set("KEYWAYD_MASTER_KEY__PASSPHRASE_FILE", text(&words));
    appliance.restart();
    let told = appliance.cli_with(&["key", "rotate"], "short\n").refused(1);
    assert!(told.contains("at least"), "{told}");
    appliance.cli_with(&["key", "rotate"], "second passphrase of all\n").done();
    assert_eq!(fs::read_to_string(&words).unwrap(), "second passphrase of all\n");
    appliance.stop();
    appliance.restart();
    assert_eq!(appliance.admin().secrets(REPO, "production"), there);
    appliance.stop();
    fs::write(&words, "first passphrase of all\n").unwrap();
    let told = appliance.cli(&["verify"]).refused(1);
    assert!(told.contains("from a passphrase"), "{told}");
}

#[test]
fn bad_sources_are_refused_in_words() {
    let (mut appliance, _) = filled();
    for (to, words) in [
        ("env:NOT_SET", "`NOT_SET` is not set"),
        ("credential:k", "there are no credentials here"),
        ("file:/proc/no/key", "cannot write `/proc/no/key`"),
    ] {
        let told = appliance.cli(&["key", "rotate", "--to", to]).refused(1);
        assert!(told.contains(words), "{told}");
    }
    appliance.stop();
    let key = appliance.data_dir().join("master.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    for command in [&["verify"][..], &["compact"], &["key", "rotate"], &["backup", "b"]] {
        let told = appliance.cli(command).refused(1);
        assert!(told.contains("chmod 600"), "{told}");
    }
    // Where the data does not open, no new key is left lying about.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(appliance.database(), "no database").unwrap();
    appliance.cli(&["key", "rotate"]).refused(1);
    assert!(!appliance.data_dir().join("master.key.new").exists());
}

/// Whenever the command or the server is killed, the data opens with what the configuration names, and the next
/// run does the whole.
#[test]
fn a_killed_rotation_costs_nothing() {
    let (mut appliance, there) = filled();
    for serving in [false, true] {
        for delay in (0..120).step_by(10) {
            if !serving && delay == 0 {
                appliance.stop();
            }
            let rotate = ["key", "rotate", "--root", "--data"];
            appliance.cli_killed(&rotate, Duration::from_millis(delay), serving);
            appliance.cli(&["verify"]).done();
            if serving {
                appliance.restart();
                assert_eq!(appliance.admin().secrets(REPO, "production"), there);
            }
        }
        if !serving {
            appliance.restart();
        }
    }
    // A server that finds work half done finishes it by itself.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let outcome = appliance.cli(&["key", "rotate", "--root", "--data"]);
        if outcome.status == 0 {
            break;
        }
        assert!(
            outcome.stderr.contains("another rotation is under way") && Instant::now() < deadline,
            "{outcome:?}"
        );
    }
    appliance.cli(&["verify"]).done();
    assert_eq!(appliance.admin().secrets(REPO, "production"), there);
}
