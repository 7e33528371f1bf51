//! The program as a service: what it tells the service manager, sockets it takes over,
//! certificates it reads again, the Unix socket, the redirect, and the health check
//! through all of them. The tests play the service manager.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod service {
    pub(crate) mod client;
    pub(crate) mod crowd;
    pub(crate) mod harness;
}

use nix::sys::signal::Signal;
use serde_json::Value;
use service::client::{self, Reply};
use service::crowd::Crowd;
use service::harness::{Certificate, Setup};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

#[test]
fn the_service_manager_hears_of_readiness_life_and_stopping() {
    let setup = Setup::new();
    let mut server = setup.with("WATCHDOG_USEC", "90000").start();
    server.hear("WATCHDOG=1");
    server.hear("WATCHDOG=1");
    server.signal(Signal::SIGTERM);
    let last = server.hear("STOPPING=1");
    assert!(last.contains("EXTEND_TIMEOUT_USEC=40000000"), "{last}");
    assert!(server.wait().success());
}

#[test]
fn a_hangup_without_a_certificate_harms_nobody() {
    let mut server = Setup::new().start();
    server.signal(Signal::SIGHUP);
    assert!(server.hear("RELOADING=1").contains("MONOTONIC_USEC="));
    server.hear("READY=1");
    assert_eq!(server.http().get("/health").status, 200);
}

