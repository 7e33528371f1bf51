//! The API against its own description: schemathesis makes requests of `/v1/openapi.json`, good and bad ones, follows
//! its links, and holds every answer to it. Once for each kind of credential.
//!
//! ```sh
//! tests/clients/install DIR
//! KEYWAYD_CLIENTS=DIR cargo test --test appliance -- --ignored schemathesis::
//! ```
//!
//! `KEYWAYD_TEST_SECONDS` says for how long each kind is tried, 30 seconds if it does not.

use crate::github_roles::{acme, appliance};
use crate::github_sign_in::signed_in;
use crate::harness::{Appliance, Client, skipped, told};
use crate::http_clients::tool;
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// For how long one kind of credential is tried, in seconds.
fn seconds() -> String {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting")]
    std::env::var("KEYWAYD_TEST_SECONDS").unwrap_or_else(|_| "30".to_owned())
}

/// Something of everything, so that there is something to find.
fn furnish(client: &Client) {
    client.create_vault("acme/app");
    let push = |value: &str| client.push("acme/app", "production", &json!({"KEY": value, "OTHER": "1"})).ok();
    push("one");
    push("two");
    client.push("acme/app", "production", &json!({"KEY": "three"})).ok();
    let rule = json!({
        "environment": "production", "targetType": "role", "targetRole": "write", "canRead": true, "canWrite": false
    });
    client.post("/v1/vaults/acme/app/permissions/overrides", &rule).created();
}

/// Tries every call with `credential`, but not those that would end the credential itself.
fn tried(appliance: &Appliance, credential: &str, without: &[&str]) {
    let Some(schemathesis) = tool("schemathesis") else {
        return skipped("`KEYWAYD_CLIENTS` is not set: the API is not held to its description");
    };
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/schemathesis.toml");
    let mut command = Command::new(schemathesis);
    command
        .arg("--config-file")
        .arg(config)
        .args(["run", &format!("http://{}/v1/openapi.json", appliance.address())])
        .args(["--header", &format!("Authorization: Bearer {credential}")])
        .args(["--max-time", &seconds(), "--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--continue-on-failure", "--no-color"])
        .current_dir(appliance.home());
    for call in without {
        command.args(["--exclude-operation-id", call]);
    }
    let output = command.output().expect("schemathesis can be run");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let count = report.lines().find_map(|line| line.trim().split_once(" generated")?.0.parse::<u32>().ok());
    let count = count.unwrap_or_else(|| panic!("no count in {report}"));
    assert!(count > 500, "only {count} requests were tried");
    told(&format!("schemathesis tried {count} requests"));
}

#[test]
#[ignore = "takes half a minute; `.ci/run` has a step for it"]
fn with_a_session() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    let browser = signed_in(&appliance, &github, "alice");
    let session = &browser.cookies["keyway_session"];
    furnish(&appliance.client(session));
    tried(&appliance, session, &["post_v1_auth_logout"]);
}

#[test]
#[ignore = "takes half a minute; `.ci/run` has a step for it"]
fn with_a_github_token() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    furnish(&appliance.client("ghp_alice"));
    tried(&appliance, "ghp_alice", &[]);
}

#[test]
#[ignore = "takes half a minute; `.ci/run` has a step for it"]
fn with_an_api_key() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    let browser = signed_in(&appliance, &github, "alice");
    let alice = appliance.client(&browser.cookies["keyway_session"]);
    furnish(&alice);
    let wanted = json!({
        "name": "tried", "environment": "test",
        "scopes": ["read:secrets", "write:secrets", "delete:secrets", "admin:api-keys"]
    });
    let key = alice.post("/v1/api-keys", &wanted).created();
    tried(&appliance, key["token"].as_str().expect("a token"), &["delete_v1_api_keys_id"]);
}
