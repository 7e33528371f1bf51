//! Secrets synchronised with services, for each service alike: connecting, finding projects, both directions, and
//! what is left when something goes wrong in the middle.

use super::harness::{Appliance, Client, Request};
use super::services::{Fault, Netlify, Service, TOKEN, Vercel};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) const REPO: &str = "admin/app";
pub(crate) const PROJECT: &str = "app-0";

/// An appliance with a vault, connected with one service.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) appliance: Appliance,
    pub(crate) admin: Client,
    pub(crate) connection: String,
}

impl World {
    pub(crate) fn new(service: Service) -> Self {
        Self::with(service, &[])
    }

    pub(crate) fn with(service: Service, more: &[(&str, &str)]) -> Self {
        let settings = service.settings();
        let mut settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        settings.extend(more);
        let appliance = Appliance::start_with(&settings);
        let admin = appliance.admin();
        admin.create_vault(REPO);
        let connection = connect(&admin, service.name);
        Self { service, appliance, admin, connection }
    }

    pub(crate) fn push(&self, secrets: &Value) {
        self.admin.push(REPO, "production", secrets).ok();
    }

    pub(crate) fn secrets(&self) -> Value {
        self.admin.secrets(REPO, "production")
    }

    pub(crate) fn request(&self, direction: &str, allow_delete: bool) -> Request {
        let body = json!({
            "connectionId": self.connection, "projectId": PROJECT, "direction": direction, "allowDelete": allow_delete,
        });
        Request::new("POST", &format!("/v1/integrations/vaults/{REPO}/sync")).json(&body)
    }

    pub(crate) fn sync(&self, direction: &str, allow_delete: bool) -> Value {
        self.admin.send(&self.request(direction, allow_delete)).ok()
    }

    pub(crate) fn look(&self, what: &str, more: &str) -> Value {
        let (id, target) = (&self.connection, format!("/v1/integrations/vaults/{REPO}/sync/{what}"));
        self.admin.get(&format!("{target}?connectionId={id}&projectId={PROJECT}{more}")).ok()
    }

    pub(crate) fn preview(&self, direction: &str, allow_delete: bool) -> Value {
        self.look("preview", &format!("&direction={direction}&allowDelete={allow_delete}"))
    }

    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        self.service.values(PROJECT)
    }
}

pub(crate) fn connect(client: &Client, service: &str) -> String {
    let answer = client.post(&format!("/v1/integrations/{service}/connect"), &json!({ "token": TOKEN })).ok();
    assert_eq!((&answer["success"], &answer["provider"]), (&json!(true), &json!(service)));
    let connections = client.get("/v1/integrations/connections").ok()["connections"].clone();
    let own = connections.as_array().expect("a list").iter().find(|one| one["provider"] == service);
    own.expect("the connection is listed")["id"].as_str().expect("an id").to_owned()
}

pub(crate) fn counts(result: &Value) -> [u64; 4] {
    ["created", "updated", "deleted", "skipped"].map(|name| result[name].as_u64().expect("a count"))
}

pub(crate) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_push_writes_what_differs_and_a_second_one_writes_nothing() {
    for service in Service::all() {
        let world = World::new(service);
        let name = world.service.name;
        world.push(&json!({ "A": "1", "B": "", "C": "two\nlines" }));
        let status = world.look("status", "");
        assert_eq!(
            (&status["isFirstSync"], &status["providerHasSecrets"]),
            (&json!(true), &json!(false)),
            "{name}"
        );
        let first = world.sync("push", false);
        assert_eq!((counts(&first), &first["status"]), ([3, 0, 0, 0], &json!("success")), "{name}: {first}");
        assert_eq!(world.values(), map(&[("A", "1"), ("B", ""), ("C", "two\nlines")]), "{name}");
        let (writes, status) = (world.service.writes(), world.look("status", ""));
        assert_eq!(
            (&status["isFirstSync"], &status["providerSecretCount"]),
            (&json!(false), &json!(3)),
            "{name}"
        );
        let second = world.sync("push", true);
        assert_eq!((counts(&second), world.service.writes()), ([0, 0, 0, 3], writes), "{name}: {second}");

        // Renamed, changed, removed.
        world.push(&json!({ "A2": "1", "B": "now", "SYSTEM": "x" }));
        let third = world.sync("push", false);
        assert_eq!(counts(&third), [2, 1, 0, 0], "{name}: {third}");
        assert!(world.values().contains_key("A"), "{name}: nothing is deleted unasked");
        let fourth = world.sync("push", true);
        assert_eq!(counts(&fourth), [0, 0, 2, 3], "{name}: {fourth}");
        assert_eq!(world.values(), map(&[("A2", "1"), ("B", "now"), ("SYSTEM", "x")]), "{name}");

        // Changed at the service behind our back: seen, and set right again.
        world.service.put(PROJECT, "B", "theirs");
        assert_eq!(world.look("diff", "")["different"], json!(["B"]), "{name}");
        assert_eq!(counts(&world.sync("push", false)), [0, 1, 0, 2], "{name}");
        assert_eq!(world.values()["B"], "now", "{name}");
    }
}

