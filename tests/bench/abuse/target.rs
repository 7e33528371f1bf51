//! The server under attack, and the client that only wants its secrets.

use crate::Outcome;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

const REPO: &str = "admin/bench";
/// Between two pulls.
const PAUSE: Duration = Duration::from_millis(2);

/// A server on a data directory of its own; killed when dropped.
pub(crate) struct Target {
    child: Child,
    place: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    /// An API key that may do everything.
    pub(crate) token: String,
}

/// What the client felt.
pub(crate) struct Felt {
    /// The latency that 99 % of the answers do not exceed.
    pub(crate) most: Duration,
    /// How many there were.
    pub(crate) answers: usize,
}

impl Target {
    pub(crate) fn start() -> Outcome<Self> {
        let place = tempfile::tempdir()?;
        let (log, data) = (place.path().join("log"), place.path().join("data"));
        let child = Command::new(env!("CARGO_BIN_EXE_keywayd"))
            .env_clear()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .env("KEYWAYD_RATE_LIMIT__GENERAL", "1000000000/1s")
            .env("KEYWAYD_SERVER__TRUSTED_PROXIES", "127.0.0.1/32")
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut target = Self { child, place, address: ([127, 0, 0, 1], 0).into(), token: String::new() };
        target.address = crate::listening::address(&mut target.child, &log)?;
        let letter = fs::read_to_string(data.join("first-login"))?;
        let token = letter.lines().find_map(|line| line.strip_prefix("token:")).ok_or("no token")?;
        target.token = token.trim().to_owned();
        let secrets: Vec<String> =
            (0..50).map(|number| format!("\"SETTING_{number:02}\":\"{}\"", "x".repeat(40))).collect();
        target.post("/v1/vaults", &format!("{{\"repoFullName\":\"{REPO}\"}}"))?;
        let push = format!(
            "{{\"repoFullName\":\"{REPO}\",\"environment\":\"production\",\"secrets\":{{{}}}}}",
            secrets.join(",")
        );
        target.post("/v1/secrets/push", &push)?;
        Ok(target)
    }

    fn post(&self, path: &str, body: &str) -> Outcome<()> {
        let mut line = Line::to(self.address)?;
        let answer = line.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        ))?;
        if answer.starts_with("HTTP/1.1 2") { Ok(()) } else { Err(answer.into()) }
    }

    /// Pulls for as long as `slice`; every answer has to be there and right.
    pub(crate) fn pulls(&self, slice: Duration) -> Outcome<Felt> {
        let mut line = Line::to(self.address)?;
        let path = format!("/v1/secrets/pull?repo={REPO}&environment=production");
        let pull =
            format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n\r\n", self.token);
        let (begin, mut latencies) = (Instant::now(), Vec::new());
        while begin.elapsed() < slice || latencies.len() < 200 {
            let asked = Instant::now();
            let answer = line.ask(&pull)?;
            latencies.push(asked.elapsed());
            if !answer.starts_with("HTTP/1.1 200 ") || !answer.contains("SETTING_49") {
                return Err(answer.into());
            }
            sleep(PAUSE);
        }
        latencies.sort_unstable();
        let most = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
        Ok(Felt { most, answers: latencies.len() })
    }

    /// Memory that is resident, in bytes.
    pub(crate) fn resident(&self) -> Outcome<u64> {
        self.memory("VmRSS:")
    }

    /// The most memory that was resident since [`Target::forget_peak`], in bytes.
    pub(crate) fn peak(&self) -> Outcome<u64> {
        self.memory("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) -> Outcome<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    fn memory(&self, field: &str) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// Stops the server; what it logged.
    pub(crate) fn stop(mut self) -> Outcome<String> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(fs::read_to_string(self.place.path().join("log"))?)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection on which requests are answered in turn.
pub(crate) struct Line {
    socket: TcpStream,
    answer: Vec<u8>,
}

impl Line {
    pub(crate) fn to(address: SocketAddr) -> Outcome<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, answer: Vec::new() })
    }

    /// Sends a request and reads its whole answer, which says its length.
    pub(crate) fn ask(&mut self, request: &str) -> Outcome<String> {
        self.socket.write_all(request.as_bytes())?;
        self.answer.clear();
        let mut buffer = [0; 16 << 10];
        loop {
            let count = self.socket.read(&mut buffer)?;
            if count == 0 {
                return Err("the server hung up".into());
            }
            self.answer.extend_from_slice(&buffer[..count]);
            let Some(head) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let text = String::from_utf8_lossy(&self.answer[..head]).to_ascii_lowercase();
            let length = text.split_once("content-length: ").map_or("0", |(_, rest)| rest);
            let length: usize = length.lines().next().unwrap_or_default().trim().parse()?;
            if self.answer.len() >= head + 4 + length {
                return Ok(String::from_utf8_lossy(&self.answer).into_owned());
            }
        }
    }
}
