//! API keys: what they are limited to, and that the limits hold at once and for good.

use super::harness::{Appliance, Client, Request, is_time, is_uuid, members};
use serde_json::{Value, json};

const READ_ONLY: [&str; 1] = ["read:secrets"];

fn minting(more: Value) -> Value {
    let mut body = json!({ "name": "ci", "environment": "live", "scopes": READ_ONLY });
    body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    body
}

/// Mints a key as `client`, and is a client with it.
fn mint(appliance: &Appliance, client: &Client, more: Value) -> (Value, Client) {
    let key = client.post("/v1/api-keys", &minting(more)).created();
    let token = key["token"].as_str().expect("a new key has a token");
    let with_it = appliance.client(token);
    (key, with_it)
}

fn path(key: &Value) -> String {
    format!("/v1/api-keys/{}", key["id"].as_str().expect("a key has an id"))
}

#[test]
fn a_key_is_minted_shown_used_and_revoked() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    alice.create_vault("alice/app");
    let answer = alice.post("/v1/api-keys", &minting(json!({ "environment": "test", "expiresInDays": 30 })));
    let key = answer.created();
    let token = key["token"].as_str().expect("a new key has a token").to_owned();
    let secret = token.strip_prefix("kw_test_").expect("the label is in the token");
    assert!(secret.len() == 40 && secret.chars().all(|c| c.is_ascii_alphanumeric()), "{token}");
    let location = format!("http://{}{}", appliance.address(), path(&key));
    assert_eq!(answer.header("location"), Some(location.as_str()));

    let mut shown = key.clone();
    shown.as_object_mut().expect("an object").remove("token");
    let expected = [
        "allowedIps",
        "createdAt",
        "environment",
        "environments",
        "expiresAt",
        "id",
        "lastUsedAt",
        "name",
        "prefix",
        "repositories",
        "revokedAt",
        "scopes",
        "usageCount",
    ];
    assert_eq!(members(&shown), expected);
    assert!(is_uuid(shown["id"].as_str().unwrap_or_default()), "{shown}");
    assert!(is_time(&shown["createdAt"]) && is_time(&shown["expiresAt"]), "{shown}");
    let prefix = shown["prefix"].as_str().expect("a prefix");
    assert!(token.starts_with(prefix) && prefix.len() <= "kw_test_".len() + 6, "{prefix}");
    assert_eq!((&shown["name"], &shown["environment"]), (&json!("ci"), &json!("test")));
    assert_eq!((&shown["scopes"], &shown["allowedIps"]), (&json!(READ_ONLY), &json!([])));
    assert_eq!((&shown["usageCount"], &shown["revokedAt"]), (&json!(0), &json!(null)));
    assert_eq!(alice.get(&path(&key)).ok(), shown);

    let reader = appliance.client(&token);
    for _ in 0..3 {
        reader.pull("alice/app", "local").ok();
    }
    let used = alice.get(&path(&key)).ok();
    assert!(used["usageCount"] == 3 && is_time(&used["lastUsedAt"]), "{used}");
    let list = alice.get("/v1/api-keys");
    assert_eq!(list.ok()["keys"][0], used, "newest first");
    assert!(!list.show().contains(secret), "the token is shown once");

    alice.delete(&path(&key)).no_content();
    reader.pull("alice/app", "local").refused(401);
    assert!(is_time(&alice.get(&path(&key)).ok()["revokedAt"]));
    alice.delete(&path(&key)).no_content();
    // Nobody else's keys are there for anybody.
    for answer in [appliance.admin().get(&path(&key)), appliance.admin().delete(&path(&key))] {
        answer.refused(404);
    }
    alice.get("/v1/api-keys/nonsense").refused(404);
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    let appliance = Appliance::start();
    let admin = appliance.admin();
    appliance.admin().create_vault("acme/app");
    for (wish, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": " " }), "name"),
        (json!({ "name": "x".repeat(101) }), "name"),
        (json!({ "environment": "prod" }), "environment"),
        (json!({ "scopes": [] }), "scopes"),
        (json!({ "scopes": ["read"] }), "scopes[0]"),
        (json!({ "scopes": "read:secrets" }), "scopes"),
        (json!({ "expiresInDays": 0 }), "expiresInDays"),
        (json!({ "expiresInDays": -1 }), "expiresInDays"),
        (json!({ "expiresInDays": 36_501 }), "expiresInDays"),
        (json!({ "allowedIps": ["example.com"] }), "allowedIps[0]"),
        (json!({ "allowedIps": ["10.0.0.0/8", "10.0.0.0/33"] }), "allowedIps[1]"),
        (json!({ "repositories": [] }), "repositories"),
        (json!({ "repositories": ["acme/ghost"] }), "repositories"),
        (json!({ "repositories": ["acme"] }), "repositories[0]"),
        (json!({ "environments": [] }), "environments"),
        (json!({ "repositories": ["acme/app"], "environments": ["missing"] }), "environments"),
    ] {
        let answer = admin.post("/v1/api-keys", &minting(wish.clone()));
        assert_eq!(answer.bad_fields(), [field], "{wish}");
    }
    assert_eq!(admin.get("/v1/api-keys").ok()["keys"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_key_is_used_from_its_addresses_only() {
    let appliance = Appliance::start_with(&[("KEYWAYD_SERVER__TRUSTED_PROXIES", "127.0.0.1")]);
    let admin = appliance.admin();
    let networks = json!({ "allowedIps": ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"] });
    let (key, client) = mint(&appliance, &admin, networks);
    assert_eq!(key["allowedIps"], json!(["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"]));
    let from = |address: &str| {
        client.send(&Request::new("GET", "/v1/vaults").header("X-Forwarded-For", address)).status
    };
    for good in ["192.0.2.1", "192.0.2.255", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.1"] {
        assert_eq!(from(good), 200, "{good}");
    }
    for bad in ["192.0.3.1", "198.51.100.8", "2001:db9::1", "192.0.2.1, 203.0.113.1", "garbage", ""] {
        assert_eq!(from(bad), 401, "{bad}");
    }
    client.get("/v1/vaults").refused(401);
    let (_, here) = mint(&appliance, &admin, json!({ "allowedIps": ["127.0.0.0/8"] }));
    here.get("/v1/vaults").ok();
}

#[test]
fn whoever_has_a_revoked_key_cannot_fill_the_audit_log_with_it() {
    let appliance = Appliance::start_with(&[("KEYWAYD_SERVER__TRUSTED_PROXIES", "127.0.0.1")]);
    let admin = appliance.admin();
    let minted: Vec<_> = (0..2).map(|_| mint(&appliance, &admin, json!({}))).collect();
    for (key, client) in &minted {
        admin.delete(&path(key)).no_content();
        for number in 0..50 {
            let address = format!("192.0.2.{number}");
            let request = Request::new("GET", "/v1/users/me").header("X-Forwarded-For", &address);
            client.send(&request).refused(401);
        }
    }
    // What is noted by the way is written before what is waited for.
    admin.create_vault("acme/app");
    let log = appliance.cli(&["audit", "export"]).done();
    let noted = log.lines().filter(|line| line.contains("api_key_refused")).count();
    assert_eq!(noted, 2, "each key once: {log}");
}

#[test]
fn a_key_ends_when_its_time_is_over() {
    let appliance = Appliance::start();
    let token = appliance.key_for("admin", &["--scopes", "all", "--expires", "1s"]);
    let client = appliance.client(&token);
    // Asked again and again until it ends, which it does.
    while client.get("/v1/users/me").status == 200 {}
    let problem = client.get("/v1/users/me").refused(401);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("expired")), "{problem}");
}

#[test]
fn a_key_reaches_its_repositories_only_and_makes_none() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    alice.create_vault("alice/one");
    alice.create_vault("alice/two");
    let scopes = json!(["read:secrets", "write:secrets", "delete:secrets"]);
    let limits = json!({ "scopes": scopes, "repositories": ["ALICE/one"] });
    let (key, client) = mint(&appliance, &alice, limits);
    assert_eq!(key["repositories"], json!(["alice/one"]));
    let listed = client.get("/v1/vaults").ok();
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["repoFullName"]), (Some(1), &json!("alice/one")));
    client.push("alice/one", "local", &json!({ "A": "1" })).ok();
    client.push("alice/two", "local", &json!({ "A": "1" })).refused(404);
    client.get("/v1/vaults/alice/two").refused(404);
    client.post("/v1/vaults", &json!({ "repoFullName": "alice/three" })).refused(403);
    // Bound to the vault: one made later under its name is another.
    alice.delete("/v1/vaults/alice/one").no_content();
    alice.create_vault("alice/one");
    client.pull("alice/one", "local").refused(404);
}