#[test]
fn a_pull_is_one_change_of_the_environment_and_takes_what_can_be_read() {
    for service in [Service::vercel(), Service::netlify(), Service::railway()] {
        let world = World::new(service);
        let name = world.service.name;
        world.service.put(PROJECT, "A", "1");
        world.service.put(PROJECT, "lower", "x=y");
        let first = world.sync("pull", true);
        assert_eq!(
            (counts(&first), world.secrets()),
            ([2, 0, 0, 0], json!({ "A": "1", "lower": "x=y" })),
            "{name}"
        );
        world.push(&json!({ "A": "mine", "ONLY": "here", "lower": "x=y" }));
        let second = world.sync("pull", false);
        assert_eq!(counts(&second), [0, 1, 0, 1], "{name}: {second}");
        assert_eq!(world.secrets(), json!({ "A": "1", "ONLY": "here", "lower": "x=y" }), "{name}");
        assert_eq!(counts(&world.sync("pull", true)), [0, 0, 1, 2], "{name}");
        assert_eq!(world.secrets(), json!({ "A": "1", "lower": "x=y" }), "{name}");
        let trash = world.admin.get(&format!("/v1/vaults/{REPO}/trash")).ok();
        assert!(
            trash.as_array().is_some_and(|all| all.iter().any(|one| one["key"] == "ONLY")),
            "{name}: {trash}"
        );
        assert_eq!(world.service.writes(), 0, "{name}: a pull writes nothing there");
    }
}

#[test]
fn what_cannot_be_read_is_never_taken_for_empty() {
    let world = World::new(Service::fly());
    world.service.put(PROJECT, "A", "theirs");
    world.push(&json!({ "A": "mine", "B": "mine" }));
    assert_eq!(counts(&world.sync("pull", false)), [0, 0, 0, 1]);
    assert_eq!(world.secrets(), json!({ "A": "mine", "B": "mine" }));
    assert_eq!(counts(&world.sync("push", false)), [1, 1, 0, 0], "what nobody knows is written");

    let world = World::new(Service::vercel());
    world.service.with(|vercel: &mut Vercel| vercel.coerce = true);
    world.push(&json!({ "A": "mine" }));
    assert_eq!(counts(&world.sync("push", false)), [1, 0, 0, 0]);
    assert_eq!(counts(&world.sync("push", false)), [0, 0, 0, 1], "sensitive, but known from the push");
    world.service.put(PROJECT, "A", "theirs");
    assert_eq!(counts(&world.sync("pull", false)), [0, 0, 0, 1]);
    assert_eq!(world.secrets(), json!({ "A": "mine" }));
    assert_eq!(counts(&world.sync("push", false)), [0, 1, 0, 0]);

    let world = World::new(Service::netlify());
    world.service.seal(PROJECT, "A", "theirs");
    assert_eq!(world.preview("pull", false)["toSkip"], json!(["A"]));
    world.push(&json!({ "A": "mine" }));
    assert_eq!(counts(&world.sync("push", false)), [0, 1, 0, 0]);
    assert_eq!(counts(&world.sync("push", false)), [0, 0, 0, 1]);

    let world = World::new(Service::railway());
    world.service.seal(PROJECT, "A", "theirs");
    assert_eq!(world.preview("pull", false)["toSkip"], json!(["A"]));
    world.push(&json!({ "A": "mine" }));
    assert_eq!(counts(&world.sync("push", false)), [0, 1, 0, 0]);
    assert_eq!(counts(&world.sync("push", false)), [0, 0, 0, 1]);
}

