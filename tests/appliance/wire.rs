//! The rules of the wire that every call keeps, each over a real socket: what a request may look like, and what
//! the answer to a bad one is.

use super::harness::{Answer, Appliance, Client, Request, is_uuid};
use serde_json::{Value, json};

/// An appliance and its administrator, with the vault `acme/app`.
fn with_vault() -> (Appliance, Client) {
    let appliance = Appliance::start();
    let admin = appliance.admin();
    admin.create_vault("acme/app");
    (appliance, admin)
}

fn post(target: &str, kind: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::new("POST", target).header("Content-Type", kind).body(body)
}

fn push_of(body: impl Into<Vec<u8>>) -> Request {
    post("/v1/secrets/push", "application/json", body)
}

#[test]
fn a_body_that_is_no_json_is_a_bad_request_that_quotes_nothing() {
    let (_appliance, admin) = with_vault();
    let head = r#"{"repoFullName":"acme/app","environment":"local","secrets":{"A":"hunter2""#;
    for body in [
        head.to_owned(),
        format!("{head}}}}}}}"),
        format!("{head},}}}}"),
        format!("{head}}}}} trailing"),
        format!("\u{feff}{head}}}}}"),
        "hunter2".to_owned(),
        "'hunter2'".to_owned(),
        "[".repeat(100_000),
        r#"{"a":"#.repeat(100_000),
        " ".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "\"hunter2\"".to_owned(),
        "1e999".to_owned(),
    ] {
        let answer = admin.send(&push_of(body.clone()));
        let shown: String = body.chars().take(80).collect();
        assert_eq!(answer.status, 400, "{shown}: {}", answer.show());
        assert!(!answer.show().contains("hunter2"), "{}", answer.show());
    }
    for body in [&b"{\"environment\":\"\xff\"}"[..], b"{\"a\":\"\\ud800\"}", b"\xff\xfe{\0}\0", b"\0"] {
        assert_eq!(admin.send(&push_of(body)).status, 400, "{body:?}");
    }
    assert_eq!(admin.content("acme/app", "local"), "");
}

#[test]
fn a_member_of_the_wrong_type_is_named_and_not_quoted() {
    let (_appliance, admin) = with_vault();
    for wrong in [json!(1), json!(true), json!(null), json!(["hunter2"]), json!({ "hunter2": 1 })] {
        let answer = admin.post("/v1/vaults", &json!({ "repoFullName": wrong }));
        assert_eq!(answer.bad_fields(), ["repoFullName"], "{wrong}");
        let mut push = json!({ "repoFullName": "acme/app", "environment": "local", "secrets": {} });
        for member in ["repoFullName", "environment", "secrets"] {
            if member == "secrets" && wrong.is_object() {
                continue;
            }
            let good = push[member].take();
            push[member] = wrong.clone();
            let answer = admin.post("/v1/secrets/push", &push);
            assert!(!answer.show().contains("hunter2"), "{}", answer.show());
            assert_eq!(answer.bad_fields(), [member], "{wrong}");
            push[member] = good;
        }
    }
    for member in ["repoFullName", "environment", "secrets"] {
        let mut push = json!({ "repoFullName": "acme/app", "environment": "local", "secrets": {} });
        push.as_object_mut().expect("an object").remove(member);
        assert_eq!(admin.post("/v1/secrets/push", &push).bad_fields(), [member]);
    }
    assert_eq!(admin.send(&push_of("{}")).status, 400);
}