#[test]
fn a_key_keeps_its_environments_through_renames_and_loses_them_with_them() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    alice.create_vault("alice/app");
    for environment in ["staging", "production"] {
        alice.push("alice/app", environment, &json!({ "IN": environment })).ok();
    }
    let limits = json!({ "scopes": ["read:secrets", "write:secrets"], "environments": ["staging"] });
    let (key, client) = mint(&appliance, &alice, limits);
    assert_eq!(key["environments"], json!(["staging"]));
    assert_eq!(client.content("alice/app", "staging"), "IN=staging\n");
    client.push("alice/app", "staging", &json!({ "IN": "staging 2" })).ok();
    client.pull("alice/app", "production").refused(403);
    client.push("alice/app", "production", &json!({})).refused(403);
    assert_eq!(client.get("/v1/vaults/alice/app/secrets").ok().as_array().map(Vec::len), Some(1));
    // It manages nothing: neither its own environments nor others.
    let all = "/v1/vaults/alice/app/environments";
    client.post(all, &json!({ "name": "new" })).refused(403);

    alice.patch(&format!("{all}/staging"), &json!({ "newName": "renamed" })).ok();
    assert_eq!(client.content("alice/app", "renamed"), "IN=staging 2\n");
    alice.patch(&format!("{all}/production"), &json!({ "newName": "staging" })).ok();
    client.pull("alice/app", "staging").refused(403);

    alice.delete(&format!("{all}/renamed")).ok();
    alice.post(all, &json!({ "name": "renamed" })).created();
    client.pull("alice/app", "renamed").refused(403);
    client.push("alice/app", "renamed", &json!({ "A": "1" })).refused(403);
}

