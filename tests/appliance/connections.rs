//! Connections: slow peers, many requests at once, clients that leave, and the end of the day.

use super::harness::{Answer, Appliance, PATIENCE, Request, Wire};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

fn push_bytes(token: &str, environment: &str, secrets: &Value) -> Vec<u8> {
    let body = json!({ "repoFullName": "acme/app", "environment": environment, "secrets": secrets });
    let request = Request::new("POST", "/v1/secrets/push").json(&body);
    request.header("Authorization", &format!("Bearer {token}")).bytes("x")
}

/// A push that the server has begun to take in: it has asked for the body, and has most of it. What is still to
/// be sent comes with it.
fn push_under_way(appliance: &Appliance, secrets: &Value) -> (Wire, Vec<u8>) {
    let body = json!({ "repoFullName": "acme/app", "environment": "local", "secrets": secrets });
    let request = Request::new("POST", "/v1/secrets/push").json(&body).header("Expect", "100-continue");
    let bytes = request.header("Authorization", &format!("Bearer {}", appliance.token)).bytes("x");
    let (head, body) = bytes.split_at(bytes.len() - body.to_string().len());
    let mut wire = appliance.wire();
    wire.say(head);
    let interim = wire.answer_to("POST", "/v1/secrets/push").expect("an interim answer");
    assert_eq!(interim.status, 100);
    let (first, rest) = body.split_at(body.len() - 5);
    wire.say(first);
    (wire, rest.to_vec())
}

fn with_vault(settings: &[(&str, &str)]) -> Appliance {
    let appliance = Appliance::start_with(settings);
    appliance.admin().create_vault("acme/app");
    appliance
}

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    let appliance = with_vault(&[]);
    let token = &appliance.token;
    let mut wire = appliance.wire();
    let mut all = Vec::new();
    for number in 0..50 {
        all.extend(push_bytes(token, "local", &json!({ "N": number.to_string() })));
        let pull = Request::new("GET", "/v1/secrets/pull?repo=acme/app&environment=local");
        all.extend(pull.header("Authorization", &format!("Bearer {token}")).bytes("x"));
    }
    wire.say(&all);
    for number in 0..50 {
        let pushed = wire.answer_to("POST", "/v1/secrets/push").expect("an answer");
        pushed.check();
        pushed.ok();
        let pulled = wire.answer_to("GET", "/v1/secrets/pull").expect("an answer");
        pulled.check();
        assert_eq!(pulled.ok()["content"], format!("N={number}\n"));
    }
}

#[test]
fn http_2_is_spoken_without_asking() {
    let appliance = with_vault(&[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (address, token) = (appliance.address(), appliance.token.clone());
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(address).await.expect("the server listens");
        let (client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
                .await
                .expect("h2");
        tokio::spawn(connection);
        let ask = async |method: &str, target: &str, body: String| {
            let request = hyper::Request::builder()
                .method(method)
                .uri(format!("http://{address}{target}"))
                .header("authorization", format!("Bearer {token}"))
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(body)))
                .expect("a request");
            let (head, body) = client.clone().send_request(request).await.expect("an answer").into_parts();
            let headers = head.headers.iter().map(|(name, value)| {
                (name.to_string(), value.to_str().expect("headers are text").to_owned())
            });
            let answer = Answer {
                method: method.to_owned(),
                target: target.to_owned(),
                status: head.status.as_u16(),
                headers: headers.collect(),
                body: body.collect().await.expect("a body").to_bytes().to_vec(),
            };
            answer.check();
            answer
        };
        let push = |environment: &str, value: usize| {
            let secrets = json!({ "N": value.to_string() });
            json!({ "repoFullName": "acme/app", "environment": environment, "secrets": secrets }).to_string()
        };
        let environments = ["local", "development", "staging", "production"];
        // All at once on one connection.
        let pushes = environments.iter().enumerate().flat_map(|(at, environment)| {
            (0..10).map(move |_| ask("POST", "/v1/secrets/push", push(environment, at)))
        });
        for answer in futures_util::future::join_all(pushes).await {
            answer.ok();
        }
        for (at, environment) in environments.iter().enumerate() {
            let target = format!("/v1/secrets/pull?repo=acme/app&environment={environment}");
            assert_eq!(ask("GET", &target, String::new()).await.ok()["content"], format!("N={at}\n"));
        }
        assert_eq!(ask("HEAD", "/v1/users/me", String::new()).await.status, 200);
        assert_eq!(ask("GET", "/v1/nothing", String::new()).await.status, 404);
        assert_eq!(ask("POST", "/v1/vaults", "x".repeat(2 << 20)).await.status, 413);
        assert_eq!(ask("GET", "/v1/users/me", String::new()).await.status, 200);
    });
}

