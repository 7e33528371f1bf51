//! What somebody with the disk can learn, and what they can change without being noticed: nothing.

use super::harness::{Appliance, Client, Request, disk, snapshot};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::fs;

/// Words that stand nowhere by themselves.
const LOGIN: &str = "zanzibar-lighthouse";
const OWNER: &str = "Xylophone-Works";
const REPOSITORY: &str = "marmalade.kitchen";
const OTHER_REPOSITORY: &str = "gooseberry_garden";
const ENVIRONMENT: &str = "wolpertinger";
const RENAMED: &str = "jackalope";
const KEY: &str = "HIPPOCAMPUS_TOKEN";
const OTHER_KEY: &str = "QUAGMIRE_DSN";
const VALUE: &str = "the quick brown fox jumps over thirteen lazy dogs";
const OLD_VALUE: &str = "sphinx of black quartz judge my earlier vow";
const DELETED_VALUE: &str = "pack my box with five dozen liquor jugs";
const BURIED_VALUE: &str = "jackdaws love my big sphinx of quartz";
const MANY_LINES: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END";
const PASSWORD: &str = "incomprehensible staple";
const LABEL: &str = "bagpipe deployment";
const AGENT: &str = "obscurantist-client/9.7";

/// Fills an appliance with everything that could show, and returns what must not.
fn fill(appliance: &Appliance) -> Vec<String> {
    let add = ["user", "add", LOGIN, "--password-stdin"];
    appliance.cli_with(&add, &format!("{PASSWORD}\n")).done();
    let (repo, other) = (format!("{OWNER}/{REPOSITORY}"), format!("{OWNER}/{OTHER_REPOSITORY}"));
    for repo in [&repo, &other] {
        appliance.cli(&["repo", "grant", repo, LOGIN, "admin"]).done();
    }
    let token = appliance.key_for(LOGIN, &["--name", LABEL, "--scopes", "all"]);
    let client = appliance.client(&token).calling_itself(AGENT);
    client.create_vault(&repo);
    client.create_vault(&other);
    let environments = format!("/v1/vaults/{repo}/environments");
    client.post(&environments, &json!({ "name": ENVIRONMENT })).created();
    client.push(&repo, ENVIRONMENT, &json!({ KEY: OLD_VALUE, OTHER_KEY: DELETED_VALUE })).ok();
    client.push(&repo, ENVIRONMENT, &json!({ KEY: VALUE, "PEM": MANY_LINES })).ok();
    client.push(&other, "production", &json!({ OTHER_KEY: BURIED_VALUE })).ok();
    read_and_fail(&client, &repo, &token);
    client.patch(&format!("{environments}/{ENVIRONMENT}"), &json!({ "newName": RENAMED })).ok();
    client.delete(&format!("/v1/vaults/{other}")).no_content();
    let check = json!({ "repoOwner": OWNER, "repoName": REPOSITORY });
    client.post("/v1/github/check-installation", &check).ok();

    let mut words: Vec<String> = [
        LOGIN,
        OWNER,
        REPOSITORY,
        OTHER_REPOSITORY,
        ENVIRONMENT,
        RENAMED,
        KEY,
        OTHER_KEY,
        VALUE,
        OLD_VALUE,
        DELETED_VALUE,
        BURIED_VALUE,
        PASSWORD,
        LABEL,
        AGENT,
    ]
    .map(str::to_owned)
    .to_vec();
    words.extend(MANY_LINES.lines().map(str::to_owned));
    words.extend(["development", "production", "staging"].map(str::to_owned));
    words.extend([appliance.token.clone(), appliance.password.clone(), token.clone()]);
    words.push(token["kw_live_".len()..].to_owned());
    words
}