#[test]
fn a_key_mints_only_what_it_may_do_itself() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    alice.create_vault("alice/one");
    alice.create_vault("alice/two");
    for repo in ["alice/one", "alice/two"] {
        for environment in ["local", "staging"] {
            alice.push(repo, environment, &json!({ "IN": repo })).ok();
        }
    }
    let scopes = json!(["read:secrets", "admin:api-keys"]);
    let limits = json!({ "scopes": scopes, "repositories": ["alice/one"], "environments": ["staging"] });
    let (_, parent) = mint(&appliance, &alice, limits);

    let wish = |more: Value| parent.post("/v1/api-keys", &minting(more));
    wish(json!({ "scopes": ["write:secrets"] })).refused(403);
    wish(json!({ "scopes": ["read:secrets", "delete:secrets"] })).refused(403);
    assert_eq!(wish(json!({ "repositories": ["alice/two"] })).bad_fields(), ["repositories"]);
    wish(json!({ "environments": ["local"] })).refused(403);

    // What is not said is inherited.
    for more in [json!({}), json!({ "repositories": ["alice/one"] }), json!({ "environments": ["staging"] })]
    {
        let (key, child) = mint(&appliance, &parent, more);
        assert_eq!(key["repositories"], json!(["alice/one"]));
        assert_eq!(key["environments"], json!(["staging"]));
        assert_eq!(child.content("alice/one", "staging"), "IN=alice/one\n");
        child.pull("alice/one", "local").refused(403);
        child.pull("alice/two", "staging").refused(404);
        child.push("alice/one", "staging", &json!({})).refused(403);
        child.get("/v1/api-keys").refused(403);
    }
}

/// A key that ends, or that works from some addresses only, cannot make itself one without these limits.
#[test]
fn a_key_passes_on_its_end_and_its_addresses() {
    let appliance = Appliance::start();
    let admin = appliance.admin();
    let scopes = json!(["read:secrets", "admin:api-keys"]);
    let limits = json!({ "scopes": scopes, "expiresInDays": 1, "allowedIps": ["127.0.0.0/8"] });
    let (key, parent) = mint(&appliance, &admin, limits);

    let (child, _) = mint(&appliance, &parent, json!({}));
    assert_eq!((&child["expiresAt"], &child["allowedIps"]), (&key["expiresAt"], &key["allowedIps"]));
    let (child, _) = mint(&appliance, &parent, json!({ "allowedIps": ["127.0.0.1"] }));
    assert_eq!(child["allowedIps"], json!(["127.0.0.1/32"]));
    parent.post("/v1/api-keys", &minting(json!({ "expiresInDays": 2 }))).refused(403);
    parent.post("/v1/api-keys", &minting(json!({ "allowedIps": ["127.0.0.0/8", "10.0.0.1"] }))).refused(403);
    parent.post("/v1/api-keys", &minting(json!({ "allowedIps": ["126.0.0.0/7"] }))).refused(403);
}

#[test]
fn a_placeholder_in_the_place_of_a_key_is_told_from_a_wrong_key() {
    let appliance = Appliance::start();
    let detail = |token: &str| {
        let problem = appliance.client(token).get("/v1/users/me").refused(401);
        let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
        assert!(!problem.to_string().contains(token), "{problem}");
        detail
    };
    for placeholder in ["kw_live_…", "<API-key>", "$KEYWAY_TOKEN"] {
        assert!(detail(placeholder).contains("a character that no token has"), "{placeholder}");
    }
    let wrong = format!("kw_live_{}", "0".repeat(40));
    assert!(detail(&wrong).contains("is not valid"), "{}", detail(&wrong));
    assert!(detail("two words").contains("`Bearer <token>`"));
}
