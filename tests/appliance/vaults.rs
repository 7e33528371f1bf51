//! Vaults, environments and people: the shape of each answer, and what is refused.

use super::harness::{Appliance, is_time, is_uuid, members};
use serde_json::json;

const DEFAULTS: [&str; 4] = ["local", "development", "staging", "production"];

#[test]
fn people_see_themselves() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    let me = alice.get("/v1/users/me").ok();
    let expected = ["avatarUrl", "createdAt", "email", "githubId", "id", "plan", "username"];
    assert_eq!(members(&me), expected);
    assert!(is_uuid(me["id"].as_str().unwrap_or_default()) && is_time(&me["createdAt"]), "{me}");
    assert_eq!(
        (&me["username"], &me["plan"], &me["githubId"]),
        (&json!("alice"), &json!("team"), &json!(null))
    );
    let limits = json!({
        "maxPublicRepos": "unlimited", "maxPrivateRepos": "unlimited", "maxProviders": "unlimited",
        "maxEnvironmentsPerVault": "unlimited", "maxSecretsPerPrivateVault": "unlimited",
    });
    let usage = |private: u64| {
        let used = json!({ "public": 0, "private": private, "providers": 0 });
        json!({ "plan": "team", "limits": limits, "usage": used })
    };
    assert_eq!(alice.get("/v1/users/me/usage").ok(), usage(0));
    alice.create_vault("alice/app");
    assert_eq!(alice.get("/v1/users/me/usage").ok(), usage(1));
}

#[test]
fn a_vault_comes_and_goes() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    let answer = alice.post("/v1/vaults", &json!({ "repoFullName": "Alice/My.App", "unknown": [1, 2] }));
    let created = answer.created();
    assert_eq!(members(&created), ["message", "repoFullName", "vaultId"]);
    assert_eq!(created["repoFullName"], "Alice/My.App");
    let base = format!("http://{}", appliance.address());
    let location = answer.header("location").and_then(|location| location.strip_prefix(&base));
    let location = location.unwrap_or_else(|| panic!("no place of ours in {}", answer.show()));

    let vault = alice.get(location).ok();
    let (created_at, updated_at) = (vault["createdAt"].clone(), vault["updatedAt"].clone());
    assert!(is_time(&created_at) && is_time(&updated_at), "{vault}");
    assert_eq!(
        vault,
        json!({
            "id": created["vaultId"], "repoFullName": "Alice/My.App", "repoOwner": "Alice", "repoName": "My.App",
            "repoAvatar": null, "secretCount": 0, "environments": DEFAULTS, "permission": "admin",
            "isPrivate": true, "createdAt": created_at, "updatedAt": updated_at,
        })
    );
    // Names compare without regard to case, and show as they were first spelt.
    assert_eq!(alice.get("/v1/vaults/alice/my.app").ok(), vault);
    alice.post("/v1/vaults", &json!({ "repoFullName": "alice/MY.APP" })).refused(409);
    alice.push("ALICE/my.app", "local", &json!({ "A": "1", "B": "2" })).ok();
    alice.push("alice/my.app", "staging", &json!({ "A": "1" })).ok();
    let filled = alice.get("/v1/vaults/alice/my.app").ok();
    assert_eq!(filled["secretCount"], 3);
    assert_eq!(alice.get("/v1/vaults").ok(), json!([filled]));

    alice.delete("/v1/vaults/alice/my.app").no_content();
    for target in ["/v1/vaults/alice/my.app", "/v1/secrets/pull?repo=alice/my.app&environment=local"] {
        alice.get(target).refused(404);
    }
    alice.delete("/v1/vaults/alice/my.app").refused(404);
    assert_eq!(alice.get("/v1/vaults").ok(), json!([]));
    // What lies in the trash does not count, and is not what is made anew.
    let again = alice.post("/v1/vaults", &json!({ "repoFullName": "alice/my.app" })).created();
    assert_ne!(again["vaultId"], created["vaultId"]);
    assert_eq!(alice.content("alice/my.app", "local"), "");
}

#[test]
fn who_may_not_make_a_vault_learns_which_role_it_takes_and_not_what_is_there() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    appliance.admin().create_vault("acme/there");
    let make = |repo: &str| alice.post("/v1/vaults", &json!({ "repoFullName": repo })).refused(404);
    let told = |repo: &str| make(repo)["detail"].as_str().unwrap_or_default().replace(repo, "");
    assert!(told("acme/ghost").contains("the role `admin` on its repository"), "{}", told("acme/ghost"));
    assert_eq!(told("acme/there"), told("acme/ghost"));
}

