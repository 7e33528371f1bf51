//! Who may call what: every route of vaults and secrets, with every role, every scope, and none. Each run has a
//! vault of its own, on which all calls are made in an order in which they all succeed for somebody who may.

use super::harness::{Answer, Appliance, Client, Request};
use serde_json::{Value, json};

const READ: &str = "read:secrets";
const WRITE: &str = "write:secrets";
const DELETE: &str = "delete:secrets";
const SCOPES: [&str; 4] = [READ, WRITE, DELETE, "admin:api-keys"];
/// From the least on.
const ROLES: [&str; 5] = ["read", "triage", "write", "maintain", "admin"];

/// One call, and what it takes to make it.
struct Call {
    scope: &'static str,
    role: &'static str,
    request: Request,
    status: u16,
}

/// Makes the vault `repo` as the administrator, with what the calls need.
fn prepare(admin: &Client, repo: &str) -> [String; 3] {
    admin.create_vault(repo);
    ["FIRST", "SECOND", "THIRD"].map(|key| {
        let body = json!({ "key": key, "value": "a value", "environment": "staging" });
        let made = admin.post(&format!("/v1/vaults/{repo}/secrets"), &body).created();
        made["id"].as_str().expect("a secret has an id").to_owned()
    })
}

fn calls(repo: &str, [first, second, third]: &[String; 3]) -> Vec<Call> {
    let call = |scope, role, status, method: &str, target: &str, body: Option<Value>| {
        let mut request = Request::new(method, &target.replace("{repo}", repo));
        if let Some(body) = body {
            request = request.json(&body);
        }
        Call { scope, role, request, status }
    };
    let get = |target: &str| call(READ, "read", 200, "GET", target, None);
    let new = json!({ "key": "NEW", "value": "", "environment": "local" });
    let push = json!({ "repoFullName": repo, "environment": "local", "secrets": { "A": "1" } });
    vec![
        get("/v1/vaults/{repo}"),
        get("/v1/vaults/{repo}/environments"),
        get("/v1/vaults/{repo}/secrets?environment=staging"),
        get(&format!("/v1/vaults/{{repo}}/secrets/{first}/value")),
        get("/v1/secrets/pull?repo={repo}&environment=staging"),
        get("/v1/secrets/view?repo={repo}&environment=staging&key=FIRST"),
        get(&format!("/v1/vaults/{{repo}}/secrets/{first}/versions")),
        get("/v1/vaults/{repo}/environments/staging/revisions"),
        get("/v1/vaults/{repo}/trash"),
        call(READ, "admin", 200, "GET", "/v1/vaults/{repo}/trash/environments", None),
        get("/v1/vaults/{repo}/permissions/effective"),
        call(WRITE, "admin", 200, "GET", "/v1/vaults/{repo}/permissions/overrides", None),
        call(READ, "admin", 200, "GET", "/v1/activity?repo={repo}", None),
        call(WRITE, "write", 201, "POST", "/v1/vaults/{repo}/secrets", Some(new)),
        call(
            WRITE,
            "write",
            200,
            "PATCH",
            &format!("/v1/vaults/{{repo}}/secrets/{second}"),
            Some(json!({ "value": "x" })),
        ),
        call(DELETE, "write", 204, "DELETE", &format!("/v1/vaults/{{repo}}/secrets/{third}"), None),
        call(WRITE, "write", 200, "POST", "/v1/secrets/push", Some(push)),
        call(
            WRITE,
            "admin",
            201,
            "POST",
            "/v1/vaults/{repo}/environments",
            Some(json!({ "name": "preview" })),
        ),
        call(
            WRITE,
            "admin",
            200,
            "PATCH",
            "/v1/vaults/{repo}/environments/development",
            Some(json!({ "newName": "dev" })),
        ),
        call(
            WRITE,
            "admin",
            200,
            "PATCH",
            "/v1/vaults/{repo}/environments/staging/type",
            Some(json!({ "type": "protected" })),
        ),
        call(DELETE, "admin", 200, "DELETE", "/v1/vaults/{repo}/environments/production", None),
        call(DELETE, "admin", 200, "DELETE", "/v1/vaults/{repo}/trash", None),
        call(DELETE, "admin", 204, "DELETE", "/v1/vaults/{repo}", None),
    ]
}

