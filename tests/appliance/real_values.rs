//! Real environments through the running appliance: what is pushed is pulled, by everybody who reads `.env` text,
//! and what the shipped clients do with it changes nothing they did not mean to change.

use super::harness::{Appliance, Client, Request};
use super::readers::limits::{docker_cannot, dotenv_npm_cannot, naive_cannot, python_cannot};
use super::readers::values::{adversarial, realistic};
use super::readers::{
    OTHER_JAVASCRIPT, Variables, read_with_docker_rules, read_with_javascript, read_with_node,
    read_with_old_python, read_with_python,
};
use super::samples::samples;
use serde_json::{Value, json};

const REPO: &str = "acme/app";
const ENVIRONMENT: &str = "production";

fn with_vault() -> (Appliance, Client) {
    let appliance = Appliance::start();
    let admin = appliance.admin();
    admin.create_vault(REPO);
    (appliance, admin)
}

/// The reader of the shipped command line: split at `\n`, trim, cut at the first `=`, strip one pair of equal
/// quotes, undo no escape.
fn naive(content: &str) -> Variables {
    let pairs = content.split('\n').filter_map(|line| {
        let line = line.trim();
        let (key, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        let value = value.trim();
        let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        Some((key.trim().to_owned(), inner.unwrap_or(value).to_owned()))
    });
    pairs.collect()
}

/// Replaces the environment by `pairs` and takes it back as text; as JSON it must be what it was.
fn through(client: &Client, pairs: &Variables) -> String {
    client.push(REPO, ENVIRONMENT, &json!(pairs)).ok();
    assert_eq!(client.secrets(REPO, ENVIRONMENT), json!(pairs));
    let content = client.content(REPO, ENVIRONMENT);
    let keys: Vec<_> = content.lines().map(|line| line.split('=').next().unwrap_or_default()).collect();
    assert_eq!(keys, pairs.keys().collect::<Vec<_>>(), "every key once, sorted, a line each");
    content
}

/// Each reader gets every value it can get, exactly, and no variable that was never pushed.
fn assert_read_by_all(pairs: &[Variables], contents: &[String]) {
    let exact = |reader: &str, read: Vec<Variables>, cannot: &dyn Fn(&str, &str) -> bool| {
        for ((pairs, read), content) in pairs.iter().zip(read).zip(contents) {
            for key in read.keys() {
                assert!(pairs.contains_key(key), "{reader} finds {key:?} in\n{content}");
            }
            for (key, value) in pairs {
                let right = read.get(key) == Some(value);
                assert_eq!(
                    right,
                    !cannot(key, value),
                    "{reader} reads {key} = {value:?} wrongly in\n{content}"
                );
            }
        }
    };
    let by_naive = contents.iter().map(|content| naive(content)).collect();
    exact("the naive reader", by_naive, &|_, value| naive_cannot(value));
    exact("docker", read_with_docker_rules(contents), &|key, value| docker_cannot(key.len(), value));
    if let Some(read) = read_with_node(contents) {
        exact("dotenv", read, &|_, value| dotenv_npm_cannot(value));
    }
    if let Some(read) = read_with_python(contents) {
        exact("python-dotenv", read, &|_, value| python_cannot(value));
    }
    let safe = |reader: &str, read: Vec<Variables>| {
        for ((pairs, read), content) in pairs.iter().zip(read).zip(contents) {
            let strange = read.keys().find(|key| !pairs.contains_key(*key));
            assert_eq!(strange, None, "{reader} finds a variable that is none in\n{content}");
        }
    };
    if let Some(read) = read_with_old_python(contents) {
        safe("python-dotenv (old)", read);
    }
    for reader in OTHER_JAVASCRIPT {
        if let Some(read) = read_with_javascript(reader, contents) {
            safe(reader, read);
        }
    }
}

/// Pulls, reads naively and pushes back, as `agent` does: nothing changes.
fn assert_round_trip(client: &Client, agent: &str, pairs: &Variables) {
    let client = client.calling_itself(agent);
    let before = client.pull(REPO, ENVIRONMENT);
    let read = naive(before.ok()["content"].as_str().expect("content is text"));
    let stats = client.push(REPO, ENVIRONMENT, &json!(read)).ok()["stats"].clone();
    let expected = json!({ "created": 0, "updated": 0, "deleted": 0, "unchanged": pairs.len() });
    assert_eq!(stats, expected, "{agent}: {pairs:?}");
    assert_eq!(client.pull(REPO, ENVIRONMENT).header("etag"), before.header("etag"));
    assert_eq!(client.secrets(REPO, ENVIRONMENT), json!(pairs));
}

fn files(values: impl IntoIterator<Item = String>, per_file: usize) -> Vec<Variables> {
    let values: Vec<_> = values.into_iter().collect();
    let file = |values: &[String]| {
        values.iter().enumerate().map(|(at, value)| (format!("K{at:03}"), value.clone())).collect()
    };
    values.chunks(per_file).map(file).collect()
}

#[test]
fn real_files_come_back_as_they_were() {
    let (_appliance, admin) = with_vault();
    let samples: Vec<Variables> = samples().into_iter().map(|(_, pairs)| pairs).collect();
    assert!(samples.len() >= 12);
    for value in samples.iter().flat_map(Variables::values).filter(|value| !value.contains(['\n', '\r'])) {
        assert!(
            !naive_cannot(value),
            "what people have on one line is exact for the naive reader: {value:?}"
        );
    }
    let contents: Vec<String> = samples.iter().map(|pairs| through(&admin, pairs)).collect();
    assert_read_by_all(&samples, &contents);
    for pairs in &samples {
        through(&admin, pairs);
        assert_round_trip(&admin, "keyway-cli/1.0", pairs);
        assert_round_trip(&admin, "keyway-mcp/1.0", pairs);
    }
}

#[test]
fn values_that_readers_stumble_over_come_back_and_survive_the_round_trip() {
    let (_appliance, admin) = with_vault();
    let files = files(realistic().into_iter().chain(adversarial(6_000)), 100);
    let mut contents = Vec::new();
    for pairs in &files {
        contents.push(through(&admin, pairs));
        assert_round_trip(&admin, "keyway-cli/1.0", pairs);
        assert_round_trip(&admin, "keyway-mcp/1.0", pairs);
    }
    assert_read_by_all(&files, &contents);
}

/// `keyway set` reads everything, changes one variable, and pushes everything back.
#[test]
fn a_merge_by_the_command_line_changes_what_it_means_to_change() {
    let (_appliance, admin) = with_vault();
    let cli = admin.calling_itself("keyway-cli/2.3.4");
    for pairs in files(realistic(), 20) {
        let mut read = naive(&through(&admin, &pairs));
        let mut expected = pairs.clone();
        for (key, value) in [("K000", "changed"), ("NEW", "n e w")] {
            read.insert(key.to_owned(), value.to_owned());
            expected.insert(key.to_owned(), value.to_owned());
        }
        read.remove("K001");
        expected.remove("K001");
        let stats = cli.push(REPO, ENVIRONMENT, &json!(read)).ok()["stats"].clone();
        let unchanged = pairs.len() - 2;
        assert_eq!(stats, json!({ "created": 1, "updated": 1, "deleted": 1, "unchanged": unchanged }));
        assert_eq!(admin.secrets(REPO, ENVIRONMENT), json!(expected));
    }
}

#[test]
fn a_single_pair_from_the_mcp_server_leaves_the_rest_alone() {
    let (_appliance, admin) = with_vault();
    let mcp = admin.calling_itself("keyway-mcp/1.0");
    for pairs in files(realistic(), 20) {
        through(&admin, &pairs);
        let mut expected = pairs.clone();
        for (key, value, stats) in [
            ("NEW", "n e w\n", json!({ "created": 1, "updated": 0, "deleted": 0, "unchanged": 0 })),
            ("K000", "changed", json!({ "created": 0, "updated": 1, "deleted": 0, "unchanged": 0 })),
            ("K000", "changed", json!({ "created": 0, "updated": 0, "deleted": 0, "unchanged": 1 })),
        ] {
            expected.insert(key.to_owned(), value.to_owned());
            assert_eq!(mcp.push(REPO, ENVIRONMENT, &json!({ key: value })).ok()["stats"], stats);
            assert_eq!(admin.secrets(REPO, ENVIRONMENT), json!(expected));
        }
        assert_eq!(mcp.push(REPO, ENVIRONMENT, &json!({})).ok()["stats"]["deleted"], 0);
    }
}

/// The courtesies are for those two clients; from everybody else a value is what it is.
#[test]
fn others_push_exactly_what_they_say() {
    let (_appliance, admin) = with_vault();
    let pem = "-----BEGIN KEY-----\nabc\n-----END KEY-----\n";
    for agent in ["curl/8.0", "keyway-action/1.0", "xkeyway-cli/1.0", "keyway-cli", ""] {
        admin.push(REPO, ENVIRONMENT, &json!({ "PEM": pem, "B": "1" })).ok();
        let read = naive(&admin.content(REPO, ENVIRONMENT));
        assert_ne!(read["PEM"], pem, "the naive reader sees the escapes");
        let body =
            json!({ "repoFullName": REPO, "environment": ENVIRONMENT, "secrets": { "PEM": read["PEM"] } });
        let push = Request::new("POST", "/v1/secrets/push").header("User-Agent", agent).json(&body);
        let stats: Value = admin.send(&push).ok()["stats"].clone();
        assert_eq!(stats, json!({ "created": 0, "updated": 1, "deleted": 1, "unchanged": 0 }), "{agent}");
        assert_eq!(admin.secrets(REPO, ENVIRONMENT), json!({ "PEM": read["PEM"] }));
    }
}
