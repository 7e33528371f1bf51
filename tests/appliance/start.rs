//! Starting: what a first start leaves behind, and how a start is refused without changing a byte.

use super::harness::{Appliance, Outcome, disk, keywayd, run, skipped, snapshot};
use nix::unistd::{Gid, Uid, chown};
use serde_json::json;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the mode can be changed");
}

/// The start must fail, as something the user can put right, and leave everything in the data directory as it was.
fn refused_without_a_trace(appliance: &mut Appliance) -> String {
    let before = snapshot(&appliance.data_dir());
    let outcome = appliance.launch().expect_err("it must not start");
    let said = outcome.refused(1);
    assert!(snapshot(&appliance.data_dir()) == before, "the start changed something:\n{said}");
    // A command that would open the data is refused in the same words.
    let command = appliance.cli(&["user", "list"]).refused(1);
    assert!(snapshot(&appliance.data_dir()) == before, "the command changed something:\n{command}");
    assert_eq!(command.lines().next(), said.lines().rfind(|line| line.starts_with("error: ")));
    said
}

#[test]
fn a_first_start_makes_everything_and_tells_nobody_but_the_owner() {
    let mut appliance = Appliance::new(&[]);
    appliance.launch().unwrap_or_else(|outcome| panic!("{outcome:?}"));
    appliance.read_letter();
    let data = appliance.data_dir();
    assert_eq!(mode(&data), 0o700);
    for file in ["keyway.redb", "master.key", "first-login", "lock", "admin.sock"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    let me = appliance.admin().get("/v1/users/me").ok();
    assert_eq!(me["username"], "admin");
    assert!(appliance.token.starts_with("kw_live_") && appliance.password.len() >= 16);
    let letter = fs::read_to_string(data.join("first-login")).expect("the letter can be read");
    let first_try = format!("http://{}/v1/users/me", appliance.address());
    assert!(letter.contains(&first_try) && letter.contains("account:  admin"), "{letter}");
    // It says what each line is for.
    assert!(letter.contains(&format!("Sign in with account and password at http://{}", appliance.address())));
    assert!(letter.contains("The token is an API key"), "{letter}");

    // The log names the letter's place and nothing that stands in it; it says where the key is, and that it
    // must be kept elsewhere too.
    let log = appliance.log().text();
    assert!(log.contains(&data.join("first-login").display().to_string()), "{log}");
    assert!(log.contains(&data.join("master.key").display().to_string()), "{log}");
    assert!(log.contains("keep a copy"), "{log}");
    assert!(log.contains("the master key lies beside the data"), "{log}");
    assert!(!log.contains(&appliance.token) && !log.contains(&appliance.password), "{log}");

    // The second start sets nothing up.
    appliance.stop();
    fs::remove_file(data.join("first-login")).expect("the letter can be thrown away");
    appliance.restart();
    assert!(!data.join("first-login").exists());
    appliance.admin().get("/v1/users/me").ok();
    let keys = appliance.admin().get("/v1/api-keys").ok();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_letter_that_cannot_be_written_says_how_to_come_in_all_the_same() {
    let appliance = Appliance::new(&[]);
    fs::create_dir(appliance.data_dir()).expect("a directory can be made");
    fs::write(appliance.data_dir().join("first-login"), "an old one").expect("a file can be made");
    let said = appliance.cli(&["init"]).refused(1);
    assert!(said.contains("first-login") && said.contains("`keywayd user passwd admin`"), "{said}");
    appliance.cli_with(&["user", "passwd", "admin", "--password-stdin"], "correct horse\n").done();
    assert!(appliance.key_for("admin", &[]).starts_with("kw_live_"));
}

#[test]
fn init_makes_the_same_without_serving() {
    let mut appliance = Appliance::new(&[]);
    let init = ["init", "--admin", "root-of-all", "--password-stdin"];
    let said = appliance.cli_with(&init, "correct horse\n");
    assert!(!said.stderr.contains("correct horse"), "{said:?}");
    assert_eq!(said.done(), "");
    let before = snapshot(&appliance.data_dir());
    let again = appliance.cli_with(&init, "another horse\n").refused(1);
    assert!(again.contains("holds a database already"), "{again}");
    assert!(snapshot(&appliance.data_dir()) == before);
    let letter = fs::read_to_string(appliance.data_dir().join("first-login")).expect("there is a letter");
    assert!(!letter.contains("correct horse"), "a chosen password is not written down");
    appliance.restart();
    appliance.read_letter();
    assert_eq!(appliance.admin().get("/v1/users/me").ok()["username"], "root-of-all");
    // Without anybody to ask, a password is made up.
    let other = Appliance::new(&[]);
    other.cli(&["init"]).done();
    let letter = fs::read_to_string(other.data_dir().join("first-login")).expect("there is a letter");
    assert!(letter.contains("account:  admin"), "{letter}");
    // A password that is none leaves nothing behind.
    let third = Appliance::new(&[]);
    third.cli_with(&init, "short\n").refused(1);
    assert!(!third.database().exists(), "an attempt that failed must not be in the way of the next");
}

#[test]
fn a_configured_server_does_not_set_itself_up() {
    let mut appliance = Appliance::new(&[]);
    let config = appliance.home().join("keywayd.toml");
    fs::write(&config, "[server]\nshutdown_grace_secs = 1\n").expect("it can be written");
    appliance.set("KEYWAYD_CONFIG", &config.display().to_string());
    let said = appliance.launch().expect_err("it must not start").refused(1);
    assert!(said.contains("keywayd init"), "{said}");
    assert!(!appliance.data_dir().exists());
}

/// Four ways in which a key can be wrong, told apart, after a proper end and after a kill.
#[test]
fn with_a_wrong_master_key_nothing_starts_and_nothing_changes() {
    for killed in [false, true] {
        let mut appliance = Appliance::new(&[]);
        let key = appliance.home().join("the.key");
        appliance.set("KEYWAYD_MASTER_KEY__FILE", &key.display().to_string());
        appliance.restart();
        appliance.read_letter();
        let admin = appliance.admin();
        admin.create_vault("acme/app");
        admin.push("acme/app", "local", &json!({ "A": "kept" })).ok();
        if killed {
            appliance.kill();
        } else {
            appliance.stop();
        }
        let good = fs::read(&key).expect("the key can be read");
        let path = key.display().to_string();

        fs::remove_file(&key).expect("the key can be taken away");
        let missing = refused_without_a_trace(&mut appliance);
        assert!(missing.contains("is missing") && missing.contains(&path), "{missing}");
        assert!(!key.exists(), "no key is made up for data that has one");

        for wrong in [&b""[..], &good[..10], &[7; 31], &[good.as_slice(), b"00"].concat()] {
            fs::write(&key, wrong).expect("the key can be written");
            set_mode(&key, 0o600);
            let length = refused_without_a_trace(&mut appliance);
            assert!(length.contains("wrong length") && length.contains(&path), "{length}");
        }
        fs::write(&key, [b'x'; 64]).expect("the key can be written");
        assert!(refused_without_a_trace(&mut appliance).contains("not hexadecimal"));

        fs::write(&key, &good).expect("the key can be written");
        for open in [0o640, 0o604, 0o644, 0o660] {
            set_mode(&key, open);
            let readable = refused_without_a_trace(&mut appliance);
            assert!(readable.contains("readable by others") && readable.contains("chmod 600"), "{readable}");
        }
        set_mode(&key, 0o600);

        fs::write(&key, [7; 32]).expect("the key can be written");
        let foreign = refused_without_a_trace(&mut appliance);
        assert!(foreign.contains("it needs master key 1 (id `"), "{foreign}");

        fs::write(&key, &good).expect("the key can be written");
        appliance.restart();
        assert_eq!(appliance.admin().content("acme/app", "local"), "A=kept\n");
    }
}

#[test]
fn a_second_process_is_kept_out() {
    let appliance = Appliance::start();
    let mut second = appliance.command();
    second.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(appliance.data_dir());
    let said = run(&mut second, "").refused(1);
    assert!(said.contains("in use by another keywayd"), "{said}");
    let said = appliance.cli_with(&["init", "--password-stdin"], "correct horse\n").refused(1);
    assert!(said.contains("in use") || said.contains("already"), "{said}");
    appliance.admin().get("/v1/users/me").ok();
    // Commands reach the server, not the file.
    appliance.cli(&["user", "list"]).done();
}

#[test]
fn a_newer_file_is_left_alone() {
    let mut appliance = Appliance::start();
    appliance.stop();
    disk::put(&appliance.database(), "meta", b"schema", &2_u32.to_be_bytes());
    disk::put(&appliance.database(), "meta", b"written_by", b"9.8.7");
    let said = refused_without_a_trace(&mut appliance);
    assert!(said.contains("schema 2") && said.contains("9.8.7"), "{said}");
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let mut appliance = Appliance::start();
    appliance.stop();
    let good = fs::read(appliance.database()).expect("the file can be read");
    let mut scratched = good.clone();
    scratched[..64].fill(0);
    for (bad, what) in [
        (&b""[..], "empty"),
        (b"# my notes\n", "text"),
        (&good[..good.len() / 2], "half"),
        (&good[..100], "a stump"),
        (&[0; 8192], "zeros"),
        (&scratched, "its head gone"),
    ] {
        fs::write(appliance.database(), bad).expect("the file can be written");
        let said = refused_without_a_trace(&mut appliance);
        assert!(said.contains("is damaged or is no keywayd database"), "{what}: {said}");
        assert!(said.contains("backup"), "{what}: {said}");
    }
    fs::write(appliance.database(), &good).expect("the file can be written");
    appliance.restart();
}

#[test]
fn a_port_that_is_taken_leaves_no_trace() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let listen = taken.local_addr().expect("it listens").to_string();
    let serve = |appliance: &Appliance| -> Outcome {
        let mut command = appliance.command();
        run(command.args(["serve", "--listen", &listen, "--data-dir"]).arg(appliance.data_dir()), "")
    };
    let fresh = Appliance::new(&[]);
    let said = serve(&fresh).refused(1);
    assert!(said.contains("cannot listen") && said.contains(&listen), "{said}");
    assert!(!fresh.data_dir().exists());

    let mut used = Appliance::start();
    used.kill();
    let before = snapshot(&used.data_dir());
    serve(&used).refused(1);
    assert!(snapshot(&used.data_dir()) == before);
}

#[test]
fn a_directory_that_others_could_enter_is_closed() {
    let mut appliance = Appliance::start();
    appliance.stop();
    set_mode(&appliance.data_dir(), 0o755);
    appliance.restart();
    assert_eq!(mode(&appliance.data_dir()), 0o700);
}

/// What is left behind by a server that was killed is in nobody's way.
#[test]
fn a_killed_server_starts_again() {
    let mut appliance = Appliance::start();
    appliance.kill();
    assert!(appliance.data_dir().join("admin.sock").exists());
    appliance.cli(&["user", "list"]).done();
    appliance.restart();
    appliance.cli(&["user", "list"]).done();
    appliance.stop();
    assert!(!appliance.data_dir().join("admin.sock").exists());
    // And so is an attempt to make a database that did not come to its end.
    let mut other = Appliance::new(&[]);
    fs::create_dir(other.data_dir()).expect("the directory can be made");
    fs::write(other.data_dir().join("keyway.redb.new"), b"half a database").expect("it can be written");
    other.restart();
    other.read_letter();
    other.admin().get("/v1/users/me").ok();
    assert!(!other.data_dir().join("keyway.redb.new").exists());
}

/// Some user that is not root and owns nothing else.
const SOMEBODY: u32 = 54_321;

fn all_belong_to(directory: &Path, owner: u32) {
    for (path, _, uid, _) in snapshot(directory) {
        assert_eq!(uid, owner, "{}", path.display());
    }
}

#[test]
fn root_becomes_the_owner_of_the_data() {
    if !Uid::effective().is_root() {
        return skipped("becoming the owner of the data; only root can become somebody else");
    }
    let give_away = |path: &Path| {
        chown(path, Some(Uid::from_raw(SOMEBODY)), Some(Gid::from_raw(SOMEBODY))).expect("root may");
    };
    // A directory prepared by a packager, still empty.
    let mut appliance = Appliance::new(&[]);
    set_mode(appliance.home(), 0o755);
    fs::create_dir(appliance.data_dir()).expect("the directory can be made");
    give_away(&appliance.data_dir());
    appliance.restart();
    appliance.read_letter();
    let process = fs::metadata(format!("/proc/{}", appliance.pid())).expect("it runs");
    assert_eq!((process.uid(), process.gid()), (SOMEBODY, SOMEBODY));
    appliance.account("alice").create_vault("alice/app");
    all_belong_to(&appliance.data_dir(), SOMEBODY);
    appliance.stop();
    // Commands of root's on data at rest, which repair and write, leave it all to its owner.
    appliance.cli(&["token", "create", "--user", "alice"]).done();
    appliance.restart();
    appliance.kill();
    appliance.cli(&["user", "disable", "alice"]).done();
    appliance.cli(&["user", "list"]).done();
    all_belong_to(&appliance.data_dir(), SOMEBODY);
    appliance.restart();
    appliance.stop();
    all_belong_to(&appliance.data_dir(), SOMEBODY);

    let other = Appliance::new(&[]);
    set_mode(other.home(), 0o755);
    fs::create_dir(other.data_dir()).expect("the directory can be made");
    give_away(&other.data_dir());
    other.cli_with(&["init", "--password-stdin"], "correct horse\n").done();
    all_belong_to(&other.data_dir(), SOMEBODY);
}

#[test]
fn the_program_says_what_it_is() {
    let version = run(keywayd().arg("version"), "").done();
    assert_eq!(version.trim(), concat!("keywayd ", env!("CARGO_PKG_VERSION")));
    let json = run(keywayd().args(["version", "--json"]), "").done();
    let json: serde_json::Value = serde_json::from_str(&json).expect("it prints JSON");
    assert_eq!(json, json!({ "name": "keywayd", "version": env!("CARGO_PKG_VERSION") }));
    for wrong in [&["nonsense"][..], &[], &["serve", "--nonsense"], &["user", "add", "Not-A-Name"]] {
        let outcome = run(keywayd().args(wrong), "");
        assert!(outcome.status != 0 && outcome.stdout.is_empty(), "{outcome:?}");
    }
}