#[test]
fn a_variable_for_several_targets_keeps_serving_the_others() {
    let world = World::new(Service::vercel());
    let all = ["production", "preview", "development"];
    world.service.with(|vercel: &mut Vercel| vercel.add(PROJECT, "A", "old", "encrypted", &all));
    world.push(&json!({ "A": "new" }));
    assert_eq!(counts(&world.sync("push", false)), [0, 1, 0, 0]);
    let serving = |world: &World, target: &str| {
        world.service.with(|vercel: &mut Vercel| {
            let records = vercel.records[PROJECT].iter();
            let own = records.filter(|one| one.targets.iter().any(|served| served == target));
            own.map(|one| one.value.clone()).collect::<Vec<_>>()
        })
    };
    assert_eq!(serving(&world, "production"), ["new"]);
    assert_eq!(serving(&world, "preview"), ["old"]);
    assert_eq!(serving(&world, "development"), ["old"]);

    let world = World::new(Service::netlify());
    world.service.with(|netlify: &mut Netlify| netlify.add(PROJECT, "A", &[("all", "old")], false));
    world.push(&json!({ "A": "new" }));
    assert_eq!(counts(&world.sync("push", false)), [0, 1, 0, 0]);
    let values = |world: &World| {
        world.service.with(|netlify: &mut Netlify| {
            let env = &netlify.envs[&(PROJECT.to_owned(), "A".to_owned())];
            env.values.iter().map(|one| (one.1.clone(), one.3.clone())).collect::<BTreeMap<_, _>>()
        })
    };
    let old = [("branch-deploy", "old"), ("deploy-preview", "old"), ("dev", "old"), ("dev-server", "old")];
    let mut expected = map(&old);
    expected.insert("production".to_owned(), "new".to_owned());
    assert_eq!(values(&world), expected);
    world.push(&json!({ "B": "1" }));
    assert_eq!(counts(&world.sync("push", true)), [1, 0, 1, 0]);
    assert_eq!(values(&world), map(&old));
}

#[test]
fn references_and_the_platforms_own_variables_are_left_alone() {
    let world = World::new(Service::railway());
    world.service.put(PROJECT, "URL", "${{Postgres.DATABASE_URL}}");
    assert_eq!(counts(&world.sync("pull", false)), [1, 0, 0, 0]);
    assert_eq!(world.secrets(), json!({ "URL": "${{Postgres.DATABASE_URL}}" }));
    for (service, own) in [
        (Service::vercel(), "VERCEL_URL"),
        (Service::netlify(), "NETLIFY_X"),
        (Service::railway(), "RAILWAY_ENVIRONMENT_ID"),
        (Service::fly(), "FLY_REGION"),
    ] {
        let world = World::new(service);
        world.push(&json!({ own: "mine", "A": "1" }));
        let preview = world.preview("push", true);
        assert_eq!((&preview["toCreate"], &preview["toSkip"]), (&json!(["A"]), &json!([own])));
        assert_eq!(counts(&world.sync("push", true)), [1, 0, 0, 1]);
        assert_eq!(world.values(), map(&[("A", "1")]));
        assert_eq!(counts(&world.sync("pull", true))[2], 0, "nor are they deleted from the vault");
    }
}

#[test]
fn every_project_of_every_page_is_listed_the_vaults_own_first() {
    for service in Service::all() {
        let world = World::new(service);
        let name = world.service.name;
        world.service.populate(250);
        let target = format!("/v1/integrations/connections/{}/projects", world.connection);
        let listed = world.admin.get(&format!("{target}?repo=acme/app-77")).ok();
        let projects = listed["projects"].as_array().expect("a list");
        let per_project = if name == "railway" { 2 } else { 1 };
        assert_eq!(projects.len(), 250 * per_project, "{name}");
        if name != "fly" {
            assert_eq!(projects[0]["linkedRepo"], "acme/app-77", "{name}");
        }
        let all = world.admin.get(&format!("/v1/integrations/providers/{name}/all-projects")).ok();
        assert_eq!(all["projects"].as_array().map(Vec::len), Some(250 * per_project), "{name}");
        assert_eq!(all["connections"][0]["id"], world.connection, "{name}");
    }
}

