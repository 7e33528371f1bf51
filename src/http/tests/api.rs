//! The handlers, each by what the API's pages promise. What the services decide is
//! tested where they are; here it matters that requests reach them whole.

use super::*;
use crate::base::limits::{API_KEYS_PER_USER, ENDED_API_KEYS_KEPT};
use crate::base::{Clock, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering};

impl Server {
    /// `verb path` by Alice, with `headers` and perhaps a body.
    pub(super) async fn call(&self, line: &str, headers: &str, body: Option<Value>) -> Reply {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let length = body.len();
        self.ask(&format!(
            "{line} HTTP/1.1\r\nAuthorization: Bearer <everything>\r\nContent-Type: application/json\r\n{headers}\
             Content-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    pub(super) async fn data(&self, line: &str, body: Option<Value>) -> (u16, Value) {
        let reply = self.call(line, "", body).await;
        let json = reply.json();
        (reply.status(), json.get("data").cloned().unwrap_or(json))
    }

    pub(super) async fn with_vault() -> Self {
        let server = Self::start(|_| {}).await;
        let (status, _) = server.data("POST /v1/vaults", Some(json!({"repoFullName": "alice/app"}))).await;
        assert_eq!(status, 201);
        server
    }

    pub(super) async fn push(&self, secrets: Value) -> (u16, Value) {
        let body = json!({"repoFullName": "alice/app", "environment": "staging", "secrets": secrets});
        self.data("POST /v1/secrets/push", Some(body)).await
    }
}

const PULL: &str = "GET /v1/secrets/pull?repo=alice%2Fapp&environment=staging";

/// What a server answers that is well.
fn well(front: &Front, status: &str) -> Value {
    let instance = front.services.instance();
    json!({"status": status, "version": env!("CARGO_PKG_VERSION"), "instance": instance})
}

#[tokio::test]
async fn health_is_bare_and_open() {
    let front = front(|_| {});
    let server = Server::of(Arc::clone(&front)).await;
    for path in ["/health", "/v1/health"] {
        assert_eq!(server.get(path).await.json(), well(&front, "healthy"));
    }
    assert_eq!(server.ask("HEAD /health HTTP/1.1\r\n\r\n").await.status(), 200);
}

#[tokio::test]
async fn whoever_cannot_write_is_neither_healthy_nor_ready() {
    let front = front(|_| {});
    let server = Server::of(Arc::clone(&front)).await;
    let ready = server.get("/ready").await;
    assert_eq!(ready.json(), well(&front, "ready"));
    front.services.close().await;
    for path in ["/health", "/ready"] {
        let refused = server.get(path).await;
        assert_eq!((refused.status(), refused.header("retry-after").is_some()), (503, true), "{path}");
        let detail = refused.json()["detail"].to_string();
        assert!(detail.contains("the store cannot serve"), "{path}: {detail}");
    }
}

#[tokio::test]
async fn repository_ids_are_told_to_nobody_and_everything_is_installed() {
    let server = Server::start(|_| {}).await;
    let reply = server.get("/v1/github/repo-ids?repo=acme/app").await;
    assert_eq!(reply.json()["data"], json!({"ownerId": 0, "repoId": 0}));
    assert_eq!(server.get("/v1/github/repo-ids").await.status(), 400);
    let asked = json!({"repoOwner": "acme", "repoName": "app"});
    let (_, answer) = server.data("POST /v1/github/check-installation", Some(asked)).await;
    assert_eq!(answer, json!({"installed": true, "installUrl": "https://keyway.example"}));
}

#[tokio::test]
async fn vaults_come_and_go() {
    let server = Server::start(|_| {}).await;
    let wanted = json!({"repoFullName": "alice/app"});
    let created = server.call("POST /v1/vaults", "", Some(wanted.clone())).await;
    assert_eq!(created.status(), 201);
    assert_eq!(created.header("location"), Some("https://keyway.example/v1/vaults/alice/app"));
    assert_eq!(created.json()["data"]["repoFullName"], "alice/app");
    assert_eq!(server.data("POST /v1/vaults", Some(wanted)).await.0, 409);
    let (_, refused) = server.data("POST /v1/vaults", Some(json!({"repoFullName": "alice"}))).await;
    assert_eq!(refused["errors"][0]["field"], "repoFullName");
    let listed = server.call("GET /v1/vaults?limit=1", "", None).await.json();
    assert_eq!(listed["data"][0]["permission"], "admin");
    assert_eq!(listed["meta"]["pagination"], json!({"total": 1, "limit": 1, "offset": 0, "hasMore": false}));
    assert_eq!(server.data("GET /v1/vaults?limit=0", None).await.0, 400);
    assert_eq!(server.data("GET /v1/vaults/alice/app", None).await.1["repoName"], "app");
    let (status, refused) = server.data("GET /v1/vaults/a%2Fb/app", None).await;
    assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!("owner")));
    assert_eq!(server.call("DELETE /v1/vaults/alice/app", "", None).await.status(), 204);
    assert_eq!(server.data("GET /v1/vaults/alice/app", None).await.0, 404);
}