/// Whoever connects and then says nothing useful is hung up on; meanwhile everybody else is served.
#[test]
fn a_head_that_never_ends_is_hung_up_on() {
    let appliance = with_vault(&[]);
    let starts = [
        "",
        "G",
        "GET /v1/health HTTP/1.1\r\nHost: x\r\n",
        "GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Long: ",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    let mut wires = starts.map(|start| {
        let mut wire = appliance.wire();
        wire.say(start);
        wire
    });
    assert_eq!(appliance.admin().get("/v1/users/me").status, 200);
    for (wire, start) in wires.iter_mut().zip(starts) {
        let rest = wire.rest();
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{start:?}: {}", String::from_utf8_lossy(&rest));
    }
}

#[test]
fn a_body_that_never_ends_is_a_bad_request_and_the_end_of_the_connection() {
    let appliance = with_vault(&[("KEYWAYD_SERVER__REQUEST_TIMEOUT_SECS", "1")]);
    for framing in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        let mut wire = appliance.wire();
        wire.say(format!(
            "POST /v1/vaults HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\n{framing}\r\n\r\n",
            appliance.token
        ));
        let answer = wire.answer_to("POST", "/v1/vaults").expect("an answer");
        answer.check();
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{}", answer.show());
        assert_eq!(wire.rest(), b"");
    }
}