/// Reads what there is in every way, and asks for what is refused.
fn read_and_fail(client: &Client, repo: &str, token: &str) {
    client.pull(repo, ENVIRONMENT).ok();
    client.secrets(repo, ENVIRONMENT);
    client.get(&format!("/v1/secrets/view?repo={repo}&environment={ENVIRONMENT}&key={KEY}")).ok();
    let listed = client.get(&format!("/v1/vaults/{repo}/secrets")).ok();
    let id = listed[0]["id"].as_str().expect("a secret has an id").to_owned();
    client.get(&format!("/v1/vaults/{repo}/secrets/{id}/value")).ok();
    client.pull(repo, "no-such-one").refused(404);
    client.push(repo, ENVIRONMENT, &json!({ KEY: 7, "1NVALID": VALUE })).refused(400);
    client.push(repo, ENVIRONMENT, &json!({ KEY: VALUE.repeat(2_000) })).refused(400);
    let broken = format!("{{\"secrets\": {{\"{KEY}\": \"{VALUE}\"");
    let broken =
        Request::new("POST", "/v1/secrets/push").header("Content-Type", "application/json").body(broken);
    client.send(&broken).refused(400);
    client.post("/v1/vaults", &json!({ "repoFullName": repo })).refused(409);
    client.send(&Request::new("GET", &format!("/v1/{OWNER}?token={token}"))).refused(404);
    let stale = Request::new("POST", "/v1/secrets/push").header("If-Match", "\"stale\"");
    let body = json!({ "repoFullName": repo, "environment": ENVIRONMENT, "secrets": { KEY: VALUE } });
    client.send(&stale.json(&body)).refused(412);
}

/// The forms in which `word` could be found by somebody who looks for it.
fn disguises(word: &str) -> Vec<Vec<u8>> {
    let hex = |case: fn(u8) -> String| word.bytes().map(case).collect::<String>().into_bytes();
    let mut forms = vec![
        word.as_bytes().to_vec(),
        word.to_lowercase().into_bytes(),
        word.to_uppercase().into_bytes(),
        word.bytes().rev().collect(),
        hex(|byte| format!("{byte:02x}")),
        hex(|byte| format!("{byte:02X}")),
        word.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        word.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    ];
    // In base64 it looks different at each of three places; the ends depend on what stands around it.
    for shift in 0..3 {
        let encoded = STANDARD.encode([&vec![0; shift], word.as_bytes()].concat());
        let inner = encoded.trim_end_matches('=');
        let inner = &inner[[0, 2, 3][shift]..inner.len() - 1];
        forms.push(inner.as_bytes().to_vec());
        forms.push(inner.replace('+', "-").replace('/', "_").into_bytes());
    }
    forms
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    needle.len() >= 6 && haystack.windows(needle.len()).any(|window| window == needle)
}

fn assert_unreadable(words: &[String], bytes: &[u8], place: &str) {
    for word in words {
        for form in disguises(word) {
            let shown = String::from_utf8_lossy(&form).into_owned();
            assert!(!holds(bytes, &form), "`{word}` stands in {place} as `{shown}`");
        }
    }
}

#[test]
fn nothing_on_the_disk_and_nothing_in_the_log_can_be_read() {
    let mut appliance = Appliance::start_with(&[("KEYWAYD_LOG__LEVEL", "trace")]);
    let mut words = fill(&appliance);
    let master = fs::read_to_string(appliance.data_dir().join("master.key")).expect("the key can be read");
    // First as a thief of the running machine's disk finds it, then after a proper end.
    let running = snapshot(&appliance.data_dir());
    let (status, log) = appliance.stop();
    assert!(status.success());
    let log = log.text();
    // Environments that every vault has may be named in the log; what these hold may not.
    let for_log: Vec<_> = words.clone();
    assert_unreadable(&for_log, log.as_bytes(), "the log");
    words.push(master.trim().to_owned());
    let raw_key = STANDARD.encode(master.trim());
    words.push(raw_key);
    let spool =
        running.iter().find(|(path, ..)| path.ends_with("keyway.redb.spool")).expect("it was read from");
    assert!(spool.1 & 0o077 == 0 && holds(&spool.3, &[&b"kwS1"[..], &[0; 2]].concat()), "{:o}", spool.1);
    for (path, _, _, mut bytes) in running.into_iter().chain(snapshot(&appliance.data_dir())) {
        // Zeros say nothing, and looking through them takes long.
        bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
        if path.ends_with("master.key") || path.ends_with("first-login") {
            continue;
        }
        assert_unreadable(&words, &bytes, &path.display().to_string());
    }
    // The search itself finds what is there: a table's name in the file, the token in the letter.
    let file = fs::read(appliance.database()).expect("the file can be read");
    assert!(holds(&file, b"environments") && file.len() > 10_000);
    let letter = fs::read(appliance.data_dir().join("first-login")).expect("the letter can be read");
    assert!(holds(&letter, appliance.token.as_bytes()));
    let disguised = STANDARD.encode(format!("xx{VALUE}yy"));
    assert!(disguises(VALUE).iter().any(|form| holds(disguised.as_bytes(), form)));
}

