//! Secrets one by one, and whole environments at once: the shape of each answer, and what is refused.

use super::harness::{Appliance, Client, Request, is_time, is_uuid, members};
use serde_json::{Value, json};

const ALL: &str = "/v1/vaults/alice/app/secrets";
const REPO: &str = "alice/app";

/// An appliance, and Alice with a vault.
fn with_vault() -> (Appliance, Client) {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    alice.create_vault(REPO);
    (appliance, alice)
}

fn create(client: &Client, key: &str, value: &str, environment: &str) -> Value {
    client.post(ALL, &json!({ "key": key, "value": value, "environment": environment })).created()
}

fn one(secret: &Value) -> String {
    format!("{ALL}/{}", secret["id"].as_str().expect("a secret has an id"))
}

#[test]
fn a_secret_is_made_read_changed_and_deleted() {
    let (_appliance, alice) = with_vault();
    let secret = create(&alice, "API_KEY", "hunter2", "local");
    assert!(is_uuid(secret["id"].as_str().unwrap_or_default()), "{secret}");
    assert!(is_time(&secret["createdAt"]) && secret["createdAt"] == secret["updatedAt"], "{secret}");
    assert_eq!(members(&secret), ["createdAt", "environment", "id", "key", "lastModifiedBy", "updatedAt"]);
    assert_eq!((&secret["key"], &secret["environment"]), (&json!("API_KEY"), &json!("local")));
    assert_eq!(secret["lastModifiedBy"], json!({ "username": "alice", "avatarUrl": null }));
    assert_eq!(alice.get(ALL).ok(), json!([secret]));
    let value = format!("{}/value", one(&secret));
    assert_eq!(alice.get(&value).ok(), json!({ "value": "hunter2", "preview": "••••••••" }));

    alice.post(ALL, &json!({ "key": "API_KEY", "value": "", "environment": "local" })).refused(409);
    create(&alice, "API_KEY", "another", "staging");

    let changed = alice.patch(&one(&secret), &json!({ "name": "API_TOKEN", "value": "correct horse" })).ok();
    assert_eq!((&changed["id"], &changed["key"]), (&secret["id"], &json!("API_TOKEN")));
    assert_eq!(alice.get(&value).ok(), json!({ "value": "correct horse", "preview": "corr••••orse" }));
    let emptied = alice.patch(&one(&secret), &json!({ "value": "" })).ok();
    assert_eq!(emptied["key"], "API_TOKEN");
    assert_eq!(alice.get(&value).ok()["value"], "");
    alice.patch(&one(&secret), &json!({})).refused(400);
    alice.patch(&one(&secret), &json!({ "name": "lower" })).refused(400);
    create(&alice, "TAKEN", "", "local");
    alice.patch(&one(&secret), &json!({ "name": "TAKEN" })).refused(409);
    assert_eq!(alice.secrets(REPO, "local"), json!({ "API_TOKEN": "", "TAKEN": "" }));

    let viewed = alice.get("/v1/secrets/view?repo=alice/app&environment=staging&key=API_KEY").ok();
    assert_eq!(viewed, json!({ "key": "API_KEY", "value": "another", "environment": "staging" }));

    alice.delete(&one(&secret)).no_content();
    alice.delete(&one(&secret)).refused(404);
    alice.get(&value).refused(404);
    alice.patch(&one(&secret), &json!({ "value": "x" })).refused(404);
    alice.get("/v1/secrets/view?repo=alice/app&environment=local&key=API_TOKEN").refused(404);
}

