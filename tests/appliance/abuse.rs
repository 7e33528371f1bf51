//! Clients that mean harm, over real sockets: whatever they do, others are served, memory stays within bounds, and
//! nothing panics.

use crate::harness::{Appliance, Browser, Request, Wire, form, open_files};
use serde_json::json;
use std::fs;
use std::io::Write;

/// How much the server may have grown by, whatever came, in KiB: what it sets aside for bodies, and some room.
const GROWTH_KIB: u64 = 256 << 10;

/// An appliance, and how large it is before anything happens.
struct Target {
    appliance: Appliance,
    size_kib: u64,
}

impl Target {
    fn new(settings: &[(&str, &str)]) -> Self {
        let appliance = Appliance::start_with(settings);
        appliance.admin().create_vault("acme/app");
        appliance.admin().push("acme/app", "local", &json!({ "A": "1" })).ok();
        let size_kib = size_kib(&appliance);
        Self { appliance, size_kib }
    }

    /// Somebody else is served all the same.
    fn serves_others(&self) {
        assert_eq!(self.appliance.admin().content("acme/app", "local"), "A=1\n");
    }

    /// It has come to no harm.
    fn is_well(&self) {
        self.serves_others();
        let grown = size_kib(&self.appliance).saturating_sub(self.size_kib);
        assert!(grown < GROWTH_KIB, "it has grown by {grown} KiB");
        let log = self.appliance.log().text();
        assert!(!log.contains("panicked"), "{log}");
    }
}

fn size_kib(appliance: &Appliance) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", appliance.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What comes back to `bytes`, until the server hangs up.
fn answers_to(target: &Target, bytes: &[u8]) -> String {
    let mut wire = target.appliance.wire();
    // It may hang up before it has taken everything.
    let _ = wire.write(bytes);
    wire.say_no_more();
    String::from_utf8_lossy(&wire.rest()).into_owned()
}

/// What two readers would take for one request or for two. Behind a proxy that reads it the other way, the second
/// would be put into somebody else's mouth.
#[test]
fn no_request_hides_in_another() {
    let target = Target::new(&[]);
    let hidden = "GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = |headers: &str, body: &str| {
        format!("POST /v1/auth/device/start HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}{hidden}")
    };
    let announced = hidden.len();
    let chunk_ends = "0\r\n\r\n";
    let mut shapes = vec![
        post(&format!("Content-Length: {announced}\r\nTransfer-Encoding: chunked"), chunk_ends),
        post(&format!("Transfer-Encoding: chunked\r\nContent-Length: {announced}"), chunk_ends),
        post("Content-Length: 5\r\nTransfer-Encoding: chunked", chunk_ends),
        format!("GET /v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n{hidden}"),
        format!(
            "GET /v1/health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{announced:x}\r\n{hidden}\r\n0\r\n\r\n"
        ),
        format!(
            "POST /v1/auth/device/start HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunk_ends}{hidden}"
        ),
    ];
    for transfer in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked;x=1",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer_Encoding: chunked\r\nTransfer-Encoding: cow",
    ] {
        shapes.push(post(transfer, chunk_ends));
        shapes.push(post(&format!("Content-Length: {announced}\r\n{transfer}"), chunk_ends));
    }
    for length in ["0, 1", "1, 1", "0 1", "+1", "-1", "0x1", "1e1", "1\0", "99999999999999999999", ""] {
        shapes.push(post(&format!("Content-Length: {length}"), ""));
        shapes.push(post(&format!("Content-Length: 0\r\nContent-Length: {length}"), ""));
    }
    for size in ["+0", "-0", "0x0", " 0", "0 x", "g", "", "10000000000000000", "ffffffffffffffff1", "0;\n"] {
        shapes.push(post("Transfer-Encoding: chunked", &format!("{size}\r\n\r\n")));
    }
    // A chunk longer or shorter than it says.
    shapes.push(post("Transfer-Encoding: chunked", "1\r\n{}\r\n0\r\n\r\n"));
    shapes.push(post("Transfer-Encoding: chunked", "3\r\n{}\r\n0\r\n\r\n"));
    for shape in &shapes {
        let answers = answers_to(&target, shape.as_bytes());
        assert!(!answers.contains("/v1/smuggled"), "{shape:?}\n{answers}");
        let count = answers.matches("HTTP/1.1 ").count() + answers.matches("HTTP/1.0 ").count();
        assert!(count <= 1, "{shape:?}\n{answers}");
        assert!(!answers.contains(" 500 "), "{shape:?}\n{answers}");
    }
    target.is_well();
}