#[test]
fn a_failure_in_the_middle_is_told_by_name_and_repeating_does_the_rest() {
    // One bad name among many does not keep the others back.
    for service in Service::all() {
        let world = World::new(service);
        let name = world.service.name;
        let secrets: Value =
            (0..40).map(|n| (format!("KEY_{n}"), json!("value"))).collect::<serde_json::Map<_, _>>().into();
        let mut with_bad = secrets.clone();
        with_bad["BAD_ONE"] = json!("hunter2-secret");
        world.push(&with_bad);
        let answer = world.admin.send(&world.request("push", false));
        let result = answer.ok();
        assert_eq!(counts(&result), [40, 0, 0, 0], "{name}: {result}");
        assert_eq!((&result["status"], &result["success"]), (&json!("partial"), &json!(false)), "{name}");
        assert_eq!(result["failedKeys"], json!(["BAD_ONE"]), "{name}");
        assert!(!result.to_string().contains("hunter2"), "{name}: {result}");
        world.push(&secrets);
        let result = world.sync("push", false);
        assert_eq!((counts(&result), &result["error"]), ([0, 0, 0, 40], &Value::Null), "{name}");
    }
    // 500 on one write of several.
    for service in [Service::netlify(), Service::vercel()] {
        let world = World::new(service);
        let name = world.service.name;
        let secrets: Value = (0..120)
            .map(|n| (format!("KEY_{n:03}"), json!("value")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        world.push(&secrets);
        world.service.spoil_write(1, Fault::Status(500));
        let result = world.sync("push", false);
        let failed = result["failedKeys"].as_array().expect("a list").len();
        assert!(failed > 0 && failed < 120, "{name}: {result}");
        assert_eq!(
            (counts(&result)[0], &result["status"]),
            (120 - failed as u64, &json!("partial")),
            "{name}"
        );
        assert_eq!(world.values().len(), 120 - failed, "{name}");
        let result = world.sync("push", false);
        assert_eq!(counts(&result), [failed as u64, 0, 0, 120 - failed as u64], "{name}");
    }
}

#[test]
fn rate_limits_are_waited_for_and_what_says_nothing_sensible_is_an_upstream_error() {
    for service in Service::all() {
        let world = World::new(service);
        let name = world.service.name;
        world.push(&json!({ "A": "1" }));
        world.service.spoil_write(0, Fault::TooMany(Some(1)));
        world.service.spoil(0, Fault::TooMany(None));
        assert_eq!(counts(&world.sync("push", false)), [1, 0, 0, 0], "{name}");
        world.service.spoil(0, Fault::TooMany(Some(3_600)));
        let answer = world.admin.send(&world.request("push", false));
        answer.refused(503);
        assert_eq!(answer.header("retry-after"), Some("3600"), "{name}");
        world.service.spoil(0, Fault::Html);
        world.admin.send(&world.request("push", false)).refused(502);
        // A write that was carried out although it failed is found done.
        world.push(&json!({ "A": "1", "B": "2" }));
        world.service.spoil_write(0, Fault::DoneButFailed);
        let result = world.sync("push", false);
        assert_eq!((&result["status"], &result["failedKeys"]), (&json!("error"), &json!(["B"])), "{name}");
        let result = world.sync("push", false);
        assert_eq!(counts(&result)[0], 0, "{name}: {result}");
        assert_eq!(world.values(), map(&[("A", "1"), ("B", "2")]), "{name}");
    }
}

#[test]
fn a_revoked_token_says_to_connect_again_and_connecting_again_mends_it() {
    for service in Service::all() {
        let world = World::new(service);
        let name = world.service.name;
        world.push(&json!({ "A": "1" }));
        world.service.spoil_write(0, Fault::Revoked);
        let problem = world.admin.send(&world.request("push", false)).refused(502);
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains("connect")),
            "{name}: {problem}"
        );
        assert_eq!(world.secrets(), json!({ "A": "1" }), "{name}");
        let body = json!({ "token": TOKEN });
        let target = format!("/v1/integrations/{name}/connect");
        assert_eq!(world.admin.post(&target, &body).bad_fields(), ["token"], "{name}");
        world.service.accept_again();
        assert_eq!(connect(&world.admin, name), world.connection, "{name}: the connection is renewed");
        assert_eq!(counts(&world.sync("push", false)), [1, 0, 0, 0], "{name}");
    }
}