#[test]
fn secrets_are_listed_by_environment_and_key_without_values() {
    let (_appliance, alice) = with_vault();
    alice.push(REPO, "staging", &json!({ "B": "hidden-1", "A": "hidden-2" })).ok();
    alice.push(REPO, "local", &json!({ "lower_case": "hidden-3", "C": "hidden-4" })).ok();
    let list = |target: &str| {
        let answer = alice.get(target);
        assert!(!answer.show().contains("hidden"), "{}", answer.show());
        let list = answer.ok();
        let list = list.as_array().expect("a list").iter();
        list.map(|secret| format!("{}/{}", secret["environment"], secret["key"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    let all = ["local/C", "local/lower_case", "staging/A", "staging/B"];
    assert_eq!(list(ALL), all);
    assert_eq!(list(&format!("{ALL}?environment=staging")), all[2..]);
    assert_eq!(list(&format!("{ALL}?limit=2&offset=1")), all[1..3]);
    assert_eq!(list(&format!("{ALL}?environment=production")), Vec::<String>::new());
    alice.get(&format!("{ALL}?environment=missing")).refused(404);
}

#[test]
fn a_push_makes_the_environment_exactly_what_was_pushed() {
    let (appliance, alice) = with_vault();
    let answer = alice.push(REPO, "local", &json!({ "A": "1", "B": "2", "C": "3" }));
    let pushed = answer.ok();
    assert_eq!(members(&pushed), ["message", "stats", "success"]);
    assert_eq!(pushed["success"], true);
    assert_eq!(pushed["stats"], json!({ "created": 3, "updated": 0, "deleted": 0, "unchanged": 0 }));
    let before = alice.get(ALL).ok();

    let bob = appliance.account("bob");
    appliance.cli(&["repo", "grant", REPO, "bob", "write"]).done();
    let pushed = bob.push(REPO, "local", &json!({ "A": "1", "B": "changed", "D": "4" })).ok();
    assert_eq!(pushed["stats"], json!({ "created": 1, "updated": 1, "deleted": 1, "unchanged": 1 }));
    assert_eq!(alice.secrets(REPO, "local"), json!({ "A": "1", "B": "changed", "D": "4" }));
    let after = alice.get(ALL).ok();
    assert_eq!(after[0], before[0], "what did not change is not rewritten");
    assert_eq!(after[1]["id"], before[1]["id"]);
    assert_eq!(after[1]["lastModifiedBy"]["username"], "bob");
    assert_eq!(after[1]["createdAt"], before[1]["createdAt"]);

    let pushed = alice.push(REPO, "local", &json!({})).ok();
    assert_eq!(pushed["stats"], json!({ "created": 0, "updated": 0, "deleted": 3, "unchanged": 0 }));
    assert_eq!(alice.content(REPO, "local"), "");
}

#[test]
fn a_bad_push_names_every_bad_key_and_writes_nothing() {
    let (_appliance, alice) = with_vault();
    alice.push(REPO, "local", &json!({ "KEPT": "1" })).ok();
    let long = "X".repeat(257);
    let bad = ["1A", "A-B", "A B", "", "A=B", "Ä", "A\n", "A.B", &long];
    let mut secrets: Value = json!({ "GOOD": "1", "NUL": "a\u{0}b", "LONG": "x".repeat(65_537) });
    for key in bad {
        secrets[key] = json!("hunter2");
    }
    let answer = alice.push(REPO, "local", &secrets);
    assert!(!answer.show().contains("hunter2"));
    let mut named = answer.bad_fields();
    named.sort();
    let mut expected: Vec<String> = bad.iter().map(|key| format!("secrets.{key}")).collect();
    expected.retain(|name| !name.contains(&long));
    expected.extend([format!("secrets.{}", &long[..256]), "secrets.NUL".into(), "secrets.LONG".into()]);
    expected.sort();
    assert_eq!(named, expected);
    assert_eq!(alice.secrets(REPO, "local"), json!({ "KEPT": "1" }));

    for value in [json!(1), json!(null), json!(true), json!(["a"]), json!({ "a": 1 })] {
        assert_eq!(alice.push(REPO, "local", &json!({ "A": value })).bad_fields(), ["secrets.A"]);
    }
    // An environment that is not there is a mistake in the body.
    assert_eq!(alice.push(REPO, "missing", &json!({ "A": "1" })).bad_fields(), ["environment"]);
    assert_eq!(alice.push(REPO, "Not A Name", &json!({ "A": "1" })).bad_fields(), ["environment"]);
    assert_eq!(alice.push("nonsense", "local", &json!({ "A": "1" })).bad_fields(), ["repoFullName"]);
    assert_eq!(alice.secrets(REPO, "local"), json!({ "KEPT": "1" }));
}

#[test]
fn keys_may_be_any_posix_name_and_values_any_text() {
    let (_appliance, alice) = with_vault();
    let long = "k".repeat(256);
    let secrets = json!({
        "lower_case": "", "_": "underscore", &long: "x".repeat(65_536), "A9": "é🔑\u{2028}\r\n\t\\'\"`$#= ",
    });
    alice.push(REPO, "local", &secrets).ok();
    assert_eq!(alice.secrets(REPO, "local"), secrets);
    let bytes = "é".repeat(32_768);
    assert_eq!(alice.push(REPO, "local", &json!({ "A": bytes })).ok()["stats"]["created"], 1);
    let too_many_bytes = "é".repeat(32_769);
    assert_eq!(alice.push(REPO, "local", &json!({ "A": too_many_bytes })).bad_fields(), ["secrets.A"]);
}

#[test]
fn environments_have_a_size() {
    let (_appliance, alice) = with_vault();
    let keys = |count: usize| (0..count).map(|at| (format!("K{at}"), json!(""))).collect::<Value>();
    assert_eq!(alice.push(REPO, "local", &keys(1_001)).bad_fields(), ["secrets"]);
    assert_eq!(alice.push(REPO, "local", &keys(1_000)).ok()["stats"]["created"], 1_000);
    assert_eq!(alice.content(REPO, "local").lines().count(), 1_000);
    alice.post(ALL, &json!({ "key": "ONE_MORE", "value": "", "environment": "local" })).refused(413);
    // 1 MiB of keys and values: sixteen of 64 KiB fit only without their keys.
    let full = |count: usize, bytes: usize| {
        (0..count).map(|at| (format!("K{at:02}"), json!("x".repeat(bytes)))).collect::<Value>()
    };
    alice.push(REPO, "staging", &full(16, 65_536)).refused(413);
    assert_eq!(alice.content(REPO, "staging"), "");
    alice.push(REPO, "staging", &full(16, 65_533)).ok();
    let value = json!({ "key": "A", "value": "", "environment": "staging" });
    alice.post(ALL, &value).refused(413);
}

#[test]
fn a_pull_is_the_whole_environment_sorted_by_key() {
    let (_appliance, alice) = with_vault();
    let answer = alice.pull(REPO, "local");
    assert_eq!(answer.ok(), json!({ "content": "" }));
    assert!(answer.header("etag").is_some());
    let pairs: Value = (0..120).map(|at| (format!("K{at:03}"), json!(format!("v{at}")))).collect();
    alice.push(REPO, "local", &pairs).ok();
    let content = alice.content(REPO, "local");
    let expected: String = (0..120).map(|at| format!("K{at:03}=v{at}\n")).collect();
    assert_eq!(content, expected);
    let part = |parameters: &str| {
        let answer = alice.get(&format!("/v1/secrets/pull?repo={REPO}&environment=local&{parameters}"));
        answer.ok()["content"].as_str().expect("content is text").to_owned()
    };
    assert_eq!(part("limit=2&offset=118"), "K118=v118\nK119=v119\n");
    assert_eq!(part("offset=119"), "K119=v119\n");
    assert_eq!(part("limit=1"), "K000=v0\n");
    assert_eq!(part("limit=100000"), expected, "there is no most");
    for bad in ["limit=0", "limit=-1", "offset=x", "limit=1&limit=2", "format=xml"] {
        alice.get(&format!("/v1/secrets/pull?repo={REPO}&environment=local&{bad}")).refused(400);
    }
    alice.pull(REPO, "missing").refused(404);
    assert_eq!(alice.get("/v1/secrets/pull?repo=alice/app").bad_fields(), ["environment"]);
    assert_eq!(alice.get("/v1/secrets/pull?environment=local").bad_fields(), ["repo"]);
}

#[test]
fn a_tag_saves_the_next_pull_and_guards_the_next_push() {
    let (appliance, alice) = with_vault();
    let target = "/v1/secrets/pull?repo=alice/app&environment=local";
    alice.push(REPO, "local", &json!({ "A": "1" })).ok();
    let tag = alice.get(target).header("etag").expect("a pull has a tag").to_owned();
    assert_eq!(alice.get(target).header("etag"), Some(tag.as_str()));
    let asking = |condition: &str| Request::new("GET", target).header("If-None-Match", condition);
    for same in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let answer = alice.send(&asking(&same));
        assert_eq!((answer.status, answer.header("etag")), (304, Some(tag.as_str())), "{same}");
    }
    assert_eq!(alice.send(&asking("\"other\"")).ok()["content"], "A=1\n");
    // The role is asked before the tag.
    appliance.account("bob").send(&asking(&tag)).refused(404);

    let body =
        |value: &str| json!({ "repoFullName": REPO, "environment": "local", "secrets": { "A": value } });
    let pushing = |condition: &str, value: &str| {
        alice.send(&Request::new("POST", "/v1/secrets/push").header("If-Match", condition).json(&body(value)))
    };
    // A push that changes nothing leaves the tag good.
    alice.push(REPO, "local", &json!({ "A": "1" })).ok();
    pushing(&tag, "2").ok();
    pushing(&tag, "3").refused(412);
    pushing("\"nonsense\"", "3").refused(412);
    assert_eq!(alice.secrets(REPO, "local"), json!({ "A": "2" }));
    pushing("*", "3").ok();
    let now = alice.get(target).header("etag").expect("a pull has a tag").to_owned();
    assert_ne!(now, tag);
    pushing(&format!("\"other\", {now}"), "4").ok();
    assert_eq!(alice.secrets(REPO, "local"), json!({ "A": "4" }));
}

#[test]
fn single_secrets_keep_to_the_customary_form() {
    let (_appliance, alice) = with_vault();
    let make = |key: &str, value: Value, environment: &str| {
        alice.post(ALL, &json!({ "key": key, "value": value, "environment": environment }))
    };
    for key in ["", "lower", "_A", "1A", "A-B", "A B", &"X".repeat(257)] {
        assert_eq!(make(key, json!("x"), "local").bad_fields(), ["key"], "{key}");
    }
    make(&"X".repeat(256), json!(""), "local").created();
    assert_eq!(make("A", json!("a\u{0}"), "local").bad_fields(), ["value"]);
    assert_eq!(make("A", json!("x".repeat(65_537)), "local").bad_fields(), ["value"]);
    assert_eq!(make("A", json!(7), "local").bad_fields(), ["value"]);
    assert_eq!(make("A", json!("x"), "missing").bad_fields(), ["environment"]);
    assert_eq!(make("A", json!("x"), "L").bad_fields(), ["environment"]);
    assert_eq!(alice.post(ALL, &json!({ "key": "A", "environment": "local" })).bad_fields(), ["value"]);
    // A secret of another vault is not found in this one.
    alice.create_vault("alice/other");
    let body = json!({ "key": "A", "value": "x", "environment": "local" });
    let other = alice.post("/v1/vaults/alice/other/secrets", &body).created();
    alice.get(&format!("{}/value", one(&other))).refused(404);
    alice.delete(&one(&other)).refused(404);
    alice.get(&format!("{ALL}/not-an-id/value")).refused(404);
}

#[test]
fn previews_show_the_ends_of_long_values_only() {
    let (_appliance, alice) = with_vault();
    for (at, (value, preview)) in [
        ("", "••••••••"),
        ("12345678", "••••••••"),
        ("123456789", "12••••89"),
        ("123456789012", "12••••12"),
        ("1234567890123", "1234••••0123"),
    ]
    .into_iter()
    .enumerate()
    {
        let secret = create(&alice, &format!("K{at}"), value, "local");
        let shown = alice.get(&format!("{}/value", one(&secret))).ok();
        assert_eq!(shown, json!({ "value": value, "preview": preview }));
    }
}