#[test]
fn slow_clients_are_in_nobody_s_way() {
    open_files(3_000);
    let target = Target::new(&[]);
    let mut slow: Vec<Wire> = Vec::new();
    for number in 0..600 {
        let mut wire = target.appliance.wire();
        match number % 3 {
            0 => wire.say("GET /v1/he"),
            1 => wire.say("GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: "),
            _ => wire.say(
                "POST /v1/auth/device/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Content-Length: 1000000\r\n\r\n{",
            ),
        }
        slow.push(wire);
    }
    target.serves_others();
    for wire in &mut slow {
        let _ = wire.write(b"x");
    }
    target.serves_others();
    drop(slow);
    target.is_well();
}

#[test]
fn a_hundred_thousand_requests_on_one_connection_are_answered() {
    const COUNT: usize = 100_000;
    let target = Target::new(&[]);
    let socket = std::net::TcpStream::connect(target.appliance.address()).expect("it listens");
    let mut writer = socket.try_clone().expect("a socket can be shared");
    let sender = std::thread::spawn(move || {
        let batch = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        for _ in 0..COUNT / 100 {
            writer.write_all(batch.as_bytes()).expect("it takes requests");
        }
    });
    let mut answers = Wire::over(socket);
    for number in 0..COUNT {
        assert_eq!(answers.answer_to("GET", "/health").expect("an answer").status, 200, "{number}");
        if number == COUNT / 2 {
            target.serves_others();
        }
    }
    sender.join().expect("everything was sent");
    target.is_well();
}

/// One frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// `GET /health`, packed (RFC 7541).
fn packed_get() -> Vec<u8> {
    [&[0x82_u8, 0x86, 0x04, 7][..], b"/health", &[0x01, 1], b"x"].concat()
}

/// Sends a preface and then `frames`, as far as they are taken, while somebody reads and forgets the answers.
fn flood(target: &Target, frames: impl Iterator<Item = Vec<u8>>) {
    let socket = std::net::TcpStream::connect(target.appliance.address()).expect("it listens");
    let mut writer = socket.try_clone().expect("a socket can be shared");
    let reader = std::thread::spawn(move || {
        let mut socket = socket;
        let _ = std::io::copy(&mut socket, &mut std::io::sink());
    });
    let _ = writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let _ = writer.write_all(&frame(SETTINGS, 0, 0, &[]));
    let mut batch = Vec::new();
    for (number, frame) in frames.enumerate() {
        batch.extend(frame);
        if number % 100 == 99 && writer.write_all(&std::mem::take(&mut batch)).is_err() {
            break;
        }
        if number % 10_000 == 0 {
            target.serves_others();
        }
    }
    let _ = writer.write_all(&batch);
    target.serves_others();
    let _ = writer.shutdown(std::net::Shutdown::Both);
    reader.join().expect("it only reads");
    target.is_well();
}

#[test]
fn floods_of_http_2_are_borne() {
    let target = Target::new(&[]);
    let streams = (1..200_000).step_by(2);
    let reset = |stream| {
        // Begun and taken back at once (CVE-2023-44487).
        [frame(HEADERS, 0x5, stream, &packed_get()), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat()
    };
    flood(&target, streams.map(reset));
    flood(&target, (0..100_000).map(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])));
    flood(&target, (0..100_000).map(|_| frame(PING, 0, 0, &[0; 8])));
    // A header that goes on for ever (CVE-2024-27316), and a header list of one small entry, repeated.
    let endless = (0..100_000).map(|number| {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        frame(kind, u8::from(number == 0), 1, &[&[0x00_u8, 1][..], b"a", &[100], &[b'b'; 100]].concat())
    });
    flood(&target, endless);
    // More streams than are allowed, none of which ever ends.
    let open = |stream| frame(HEADERS, 0x4, stream, &packed_get());
    flood(&target, (1..20_000).step_by(2).map(open));
}