#[test]
fn heads_have_a_size() {
    let appliance = with_vault(&[]);
    let long = "x".repeat(64 << 10);
    for head in [
        format!("GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /v1/health HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200)),
    ] {
        let mut wire = appliance.wire();
        wire.say(head);
        let answer = String::from_utf8_lossy(&wire.rest()).into_owned();
        assert!(answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 414 "), "{answer}");
    }
}

#[test]
fn a_client_that_waits_to_be_told_to_send_is_told() {
    let appliance = with_vault(&[]);
    let mut wire = appliance.wire();
    wire.say(format!(
        "POST /v1/vaults HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 27\r\nExpect: 100-continue\r\n\r\n",
        appliance.token
    ));
    assert_eq!(wire.answer_to("POST", "/v1/vaults").expect("an interim answer").status, 100);
    wire.say(r#"{"repoFullName":"acme/new"}"#);
    wire.answer_to("POST", "/v1/vaults").expect("an answer").created();
}

#[test]
fn a_push_is_carried_out_though_its_client_has_left() {
    let appliance = with_vault(&[]);
    let admin = appliance.admin();
    for round in 0..30 {
        let secrets = json!({ "ROUND": round.to_string(), "BULK": "x".repeat(60_000) });
        let mut wire = appliance.wire();
        wire.say(push_bytes(&appliance.token, "local", &secrets));
        drop(wire);
        let deadline = Instant::now() + PATIENCE;
        while admin.secrets("acme/app", "local") != secrets {
            assert!(Instant::now() < deadline, "the push of round {round} was dropped with its client");
        }
    }
}

#[test]
fn a_push_that_was_never_sent_whole_changes_nothing() {
    let appliance = with_vault(&[]);
    let admin = appliance.admin();
    admin.push("acme/app", "local", &json!({ "KEPT": "1" })).ok();
    let bytes = push_bytes(&appliance.token, "local", &json!({ "LOST": "x".repeat(1_000) }));
    for length in (1..bytes.len()).step_by(101) {
        let mut wire = appliance.wire();
        wire.say(&bytes[..length]);
        wire.say_no_more();
        // Whatever it answers, it has made up its mind when it hangs up.
        wire.rest();
    }
    assert_eq!(admin.secrets("acme/app", "local"), json!({ "KEPT": "1" }));
}

#[test]
fn stopping_finishes_what_is_under_way_and_takes_nothing_new() {
    let mut appliance = with_vault(&[]);
    let address = appliance.address();
    let mut idle = appliance.wire();
    idle.say("GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(idle.answer_to("GET", "/v1/health").expect("an answer").status, 200);
    let (mut busy, rest) = push_under_way(&appliance, &json!({ "LATE": "but whole" }));
    appliance.terminate();
    assert_eq!(idle.rest(), b"", "a connection without a request is closed at once");
    let deadline = Instant::now() + PATIENCE;
    while Wire::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
    }
    busy.say(rest);
    let answer = busy.answer_to("POST", "/v1/secrets/push").expect("the request under way is answered");
    answer.check();
    assert_eq!(answer.header("connection"), Some("close"));
    answer.ok();
    let (status, log) = appliance.ended();
    assert!(status.success(), "{status}");
    // Access lines are gathered for a moment; the end does not cut them off.
    let text = log.text();
    let (before, _) = text.split_once("stopped").unwrap_or_else(|| panic!("no last line:\n{text}"));
    assert!(before.contains("/v1/secrets/push"), "{text}");
    appliance.restart();
    assert_eq!(appliance.admin().content("acme/app", "local"), "LATE=but whole\n");
}

/// Nobody sends new clients to a server that is about to go; nor is it started anew for that.
#[test]
fn a_server_that_stops_is_healthy_and_not_ready() {
    let mut appliance = Appliance::start();
    let address = appliance.address();
    let mut wires = ["/ready", "/health"].map(|target| {
        let mut wire = appliance.wire();
        wire.say(format!("GET {target} HTTP/1.1\r\nHost: x\r\n"));
        (wire, target)
    });
    // Who came later is served, so those before are in the house.
    assert_eq!(appliance.stranger().get("/ready").status, 200);
    appliance.terminate();
    let deadline = Instant::now() + PATIENCE;
    while Wire::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
    }
    let [ready, health] = &mut wires;
    let answer = |(wire, target): &mut (Wire, &'static str)| {
        wire.say("\r\n");
        let answer = wire.answer_to("GET", target).expect("an answer");
        answer.check();
        answer
    };
    let refused = answer(ready).refused(503);
    assert_eq!(refused["detail"], "the server is stopping");
    assert_eq!(answer(health).status, 200);
    assert!(appliance.ended().0.success());
}

#[test]
fn stopping_under_load_loses_nothing_that_was_acknowledged() {
    let mut appliance = with_vault(&[]);
    let enough = AtomicBool::new(false);
    let environments = ["local", "development", "staging", "production"];
    let last: Vec<u64> = std::thread::scope(|scope| {
        let appliance = &appliance;
        let enough = &enough;
        let workers = environments.map(|environment| {
            scope.spawn(move || {
                let admin = appliance.admin();
                let mut acknowledged = 0;
                loop {
                    let secrets = json!({ "N": (acknowledged + 1).to_string() });
                    let body =
                        json!({ "repoFullName": "acme/app", "environment": environment, "secrets": secrets });
                    let request = Request::new("POST", "/v1/secrets/push").json(&body);
                    let Ok(answer) = admin.try_send(&request) else { return acknowledged };
                    answer.check();
                    answer.ok();
                    acknowledged += 1;
                    if acknowledged == 20 {
                        enough.store(true, Ordering::Relaxed);
                    }
                }
            })
        });
        while !enough.load(Ordering::Relaxed) {
            assert_eq!(appliance.stranger().get("/v1/health").status, 200);
        }
        appliance.terminate();
        workers.map(|worker| worker.join().expect("no bad answer")).to_vec()
    });
    assert!(appliance.ended().0.success());
    appliance.restart();
    let admin = appliance.admin();
    for (environment, acknowledged) in environments.iter().zip(last) {
        // The push after the last acknowledged one may have been carried out as well.
        let found =
            admin.secrets("acme/app", environment)["N"].as_str().map_or(0, |n| n.parse().unwrap_or(0));
        assert!((acknowledged..=acknowledged + 1).contains(&found), "{environment}: {found}, {acknowledged}");
    }
}

#[test]
fn stopping_ends_though_somebody_never_finishes() {
    let mut appliance = with_vault(&[("KEYWAYD_SERVER__SHUTDOWN_GRACE_SECS", "1")]);
    let (stuck, _) = push_under_way(&appliance, &json!({ "A": "1" }));
    let (status, log) = appliance.stop();
    assert!(status.success(), "{status}");
    assert!(log.text().contains("the grace time ended"), "{}", log.text());
    drop(stuck);
    appliance.restart();
    assert_eq!(appliance.admin().content("acme/app", "local"), "");
}

/// Whatever arrives, the process goes on, nothing panics, and the next honest client is served.
#[test]
fn garbage_does_no_harm() {
    let appliance = with_vault(&[]);
    let good = push_bytes(&appliance.token, "local", &json!({ "A": "1", "B": "é\u{1f511}" }));
    // A small generator with a fixed seed (xorshift): the same garbage every time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("below a usize")
    };
    for round in 0..400 {
        let mut bytes: Vec<u8> = match round % 4 {
            0 => (0..random(2_000)).map(|_| u8::try_from(random(256)).expect("a byte")).collect(),
            1 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            _ => good.clone(),
        };
        if round % 4 == 1 {
            bytes.extend((0..random(500)).map(|_| u8::try_from(random(256)).expect("a byte")));
        }
        for _ in 0..random(8) {
            let (at, byte) = (random(bytes.len() + 1), u8::try_from(random(256)).expect("a byte"));
            match random(3) {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
            }
        }
        let mut wire = appliance.wire();
        // It may hang up before it has taken everything.
        let _ = wire.write(&bytes);
        wire.say_no_more();
        let answer = wire.rest();
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&answer));
    }
    appliance.admin().get("/v1/users/me").ok();
    assert!(!appliance.log().text().contains("panic"), "{}", appliance.log().text());
}
