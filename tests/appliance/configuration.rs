//! `keywayd config check`: what it finds keeps `serve` from starting, what it lets pass does not, and it changes
//! nothing.

use super::harness::{Appliance, keywayd, run, snapshot};
use rcgen::generate_simple_self_signed;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn shown(path: &Path) -> &str {
    path.to_str().expect("paths are text")
}

fn private(path: &Path, content: &str) {
    fs::write(path, content).expect("it can be written");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("our own file");
}

/// The settings must be refused, with all of `words`, and the server must not start with them; then they are taken
/// back.
#[track_caller]
fn refused(appliance: &mut Appliance, settings: &[(&str, &str)], words: &[&str]) {
    for (name, value) in settings {
        appliance.set(name, value);
    }
    let before = snapshot(appliance.home());
    let said = appliance.cli(&["config", "check"]).refused(1);
    assert!(said.contains("the configuration has 1 problem\n"), "{said}");
    for word in words.iter().chain(&["hint: "]) {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    assert!(snapshot(appliance.home()) == before, "looking changed something: {said}");
    appliance.launch().expect_err("it must not start").refused(1);
    for (name, _) in settings {
        appliance.unset(name);
    }
}

/// The settings must be good, with `words` for what cannot be told yet.
#[track_caller]
fn good(appliance: &Appliance, words: &str) {
    let before = snapshot(appliance.home());
    let outcome = appliance.cli(&["config", "check"]);
    assert!(outcome.stderr.contains("the configuration is good"), "{outcome:?}");
    assert!(outcome.stderr.contains(words), "{outcome:?}");
    assert_eq!(outcome.stderr.contains("note: "), !words.is_empty(), "{outcome:?}");
    assert_eq!(outcome.done(), "");
    assert!(snapshot(appliance.home()) == before, "looking changed something");
}

#[test]
fn files_that_keep_the_server_from_starting_are_found() {
    let mut appliance = Appliance::start();
    appliance.stop();
    good(&appliance, "");
    let home = appliance.home().to_owned();
    let (missing, empty) = (home.join("missing.pem"), home.join("empty.pem"));
    private(&empty, "");
    let (missing, empty) = (shown(&missing), shown(&empty));

    const CA: &str = "KEYWAYD_OUTBOUND__CA_FILE";
    let github = ("KEYWAYD_IDENTITY__GITHUB__ENABLED", "true");
    refused(&mut appliance, &[github, (CA, missing)], &["`outbound.ca_file`", missing, CA]);
    refused(&mut appliance, &[github, (CA, empty)], &["`outbound.ca_file`", empty, "no PEM certificate"]);

    let [own, other] =
        ["a", "b"].map(|name| generate_simple_self_signed([name.to_owned()]).expect("a certificate"));
    let (certificate, key, foreign) = (home.join("own.pem"), home.join("own.key"), home.join("other.key"));
    private(&certificate, &own.cert.pem());
    private(&key, &own.signing_key.serialize_pem());
    private(&foreign, &other.signing_key.serialize_pem());
    let public = ("KEYWAYD_SERVER__PUBLIC_URL", "https://a");
    let tls = |certificate, key| {
        [public, ("KEYWAYD_SERVER__TLS__CERT", certificate), ("KEYWAYD_SERVER__TLS__KEY", key)]
    };
    let (certificate, key, foreign) = (shown(&certificate), shown(&key), shown(&foreign));
    refused(&mut appliance, &tls(missing, key), &["`server.tls.cert`: ", missing]);
    refused(&mut appliance, &tls(certificate, missing), &["`server.tls.key`: ", missing]);
    refused(&mut appliance, &tls(certificate, foreign), &["`server.tls.key`: ", "does not belong"]);

    const AUDIT: &str = "KEYWAYD_AUDIT__FORWARD";
    let nowhere = home.join("nowhere/audit.jsonl");
    refused(&mut appliance, &[(AUDIT, shown(&nowhere))], &["`audit.forward`", shown(&nowhere)]);
    refused(&mut appliance, &[(AUDIT, shown(&home))], &["`audit.forward`", shown(&home)]);
    refused(&mut appliance, &[("KEYWAYD_SERVER__UNIX_SOCKET", empty)], &["`server.unix_socket`", empty]);
}

#[test]
fn a_master_key_that_opens_nothing_is_found() {
    let mut appliance = Appliance::start();
    appliance.stop();
    let home = appliance.home().to_owned();
    const FILE: &str = "KEYWAYD_MASTER_KEY__FILE";
    let (missing, short, open) = (home.join("no.key"), home.join("short.key"), home.join("open.key"));
    private(&short, "00");
    private(&open, &"0".repeat(64));
    fs::set_permissions(&open, Permissions::from_mode(0o644)).expect("our own file");
    for (path, words) in [(missing, "is missing"), (short, "wrong length"), (open, "chmod 600")] {
        refused(&mut appliance, &[(FILE, shown(&path))], &["`master_key.file`", shown(&path), words]);
    }
    let unset = ("KEYWAYD_MASTER_KEY__ENV", "ROOT_KEY_OF_MINE");
    refused(&mut appliance, &[unset], &["`master_key.env`", "`ROOT_KEY_OF_MINE`"]);
    let data = appliance.data_dir();
    fs::remove_dir_all(&data).expect("our own directory");
    fs::write(&data, "").expect("a file can be made");
    refused(&mut appliance, &[], &["`storage.data_dir`", shown(&data), "is no directory"]);
}

#[test]
fn what_a_start_makes_or_a_service_manager_brings_need_not_be_there() {
    let mut appliance = Appliance::new(&[]);
    good(&appliance, "");
    // A key file is made with the data, but not its directory.
    let (key, far) = (appliance.home().join("its.key"), appliance.home().join("far/its.key"));
    appliance.set("KEYWAYD_MASTER_KEY__FILE", shown(&key));
    good(&appliance, "");
    appliance.unset("KEYWAYD_MASTER_KEY__FILE");
    appliance.set("KEYWAYD_MASTER_KEY__CREDENTIAL", "of-mine");
    good(&appliance, "service manager");
    appliance.unset("KEYWAYD_MASTER_KEY__CREDENTIAL");
    let (words, socket) = (appliance.home().join("words"), appliance.home().join("run/http.sock"));
    appliance.set("KEYWAYD_MASTER_KEY__PASSPHRASE_FILE", shown(&words));
    good(&appliance, "asks for the passphrase");
    appliance.unset("KEYWAYD_MASTER_KEY__PASSPHRASE_FILE");
    appliance.set("KEYWAYD_SERVER__UNIX_SOCKET", shown(&socket));
    good(&appliance, "`server.unix_socket`");
    appliance.unset("KEYWAYD_SERVER__UNIX_SOCKET");
    assert!(!appliance.data_dir().exists());
    refused(
        &mut appliance,
        &[("KEYWAYD_MASTER_KEY__FILE", shown(&far))],
        &["`master_key.file`", shown(&far)],
    );
}

#[test]
fn the_line_of_the_file_is_named_and_data_that_init_makes() {
    let home = tempfile::tempdir().expect("a scratch directory can be made");
    let file = home.path().join("keywayd.toml");
    fs::write(&file, "[identity.github]\nenabled = true\n\n[outbound]\nca_file = \"/nowhere/ca.pem\"\n")
        .expect("a file");
    let check = || run(keywayd().args(["config", "check", "--config", shown(&file)]).current_dir(&home), "");
    let said = check().refused(1);
    assert!(said.contains(&format!("{}:5: `outbound.ca_file`: ", file.display())), "{said}");
    fs::write(&file, "[server]\nlisten = \"127.0.0.1:0\"\n").expect("a file");
    let said = check();
    assert!(said.stderr.contains("`keywayd init` makes it"), "{said:?}");
    said.done();
    assert_eq!(fs::read_dir(&home).expect("our own directory").count(), 1);
}
