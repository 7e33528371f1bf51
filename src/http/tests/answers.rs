//! What every answer has, and what is refused before a handler sees it.

use super::*;

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

#[tokio::test]
async fn answers_carry_the_request_s_id_and_keep_out_of_caches() {
    let server = Server::start(|_| {}).await;
    let reply = server.ask(&format!("GET /v1/open?secret=x HTTP/1.1\r\nX-Request-ID: {ID}\r\n\r\n")).await;
    assert_eq!(reply.json(), json!({"data": "open", "meta": {"requestId": ID}}));
    assert_eq!(reply.header("x-request-id"), Some(ID));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let other = server.get("/v1/open").await;
    assert_eq!(other.json()["meta"]["requestId"], other.header("x-request-id").unwrap());
}

#[tokio::test]
async fn nothing_is_found_where_nothing_is() {
    let server = Server::start(|_| {}).await;
    for path in ["/", "/v1/open/", "/v1/OPEN", "//v1/open", "/v1/%6fpen"] {
        assert_eq!(server.get(path).await.status(), 404, "{path}");
    }
    let reply = server.get("/v1/nothing?token=hunter2").await;
    assert_eq!(reply.json()["instance"], "/v1/nothing");
    assert_eq!(reply.json()["type"], "https://keyway.sh/errors/not-found");
    assert!(!reply.0.contains("hunter2"));
    let reply = server.ask("PUT /v1/open HTTP/1.1\r\n\r\n").await;
    assert_eq!((reply.status(), reply.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[tokio::test]
async fn path_parameters_are_decoded_once_and_stay_one_segment() {
    let server = Server::start(|_| {}).await;
    assert_eq!(server.get("/v1/things/a%2Fb%2520").await.json()["data"], "a/b%20");
    for bad in ["%", "%zz", "%ff"] {
        assert_eq!(server.get(&format!("/v1/things/{bad}")).await.status(), 400, "{bad}");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start(|_| {}).await;
    let length = server.get("/v1/open").await.header("content-length").unwrap().to_owned();
    let reply = server.ask("HEAD /v1/open HTTP/1.1\r\n\r\n").await;
    assert_eq!((reply.status(), reply.header("content-length")), (200, Some(length.as_str())));
    assert!(reply.0.ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn ambiguous_heads_are_refused() {
    let server = Server::start(|_| {}).await;
    for headers in [
        "Host: y\r\n",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        "Content-Type: a\r\nContent-Type: b\r\n",
    ] {
        let reply = server.ask(&format!("GET /v1/open HTTP/1.1\r\n{headers}\r\n")).await;
        assert_eq!(reply.status(), 400, "{headers}");
        assert_eq!(reply.json()["type"], "https://keyway.sh/errors/bad-request");
    }
    let mut socket = server.connect().await;
    socket.write_all(b"GET /v1/open HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(Reply::read(&mut socket).await.status(), 400);
}

#[tokio::test]
async fn a_credential_is_asked_for_and_its_scopes_are_compared() {
    let server = Server::start(|_| {}).await;
    let ask = async |verb: &str, header: &str| {
        let reply = server.ask(&format!("{verb} /v1/mine HTTP/1.1\r\n{header}\r\n")).await;
        (reply.status(), reply.header("www-authenticate").map(str::to_owned), reply)
    };
    for refused in [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Basic eDp5\r\n",
        "Authorization: <reader>\r\n",
    ] {
        let (status, challenge, _) = ask("GET", refused).await;
        assert_eq!((status, challenge.as_deref()), (401, Some("Bearer")), "{refused}");
    }
    assert_eq!(ask("GET", "Authorization: bearer <reader>\r\n").await.0, 200);
    let (status, _, reply) = ask("POST", "Authorization: Bearer <reader>\r\n").await;
    assert_eq!(status, 403);
    assert!(reply.json()["detail"].as_str().unwrap().contains("write:secrets"));
    assert_eq!(ask("POST", "Authorization: Bearer <everything>\r\n").await.0, 200);
}

#[tokio::test]
async fn bodies_are_json_or_nothing() {
    let server = Server::start(|_| {}).await;
    assert_eq!(
        server.post("/v1/echo", "application/json", r#"{"a":1}"#).await.json()["data"],
        json!({"a": 1})
    );
    assert_eq!(server.post("/v1/echo", "text/plain", "{}").await.status(), 415);
    assert_eq!(server.post("/v1/echo", "text/plain", "").await.status(), 400);
    let reply = server.post("/v1/echo", "application/json", r#"{"a":"hunter2""#).await;
    assert_eq!(reply.status(), 400);
    assert!(!reply.0.contains("hunter2"));
    // A large one is read elsewhere, to the same effect.
    let large = json!({ "a": "x".repeat(100_000) }).to_string();
    let reply = server.post("/v1/echo", "application/json", &large).await;
    assert_eq!(reply.json()["data"]["a"].as_str().unwrap().len(), 100_000);
    let reply = server.post("/v1/echo", "application/json", &format!("{large}hunter2")).await;
    assert_eq!(reply.status(), 400);
    assert!(!reply.0.contains("hunter2"));
    let reply =
        server.ask("DELETE /v1/echo HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(reply.status(), 204);
    let chunked = "POST /v1/echo HTTP/1.1\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(server.ask(&format!("{chunked}0\r\n\r\n")).await.status(), 400);
    assert_eq!(server.ask(&format!("{chunked}2\r\n{{}}\r\n0\r\n\r\n")).await.status(), 415);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_the_answer_arrives() {
    let server = Server::start(|settings| settings.body_limit_bytes = 1_000).await;
    let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(1_000 - 8));
    assert_eq!(server.post("/v1/echo", "application/json", &fits).await.status(), 200);
    // Larger than all buffers on the way: sent whole before the answer is looked at.
    let large = "x".repeat(12 << 20);
    assert_eq!(server.post("/v1/echo", "application/json", &large).await.status(), 413);
    let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let head =
        "POST /v1/echo HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(server.ask(&format!("{head}{chunk}")).await.status(), 413);
    // And to somebody unknown the answer is 401, whatever they send.
    assert_eq!(server.post("/v1/mine", "application/json", &large).await.status(), 401);
}

#[tokio::test]
async fn bodies_that_never_come_whole_keep_nobody_out() {
    let server = Server::start(|settings| settings.body_memory_bytes = 8 << 20).await;
    let begun = format!("{{\"a\":\"{}", "x".repeat(20_000));
    let mut stuck = Vec::new();
    for number in 0..20 {
        let mut socket = server.connect().await;
        let sent = if number % 2 == 0 { begun.as_str() } else { "" };
        let head = "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        let request = format!("{head}Content-Length: 1048576\r\n\r\n{sent}");
        socket.write_all(request.as_bytes()).await.unwrap();
        stuck.push(socket);
    }
    let large = format!("{begun}\"}}");
    for _ in 0..3 {
        assert_eq!(server.post("/v1/echo", "application/json", "{}").await.status(), 200, "small");
        let known = server.ask_as(&server.everything, "POST /v1/mine", &large).await;
        assert_eq!(known.status(), 200, "of somebody known");
    }
    drop(stuck);
    assert_eq!(server.post("/v1/echo", "application/json", &large).await.status(), 200, "after them");
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_is_not_told_to_send_what_is_refused() {
    let server = Server::start(|settings| settings.body_limit_bytes = 1_000).await;
    let head = |length: usize| {
        format!(
            "POST /v1/echo HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let refused = server.ask(&head(2_000)).await;
    assert_eq!(refused.status(), 413);
    let taken = server.ask(&format!("{}{{}}", head(2))).await;
    assert!(taken.0.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{}", taken.0);
}

#[tokio::test]
async fn a_panic_ends_its_own_request_and_tells_nothing() {
    let server = Server::start(|_| {}).await;
    let mut socket = server.connect().await;
    for request in ["GET /v1/panic", "POST /v1/panic", "GET /v1/open"] {
        let close = if request.ends_with("open") { "Connection: close\r\n" } else { "" };
        socket.write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n{close}\r\n").as_bytes()).await.unwrap();
    }
    let all = Reply::read(&mut socket).await.0;
    assert_eq!(all.matches("HTTP/1.1 500").count(), 2, "{all}");
    assert_eq!(all.matches("HTTP/1.1 200").count(), 1, "{all}");
    assert!(!all.contains("hunter2"));
}

#[tokio::test]
async fn rate_limits_are_told_and_kept() {
    let quota = |count: u32| Quota { count: count.try_into().unwrap(), window: Duration::from_secs(3_600) };
    let limits = RateLimits { general: quota(3), reveal: quota(1), device_verify: quota(1) };
    let server = Server::start(|settings| settings.rate_limits = Some(limits)).await;
    let guess = "GET /v1/mine HTTP/1.1\r\nAuthorization: Bearer guess\r\n\r\n";
    for remaining in ["2", "1", "0"] {
        let reply = server.ask(guess).await;
        assert_eq!((reply.status(), reply.header("x-ratelimit-remaining")), (401, Some(remaining)));
        assert_eq!(reply.header("x-ratelimit-limit"), Some("3"));
        assert!(reply.header("x-ratelimit-reset").is_some());
    }
    for request in [guess, "GET /v1/open HTTP/1.1\r\n\r\n", "GET /v1/nothing HTTP/1.1\r\n\r\n"] {
        let reply = server.ask(request).await;
        assert_eq!(reply.status(), 429, "{request}");
        assert_eq!(reply.json()["type"], "https://keyway.sh/errors/rate-limited");
        assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    }
    let verified = server.ask("GET /v1/mine HTTP/1.1\r\nAuthorization: Bearer <reader>\r\n\r\n").await;
    assert_eq!((verified.status(), verified.header("x-ratelimit-remaining")), (200, Some("2")));
    let free = server.get("/v1/free").await;
    assert_eq!((free.status(), free.header("x-ratelimit-limit")), (204, None));
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_budget() {
    let server =
        Server::start(|settings| settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let ask =
        "GET /v1/mine HTTP/1.1\r\nAuthorization: Bearer <reader>\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n";
    assert_eq!(server.ask(ask).await.json()["data"]["address"], "198.51.100.7");
}

#[tokio::test]
async fn pages_of_listed_origins_may_read_the_answers() {
    let server =
        Server::start(|settings| settings.allowed_origins = vec!["https://app.example".to_owned()]).await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /v1/mine HTTP/1.1\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\r\n"
        )
    };
    let listed = server.ask(&preflight("https://app.example")).await;
    assert_eq!(listed.status(), 204);
    assert_eq!(listed.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(listed.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(listed.header("access-control-allow-methods"), Some("GET, HEAD, POST, OPTIONS"));
    let other = server.ask(&preflight("https://evil.example")).await;
    assert_eq!((other.status(), other.header("access-control-allow-origin")), (204, None));
    assert_eq!((other.header("access-control-allow-methods"), other.header("vary")), (None, Some("Origin")));
    // Refusals are for the page to read as well.
    let refused = server.ask("GET /v1/mine HTTP/1.1\r\nOrigin: https://app.example\r\n\r\n").await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://app.example"));
}

#[test]
fn the_table_of_the_api_is_sound() {
    let table = super::super::router::Table::new(super::super::routes());
    assert!(table.is_ok(), "{table:?}");
    for route in super::super::routes().iter().copied().flatten() {
        assert!(
            route.path.starts_with("/v1/") || ["/health", "/ready"].contains(&route.path),
            "{}",
            route.path
        );
        assert!(route.verb != Verb::Get || route.body == BodyRule::Standard, "{}", route.path);
        if matches!(route.auth, Auth::Scoped(Scope::ReadSecrets)) {
            assert_eq!(route.verb, Verb::Get, "{}", route.path);
        }
    }
}