#[test]
fn a_thousand_variables_go_through() {
    for service in Service::all() {
        let world = World::new(service);
        let name = world.service.name;
        let secrets: Value = (0..1_000)
            .map(|n| (format!("KEY_{n:03}"), json!(format!("value {n}"))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        world.push(&secrets);
        assert_eq!(counts(&world.sync("push", false)), [1_000, 0, 0, 0], "{name}");
        let asked = world.service.asked().len();
        assert_eq!(counts(&world.sync("push", false)), [0, 0, 0, 1_000], "{name}");
        assert!(world.service.asked().len() - asked < 10, "{name}: what is known is not read again");
        // And back, into an environment that is empty and knows nothing of them.
        let body = json!({
            "connectionId": world.connection, "projectId": PROJECT, "keywayEnvironment": "staging", "direction": "pull",
        });
        let pulled = world.admin.post(&format!("/v1/integrations/vaults/{REPO}/sync"), &body).ok();
        let (made, skipped) = if name == "fly" { (0, 1_000) } else { (1_000, 0) };
        assert_eq!(counts(&pulled), [made, 0, 0, skipped], "{name}");
        let expected = if name == "fly" { json!({}) } else { secrets };
        assert_eq!(world.admin.secrets(REPO, "staging"), expected, "{name}");
    }
}

#[test]
fn only_the_owner_uses_a_connection_and_only_writers_synchronise() {
    let world = World::new(Service::vercel());
    let alice = world.appliance.account("alice");
    let target = format!("/v1/integrations/connections/{}", world.connection);
    alice.get(&format!("{target}/projects")).refused(404);
    alice.delete(&target).refused(404);
    alice.send(&world.request("push", false)).refused(404);
    let own = connect(&alice, "vercel");
    for (role, status) in [("read", 403), ("triage", 403), ("write", 200)] {
        world.appliance.cli(&["repo", "grant", REPO, "alice", role]).done();
        for direction in ["push", "pull"] {
            let body = json!({ "connectionId": own, "projectId": PROJECT, "direction": direction });
            let answer = alice.post(&format!("/v1/integrations/vaults/{REPO}/sync"), &body);
            assert_eq!(answer.status, status, "{role} {direction}: {}", answer.show());
        }
    }
    alice.send(&world.request("push", false)).refused(404);
    world.appliance.stranger().get("/v1/integrations/connections").refused(401);
    // A key that may write but not read must not carry values out.
    let key = world.appliance.key_for("admin", &["--scopes", "write:secrets"]);
    world.appliance.client(&key).send(&world.request("push", false)).refused(403);
}

/// A connection reaches every project of its owner's; a key for one repository does not.
#[test]
fn a_key_for_one_repository_synchronises_what_is_linked_and_nothing_else() {
    let world = World::new(Service::vercel());
    world.push(&json!({ "A": "1" }));
    let limited = world.appliance.key_for("admin", &["--scopes", "all", "--repo", REPO]);
    let limited = world.appliance.client(&limited);
    let connection = format!("/v1/integrations/connections/{}", world.connection);
    let place = format!("connectionId={}&projectId={PROJECT}", world.connection);
    let sync = format!("/v1/integrations/vaults/{REPO}/sync");
    let body = json!({ "connectionId": world.connection, "projectId": PROJECT });
    for direction in ["push", "pull"] {
        limited.send(&world.request(direction, true)).refused(403);
    }
    for what in ["status", "diff", "preview"] {
        limited.get(&format!("{sync}/{what}?{place}&direction=pull")).refused(403);
    }
    limited.post(&format!("{sync}/link"), &body).refused(403);
    limited.get(&format!("{connection}/projects")).refused(403);
    limited.get("/v1/integrations/providers/vercel/all-projects").refused(403);
    limited.post("/v1/integrations/vercel/connect", &json!({ "token": TOKEN })).refused(403);
    limited.delete(&connection).refused(403);
    assert_eq!(world.values(), map(&[]), "nothing was written there");

    world.admin.post(&format!("{sync}/link"), &body).ok();
    assert_eq!(counts(&limited.send(&world.request("push", false)).ok()), [1, 0, 0, 0]);
    assert_eq!(counts(&limited.send(&world.request("pull", false)).ok()), [0, 0, 0, 1]);
    limited.get(&format!("{sync}/status?{place}")).ok();
    // Another environment is not linked with that place.
    let elsewhere = json!({
        "connectionId": world.connection, "projectId": PROJECT, "direction": "push", "keywayEnvironment": "staging",
    });
    limited.post(&sync, &elsewhere).refused(403);
}

#[test]
fn a_deleted_connection_is_gone_and_its_links_stay_readable() {
    let world = World::new(Service::vercel());
    world.push(&json!({ "A": "1" }));
    let body = json!({ "connectionId": world.connection, "projectId": PROJECT });
    let link = |world: &World| {
        world.admin.post(&format!("/v1/integrations/vaults/{REPO}/sync/link"), &body).ok()["link"].clone()
    };
    let first = link(&world);
    assert_eq!((&first["isNew"], &first["projectName"]), (&json!(true), &json!("app-0-name")));
    assert_eq!((&first["lastSyncedAt"], &link(&world)["isNew"]), (&Value::Null, &json!(false)));
    world.sync("push", false);
    assert!(link(&world)["lastSyncedAt"].is_string());
    let links = |world: &World| {
        world.admin.get(&format!("/v1/integrations/vaults/{REPO}/sync/links")).ok()["links"].clone()
    };
    assert_eq!(links(&world)[0]["connected"], json!(true));
    world.admin.delete(&format!("/v1/integrations/connections/{}", world.connection)).no_content();
    world.admin.send(&world.request("push", false)).refused(404);
    assert_eq!((&links(&world)[0]["connected"], &links(&world)[0]["id"]), (&json!(false), &first["id"]));
}

#[test]
fn what_is_not_enabled_opens_no_connection() {
    let service = Service::vercel();
    let settings: Vec<(String, String)> =
        service.settings().into_iter().filter(|(name, _)| !name.ends_with("ENABLED")).collect();
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let appliance = Appliance::start_with(&settings);
    let listed = appliance.stranger().get("/v1/integrations").ok();
    let shown: Vec<_> = listed["providers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["name"].clone(), one["displayName"].clone(), one["configured"].clone()))
        .collect();
    let expected = [("vercel", "Vercel"), ("netlify", "Netlify"), ("railway", "Railway"), ("fly", "Fly.io")]
        .map(|(name, title)| (json!(name), json!(title), json!(false)));
    assert_eq!(shown, expected);
    let admin = appliance.admin();
    admin.post("/v1/integrations/vercel/connect", &json!({ "token": TOKEN })).refused(409);
    admin.post("/v1/integrations/nobody/connect", &json!({ "token": TOKEN })).refused(404);
    assert_eq!(service.asked(), Vec::<String>::new());
}

#[test]
fn neither_values_nor_tokens_are_logged_or_told() {
    for service in Service::all() {
        let world = World::with(service, &[("KEYWAYD_LOG__LEVEL", "debug")]);
        let name = world.service.name;
        world.push(&json!({ "A": "hunter2-value", "BAD_B": "hunter2-other" }));
        let answer = world.admin.send(&world.request("push", false));
        for status in [400, 403, 422] {
            world.push(&json!({ "PEM": format!("-----BEGIN\nMIIEhunter2\nQQhunter2{status}\n") }));
            world.service.spoil_write(0, Fault::Quoted(status));
            let quoted = world.admin.send(&world.request("push", false));
            // Railway's words stand elsewhere, and with such a status nobody looks there.
            assert!(quoted.show().contains("cannot take") || name == "railway", "{name}: {}", quoted.show());
            assert!(!quoted.show().contains("hunter2"), "{name}: {}", quoted.show());
        }
        world.service.spoil(0, Fault::Html);
        let failed = world.admin.send(&world.request("push", false));
        let activity = world.admin.get(&format!("/v1/activity?repo={REPO}"));
        assert!(activity.show().contains("secrets_synced"), "{name}: {}", activity.show());
        for text in [answer.show(), failed.show(), activity.show(), world.appliance.log().text()] {
            assert!(!text.contains("hunter2"), "{name}: {text}");
        }
    }
}