#[test]
fn what_is_said_twice_is_refused() {
    let (_appliance, admin) = with_vault();
    for (body, named) in [
        (r#"{"repoFullName":"acme/app","environment":"local","secrets":{"A":"1","A":"1"}}"#, "secrets"),
        (r#"{"repoFullName":"acme/app","environment":"local","secrets":{"A":"1","\u0041":"2"}}"#, "secrets"),
        (
            r#"{"repoFullName":"acme/app","environment":"local","environment":"staging","secrets":{}}"#,
            "environment",
        ),
        (
            r#"{"repoFullName":"acme/app","repoFullName":"acme/other","environment":"local","secrets":{}}"#,
            "repoFullName",
        ),
        (r#"{"repoFullName":"acme/app","environment":"local","secrets":{"A":"1"},"secrets":{}}"#, "secrets"),
    ] {
        assert_eq!(admin.send(&push_of(body)).bad_fields(), [named], "{body}");
    }
    assert_eq!(admin.content("acme/app", "local"), "");
    // In queries too, and only where the parameter means something.
    for (query, named) in [
        ("repo=acme/app&repo=acme/app&environment=local", "repo"),
        ("repo=acme/app&environment=local&environment=staging", "environment"),
        ("repo=acme/app&environment=local&format=json&format=env", "format"),
        ("repo=acme/app&environment=local&%65nvironment=staging", "environment"),
    ] {
        assert_eq!(admin.get(&format!("/v1/secrets/pull?{query}")).bad_fields(), [named], "{query}");
    }
    admin.get("/v1/secrets/pull?repo=acme/app&environment=local&x=1&x=2").ok();
    assert_eq!(admin.get("/v1/vaults?limit=1&limit=1").bad_fields(), ["limit"]);
}

/// Two readers would take two different requests out of these.
#[test]
fn ambiguous_heads_are_refused() {
    let (appliance, admin) = with_vault();
    let bearer = format!("Bearer {}", admin.token());
    for (name, first, second) in [
        ("Authorization", bearer.as_str(), bearer.as_str()),
        ("Authorization", bearer.as_str(), "Bearer other"),
        ("Content-Type", "application/json", "application/json"),
        ("Host", "a.example", "a.example"),
    ] {
        let request = Request::new("GET", "/v1/health").header(name, first).header(name, second);
        let request = if name == "Host" { request } else { request.header("Connection", "close") };
        let answer = appliance.stranger().send(&request);
        assert_eq!(answer.status, 400, "{name}: {}", answer.show());
    }
    // These do not even get to the point where an answer has a form.
    for head in [
        "GET /v1/health HTTP/1.1\r\n\r\n",
        "POST /v1/vaults HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/vaults HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
        "POST /v1/vaults HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        "GET /v1/health HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n",
        "GET /v1/health HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n",
        "GET /v1/health HTTP/3.0\r\nHost: x\r\n\r\n",
        "GET\r\n\r\n",
    ] {
        let mut wire = appliance.wire();
        wire.say(head);
        wire.say_no_more();
        let answer = String::from_utf8_lossy(&wire.rest()).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{head:?}: {answer}");
    }
    // Transfer-Encoding counts over Content-Length (RFC 9112 §6.3), and nothing is left over to be taken for
    // another request.
    let mut wire = appliance.wire();
    wire.say(format!(
        "POST /v1/vaults HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nContent-Type: application/json\r\n\
         Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"
    ));
    wire.say_no_more();
    let answers = String::from_utf8_lossy(&wire.rest()).into_owned();
    assert!(answers.starts_with("HTTP/1.1 400 "), "{answers}");
}

#[test]
fn bodies_have_a_size_whether_announced_or_not() {
    let (appliance, admin) = with_vault();
    let token = admin.token();
    // One byte more than allowed, as valid JSON, so that only its size can be wrong with it.
    let padded = |bytes: usize| format!("{{\"pad\":\"{}\"}}", "x".repeat(bytes - 10));
    for (target, limit) in [("/v1/vaults", 1 << 20), ("/v1/secrets/push", 8 << 20)] {
        let fits = admin.send(&post(target, "application/json", padded(limit)));
        assert_eq!(fits.status, 400, "it lacks what it should say: {}", fits.show());
        let large = padded(limit + 1);
        let refused = admin.send(&post(target, "application/json", large.clone()));
        assert_eq!(refused.status, 413, "{}", refused.show());

        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let mut wire = appliance.wire();
        wire.say(head);
        for chunk in large.as_bytes().chunks(100_000) {
            wire.say(format!("{:x}\r\n", chunk.len()));
            wire.say(chunk);
            wire.say("\r\n");
        }
        wire.say("0\r\n\r\n");
        let answer = wire.answer_to("POST", target).expect("the answer arrives though the body was refused");
        answer.check();
        assert_eq!(answer.status, 413, "{}", answer.show());
    }
    // Nobody unknown makes us read a body, and whoever waits to be told to send is not told.
    let mut wire = appliance.wire();
    wire.say("POST /v1/secrets/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    wire.say("Content-Length: 8388608\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(wire.answer_to("POST", "/v1/secrets/push").expect("an answer").status, 401);
    let mut wire = appliance.wire();
    wire.say(format!("POST /v1/vaults HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"));
    wire.say("Content-Type: application/json\r\nContent-Length: 1048577\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(wire.answer_to("POST", "/v1/vaults").expect("an answer").status, 413);
}

#[test]
fn bodies_are_json_or_nothing() {
    let (appliance, admin) = with_vault();
    let body = r#"{"repoFullName":"acme/app","environment":"local","secrets":{"A":"1"}}"#;
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
        admin.send(&post("/v1/secrets/push", kind, body)).ok();
    }
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "*/*"] {
        let answer = admin.send(&post("/v1/secrets/push", kind, body));
        assert_eq!(answer.status, 415, "{kind}: {}", answer.show());
    }
    assert_eq!(admin.send(&Request::new("POST", "/v1/secrets/push").body(body)).status, 415);
    let packed = push_of(body).header("Content-Encoding", "gzip");
    assert_eq!(admin.send(&packed).status, 415);
    // An empty body is no body, whatever its type is said to be: the CLI deletes like this.
    for kind in ["application/json", "text/plain", ""] {
        let made = admin.post(
            "/v1/vaults/acme/app/secrets",
            &json!({ "key": "GONE", "value": "x", "environment": "staging" }),
        );
        let target =
            format!("/v1/vaults/acme/app/secrets/{}", made.created()["id"].as_str().unwrap_or_default());
        admin.send(&Request::new("DELETE", &target).header("Content-Type", kind).body("")).no_content();
        assert_eq!(admin.send(&post("/v1/secrets/push", kind, "")).status, 400);
    }
    let token = admin.token();
    let mut wire = appliance.wire();
    wire.say(format!(
        "POST /v1/secrets/push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    for part in body.as_bytes().chunks(7) {
        wire.say(format!("{:x};ext=1\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)));
    }
    wire.say("0\r\nTrailer: x\r\n\r\n");
    wire.answer_to("POST", "/v1/secrets/push").expect("an answer").ok();
    // A GET may have one, which is not looked at.
    let curious = Request::new("GET", "/v1/users/me").header("Content-Type", "text/plain").body("hello");
    admin.send(&curious).ok();
    admin.get("/v1/users/me").ok();
}

#[test]
fn there_is_nothing_where_nothing_is() {
    let (_appliance, admin) = with_vault();
    for target in [
        "/v1",
        "/v1/",
        "/v2/vaults",
        "/v1/vaults/",
        "/v1//vaults",
        "//v1/vaults",
        "/V1/vaults",
        "/v1/%76aults",
        "/v1/vaults/acme",
        "/v1/vaults/acme/app/",
        "/v1/vaults/acme/app/nothing",
        "/v1/vaults/acme/app/secrets/x/y/z",
        "/v1/../v1/vaults",
        "/v1/vaults/acme%2Fapp",
        "/v1/nothing?token=hunter2",
        "/favicon.ico",
        "/.env",
    ] {
        let answer = admin.get(target);
        assert_eq!(answer.status, 404, "{target}: {}", answer.show());
        assert!(!String::from_utf8_lossy(&answer.body).contains("hunter2"), "{}", answer.show());
    }
}

#[test]
fn other_methods_are_told_those_that_are_there() {
    let (appliance, admin) = with_vault();
    for (target, allowed) in [
        ("/health", "GET, HEAD, OPTIONS"),
        ("/v1/health", "GET, HEAD, OPTIONS"),
        ("/ready", "GET, HEAD, OPTIONS"),
        ("/v1/users/me", "GET, HEAD, OPTIONS"),
        ("/v1/vaults", "GET, HEAD, POST, OPTIONS"),
        ("/v1/vaults/acme/app", "GET, HEAD, DELETE, OPTIONS"),
        ("/v1/secrets/push", "POST, OPTIONS"),
        ("/v1/secrets/pull", "GET, HEAD, OPTIONS"),
        ("/v1/secrets/view", "GET, HEAD, OPTIONS"),
        ("/v1/vaults/acme/app/environments", "GET, HEAD, POST, OPTIONS"),
        ("/v1/vaults/acme/app/environments/local", "PATCH, DELETE, OPTIONS"),
        ("/v1/vaults/acme/app/environments/local/type", "PATCH, OPTIONS"),
        ("/v1/vaults/acme/app/secrets", "GET, HEAD, POST, OPTIONS"),
        ("/v1/vaults/acme/app/secrets/x", "PATCH, DELETE, OPTIONS"),
        ("/v1/vaults/acme/app/secrets/x/value", "GET, HEAD, OPTIONS"),
        ("/v1/api-keys", "GET, HEAD, POST, OPTIONS"),
        ("/v1/api-keys/x", "GET, HEAD, DELETE, OPTIONS"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "get"] {
            if allowed.split(", ").any(|other| other == method) {
                continue;
            }
            for client in [&admin, &appliance.stranger()] {
                let answer = client.send(&Request::new(method, target));
                assert_eq!(answer.status, 405, "{}", answer.show());
                assert_eq!(answer.header("allow"), Some(allowed), "{}", answer.show());
            }
        }
        let options = appliance.stranger().send(&Request::new("OPTIONS", target));
        options.no_content();
        assert_eq!(options.header("allow"), Some(allowed));
    }
}

#[test]
fn pages_are_within_bounds() {
    let (_appliance, admin) = with_vault();
    for target in ["/v1/vaults", "/v1/vaults/acme/app/secrets"] {
        for limit in ["0", "101", "-1", "x", "1.5", "", "%20", "18446744073709551616", "1e1"] {
            assert_eq!(admin.get(&format!("{target}?limit={limit}")).bad_fields(), ["limit"], "{limit}");
        }
        for offset in ["-1", "x", "1.5", "", "18446744073709551616"] {
            assert_eq!(admin.get(&format!("{target}?offset={offset}")).bad_fields(), ["offset"], "{offset}");
        }
        assert_eq!(admin.get(&format!("{target}?limit=x&offset=x")).bad_fields(), ["limit", "offset"]);
        for good in ["limit=1", "limit=100", "offset=0", "limit=25&offset=18446744073709551615"] {
            assert!(admin.get(&format!("{target}?{good}")).ok().is_array(), "{good}");
        }
    }
}

#[test]
fn names_are_checked_where_they_enter() {
    let (_appliance, admin) = with_vault();
    let long = "x".repeat(101);
    for repo in [
        "acme",
        "acme/",
        "/app",
        "acme/app/x",
        "-acme/app",
        "acme/.",
        "acme/..",
        "a b/c",
        "acme/é",
        "",
        &long,
    ] {
        let answer = admin.post("/v1/vaults", &json!({ "repoFullName": repo }));
        assert_eq!(answer.bad_fields(), ["repoFullName"], "{repo}");
    }
    for (path, field) in [
        ("-acme/app", "owner"),
        ("a_b/app", "owner"),
        (&format!("{}/app", "a".repeat(40)), "owner"),
        ("acme/a%20b", "repo"),
        ("acme/a%2Fb", "repo"),
        ("acme/%2e%2e", "repo"),
        ("acme/%C3%A9", "repo"),
        (&format!("acme/{long}"), "repo"),
    ] {
        assert_eq!(admin.get(&format!("/v1/vaults/{path}")).bad_fields(), [field], "{path}");
    }
    for undecodable in ["acme/%", "acme/%zz", "acme/%ff", "%c3%28/app"] {
        admin.get(&format!("/v1/vaults/{undecodable}")).refused(400);
    }
    for name in ["", "x", "Local", "1st", "-a", "a.b", "a b", "é1", &"x".repeat(31)] {
        let answer = admin.post("/v1/vaults/acme/app/environments", &json!({ "name": name }));
        assert_eq!(answer.bad_fields(), ["name"], "{name}");
        let body = json!({ "newName": name });
        let answer = admin.patch("/v1/vaults/acme/app/environments/local", &body);
        assert_eq!(answer.bad_fields(), ["newName"], "{name}");
    }
    for name in ["ab", "a1", "a-b_c", &"x".repeat(30)] {
        admin.post("/v1/vaults/acme/app/environments", &json!({ "name": name })).created();
    }
    // What is no name names nothing.
    admin.delete("/v1/vaults/acme/app/environments/Not%20A%20Name").refused(404);
    admin.pull("acme/app", "Not%20A%20Name").refused(404);
    assert_eq!(admin.get("/v1/secrets/pull?repo=acme&environment=local").bad_fields(), ["repo"]);
    let key = "/v1/secrets/view?repo=acme/app&environment=local&key=";
    assert_eq!(admin.get(&format!("{key}A-B")).bad_fields(), ["key"]);
    // Paths are decoded once, and the repository that is asked about is the one that is acted on.
    assert_eq!(admin.get("/v1/vaults/%61cme/%61pp").ok()["repoFullName"], "acme/app");
    admin.get("/v1/vaults/acme/%2561pp").refused(400);
    assert_eq!(admin.get("/v1/secrets/pull?repo=%61cme%2Fapp&environment=local").ok()["content"], "");
}

#[test]
fn a_client_s_own_request_id_is_kept_if_it_is_a_uuid() {
    let (_appliance, admin) = with_vault();
    let ask = |target: &str, id: &str| -> Answer {
        admin.send(&Request::new("GET", target).header("X-Request-ID", id))
    };
    for id in ["550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000"] {
        for target in ["/v1/users/me", "/v1/nothing", "/v1/health", "/v1/vaults?limit=0"] {
            assert_eq!(ask(target, id).header("x-request-id"), Some(id), "{target}");
        }
    }
    let mut seen = std::collections::HashSet::new();
    for id in ["", "1", "550e8400e29b41d4a716446655440000", "550e8400-e29b-41d4-a716-44665544000g", "x y"] {
        let answer = ask("/v1/users/me", id);
        let own = answer.header("x-request-id").unwrap_or_default().to_owned();
        assert!(is_uuid(&own) && own != id && seen.insert(own), "{}", answer.show());
    }
}

#[test]
fn head_is_get_without_the_body() {
    let (appliance, admin) = with_vault();
    for target in ["/health", "/ready", "/v1/users/me", "/v1/vaults", "/v1/nothing", "/v1/vaults/a/b"] {
        let (head, get) = (admin.send(&Request::new("HEAD", target)), admin.get(target));
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{target}");
    }
    assert_eq!(appliance.stranger().send(&Request::new("HEAD", "/v1/users/me")).status, 401);
}

#[test]
fn health_is_told_to_everybody() {
    let (appliance, _admin) = with_vault();
    for (target, status) in [("/health", "healthy"), ("/v1/health", "healthy"), ("/ready", "ready")] {
        let answer = appliance.stranger().get(target);
        assert_eq!(answer.status, 200);
        let health = answer.json();
        assert_eq!(health["status"], status);
        assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
        // And a bad credential does not matter where none is asked for.
        assert_eq!(appliance.client("nonsense").get(target).status, 200);
    }
}

#[test]
fn credentials_have_one_form() {
    let (appliance, admin) = with_vault();
    let token = admin.token().to_owned();
    let with = |value: &str| {
        appliance.stranger().send(&Request::new("GET", "/v1/users/me").header("Authorization", value)).status
    };
    for good in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER  {token}")] {
        assert_eq!(with(&good), 200);
    }
    for bad in [
        token.clone(),
        format!("Basic {token}"),
        format!("Bearer{token}"),
        format!("Bearer {token} x"),
        format!("Bearer {token},Bearer {token}"),
        format!("Bearer {}", token.to_uppercase()),
        format!("Bearer {}", token.replace("live", "test")),
        format!("Bearer {}", &token[..47]),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {}", "x".repeat(20_000)),
        "Bearer ghp_0123456789012345678901234567890123456789".to_owned(),
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.".to_owned(),
    ] {
        assert_eq!(with(&bad), 401, "{bad}");
    }
    // A token in the query is no credential.
    appliance.stranger().get(&format!("/v1/users/me?token={token}")).refused(401);
    let why =
        appliance.client("ghs_0123456789012345678901234567890123456789").get("/v1/users/me").refused(401);
    assert!(why["detail"].as_str().is_some_and(|detail| detail.contains("ghs_")), "{why}");
}

#[test]
fn other_origins_are_let_in_by_name_only() {
    let appliance = Appliance::start_with(&[(
        "KEYWAYD_SERVER__ALLOWED_ORIGINS",
        "https://app.example.com,http://localhost:3000",
    )]);
    let admin = appliance.admin();
    let from = |request: Request, origin: &str| admin.send(&request.header("Origin", origin));
    let get = || Request::new("GET", "/v1/users/me");
    for origin in ["https://app.example.com", "http://localhost:3000"] {
        let answer = from(get(), origin);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert!(
            answer.header("access-control-expose-headers").is_some_and(|list| list.contains("X-Request-ID"))
        );
        assert_eq!(answer.header("vary"), Some("Origin"));
        // Errors too: the page must be able to read why.
        let refused = from(Request::new("GET", "/v1/nothing"), origin);
        assert_eq!(refused.header("access-control-allow-origin"), Some(origin));
        let preflight = Request::new("OPTIONS", "/v1/vaults/acme/app")
            .header("Access-Control-Request-Method", "DELETE")
            .header("Access-Control-Request-Headers", "authorization");
        let preflight = appliance.stranger().send(&preflight.header("Origin", origin));
        preflight.no_content();
        let methods = preflight.header("access-control-allow-methods").unwrap_or_default();
        assert!(methods.contains("DELETE"), "{}", preflight.show());
        let headers = preflight.header("access-control-allow-headers").unwrap_or_default();
        assert!(headers.contains("Authorization") && headers.contains("Content-Type"), "{headers}");
    }
    for origin in [
        "https://evil.example",
        "null",
        "*",
        "https://app.example.com.evil.example",
        "http://app.example.com",
    ] {
        let answer = from(get(), origin);
        answer.ok();
        let told = answer.headers.iter().any(|(name, _)| name.starts_with("access-control-"));
        assert!(!told && answer.header("vary") == Some("Origin"), "{}", answer.show());
    }
    let closed = Appliance::start();
    let answer = closed.admin().send(&get().header("Origin", "https://app.example.com"));
    assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")));
    // `*` is not possible.
    let home = tempfile::tempdir().expect("a scratch directory can be made");
    let mut command = super::harness::keywayd();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(home.path().join("data"));
    let refused = super::harness::run(command.env("KEYWAYD_SERVER__ALLOWED_ORIGINS", "*"), "").refused(1);
    assert!(refused.contains("allowed_origins"), "{refused}");
}

#[test]
fn unknown_members_and_parameters_are_ignored() {
    let (_appliance, admin) = with_vault();
    let push = json!({
        "repoFullName": "acme/app", "environment": "local", "secrets": { "A": "1" },
        "dryRun": null, "x": [{ "y": 1 }],
    });
    admin.post("/v1/secrets/push", &push).ok();
    assert_eq!(
        admin.get("/v1/secrets/pull?repo=acme/app&environment=local&x=%zz&&=").ok()["content"],
        "A=1\n"
    );
    let list: Value = admin.get("/v1/vaults?sort=name").ok();
    assert_eq!(list.as_array().map(Vec::len), Some(1));
}

/// Query strings and credentials stay out of the log, and so do paths, which hold names.
#[test]
fn the_log_tells_of_requests_without_what_they_were_about() {
    let appliance = Appliance::start_with(&[("KEYWAYD_LOG__LEVEL", "trace")]);
    let admin = appliance.admin();
    admin.create_vault("acme/very-secret-name");
    admin.get("/v1/secrets/pull?repo=acme/very-secret-name&environment=local&token=hunter2").ok();
    admin.get("/v1/vaults/acme/very-secret-name").ok();
    let id = "550e8400-e29b-41d4-a716-446655440000";
    admin.send(&Request::new("GET", "/v1/hunter2?hunter2").header("X-Request-ID", id)).refused(404);
    let log = appliance.log();
    let line = log.wait_for(id).expect("the request has a line");
    assert!(line.contains("404") && line.contains("GET"), "{line}");
    let text = log.text();
    assert!(text.contains("/v1/vaults/{owner}/{repo}"), "routes are named by their pattern:\n{text}");
    for hidden in ["hunter2", "very-secret-name", admin.token()] {
        assert!(!text.contains(hidden), "{hidden} in\n{text}");
    }
}
