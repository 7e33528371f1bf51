//! Slow peers, many requests at once, clients that leave, and the end of the day.

use super::*;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// Long enough to be waited for, short enough to wait.
const SOON: Duration = Duration::from_millis(50);

/// Tests that use the gates take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn a_peer_that_does_not_finish_its_head_is_hung_up_on() {
    let server = Server::start(|settings| settings.timeouts.first_head = SOON).await;
    for start in
        ["", "GET /v1/op", "GET /v1/open HTTP/1.1\r\nHost: x\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut socket = server.connect().await;
        socket.write_all(start.as_bytes()).await.unwrap();
        // It ends; how long it took is not this test's concern.
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{start}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Server::start(|settings| settings.timeouts.idle = SOON).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /v1/open HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(Reply::read(&mut socket).await.status(), 200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_a_bad_request_and_the_end_of_the_connection() {
    let server = Server::start(|settings| settings.timeouts.body = SOON).await;
    let mut socket = server.connect().await;
    let head =
        b"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    socket.write_all(head).await.unwrap();
    let reply = Reply::read(&mut socket).await;
    assert_eq!((reply.status(), reply.header("connection")), (400, Some("close")));
    assert!(reply.json()["detail"].as_str().unwrap().contains("in time"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_all_the_same() {
    let server = Server::start(|settings| settings.timeouts.request = SOON).await;
    let reply = server.get("/v1/stuck").await;
    assert_eq!(reply.status(), 503);
    assert!(reply.header("retry-after").is_some());
}

#[tokio::test]
async fn requests_may_be_sent_ahead_and_are_answered_in_order() {
    let server = Server::start(|_| {}).await;
    let mut socket = server.connect().await;
    let mut all = String::new();
    for name in ["one", "two", "three"] {
        all += &format!("GET /v1/things/{name} HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    all += "GET /v1/open HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.write_all(all.as_bytes()).await.unwrap();
    let reply = Reply::read(&mut socket).await.0;
    let places: Vec<_> = ["\"one\"", "\"two\"", "\"three\"", "\"open\""]
        .iter()
        .map(|word| reply.find(word).unwrap())
        .collect();
    assert!(places.is_sorted());
}

#[tokio::test]
async fn heads_have_a_size() {
    let server = Server::start(|_| {}).await;
    let long = "x".repeat(64 << 10);
    let status = server.ask(&format!("GET /v1/open HTTP/1.1\r\nX-Long: {long}\r\n\r\n")).await.status();
    assert_eq!(status, 431);
    let many = "X: y\r\n".repeat(200);
    let status = server.ask(&format!("GET /v1/open HTTP/1.1\r\n{many}\r\n")).await.status();
    assert_eq!(status, 431);
    assert_eq!(server.ask("GET /v1/open SMTP/1.1\r\n\r\n").await.status(), 400);
}

#[tokio::test]
async fn http_2_is_spoken_without_asking() {
    let server = Server::start(|_| {}).await;
    let socket = TokioIo::new(server.connect().await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), socket).await.unwrap();
    tokio::spawn(connection);
    let request = |method: &str, path: &str| {
        hyper::Request::builder()
            .method(method)
            .uri(format!("http://x{path}"))
            .header("content-type", "application/json")
            .body(http_body_util::Full::new(Bytes::from_static(if method == "POST" { b"{}" } else { b"" })))
            .unwrap()
    };
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(client.send_request(request("GET", "/v1/open")));
        answers.push(client.send_request(request("POST", "/v1/echo")));
    }
    for answer in futures_util::future::join_all(answers).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    let head = client.send_request(request("HEAD", "/v1/open")).await.unwrap();
    assert_ne!(head.headers()["content-length"], "0");
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
    assert_eq!(client.send_request(request("GET", "/v1/panic")).await.unwrap().status(), 500);
    assert_eq!(client.send_request(request("GET", "/v1/open")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn beyond_the_most_connections_clients_wait_for_their_turn() {
    let server = Server::start(|settings| settings.max_connections = 1).await;
    let server = Arc::new(server);
    let mut first = server.connect().await;
    let head = "HEAD /v1/open HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut second = None;
    for _ in 0..10 {
        first.write_all(head.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(first.read_u8().await.unwrap());
        }
        let server = Arc::clone(&server);
        let second = second.get_or_insert_with(|| tokio::spawn(async move { server.get("/v1/open").await }));
        assert!(!second.is_finished());
    }
    drop(first);
    assert_eq!(second.unwrap().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_change_is_carried_out_though_its_client_has_left() {
    let _turn = TURN.lock().await;
    let server = Server::start(|_| {}).await;
    let mut socket = server.connect().await;
    socket.write_all(b"POST /v1/slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    passed(&STARTED).await;
    drop(socket);
    // Stopping waits for it, though nobody is connected any more.
    server.stop.send(()).unwrap();
    GATE.add_permits(1);
    assert_eq!(server.running.await.unwrap(), Drained::Clean);
    passed(&ENDED).await;
}

#[tokio::test]
async fn a_change_is_carried_out_though_its_deadline_has_passed() {
    let _turn = TURN.lock().await;
    // Time enough for the handler to start, whatever else the machine is doing.
    let enough = Duration::from_secs(1);
    let server = Server::start(|settings| settings.timeouts.request = enough).await;
    let reply = server.post("/v1/slow", "application/json", "{}").await;
    assert_eq!(reply.status(), 503);
    passed(&STARTED).await;
    GATE.add_permits(1);
    passed(&ENDED).await;
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_takes_nothing_new() {
    let _turn = TURN.lock().await;
    let server = Server::start(|_| {}).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /v1/open HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut word = [0; 12];
    idle.read_exact(&mut word).await.unwrap();
    let mut busy = server.connect().await;
    busy.write_all(b"POST /v1/slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    passed(&STARTED).await;
    server.stop.send(()).unwrap();
    // The idle connection closes at once; then the door is shut, too.
    Reply::read(&mut idle).await;
    assert!(TcpStream::connect(server.address).await.is_err());
    GATE.add_permits(1);
    assert_eq!(Reply::read(&mut busy).await.status(), 204);
    passed(&ENDED).await;
    assert_eq!(server.running.await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn stopping_ends_though_somebody_never_finishes() {
    let _turn = TURN.lock().await;
    let server = Server::start_with_grace(SOON, |_| {}).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /v1/stuck/loudly HTTP/1.1\r\nHost: x\r\n\r\nGET").await.unwrap();
    passed(&STARTED).await;
    server.stop.send(()).unwrap();
    let drained = server.running.await.unwrap();
    assert_eq!(drained, Drained::CutOff { connections: 1, mutations: 0 });
}
