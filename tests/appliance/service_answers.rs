//! What clients read about services: the members of every answer, teams, parts of projects, and accounts that do not
//! answer.

use super::harness::members;
use super::integrations::{PROJECT, REPO, World, connect};
use super::services::{Fault, Service, TOKEN};
use serde_json::{Value, json};

fn connections(world: &World) -> Vec<Value> {
    let answer = world.admin.get("/v1/integrations/connections").ok();
    answer["connections"].as_array().expect("a list").clone()
}

#[test]
fn the_members_that_clients_read_are_there() {
    let world = World::new(Service::vercel());
    let before = connections(&world);
    assert_eq!(
        members(&before[0]),
        ["createdAt", "id", "provider", "providerAccountId", "providerTeamId"],
        "{before:?}"
    );
    let connected = world.admin.post("/v1/integrations/vercel/connect", &json!({ "token": TOKEN })).ok();
    assert_eq!(members(&connected), ["provider", "success", "user"]);
    assert_eq!(members(&connected["user"]), ["id", "teamName", "username"]);
    let renewed = connections(&world);
    assert_eq!((renewed.len(), &renewed[0]["id"]), (1, &before[0]["id"]), "it is the same connection");
    assert_ne!(renewed[0]["createdAt"], before[0]["createdAt"], "connected anew");

    let target = format!("/v1/integrations/connections/{}/projects", world.connection);
    let project = world.admin.get(&target).ok()["projects"][0].clone();
    for member in ["id", "name", "linkedRepo", "framework", "environments", "connectionId"] {
        assert!(!project[member].is_null(), "no `{member}` in {project}");
    }
    assert_eq!(project["connectionId"], world.connection);

    world.push(&json!({ "ONLY_HERE": "1", "BOTH": "2", "CHANGED": "3" }));
    for (name, value) in [("BOTH", "2"), ("CHANGED", "theirs"), ("ONLY_THERE", "4")] {
        world.service.put(PROJECT, name, value);
    }
    let status = json!({ "isFirstSync": true, "vaultIsEmpty": false, "providerHasSecrets": true,
        "providerSecretCount": 3 });
    assert_eq!(world.look("status", ""), status);
    let diff = json!({ "keywayCount": 3, "providerCount": 3, "onlyInKeyway": ["ONLY_HERE"],
        "onlyInProvider": ["ONLY_THERE"], "different": ["CHANGED"], "same": ["BOTH"] });
    assert_eq!(world.look("diff", ""), diff);
    // What only the target has appears nowhere, unless it may be deleted.
    let preview =
        json!({ "toCreate": ["ONLY_HERE"], "toUpdate": ["CHANGED"], "toDelete": [], "toSkip": ["BOTH"] });
    assert_eq!(world.preview("push", false), preview);
    assert_eq!(world.preview("push", true)["toDelete"], json!(["ONLY_THERE"]));
    let result = json!({ "status": "success", "success": true, "created": 1, "updated": 1, "deleted": 1,
        "skipped": 1, "failedKeys": [], "failures": [], "error": null,
        "stats": { "created": 1, "updated": 1, "deleted": 1 } });
    assert_eq!(world.sync("push", true), result);
    let body = json!({ "connectionId": world.connection, "projectId": PROJECT });
    let link =
        world.admin.post(&format!("/v1/integrations/vaults/{REPO}/sync/link"), &body).ok()["link"].clone();
    let shown = [
        "id",
        "isNew",
        "keywayEnvironment",
        "lastSyncedAt",
        "projectId",
        "projectName",
        "providerEnvironment",
    ];
    assert_eq!(members(&link), shown, "{link}");
}

#[test]
fn a_team_is_an_account_of_its_own_and_one_that_fails_leaves_the_others() {
    let world = World::new(Service::vercel());
    let connect_for = |team: &str| {
        world.admin.post("/v1/integrations/vercel/connect", &json!({ "token": TOKEN, "teamId": team }))
    };
    assert_eq!(connect_for("team_of_others").bad_fields(), ["teamId"]);
    assert_eq!(connect_for("team_1").ok()["user"]["teamName"], "Acme");
    let both = connections(&world);
    assert_eq!(
        (both.len(), &both[0]["providerTeamId"], &both[1]["providerTeamId"]),
        (2, &Value::Null, &json!("team_1"))
    );
    assert_eq!(both[1]["providerAccountId"], "team_1");
    let all = || world.admin.get("/v1/integrations/providers/vercel/all-projects").ok();
    let whole = all();
    assert_eq!((whole["connections"].as_array().map(Vec::len), &whole["errors"]), (Some(2), &Value::Null));
    let projects = whole["projects"].as_array().expect("a list").len();
    world.service.spoil(0, Fault::Status(500));
    let rest = all();
    assert_eq!(rest["projects"].as_array().map(Vec::len), Some(projects / 2), "{rest}");
    assert_eq!(rest["connections"].as_array().map(Vec::len), Some(2), "{rest}");
    let error = &rest["errors"][0];
    assert!(
        both.iter().any(|one| one["id"] == error["connectionId"]) && error["message"].is_string(),
        "{rest}"
    );
}

#[test]
fn a_part_of_a_project_has_variables_of_its_own() {
    let world = World::new(Service::railway());
    assert_eq!(connect(&world.admin, "railway"), world.connection);
    world.push(&json!({ "A": "1" }));
    let part = format!("&serviceId={PROJECT}-service");
    let body = json!({ "connectionId": world.connection, "projectId": PROJECT, "serviceId": format!("{PROJECT}-service") });
    let post =
        |what: &str| world.admin.post(&format!("/v1/integrations/vaults/{REPO}/sync{what}"), &body).ok();
    assert_eq!(world.look("preview", &part)["toCreate"], json!(["A"]));
    assert_eq!(post("")["created"], 1);
    assert_eq!(world.look("diff", &part)["same"], json!(["A"]));
    assert_eq!(world.look("status", &part)["isFirstSync"], false);
    assert_eq!(post("/link")["link"]["isNew"], false, "the synchronisation linked it");
    // The project itself is another place.
    assert_eq!(world.look("diff", "")["onlyInKeyway"], json!(["A"]));
    assert_eq!(world.look("status", "")["isFirstSync"], true);
    assert_eq!(world.values(), super::integrations::map(&[]));
}