#[tokio::test]
async fn environments_are_made_renamed_typed_and_deleted() {
    let server = Server::with_vault().await;
    let all = "/v1/vaults/alice/app/environments";
    let (_, listed) = server.data(&format!("GET {all}"), None).await;
    assert_eq!(listed, json!({"environments": ["local", "development", "staging", "production"]}));
    let (status, created) = server.data(&format!("POST {all}"), Some(json!({"name": "qa"}))).await;
    assert_eq!((status, &created["environment"]), (201, &json!("qa")));
    assert_eq!(server.data(&format!("POST {all}"), Some(json!({"name": "Q"}))).await.0, 400);
    let (_, renamed) = server.data(&format!("PATCH {all}/qa"), Some(json!({"newName": "preview"}))).await;
    assert_eq!((&renamed["oldName"], &renamed["newName"]), (&json!("qa"), &json!("preview")));
    let kind = format!("PATCH {all}/preview/type");
    assert_eq!(server.data(&kind, Some(json!({"type": "protected"}))).await.1["type"], "protected");
    let (_, refused) = server.data(&kind, Some(json!({"type": "hunter2"}))).await;
    let message = "must be one of `standard`, `development`, `protected`";
    assert_eq!(refused["errors"], json!([{"field": "type", "message": message}]));
    let (_, deleted) = server.data(&format!("DELETE {all}/preview"), None).await;
    assert_eq!(
        (&deleted["deleted"], deleted["environments"].as_array().unwrap().len()),
        (&json!("preview"), 4)
    );
    for missing in ["preview", "NOT-A-NAME", "%20"] {
        assert_eq!(server.data(&format!("DELETE {all}/{missing}"), None).await.0, 404, "{missing}");
    }
}

#[tokio::test]
async fn what_is_pushed_is_pulled() {
    let server = Server::with_vault().await;
    let (status, pushed) = server.push(json!({"A": "1", "lower": "", "B": "two\nlines"})).await;
    assert_eq!((status, &pushed["success"]), (200, &json!(true)));
    assert_eq!(pushed["stats"], json!({"created": 3, "updated": 0, "deleted": 0, "unchanged": 0}));
    let pulled = server.call(PULL, "", None).await;
    assert_eq!(pulled.json()["data"], json!({"content": "A=1\nB=\"two\\nlines\"\nlower=\n"}));
    let (_, exact) = server.data(&format!("{PULL}&format=json"), None).await;
    assert_eq!(exact, json!({"secrets": {"A": "1", "B": "two\nlines", "lower": ""}}));
    let (_, part) = server.data(&format!("{PULL}&format=json&limit=1&offset=1"), None).await;
    assert_eq!(part, json!({"secrets": {"B": "two\nlines"}}));
    for bad in ["&format=yaml", "&limit=0", "&offset=x", "&repo=alice/app"] {
        assert_eq!(server.data(&format!("{PULL}{bad}"), None).await.0, 400, "{bad}");
    }
    let viewed = "GET /v1/secrets/view?repo=alice/app&environment=staging&key=A";
    assert_eq!(
        server.data(viewed, None).await.1,
        json!({"key": "A", "value": "1", "environment": "staging"})
    );
    let elsewhere = "GET /v1/secrets/pull?repo=alice/app&environment=nowhere";
    assert_eq!(server.data(elsewhere, None).await.0, 404);
}

#[tokio::test]
async fn a_pull_has_a_tag_that_saves_the_next_one_and_guards_a_push() {
    let server = Server::with_vault().await;
    server.push(json!({"A": "1"})).await;
    let pulled = server.call(PULL, "", None).await;
    let tag = pulled.header("etag").unwrap().to_owned();
    let again = server.call(PULL, &format!("If-None-Match: W/{tag}, \"x\"\r\n"), None).await;
    assert_eq!((again.status(), again.header("etag")), (304, Some(tag.as_str())));
    assert!(again.0.ends_with("\r\n\r\n"));
    let guarded = async |tag: &str| {
        let body = json!({"repoFullName": "alice/app", "environment": "staging", "secrets": {"A": "2"}});
        server.call("POST /v1/secrets/push", &format!("If-Match: {tag}\r\n"), Some(body)).await.status()
    };
    assert_eq!(guarded(&tag).await, 200);
    for stale in [tag.as_str(), "\"x\"", "x", ""] {
        assert_eq!(guarded(stale).await, 412, "{stale}");
    }
    assert_eq!(guarded("*").await, 200);
    assert_eq!(server.call(PULL, &format!("If-None-Match: {tag}\r\n"), None).await.status(), 200);
}