#[test]
fn sockets_that_are_handed_over_keep_clients_waiting_while_the_server_restarts() {
    let setup = Setup::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut first = setup.start_on(&[&socket], "main");
    assert_eq!(first.address("http://"), address.to_string());
    let token = setup.token();
    let vault = client::plain(address).post("/v1/vaults", &token, r#"{"repoFullName": "admin/demo"}"#);
    assert_eq!(vault.status, 201);
    first.signal(Signal::SIGTERM);
    assert!(first.wait().success());

    // Nobody is there, and yet nobody is refused.
    let mut waiting = client::plain(address).send_get("/v1/vaults", &token);
    let second = setup.start_on(&[&socket], "main");
    let reply: Reply = waiting.read();
    assert_eq!((reply.status, reply.json()["meta"]["pagination"]["total"].clone()), (200, Value::from(1)));
    drop(second);
}

#[test]
fn each_kind_of_socket_that_is_handed_over_stands_in_for_its_setting() {
    let setup = Setup::new();
    let certificate = Certificate::new(&setup, "localhost");
    let (main, redirect) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let path = setup.path("proxy.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let setup = certificate.configure(setup).with("KEYWAYD_SERVER__UNIX_SOCKET", "/nowhere/at/all.sock");
    let mut server = setup.start_on(&[&main, &redirect, &unix], "main:redirect:proxy");
    assert_eq!(server.address("https://"), main.local_addr().unwrap().to_string());
    assert_eq!(client::plain(redirect.local_addr().unwrap()).get("/x").status, 308);
    assert_eq!(client::unix(&path).get("/health").status, 200);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    assert!(path.exists(), "the service manager's socket is not ours to remove");
}

#[test]
fn sockets_that_are_handed_over_are_held_to_the_rules_of_the_settings() {
    let setup = Setup::new();
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let words = setup.start_on(&[&open], "").refusal();
    assert!(words.contains("plain HTTP that other machines reach"), "{words}");

    let setup = setup.with("KEYWAYD_SERVER__TRUSTED_PROXIES", "10.0.0.0/8");
    let words = setup.start_on(&[&open], "").refusal();
    assert!(words.contains("`server.public_url` is not set"), "{words}");

    let loopback = TcpListener::bind("127.0.0.1:0").unwrap();
    let words = setup.start_on(&[&loopback], "redirect").refusal();
    assert!(words.contains("no HTTPS to redirect to"), "{words}");

    let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let words = setup.start_on(&[&datagrams], "").refusal();
    assert!(words.contains("socket 1 of those handed over"), "{words}");
    assert!(!setup.path("data/keyway.redb").exists(), "a start that fails makes no data");
}

#[test]
fn the_certificate_is_read_again_on_a_hangup_while_connections_stay() {
    let setup = Setup::new();
    let mut certificate = Certificate::new(&setup, "localhost");
    let setup = certificate.configure(setup);
    let mut server = setup.start();
    let address = server.address("https://");
    let mut open = certificate.connect(&address).unwrap();
    assert_eq!(open.get("/health").status, 200);
    assert!(setup.healthcheck().0);

    certificate.renew("localhost");
    assert!(certificate.connect(&address).is_err());
    let (healthy, words) = setup.healthcheck();
    assert!(!healthy && words.contains("another certificate"), "{words}");
    server.signal(Signal::SIGHUP);
    server.hear("RELOADING=1");
    server.hear("READY=1");
    assert_eq!(certificate.connect(&address).unwrap().get("/health").status, 200);
    assert_eq!(open.get("/health").status, 200);
    assert!(setup.healthcheck().0);
}

#[test]
fn a_renewed_certificate_is_noticed_by_itself() {
    let setup = Setup::new();
    let mut certificate = Certificate::new(&setup, "localhost");
    let setup = certificate.configure(setup);
    let server = setup.start();
    certificate.renew("localhost");
    let address = server.address("https://");
    // However long it takes: the test run's own limit is the limit.
    while certificate.connect(&address).is_err() {
        std::thread::yield_now();
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let setup = Setup::new();
    let certificate = Certificate::new(&setup, "localhost");
    fs::write(setup.path("key.pem"), "").unwrap();
    let words = certificate.configure(setup).start_quietly().refusal();
    assert!(words.contains("holds no private key"), "{words}");
}

#[test]
fn a_certificate_for_another_host_is_served_and_spoken_of() {
    let setup = Setup::new();
    let certificate = Certificate::new(&setup, "other.example");
    let server = certificate.configure(setup).start();
    let log = server.stop_and_read_log();
    assert!(log.contains("not for `localhost`"), "{log}");
}

#[test]
fn plain_http_beside_https_only_sends_people_on() {
    let setup = Setup::new();
    let certificate = Certificate::new(&setup, "localhost");
    let setup = certificate
        .configure(setup)
        .with("KEYWAYD_SERVER__TLS__REDIRECT_LISTEN", "127.0.0.1:0")
        .with("KEYWAYD_SERVER__PUBLIC_URL", "https://secrets.example");
    let server = setup.start();
    let redirect = server.address("http://").parse().unwrap();
    let reply = client::plain(redirect).get("/device?code=1");
    assert_eq!((reply.status, reply.header("location")), (308, "https://secrets.example/device?code=1"));
    assert_eq!(reply.header("strict-transport-security"), "", "RFC 6797 §7.2 forbids it here");
    assert_eq!(client::plain(redirect).post("/v1/vaults", "kw_live_x", "{}").status, 403);
    let reply = certificate.connect(&server.address("https://")).unwrap().get("/health");
    assert_eq!(reply.header("strict-transport-security"), "max-age=31536000");
}

#[test]
fn whoever_may_open_the_unix_socket_is_believed_as_a_proxy() {
    let setup = Setup::new();
    let path = setup.path("http.sock");
    // A killed server left this behind.
    drop(UnixListener::bind(&path).unwrap());
    let setup = setup.with("KEYWAYD_SERVER__UNIX_SOCKET", path.to_str().unwrap());
    let mut server = setup.start();
    let about = fs::metadata(&path).unwrap();
    assert_eq!((about.file_type().is_socket(), about.permissions().mode() & 0o777), (true, 0o660));
    assert!(setup.healthcheck().0);

    let token = setup.run(&["token", "create", "--user", "admin", "--allow-ip", "203.0.113.0/24"]);
    let seen = |from| client::unix(&path).get_from("/v1/users/me", token.trim(), from).status;
    assert_eq!(seen(Some("203.0.113.9")), 200);
    assert_ne!(seen(Some("198.51.100.9")), 200);
    assert_ne!(seen(None), 200);
    // On TCP nobody is believed who is not named.
    let by_tcp = server.http().get_from("/v1/users/me", token.trim(), Some("203.0.113.9"));
    assert_ne!(by_tcp.status, 200);

    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_takes_no_other_files_place() {
    let setup = Setup::new();
    let path = setup.path("http.sock");
    let setup = setup.with("KEYWAYD_SERVER__UNIX_SOCKET", path.to_str().unwrap());
    fs::write(&path, "precious").unwrap();
    assert!(setup.start_quietly().refusal().contains("there is another file"));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();
    let _busy = UnixListener::bind(&path).unwrap();
    assert!(setup.start_quietly().refusal().contains("another process listens there"));
}

#[test]
fn the_health_check_fails_when_nobody_is_there() {
    let setup = Setup::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = setup.with("KEYWAYD_SERVER__LISTEN", &free.to_string());
    let (healthy, words) = setup.healthcheck_as_configured();
    assert!(!healthy && words.contains("is the server running?"), "{words}");
}

#[test]
fn ten_restarts_in_a_crowd_refuse_nobody_and_lose_no_acknowledged_write() {
    const CLIENTS: usize = 50;
    let setup = Setup::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = setup.start_on(&[&socket], "");
    let token = setup.token();
    let crowd = Crowd::gather(CLIENTS, socket.local_addr().unwrap(), &token);
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        crowd.wait_for_answers(2 * CLIENTS);
        let asked = Instant::now();
        server.signal(Signal::SIGTERM);
        assert!(server.wait().success());
        longest = longest.max(asked.elapsed());
        assert!(!server.log().contains("grace time"), "a crowd of short requests is no reason to be cut off");
        server = setup.start_on(&[&socket], "");
    }
    crowd.wait_for_answers(2 * CLIENTS);
    let (answers, again) = crowd.disperse();
    // Not by `eprintln!`, which the test harness keeps to itself.
    let _ = writeln!(
        std::io::stderr(),
        "10 restarts under {CLIENTS} clients: {answers} answers, none failed, no connection refused, no write lost; \
         {again} asked again on a connection closed before the answer; the longest stop took {longest:?}"
    );
}

#[test]
fn whoever_never_finishes_a_request_delays_the_end_by_the_grace_time_and_no_more() {
    let setup = Setup::new().with("KEYWAYD_SERVER__SHUTDOWN_GRACE_SECS", "1");
    let mut server = setup.start();
    let token = setup.token();
    let mut slow = server.http();
    slow.begin_post("/v1/vaults", &token, 100);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    assert!(server.log().contains("the grace time ended before these were finished"), "{}", server.log());
}