/// An appliance at rest with two vaults, each with two environments and a history.
fn at_rest() -> Appliance {
    let mut appliance = Appliance::start();
    let admin = appliance.admin();
    for repo in ["acme/one", "acme/two"] {
        admin.create_vault(repo);
        for environment in ["local", "staging"] {
            admin.push(repo, environment, &json!({ "A": "before", "B": "x" })).ok();
            admin.push(repo, environment, &json!({ "A": VALUE })).ok();
        }
    }
    let other = appliance.account("other");
    appliance.cli(&["repo", "grant", "acme/one", "other", "read"]).done();
    assert_eq!(other.content("acme/one", "local"), format!("A={VALUE}\n"));
    appliance.stop();
    appliance
}

/// Starts the damaged appliance and asks for everything. Somewhere the damage must show: a 500 that says nothing,
/// and a line in the log that names `kind`, and the kind only.
fn assert_noticed(mut damaged: Appliance, kind: &str, what: &str) {
    damaged.restart();
    let admin = damaged.admin();
    let mut failed = 0;
    for repo in ["acme/one", "acme/two"] {
        for environment in ["local", "staging"] {
            let answer = admin.pull(repo, environment);
            match answer.status {
                200 => assert_eq!(answer.ok()["content"], format!("A={VALUE}\n"), "{what}"),
                500 => {
                    let detail = answer.refused(500)["detail"].to_string().to_lowercase();
                    let told = ["damage", "seal", "record", "redb", "key", kind];
                    let told = told.iter().find(|word| detail.contains(&word.to_lowercase()));
                    assert_eq!(told, None, "{what}: {detail}");
                    failed += 1;
                }
                _ => panic!("{what}: {}", answer.show()),
            }
        }
    }
    assert!(failed > 0, "{what}: nobody noticed");
    assert_eq!(damaged.stranger().get("/v1/health").status, 200, "{what}");
    let line = damaged.log().wait_for("a damaged record").expect("the log tells");
    assert!(line.contains(&format!("a damaged record of kind `{kind}`")), "{what}: {line}");
    assert!(line.contains("ERROR"), "{what}: {line}");
    let log = damaged.log().text();
    assert!(!log.contains(VALUE) && !log.contains("acme/"), "{what}: {log}");
}

/// Tables whose records a pull needs, and what these are called.
const NEEDED: [(&str, &str); 6] = [
    ("environments", "environment"),
    ("vaults", "vault"),
    ("vault_keys", "vault keys"),
    ("vault_names", "vault name"),
    ("users", "user"),
    ("api_keys", "API key"),
];

#[test]
fn a_value_that_was_cut_or_changed_by_one_byte_is_noticed() {
    let whole = at_rest();
    for (table, kind) in NEEDED {
        let records = disk::records(&whole.database(), table);
        let (key, sealed) = &records[0];
        let flipped = |at: usize| {
            let mut bytes = sealed.clone();
            bytes[at] ^= 1;
            bytes
        };
        let last = sealed.len() - 1;
        for (what, bytes) in [
            ("its first byte", flipped(0)),
            ("its key generation", flipped(4)),
            ("its nonce", flipped(17)),
            ("its ciphertext", flipped(40.min(last - 16))),
            ("its tag", flipped(last)),
            ("cut by one byte", sealed[..last].to_vec()),
            ("cut to its head", sealed[..20].to_vec()),
            ("emptied", Vec::new()),
            ("longer", [sealed.as_slice(), &[0]].concat()),
        ] {
            // All records of people and keys, because only one of them is the caller's.
            let damaged = whole.copy();
            disk::put(&damaged.database(), table, key, &bytes);
            if matches!(table, "users" | "api_keys") {
                for (key, sealed) in &records[1..] {
                    let mut bytes = sealed.clone();
                    bytes[40] ^= 1;
                    disk::put(&damaged.database(), table, key, &bytes);
                }
            }
            assert_noticed(damaged, kind, &format!("{table}: {what}"));
        }
    }
}

