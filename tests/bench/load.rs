//! The client. It has to leave the machine to the servers, so it is one thread that
//! keeps connections open, sends requests prepared beforehand and looks at answers no
//! closer than it must: the status, and where the body ends.

use crate::Outcome;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Digits that are counted up where a request must not repeat an earlier one.
pub(crate) const STAMP: &str = "0000000000";

static STAMPS: AtomicU64 = AtomicU64::new(1);

/// One request as it goes over the wire.
#[derive(Clone)]
pub(crate) struct Call {
    bytes: Vec<u8>,
    stamps: Vec<usize>,
}

impl Call {
    /// A `GET`.
    pub(crate) fn get(path: &str, token: &str) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n");
        Self { bytes: head.into_bytes(), stamps: Vec::new() }
    }

    /// A `POST`. Each [`STAMP`] in `body` is another number every time.
    pub(crate) fn post(path: &str, token: &str, body: &str) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stamps = body.match_indices(STAMP).map(|(at, _)| head.len() + at).collect();
        Self { bytes: [head.as_bytes(), body.as_bytes()].concat(), stamps }
    }

    /// The whole request.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn stamp(&mut self) {
        if !self.stamps.is_empty() {
            let stamp = format!("{:010}", STAMPS.fetch_add(1, Ordering::Relaxed));
            for &at in &self.stamps {
                self.bytes[at..at + STAMP.len()].copy_from_slice(stamp.as_bytes());
            }
        }
    }
}

/// What came of a load.
pub(crate) struct Load {
    /// How long it went on.
    pub(crate) elapsed: Duration,
    /// How long each answer took, ascending.
    pub(crate) latencies: Vec<Duration>,
}

impl Load {
    /// Answers.
    pub(crate) fn count(&self) -> f64 {
        self.latencies.len() as f64
    }

    /// Answers per second.
    pub(crate) fn rate(&self) -> f64 {
        self.count() / self.elapsed.as_secs_f64()
    }

    /// The latency that `share` of the answers do not exceed.
    pub(crate) fn latency(&self, share: f64) -> Duration {
        let at = (share * self.count()) as usize;
        self.latencies.get(at.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Calls `address` on `connections` connections for as long as `slice`, each time with
/// one of `calls`, chosen without order if there are more than connections.
pub(crate) fn run(
    address: SocketAddr,
    calls: &Arc<[Call]>,
    connections: usize,
    slice: Duration,
) -> Outcome<Load> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut clients = Vec::new();
        for number in 0..connections {
            clients.push(Client::connect(address, Arc::clone(calls), number, connections).await?);
        }
        let (mut tasks, begin) = (JoinSet::new(), Instant::now());
        for client in clients {
            tasks.spawn(client.call_until(begin + slice));
        }
        let mut latencies = Vec::new();
        while let Some(done) = tasks.join_next().await {
            latencies.append(&mut done??);
        }
        let elapsed = begin.elapsed();
        latencies.sort_unstable();
        Ok(Load { elapsed, latencies })
    })
}

/// One call; the answer as it came over the wire.
pub(crate) fn once(address: SocketAddr, call: &Call) -> Outcome<Vec<u8>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut client = Client::connect(address, Arc::new([call.clone()]), 0, 1).await?;
        client.call(0).await?;
        Ok(client.line.answer)
    })
}

/// A connection, and the last answer that came over it.
pub(crate) struct Line {
    socket: TcpStream,
    pub(crate) answer: Vec<u8>,
}

impl Line {
    pub(crate) async fn connect(address: SocketAddr) -> Outcome<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, answer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request and takes in the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Outcome<()> {
        self.socket.write_all(request).await?;
        self.answer.clear();
        loop {
            if self.socket.read_buf(&mut self.answer).await? == 0 {
                return Err("the server hung up".into());
            }
            let Some(start) = body_start(&self.answer) else { continue };
            if self.answer.len() == start + content_length(&self.answer[..start])? {
                return Ok(());
            }
        }
    }

    /// Holds the answer to `status`.
    pub(crate) fn expect(&self, status: u16) -> Outcome<()> {
        if self.answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()) {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&self.answer).into())
        }
    }
}

/// Numbers without an order: Knuth's MMIX generator, whose high bits are good enough.
pub(crate) struct Dice(usize);

impl Dice {
    pub(crate) const fn new(seed: usize) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

struct Client {
    line: Line,
    calls: Vec<Call>,
    dice: Dice,
}

impl Client {
    /// The client with this number; those of one load do not share calls if there are enough.
    async fn connect(address: SocketAddr, calls: Arc<[Call]>, number: usize, of: usize) -> Outcome<Self> {
        let line = Line::connect(address).await?;
        let mut own: Vec<Call> = calls.iter().skip(number).step_by(of).cloned().collect();
        if own.is_empty() {
            own.push(calls[number % calls.len()].clone());
        }
        Ok(Self { line, calls: own, dice: Dice::new(number) })
    }

    async fn call_until(mut self, end: Instant) -> Outcome<Vec<Duration>> {
        let mut latencies = Vec::with_capacity(1 << 16);
        loop {
            let begin = Instant::now();
            if begin >= end {
                return Ok(latencies);
            }
            let which = self.dice.below(self.calls.len());
            self.call(which).await?;
            latencies.push(begin.elapsed());
        }
    }

    async fn call(&mut self, which: usize) -> Outcome<()> {
        let call = &mut self.calls[which];
        call.stamp();
        self.line.exchange(&call.bytes).await?;
        self.line.expect(200)
    }
}

/// Where the body begins, once the whole head is there.
pub(crate) fn body_start(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn content_length(head: &[u8]) -> Outcome<usize> {
    const NAME: &[u8] = b"content-length: ";
    let at = head.windows(NAME.len()).position(|window| window == NAME).ok_or("no content-length")?;
    let digits = head[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}