#[test]
fn compressed_bodies_are_not_unpacked() {
    let target = Target::new(&[]);
    let admin = target.appliance.admin();
    for encoding in ["gzip", "deflate", "br", "zstd", "identity, gzip", "GZIP"] {
        let request = Request::new("POST", "/v1/secrets/push")
            .header("Content-Type", "application/json")
            .header("Content-Encoding", encoding)
            .body(vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
        admin.send(&request).refused(415);
    }
    target.is_well();
}

#[test]
fn bodies_that_are_deep_or_full_of_names_are_refused() {
    let target = Target::new(&[]);
    let admin = target.appliance.admin();
    let many = |unit: &dyn Fn(usize) -> String, count: usize| (0..count).map(unit).collect::<String>();
    let names = many(&|number| format!("\"K{number}\":\"\","), 60_000);
    let same = many(&|_| "\"K\":\"\",".to_owned(), 60_000);
    for (path, body) in [
        ("/v1/secrets/push", "[".repeat(1 << 20)),
        ("/v1/secrets/push", "{\"a\":".repeat(1 << 17)),
        ("/v1/secrets/push", format!("{{\"secrets\":{}", "[".repeat(1 << 20))),
        ("/v1/vaults", format!("{{\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000))),
        ("/v1/auth/device/start", format!("{{\"repository\":{}", "{\"a\":".repeat(10_000))),
        (
            "/v1/secrets/push",
            format!(
                "{{\"repoFullName\":\"acme/app\",\"environment\":\"local\",\"secrets\":{{{names}\"Z\":\"\"}}}}"
            ),
        ),
        (
            "/v1/secrets/push",
            format!(
                "{{\"repoFullName\":\"acme/app\",\"environment\":\"local\",\"secrets\":{{{same}\"Z\":\"\"}}}}"
            ),
        ),
    ] {
        let request = Request::new("POST", path).header("Content-Type", "application/json").body(body);
        admin.send(&request).refused(400);
    }
    let query = many(&|number| format!("&p{number}={number}"), 1_500);
    admin.get(&format!("/v1/secrets/pull?repo=acme/app&environment=local{query}")).ok();
    target.is_well();
}

/// A sign-in form, ready to be sent as often as one likes.
struct LoginForm {
    browser: Browser,
    hidden: Vec<(String, String)>,
}

impl LoginForm {
    fn open(target: &Target) -> Self {
        let mut browser = Browser::new(target.appliance.address());
        let page = browser.open("/login");
        Self { browser, hidden: page.hidden_fields("/login") }
    }

    fn send(&mut self, name: &str, password: &str, address: &str) -> u16 {
        let mut fields = self.hidden.clone();
        fields.extend([("name", name), ("password", password)].map(|(a, b)| (a.to_owned(), b.to_owned())));
        self.browser.send(form("/login", &fields).header("X-Forwarded-For", address)).answer.status
    }
}

const PROXIED: (&str, &str) = ("KEYWAYD_SERVER__TRUSTED_PROXIES", "127.0.0.1/32");

#[test]
fn a_thousand_wrong_passwords_are_a_hundred_tries() {
    let target = Target::new(&[PROXIED]);
    let mut login = LoginForm::open(&target);
    let mut count = [0, 0];
    for number in 0..1_000 {
        let address = format!("198.51.{}.{}", number / 250, number % 250);
        match login.send("admin", "hunter2", &address) {
            401 => count[0] += 1,
            429 => count[1] += 1,
            other => panic!("{other}"),
        }
        if number % 100 == 0 {
            target.serves_others();
        }
    }
    assert_eq!(count, [100, 900]);
    target.is_well();
}

#[test]
fn a_storm_of_sign_ins_takes_no_more_memory_than_two() {
    let target = Target::new(&[PROXIED]);
    std::thread::scope(|scope| {
        for thread in 0..100 {
            let target = &target;
            scope.spawn(move || {
                let mut login = LoginForm::open(target);
                for number in 0..3 {
                    let status =
                        login.send(&format!("name-{thread}"), "hunter2", &format!("10.0.{thread}.{number}"));
                    assert!(matches!(status, 401 | 503), "{status}");
                }
            });
        }
        for _ in 0..20 {
            target.serves_others();
        }
    });
    target.is_well();
    let password = target.appliance.password.clone();
    assert_eq!(LoginForm::open(&target).send("admin", &password, "192.0.2.77"), 303);
}

#[test]
fn sign_ins_that_never_end_are_bounded() {
    let github = crate::github_roles::acme();
    let appliance = crate::github_roles::appliance(&github, &[PROXIED]);
    let leave = |path: &str, address: &str| {
        let request = Request::new("GET", path).header("X-Forwarded-For", address);
        Browser::new(appliance.address()).send(request).answer.status
    };
    let there: Vec<u16> = (0..201).map(|_| leave("/v1/auth/github/start", "192.0.2.1")).collect();
    assert_eq!(there, [vec![302; 200], vec![429]].concat());
    assert_eq!(leave("/v1/auth/github/start", "192.0.2.2"), 302, "others are not in their way");
    let start = || {
        let request = Request::new("POST", "/v1/auth/device/start").header("X-Forwarded-For", "192.0.2.1");
        appliance.stranger().send(&request).status
    };
    let started: Vec<u16> = (0..21).map(|_| start()).collect();
    assert_eq!(started, [vec![200; 20], vec![429]].concat());
}