#[test]
fn values_that_changed_places_are_noticed() {
    let whole = at_rest();
    let records = |table: &str| disk::records(&whole.database(), table);
    let swapped = |first: (&str, usize), second: (&str, usize), kind: &str| {
        let damaged = whole.copy();
        let (a, b) = (records(first.0)[first.1].clone(), records(second.0)[second.1].clone());
        disk::put(&damaged.database(), first.0, &a.0, &b.1);
        disk::put(&damaged.database(), second.0, &b.0, &a.1);
        assert_noticed(damaged, kind, &format!("{first:?} and {second:?}"));
    };
    // Two environments of one vault, sealed by the same key; two of different vaults.
    let environments = records("environments");
    assert_eq!(environments.len(), 4);
    assert_eq!(environments[0].0[..16], environments[1].0[..16], "of one vault");
    swapped(("environments", 0), ("environments", 1), "environment");
    swapped(("environments", 0), ("environments", 2), "environment");
    swapped(("vaults", 0), ("vaults", 1), "vault");
    swapped(("vault_keys", 0), ("vault_keys", 1), "vault keys");
    swapped(("users", 0), ("users", 1), "user");
    swapped(("vault_names", 0), ("vault_names", 1), "vault name");
    // Across tables: an old value in the place of the living ones, and the other way round.
    swapped(("environments", 0), ("versions", 0), "environment");
    swapped(("environments", 0), ("trash", 0), "environment");
    swapped(("environments", 1), ("revisions", 0), "environment");
    swapped(("vaults", 0), ("users", 0), "user");
}

/// An older state of one record does open, but an old master key's, or another appliance's, does not.
#[test]
fn values_of_another_appliance_do_not_open_here() {
    let (here, there) = (at_rest(), at_rest());
    for (table, kind) in [("environments", "environment"), ("vaults", "vault"), ("vault_keys", "vault keys")]
    {
        let damaged = here.copy();
        let (ours, theirs) =
            (disk::records(&here.database(), table), disk::records(&there.database(), table));
        disk::put(&damaged.database(), table, &ours[0].0, &theirs[0].1);
        assert_noticed(damaged, kind, table);
    }
}

/// The bytes changed on the disk itself, behind the engine's back.
#[test]
fn a_byte_that_rotted_on_the_disk_is_noticed() {
    let whole = at_rest();
    for (table, kind) in NEEDED.iter().take(4) {
        let (_, sealed) = &disk::records(&whole.database(), table)[0];
        let damaged = whole.copy();
        let mut file = fs::read(damaged.database()).expect("the file can be read");
        let places: Vec<_> = file.windows(sealed.len()).enumerate().filter(|(_, w)| w == sealed).collect();
        let places: Vec<_> = places.into_iter().map(|(at, _)| at).collect();
        assert!(!places.is_empty(), "{table}");
        for at in places {
            file[at + sealed.len() / 2] ^= 0x10;
        }
        fs::write(damaged.database(), file).expect("the file can be written");
        assert_noticed(damaged, kind, table);
    }
}

/// What is needed to start at all is told at the start, and is no question of the master key.
#[test]
fn damage_to_the_keyring_is_told_at_the_start() {
    let whole = at_rest();
    let records = disk::records(&whole.database(), "meta");
    let (key, sealed) = records.iter().find(|(key, _)| key == b"keyring").expect("there is a keyring");
    let mut flipped = sealed.clone();
    *flipped.last_mut().expect("it is not empty") ^= 1;
    for bytes in [flipped, sealed[..sealed.len() - 1].to_vec(), sealed[..30].to_vec()] {
        let mut damaged = whole.copy();
        disk::put(&damaged.database(), "meta", key, &bytes);
        let said = damaged.launch().expect_err("it must not start").refused(1);
        assert!(said.contains("the keyring record is damaged"), "{said}");
        assert!(!said.contains("does not belong"), "{said}");
    }
}

/// A log whose end is not known is no reason to stop serving, but nothing in it may be overwritten.
#[test]
fn damage_to_the_audit_log_s_head_loses_no_entry() {
    let mut damaged = at_rest();
    let before = disk::records(&damaged.database(), "audit");
    let records = disk::records(&damaged.database(), "meta");
    let (key, sealed) = records.iter().find(|(key, _)| key == b"audit_head").expect("there is a head");
    disk::put(&damaged.database(), "meta", key, &sealed[..sealed.len() - 1]);
    damaged.restart();
    damaged.admin().push("acme/one", "local", &json!({ "A": "later" })).ok();
    damaged.stop();
    let after = disk::records(&damaged.database(), "audit");
    assert!(after.len() > before.len());
    assert!(after[..before.len()] == before, "an entry was overwritten");
}