fn assert_status(answer: &Answer, status: u16, who: &str) {
    assert_eq!(answer.status, status, "{who}: {}", answer.show());
}

#[test]
fn every_call_takes_the_role_that_the_contract_says() {
    let appliance = Appliance::start();
    let (admin, alice) = (appliance.admin(), appliance.account("alice"));
    for (level, role) in ROLES.iter().enumerate() {
        let repo = format!("acme/for-{role}");
        let secrets = prepare(&admin, &repo);
        appliance.cli(&["repo", "grant", &repo, "alice", role]).done();
        for call in calls(&repo, &secrets) {
            let least = ROLES.iter().position(|role| *role == call.role).expect("a role");
            let status = if level < least { 403 } else { call.status };
            assert_status(&alice.send(&call.request), status, role);
        }
    }
}

#[test]
fn making_a_vault_takes_the_role_admin() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    for role in ROLES {
        let repo = format!("acme/new-{role}");
        appliance.cli(&["repo", "grant", &repo, "alice", role]).done();
        let answer = alice.post("/v1/vaults", &json!({ "repoFullName": repo }));
        assert_status(&answer, if role == "admin" { 201 } else { 403 }, role);
    }
    assert_status(&alice.post("/v1/vaults", &json!({ "repoFullName": "acme/other" })), 404, "no role");
    assert_status(&alice.post("/v1/vaults", &json!({ "repoFullName": "alice/mine" })), 201, "own namespace");
}

#[test]
fn every_call_takes_the_scope_that_the_contract_says() {
    let appliance = Appliance::start();
    let admin = appliance.admin();
    let key = |scopes: &[&str]| appliance.key_for("admin", &["--scopes", &scopes.join(",")]);
    let with = SCOPES.map(|scope| (scope, appliance.client(&key(&[scope]))));
    let without = SCOPES.map(|scope| {
        let others: Vec<_> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        (scope, appliance.client(&key(&others)))
    });
    let find = |clients: &[(&str, Client); 4], scope: &str| {
        clients.iter().position(|(other, _)| *other == scope).expect("a scope")
    };
    let secrets = prepare(&admin, "acme/app");
    for call in calls("acme/app", &secrets) {
        let refused = without[find(&without, call.scope)].1.send(&call.request);
        assert_status(&refused, 403, call.scope);
        let detail = refused.json()["detail"].to_string();
        assert!(detail.contains(call.scope), "{detail}");
        assert_status(&with[find(&with, call.scope)].1.send(&call.request), call.status, call.scope);
    }
    for (scope, client) in &with {
        let may = if *scope == "admin:api-keys" { 200 } else { 403 };
        assert_status(&client.get("/v1/api-keys"), may, scope);
        // Whoever has a key may know whose it is.
        assert_status(&client.get("/v1/users/me"), 200, scope);
        assert_status(&client.get("/v1/users/me/usage"), 200, scope);
        let may = if *scope == READ { 200 } else { 403 };
        assert_status(&client.get("/v1/vaults"), may, scope);
    }
}

#[test]
fn nothing_is_told_without_a_credential() {
    let appliance = Appliance::start();
    let secrets = prepare(&appliance.admin(), "acme/app");
    let (stranger, wrong) = (appliance.stranger(), appliance.client("kw_live_not-a-key"));
    let forged = format!("{}x", &appliance.token[..appliance.token.len() - 1]);
    let forged = appliance.client(&forged);
    for call in calls("acme/app", &secrets) {
        for client in [&stranger, &wrong, &forged] {
            assert_status(&client.send(&call.request), 401, "no valid credential");
        }
    }
    for target in ["/v1/vaults", "/v1/users/me", "/v1/users/me/usage", "/v1/api-keys"] {
        assert_status(&stranger.get(target), 401, target);
    }
}