#[test]
fn vaults_are_listed_by_name_page_by_page() {
    let appliance = Appliance::start();
    let (admin, alice) = (appliance.admin(), appliance.account("alice"));
    for number in 0..30 {
        // Made in another order than they are listed in, and in mixed case.
        let name = format!("alice/{}{:02}", if number % 2 == 0 { "App" } else { "app" }, (number * 7) % 30);
        alice.create_vault(&name);
    }
    admin.create_vault("acme/hers");
    admin.create_vault("acme/not-hers");
    appliance.cli(&["repo", "grant", "acme/hers", "alice", "triage"]).done();
    let list = |target: &str| {
        let page = alice.get(target).ok();
        let names = page.as_array().expect("a list").iter();
        names.map(|vault| vault["repoFullName"].as_str().expect("a name").to_lowercase()).collect::<Vec<_>>()
    };
    let all = list("/v1/vaults?limit=100");
    assert_eq!(all.len(), 31);
    assert!(all.is_sorted() && all[0] == "acme/hers", "{all:?}");
    assert_eq!(list("/v1/vaults"), all[..25]);
    assert_eq!(list("/v1/vaults?limit=10&offset=25"), all[25..]);
    assert_eq!(list("/v1/vaults?offset=31"), Vec::<String>::new());
    let answer = alice.get("/v1/vaults?limit=7&offset=7&unknown=x");
    assert_eq!(
        answer.json()["meta"]["pagination"],
        json!({ "total": 31, "limit": 7, "offset": 7, "hasMore": true })
    );
    assert_eq!(alice.get("/v1/vaults").ok()[0]["permission"], "triage");
    // An administrator reaches every local vault.
    assert_eq!(admin.get("/v1/vaults?limit=1").json()["meta"]["pagination"]["total"], 32);
}

#[test]
fn environments_come_change_and_go() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    alice.create_vault("alice/app");
    let all = "/v1/vaults/alice/app/environments";
    let one = |name: &str| format!("{all}/{name}");
    assert_eq!(alice.get(all).ok(), json!({ "environments": DEFAULTS }));
    assert_eq!(
        alice.post(all, &json!({ "name": "preview" })).created(),
        json!({ "environment": "preview", "environments": ([&DEFAULTS[..], &["preview"]].concat()) })
    );
    alice.post(all, &json!({ "name": "preview" })).refused(409);

    alice.push("alice/app", "preview", &json!({ "A": "1" })).ok();
    assert_eq!(
        alice.patch(&one("preview"), &json!({ "newName": "review" })).ok(),
        json!({ "oldName": "preview", "newName": "review",
                "environments": ([&DEFAULTS[..], &["review"]].concat()) })
    );
    assert_eq!(alice.content("alice/app", "review"), "A=1\n");
    alice.pull("alice/app", "preview").refused(404);
    alice.patch(&one("preview"), &json!({ "newName": "x1" })).refused(404);
    alice.patch(&one("review"), &json!({ "newName": "local" })).refused(409);

    for kind in ["development", "protected", "standard"] {
        let changed = alice.patch(&format!("{}/type", one("review")), &json!({ "type": kind })).ok();
        assert_eq!(changed, json!({ "environment": "review", "type": kind }));
    }
    alice.patch(&format!("{}/type", one("review")), &json!({ "type": "secret" })).refused(400);
    alice.patch(&format!("{}/type", one("missing")), &json!({ "type": "standard" })).refused(404);

    assert_eq!(alice.delete(&one("review")).ok(), json!({ "deleted": "review", "environments": DEFAULTS }));
    alice.delete(&one("review")).refused(404);
    alice.pull("alice/app", "review").refused(404);
    // One that is made later under the same name is another.
    alice.post(all, &json!({ "name": "review" })).created();
    assert_eq!(alice.content("alice/app", "review"), "");
    for name in ["review", "local", "development", "staging"] {
        alice.delete(&one(name)).ok();
    }
    alice.delete(&one("production")).refused(403);
    assert_eq!(alice.get(all).ok(), json!({ "environments": ["production"] }));
}

#[test]
fn new_vaults_have_the_environments_that_the_operator_chose() {
    let appliance = Appliance::start_with(&[("KEYWAYD_VAULTS__DEFAULT_ENVIRONMENTS", "dev,prod")]);
    let admin = appliance.admin();
    admin.create_vault("acme/app");
    let listed = admin.get("/v1/vaults/acme/app/environments").ok();
    assert_eq!(listed, json!({ "environments": ["dev", "prod"] }));
}

#[test]
fn what_clients_ask_about_github_has_the_same_answer_for_everything() {
    let appliance = Appliance::start();
    appliance.admin().create_vault("acme/app");
    let stranger = appliance.stranger();
    for repo in ["acme/app", "acme/ghost"] {
        let ids = stranger.get(&format!("/v1/github/repo-ids?repo={repo}")).ok();
        assert_eq!(ids, json!({ "ownerId": 0, "repoId": 0 }));
    }
    assert_eq!(stranger.get("/v1/github/repo-ids?repo=nonsense").bad_fields(), ["repo"]);
    assert_eq!(stranger.get("/v1/github/repo-ids").bad_fields(), ["repo"]);
    let body = json!({ "repoOwner": "acme", "repoName": "app" });
    stranger.post("/v1/github/check-installation", &body).refused(401);
    let installed = appliance.admin().post("/v1/github/check-installation", &body).ok();
    assert_eq!(installed["installed"], true);
    assert!(installed["installUrl"].as_str().is_some_and(|url| url.starts_with("http")), "{installed}");
}