#[tokio::test]
async fn a_push_is_refused_as_a_whole_and_says_nothing_of_values() {
    let server = Server::with_vault().await;
    let (status, refused) =
        server.push(json!({"GOOD": "hunter2", "1BAD": "hunter2", "B-D": "hunter2"})).await;
    assert_eq!((status, refused["errors"].as_array().unwrap().len()), (400, 2));
    assert!(!refused.to_string().contains("hunter2"));
    let (status, refused) = server.push(json!({"A": 17172})).await;
    assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!("secrets.A")));
    assert!(!refused.to_string().contains("17172"));
    let twice = r#"{"repoFullName":"alice/app","environment":"staging","secrets":{"A":"1","A":"1"}}"#;
    let length = twice.len();
    let head = "POST /v1/secrets/push HTTP/1.1\r\nAuthorization: Bearer <everything>\r\nContent-Type: application/json";
    let reply = server.ask(&format!("{head}\r\nContent-Length: {length}\r\n\r\n{twice}")).await;
    assert_eq!(reply.status(), 400);
    assert_eq!(server.data(PULL, None).await.1, json!({"content": ""}));
}

#[tokio::test]
async fn secrets_one_by_one() {
    let server = Server::with_vault().await;
    let all = "/v1/vaults/alice/app/secrets";
    let wanted = json!({"key": "API_KEY", "value": "hunter2-hunter2", "environment": "staging"});
    let (status, created) = server.data(&format!("POST {all}"), Some(wanted)).await;
    assert_eq!((status, &created["lastModifiedBy"]["username"]), (201, &json!("alice")));
    let lower = json!({"key": "api_key", "value": "", "environment": "staging"});
    assert_eq!(server.data(&format!("POST {all}"), Some(lower)).await.1["errors"][0]["field"], "key");
    let one = format!("{all}/{}", created["id"].as_str().unwrap());
    let (_, revealed) = server.data(&format!("GET {one}/value"), None).await;
    assert_eq!(revealed, json!({"value": "hunter2-hunter2", "preview": "hunt••••ter2"}));
    let (_, updated) =
        server.data(&format!("PATCH {one}"), Some(json!({"name": "TOKEN", "value": ""}))).await;
    assert_eq!(updated["key"], "TOKEN");
    assert_eq!(server.data(&format!("PATCH {one}"), Some(json!({"name": null}))).await.0, 400);
    assert_eq!(server.data(&format!("PATCH {one}"), Some(json!({"name": "token"}))).await.0, 400);
    let listed = server.call(&format!("GET {all}?environment=staging"), "", None).await.json();
    assert_eq!(
        (&listed["data"][0]["key"], &listed["meta"]["pagination"]["total"]),
        (&json!("TOKEN"), &json!(1))
    );
    assert!(!listed.to_string().contains("value"));
    assert_eq!(server.data(&format!("GET {all}?environment=nowhere"), None).await.0, 404);
    assert_eq!(server.call(&format!("DELETE {one}"), "", None).await.status(), 204);
    for gone in [one.as_str(), &format!("{all}/not-an-id")] {
        assert_eq!(server.data(&format!("DELETE {gone}"), None).await.0, 404, "{gone}");
    }
}

#[tokio::test]
async fn api_keys_are_minted_shown_and_revoked() {
    let server = Server::with_vault().await;
    let wanted = json!({
        "name": "ci", "environment": "test", "scopes": ["read:secrets"], "expiresInDays": 30,
        "allowedIps": ["127.0.0.1"], "repositories": ["alice/app"], "environments": ["staging"],
    });
    let minted = server.call("POST /v1/api-keys", "", Some(wanted)).await;
    assert_eq!(minted.status(), 201);
    let key = minted.json()["data"].clone();
    let one = format!("/v1/api-keys/{}", key["id"].as_str().unwrap());
    assert_eq!(minted.header("location"), Some(format!("https://keyway.example{one}").as_str()));
    assert_eq!(key["allowedIps"], json!(["127.0.0.1/32"]));
    let token = key["token"].as_str().unwrap();
    let ask = format!("{PULL} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(server.ask(&ask).await.status(), 200);
    let (_, shown) = server.data(&format!("GET {one}"), None).await;
    assert_eq!((&shown["usageCount"], shown.get("token")), (&json!(1), None));
    let (_, listed) = server.data("GET /v1/api-keys", None).await;
    assert_eq!(listed["keys"].as_array().unwrap().len(), 3);
    assert_eq!(server.call(&format!("DELETE {one}"), "", None).await.status(), 204);
    assert_eq!(server.ask(&ask).await.status(), 401);
    for (field, value) in [
        ("scopes", json!([])),
        ("scopes[0]", json!(["everything"])),
        ("expiresInDays", json!(0)),
        ("expiresInDays", json!(u64::MAX)),
        ("allowedIps[1]", json!(["10.0.0.0/8", "x"])),
        ("repositories[0]", json!(["alice"])),
        ("environment", json!("prod")),
        ("name", json!("")),
    ] {
        let mut wanted = json!({"name": "ci", "environment": "live", "scopes": ["read:secrets"]});
        wanted[field.split('[').next().unwrap()] = value;
        let (status, refused) = server.data("POST /v1/api-keys", Some(wanted)).await;
        assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!(field)), "{refused}");
    }
}