/// Whether a vault exists is told to nobody without a role on its repository.
#[test]
fn without_a_role_a_vault_that_exists_looks_like_one_that_does_not() {
    let appliance = Appliance::start();
    let (admin, alice) = (appliance.admin(), appliance.account("alice"));
    let secrets = prepare(&admin, "acme/there");
    let confined = {
        alice.create_vault("alice/own");
        appliance.client(&appliance.key_for("alice", &["--scopes", "all", "--repo", "alice/own"]))
    };
    for client in [&alice, &confined] {
        let (there, ghost) = (calls("acme/there", &secrets), calls("acme/ghost", &secrets));
        for (there, ghost) in there.iter().zip(&ghost) {
            let (there, ghost) = (client.send(&there.request), client.send(&ghost.request));
            assert_status(&there, 404, "no role");
            let mut ghost = ghost.anonymous();
            ghost.2 = serde_json::from_str(&ghost.2.to_string().replace("ghost", "there")).expect("JSON");
            assert_eq!(there.anonymous(), ghost);
        }
    }
    // And what the stranger did to it did nothing.
    assert_eq!(admin.content("acme/there", "staging").lines().count(), 3);
    // A key that is limited to one vault of its owner knows nothing of the others either.
    alice.create_vault("alice/other");
    assert_status(&confined.get("/v1/vaults/alice/other"), 404, "out of the key's reach");
    assert_status(&confined.get("/v1/vaults/alice/own"), 200, "within the key's reach");
}

#[test]
fn a_protected_environment_is_read_with_write_and_written_with_admin() {
    let appliance = Appliance::start();
    let admin = appliance.admin();
    let secrets = prepare(&admin, "acme/app");
    admin.push("acme/app", "local", &json!({ "OPEN": "1" })).ok();
    let kind = admin.patch("/v1/vaults/acme/app/environments/staging/type", &json!({ "type": "protected" }));
    assert_eq!(kind.ok(), json!({ "environment": "staging", "type": "protected" }));
    let value = format!("/v1/vaults/acme/app/secrets/{}/value", secrets[0]);
    for (role, reads, writes) in [
        ("read", 403, 403),
        ("triage", 403, 403),
        ("write", 200, 403),
        ("maintain", 200, 403),
        ("admin", 200, 200),
    ] {
        let client = appliance.account(&format!("user-{role}"));
        appliance.cli(&["repo", "grant", "acme/app", &format!("user-{role}"), role]).done();
        for target in [
            "/v1/secrets/pull?repo=acme/app&environment=staging",
            "/v1/secrets/view?repo=acme/app&environment=staging&key=FIRST",
            "/v1/secrets/view?repo=acme/app&environment=staging&key=NO_SUCH_KEY",
            "/v1/vaults/acme/app/secrets?environment=staging",
            &value,
        ] {
            let missing = target.contains("NO_SUCH_KEY") && reads == 200;
            assert_status(&client.get(target), if missing { 404 } else { reads }, role);
        }
        // Without an environment named, the list holds those that may be read.
        let listed = client.get("/v1/vaults/acme/app/secrets").ok();
        assert_eq!(listed.as_array().map(Vec::len), Some(if reads == 200 { 4 } else { 1 }), "{role}");
        let target = format!("/v1/vaults/acme/app/secrets/{}", secrets[0]);
        assert_status(&client.patch(&target, &json!({ "value": role })), writes, role);
        let push = client.push("acme/app", "staging", &json!({ "FIRST": "1", "SECOND": "2", "THIRD": "3" }));
        assert_status(&push, writes, role);
    }
}
