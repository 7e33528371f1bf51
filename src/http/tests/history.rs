//! What was overwritten, deleted or forbidden, and the record of it: versions,
//! revisions, the trash, overrides and the activity, each over the wire.

use super::*;

const SECRETS: &str = "/v1/vaults/alice/app/secrets";
const TRASH: &str = "/v1/vaults/alice/app/trash";
const REVISIONS: &str = "/v1/vaults/alice/app/environments/staging/revisions";
const OVERRIDES: &str = "/v1/vaults/alice/app/permissions/overrides";

impl Server {
    async fn exact(&self) -> Value {
        let pull = "GET /v1/secrets/pull?repo=alice/app&environment=staging&format=json";
        self.data(pull, None).await.1["secrets"].clone()
    }

    async fn secret_id(&self, key: &str) -> String {
        let (_, listed) = self.data(&format!("GET {SECRETS}?environment=staging"), None).await;
        let found = listed.as_array().unwrap().iter().find(|secret| secret["key"] == key);
        found.unwrap()["id"].as_str().unwrap().to_owned()
    }

    async fn status(&self, line: &str) -> u16 {
        self.call(line, "", None).await.status()
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap()
}

#[tokio::test]
async fn old_values_are_listed_shown_and_restored() {
    let server = Server::with_vault().await;
    for value in ["one", "two", "two", "three"] {
        server.push(json!({"A": value, "B": "same"})).await;
    }
    let one = format!("{SECRETS}/{}", server.secret_id("A").await);
    let (_, listed) = server.data(&format!("GET {one}/versions"), None).await;
    let versions = listed["versions"].as_array().unwrap();
    let numbers: Vec<_> = versions.iter().map(|version| version["versionNumber"].clone()).collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!(versions[0]["createdBy"]["username"], "alice");
    assert!(!listed.to_string().contains("two"));
    let first = format!("{one}/versions/{}", text(&versions[1], "id"));
    let (_, shown) = server.data(&format!("GET {first}/value"), None).await;
    assert_eq!(shown, json!({"value": "one", "versionNumber": 1}));
    let (status, restored) = server.data(&format!("POST {first}/restore"), None).await;
    assert_eq!((status, &restored["key"], &restored["versionNumber"]), (200, &json!("A"), &json!(1)));
    assert_eq!(server.exact().await, json!({"A": "one", "B": "same"}));
    let (_, listed) = server.data(&format!("GET {one}/versions"), None).await;
    assert_eq!(listed["versions"][0]["versionNumber"], 3, "the overwritten value is kept as well");
    let other = format!("{SECRETS}/{}", server.secret_id("B").await);
    let (_, none) = server.data(&format!("GET {other}/versions"), None).await;
    assert_eq!(none, json!({"versions": []}));
    let foreign = format!("GET {other}/versions/{}/value", text(&versions[1], "id"));
    assert_eq!(server.status(&foreign).await, 404, "a version of another secret");
}

#[tokio::test]
async fn only_so_many_old_values_are_kept() {
    let server = Server::with_vault().await;
    for value in 0..15 {
        server.push(json!({"A": value.to_string()})).await;
    }
    let one = format!("{SECRETS}/{}", server.secret_id("A").await);
    let (_, listed) = server.data(&format!("GET {one}/versions"), None).await;
    let versions = listed["versions"].as_array().unwrap();
    assert_eq!((versions.len(), &versions[9]["versionNumber"]), (10, &json!(5)));
}

#[tokio::test]
async fn a_push_is_taken_back_whole() {
    let server = Server::with_vault().await;
    server.push(json!({"A": "1", "B": "2", "C": "3"})).await;
    let rename = format!("PATCH {SECRETS}/{}", server.secret_id("C").await);
    server.data(&rename, Some(json!({"name": "D"}))).await;
    let kept = server.secret_id("B").await;
    server.push(json!({"A": "changed", "E": "new"})).await;
    let revisions = server.call(&format!("GET {REVISIONS}"), "", None).await.json();
    assert_eq!(revisions["meta"]["pagination"]["total"], 4);
    let counts = |at: usize| {
        let one = &revisions["data"][at];
        [&one["created"], &one["updated"], &one["deleted"]].map(|count| count.as_u64().unwrap())
    };
    assert_eq!([counts(0), counts(1), counts(2), counts(3)], [[1, 1, 2], [0, 1, 0], [3, 0, 0], [0; 3]]);
    let back = |at: usize| format!("POST {REVISIONS}/{}/restore", text(&revisions["data"][at], "id"));
    let (status, restored) = server.data(&back(2), None).await;
    assert_eq!(status, 200, "{restored}");
    assert_eq!(restored["stats"], json!({"created": 2, "updated": 1, "deleted": 1}));
    assert_eq!(server.exact().await, json!({"A": "1", "B": "2", "C": "3"}));
    assert_eq!(server.secret_id("B").await, kept, "it came out of the trash as it was");
    let (_, restored) = server.data(&back(3), None).await;
    assert_eq!(restored["stats"], json!({"created": 0, "updated": 0, "deleted": 3}), "back to the beginning");
    let (_, restored) = server.data(&back(0), None).await;
    assert_eq!(server.exact().await, json!({"A": "changed", "E": "new"}), "{restored}");
    let (_, nothing) = server.data(&back(0), None).await;
    assert_eq!(nothing["stats"], json!({"created": 0, "updated": 0, "deleted": 0}));
    assert_eq!(server.data(&format!("GET {REVISIONS}"), None).await.1.as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn a_state_whose_values_are_gone_is_not_half_restored() {
    let server = Server::with_vault().await;
    server.push(json!({"A": "0", "B": "gone", "C": "same"})).await;
    let (_, revisions) = server.data(&format!("GET {REVISIONS}"), None).await;
    let first = format!("POST {REVISIONS}/{}/restore", text(&revisions[0], "id"));
    for value in 1..12 {
        server.push(json!({"A": value.to_string(), "C": "same"})).await;
    }
    server.data(&format!("DELETE {TRASH}"), None).await;
    let (status, refused) = server.data(&first, None).await;
    assert_eq!(status, 409);
    assert!(text(&refused, "detail").ends_with("no longer kept: A, B"), "{refused}");
    assert_eq!(server.exact().await, json!({"A": "11", "C": "same"}));
}

#[tokio::test]
async fn secrets_come_back_from_the_trash_unless_they_live_again() {
    let server = Server::with_vault().await;
    server.push(json!({"A": "old", "B": "1"})).await;
    server.push(json!({"A": "new", "B": "1"})).await;
    let (a, b) = (server.secret_id("A").await, server.secret_id("B").await);
    assert_eq!(server.status(&format!("DELETE {SECRETS}/{a}")).await, 204);
    server.push(json!({})).await;
    let listed = server.call(&format!("GET {TRASH}"), "", None).await.json();
    assert_eq!(listed["meta"]["pagination"]["total"], 2);
    let keys: Vec<_> = listed["data"].as_array().unwrap().iter().map(|one| text(one, "key")).collect();
    assert_eq!(keys, ["B", "A"], "last deleted first");
    assert_eq!(
        (&listed["data"][0]["daysRemaining"], &listed["data"][0]["environment"]),
        (&json!(30), &json!("staging"))
    );
    assert!(!listed.to_string().contains("old") && !listed.to_string().contains("new"));
    let (status, restored) = server.data(&format!("POST {TRASH}/{a}/restore"), None).await;
    assert_eq!((status, text(&restored, "id"), text(&restored, "key")), (200, a.as_str(), "A"));
    assert_eq!(server.exact().await, json!({"A": "new"}));
    let (_, versions) = server.data(&format!("GET {SECRETS}/{a}/versions"), None).await;
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1, "with its versions");
    server.push(json!({"A": "new", "B": "another"})).await;
    assert_eq!(server.status(&format!("POST {TRASH}/{b}/restore")).await, 409);
    assert_eq!(server.status(&format!("DELETE {TRASH}/{b}")).await, 204);
    for gone in [
        format!("DELETE {TRASH}/{b}"),
        format!("POST {TRASH}/{b}/restore"),
        format!("POST {TRASH}/{a}/restore"),
    ] {
        assert_eq!(server.status(&gone).await, 404, "{gone}");
    }
    server.push(json!({})).await;
    assert_eq!(server.data(&format!("DELETE {TRASH}"), None).await.1, json!({"deleted": 2}));
    assert_eq!(server.data(&format!("GET {TRASH}"), None).await.1, json!([]));
}

#[tokio::test]
async fn an_environment_comes_back_whole() {
    let server = Server::with_vault().await;
    server.push(json!({"A": "1", "B": "2"})).await;
    server.push(json!({"A": "2"})).await;
    let a = server.secret_id("A").await;
    let rule = json!({"environment": "staging", "targetType": "role", "targetRole": "read", "canRead": false, "canWrite": false});
    assert_eq!(server.data(&format!("POST {OVERRIDES}"), Some(rule)).await.0, 201);
    let environment = "/v1/vaults/alice/app/environments/staging";
    assert_eq!(server.status(&format!("DELETE {environment}")).await, 200);
    assert_eq!(server.data(&format!("GET {TRASH}"), None).await.1, json!([]), "they come back with it");
    let (_, trashed) = server.data(&format!("GET {TRASH}/environments"), None).await;
    assert_eq!((text(&trashed[0], "environment"), &trashed[0]["secretCount"]), ("staging", &json!(1)));
    let one = format!("{TRASH}/environments/{}", text(&trashed[0], "id"));
    let again = "/v1/vaults/alice/app/environments";
    server.data(&format!("POST {again}"), Some(json!({"name": "staging"}))).await;
    assert_eq!(server.status(&format!("POST {one}/restore")).await, 409, "its name lives again");
    server.data(&format!("PATCH {environment}"), Some(json!({"newName": "other"}))).await;
    let (status, restored) = server.data(&format!("POST {one}/restore"), None).await;
    assert_eq!((status, text(&restored, "environment")), (200, "staging"));
    assert_eq!(server.exact().await, json!({"A": "2"}));
    let (_, versions) = server.data(&format!("GET {SECRETS}/{a}/versions"), None).await;
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1);
    assert_eq!(server.data(&format!("GET {OVERRIDES}"), None).await.1[0]["environment"], "staging");
    assert_eq!(server.data(&format!("GET {TRASH}"), None).await.1[0]["key"], "B");
    server.status(&format!("DELETE {environment}")).await;
    assert_eq!(server.status(&format!("DELETE {one}")).await, 204);
    assert_eq!(server.status(&format!("POST {one}/restore")).await, 404);
    assert_eq!(server.data(&format!("GET {TRASH}/environments"), None).await.1, json!([]));
}

#[tokio::test]
async fn a_vault_comes_back_whole_unless_there_is_another() {
    let server = Server::with_vault().await;
    server.push(json!({"A": "1"})).await;
    let vault = "/v1/vaults/alice/app";
    assert_eq!(server.status(&format!("DELETE {vault}")).await, 204);
    let (_, trashed) = server.data("GET /v1/trash/vaults", None).await;
    assert_eq!((text(&trashed[0], "repoFullName"), &trashed[0]["secretCount"]), ("alice/app", &json!(1)));
    let one = format!("/v1/trash/vaults/{}", text(&trashed[0], "id"));
    let again = Some(json!({"repoFullName": "alice/app"}));
    assert_eq!(server.data("POST /v1/vaults", again).await.0, 201, "what is in the trash does not count");
    assert_eq!(server.status(&format!("POST {one}/restore")).await, 409);
    assert_eq!(server.status(&format!("DELETE {vault}")).await, 204);
    assert_eq!(server.status(&format!("POST {one}/restore")).await, 200);
    assert_eq!(server.exact().await, json!({"A": "1"}));
    let (_, others) = server.data("GET /v1/trash/vaults", None).await;
    assert_eq!(others.as_array().unwrap().len(), 1, "the other one");
    let other = format!("/v1/trash/vaults/{}", text(&others[0], "id"));
    assert_eq!(server.status(&format!("DELETE {other}")).await, 204);
    assert_eq!(server.status(&format!("POST {other}/restore")).await, 404);
    assert_eq!(server.exact().await, json!({"A": "1"}));
}

#[tokio::test]
async fn overrides_are_one_per_target_and_never_lock_every_admin_out() {
    let server = Server::with_vault().await;
    let (_, me) = server.data("GET /v1/users/me", None).await;
    let alice = text(&me, "id").to_owned();
    let rule = |kind: &str, target: &str, can_read: bool, can_write: bool| {
        let member = if kind == "role" { "targetRole" } else { "targetUserId" };
        let mut rule =
            json!({"environment": "staging", "targetType": kind, "canRead": can_read, "canWrite": can_write});
        rule[member] = target.into();
        Some(rule)
    };
    let post = format!("POST {OVERRIDES}");
    let (status, made) = server.data(&post, rule("role", "read", false, false)).await;
    assert_eq!((status, text(&made, "targetRole"), made.get("targetUserId")), (201, "read", None));
    assert_eq!(server.data(&post, rule("role", "read", true, true)).await.0, 409, "the same target twice");
    let (status, refused) = server.data(&post, rule("role", "write", false, true)).await;
    assert_eq!((status, text(&refused["errors"][0], "field")), (400, "canWrite"));
    for (kind, target) in
        [("user", "nobody"), ("user", "00000000-0000-7000-8000-000000000000"), ("role", "owner")]
    {
        assert_eq!(server.data(&post, rule(kind, target, true, true)).await.0, 400, "{target}");
    }
    let elsewhere = json!({"environment": "nowhere", "targetType": "role", "targetRole": "read", "canRead": true, "canWrite": true});
    assert_eq!(server.data(&post, Some(elsewhere)).await.0, 400);
    for (can_read, can_write) in [(false, false), (true, false)] {
        assert_eq!(server.data(&post, rule("role", "admin", can_read, can_write)).await.0, 409);
        assert_eq!(server.data(&post, rule("user", &alice, can_read, can_write)).await.0, 409);
    }
    let (_, own) = server.data(&post, rule("user", &alice, true, true)).await;
    let own = format!("{OVERRIDES}/{}", text(&own, "id"));
    let (status, all_admins) = server.data(&post, rule("role", "admin", false, false)).await;
    assert_eq!(status, 201, "one of them is left");
    assert_eq!(server.status(&format!("DELETE {own}")).await, 409);
    let less = Some(json!({"canRead": true, "canWrite": false}));
    assert_eq!(server.data(&format!("PUT {own}"), less).await.0, 409);
    let all_admins = format!("{OVERRIDES}/{}", text(&all_admins, "id"));
    let (status, changed) =
        server.data(&format!("PUT {all_admins}"), Some(json!({"canRead": true, "canWrite": true}))).await;
    assert_eq!((status, &changed["canWrite"]), (200, &json!(true)));
    let moved = json!({"canRead": true, "canWrite": true, "targetRole": "write"});
    assert_eq!(server.data(&format!("PUT {all_admins}"), Some(moved)).await.0, 400);
    assert_eq!(server.status(&format!("DELETE {own}")).await, 204);
    assert_eq!(server.status(&format!("DELETE {own}")).await, 404);
    let (_, listed) = server.data(&format!("GET {OVERRIDES}"), None).await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let (_, effective) = server.data("GET /v1/vaults/alice/app/permissions/effective", None).await;
    assert_eq!(effective["role"], "admin");
    assert_eq!(effective["permissions"]["production"], json!({"canRead": true, "canWrite": true}));
}

#[tokio::test]
async fn activity_tells_who_did_what_and_never_a_value() {
    let server = Server::with_vault().await;
    server.push(json!({"A": "hunter2"})).await;
    server.exact().await;
    let id = server.secret_id("A").await;
    server.data(&format!("GET {SECRETS}/{id}/value"), None).await;
    let ask = "GET /v1/activity?repo=alice/app";
    let all = server.call(ask, "User-Agent: keyway-cli/1.0\r\n", None).await.json();
    let actions: Vec<_> = all["data"].as_array().unwrap().iter().map(|one| text(one, "action")).collect();
    assert_eq!(actions, ["secret_value_accessed", "secrets_pulled", "secrets_pushed", "vault_created"]);
    assert_eq!(all["meta"]["pagination"], json!({"total": 4, "limit": 25, "offset": 0, "hasMore": false}));
    assert!(!all.to_string().contains("hunter2"));
    let pushed = &all["data"][2];
    assert_eq!(pushed["metadata"]["keys"], json!(["A"]));
    assert_eq!((&pushed["metadata"]["created"], text(pushed, "platform")), (&json!(1), "api"));
    assert_eq!((text(&pushed["actor"], "username"), text(pushed, "repoFullName")), ("alice", "alice/app"));
    assert_eq!((text(pushed, "ip"), &pushed["createdAt"]), ("127.0.0.1", &pushed["timestamp"]));
    let page = server.call(&format!("{ask}&limit=2&offset=1"), "", None).await.json();
    let actions: Vec<_> = page["data"].as_array().unwrap().iter().map(|one| text(one, "action")).collect();
    assert_eq!(actions, ["secrets_pulled", "secrets_pushed"]);
    assert_eq!(page["meta"]["pagination"], json!({"total": 4, "limit": 2, "offset": 1, "hasMore": true}));
    for (filter, found) in [
        ("action=secrets_pushed", 1),
        ("actor=ALICE", 4),
        ("actor=bob", 0),
        ("from=2020-01-01T00:00:00Z", 4),
        ("from=2100-01-01T00:00:00Z", 0),
        ("to=2020-01-01T00:00:00Z", 0),
        ("to=2100-01-01T00:00:00Z&action=vault_created", 1),
        ("offset=4", 0),
    ] {
        let (status, listed) = server.data(&format!("{ask}&{filter}"), None).await;
        assert_eq!((status, listed.as_array().unwrap().len()), (200, found), "{filter}");
    }
    let filtered = server.call(&format!("{ask}&actor=alice&limit=1"), "", None).await.json();
    assert_eq!(filtered["meta"]["pagination"], json!({"total": 2, "limit": 1, "offset": 0, "hasMore": true}));
    for bad in ["action=nothing", "from=yesterday", "to=1"] {
        assert_eq!(server.data(&format!("{ask}&{bad}"), None).await.0, 400, "{bad}");
    }
    assert_eq!(server.data("GET /v1/activity", None).await.1.as_array().unwrap().len(), 4, "one's own");
}

/// The refusals in somebody's own activity, once the last of them is there: they are
/// written within a second, and nobody waits for them.
async fn refusals(server: &Server, ask: &str, count: usize) -> Value {
    loop {
        let (_, listed) = server.data(&format!("{ask}action=access_denied"), None).await;
        if listed.as_array().unwrap().len() == count {
            return listed;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn refusals_are_in_the_activity_of_the_vault_and_of_who_was_refused() {
    let server = Server::with_vault().await;
    let rule = json!({"environment": "staging", "targetType": "role", "targetRole": "read", "canRead": true, "canWrite": false});
    let (_, made) = server.data(&format!("POST {OVERRIDES}"), Some(rule)).await;
    let unscoped = format!(
        "DELETE {OVERRIDES}/{} HTTP/1.1\r\nAuthorization: Bearer <reader>\r\n\r\n",
        text(&made, "id")
    );
    assert_eq!(server.ask(&unscoped).await.status(), 403);
    let own = refusals(&server, "GET /v1/activity?", 1).await;
    let subject = "no scope for `DELETE /v1/vaults/{owner}/{repo}/permissions/overrides/{id}`";
    assert_eq!(own[0]["metadata"]["subject"], subject);
    for environment in ["local", "development", "production"] {
        server.status(&format!("DELETE /v1/vaults/alice/app/environments/{environment}")).await;
    }
    assert_eq!(server.status("DELETE /v1/vaults/alice/app/environments/staging").await, 403);
    let of_vault = refusals(&server, "GET /v1/activity?repo=alice/app&", 1).await;
    assert_eq!(
        (text(&of_vault[0], "repoFullName"), text(&of_vault[0]["actor"], "username")),
        ("alice/app", "alice")
    );
}