/// A clock that the test sets.
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        // Every question is a millisecond later than the one before.
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn api_keys_that_have_ended_make_room_for_new_ones() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let clock = Arc::new(SetClock(AtomicU64::new(1_800_000_000_000)));
    let two_days_later = || clock.0.fetch_add(2 * DAY.as_millis() as u64, Ordering::Relaxed);
    let services = Services::in_memory_at(clock.clone());
    let server = Server::of(front_of(HttpSettings::new("https://keyway.example"), services.clone())).await;
    let alice = AccountName::parse("alice").unwrap();
    let fill = async |number: usize| {
        let mut tokens = Vec::new();
        for _ in 0..number {
            let unlimited = NewApiKey::unlimited("short", Scope::ALL.into_iter().collect());
            let short = NewApiKey { expires_at: Some(clock.now().plus(DAY)), ..unlimited };
            tokens.push(super::mint(&services, &alice, short).await);
        }
        tokens
    };
    let mint = async || {
        let wish = json!({"name": "ci", "environment": "live", "scopes": ["read:secrets"]});
        server.data("POST /v1/api-keys", Some(wish)).await
    };
    let listed = async || server.data("GET /v1/api-keys", None).await.1["keys"].as_array().unwrap().len();
    let detail = async |token: &str| {
        let refusal = server.ask_as(token, "GET /v1/users/me", "").await;
        assert_eq!(refusal.status(), 401);
        refusal.json()["detail"].as_str().unwrap().to_owned()
    };
    // Two were minted with the server.
    let short = fill(API_KEYS_PER_USER - 2).await;
    let (status, problem) = mint().await;
    assert_eq!(status, 409, "{problem}");
    two_days_later();
    let (status, problem) = mint().await;
    assert_eq!(status, 201, "{problem}");
    assert_eq!(listed().await, 2 + 1 + ENDED_API_KEYS_KEPT);
    assert!(detail(short.last().unwrap()).await.contains("has expired"), "it ended last");
    assert!(detail(&short[0]).await.contains("is not valid"), "it is gone, and not known any more");
    // Whoever makes few keys keeps all of them.
    fill(10).await;
    two_days_later();
    assert_eq!(mint().await.0, 201);
    assert_eq!(listed().await, 2 + 2 + ENDED_API_KEYS_KEPT + 10);
}

#[tokio::test]
async fn users_see_themselves() {
    let server = Server::with_vault().await;
    let (_, me) = server.data("GET /v1/users/me", None).await;
    assert_eq!(
        (&me["username"], &me["plan"], &me["githubId"]),
        (&json!("alice"), &json!("team"), &Value::Null)
    );
    let (_, usage) = server.data("GET /v1/users/me/usage", None).await;
    assert_eq!(usage["usage"], json!({"public": 0, "private": 1, "providers": 0}));
    assert_eq!(usage["limits"]["maxProviders"], "unlimited");
}

#[tokio::test]
async fn revealing_has_a_limit_of_its_own() {
    let quota = |count: u32| Quota { count: count.try_into().unwrap(), window: Duration::from_secs(3_600) };
    let limits = RateLimits { general: quota(100), reveal: quota(1), device_verify: quota(1) };
    let server = Server::start(|settings| settings.rate_limits = Some(limits)).await;
    let path = format!("GET /v1/vaults/alice/app/secrets/{}/value", RequestId::from_bytes([1; 16]));
    let reply = server.call(&path, "", None).await;
    assert_eq!((reply.status(), reply.header("x-ratelimit-limit")), (404, Some("1")));
    assert_eq!(server.call(&path, "", None).await.status(), 429);
    assert_eq!(server.call("GET /v1/users/me", "", None).await.header("x-ratelimit-limit"), Some("100"));
}
