//! HTTP/1.1 by hand: what is sent is exactly what the test says, and what comes back is all there is to see.

use super::{Answer, PATIENCE};
use serde_json::Value;
use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// A request in the making.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: None }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives it this body, and says nothing about its type.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Gives it a JSON body.
    pub(crate) fn json(self, value: &Value) -> Self {
        self.header("Content-Type", "application/json").body(value.to_string())
    }

    /// The bytes of the request, for `host`.
    pub(crate) fn bytes(&self, host: &str) -> Vec<u8> {
        let Self { method, target, .. } = self;
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if let Some(body) = &self.body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

/// A client with one credential, or none, that keeps its connection.
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<String>,
    agent: Option<String>,
    wire: RefCell<Option<Wire>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, token: Option<&str>) -> Self {
        Self { address, token: token.map(str::to_owned), agent: None, wire: RefCell::new(None) }
    }

    /// The credential.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().expect("this client has a credential")
    }

    /// The same client, calling itself `agent`.
    pub(crate) fn calling_itself(&self, agent: &str) -> Self {
        Self { agent: Some(agent.to_owned()), ..Self::new(self.address, self.token.as_deref()) }
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send(&Request::new("GET", target))
    }

    pub(crate) fn delete(&self, target: &str) -> Answer {
        self.send(&Request::new("DELETE", target))
    }

    pub(crate) fn post(&self, target: &str, body: &Value) -> Answer {
        self.send(&Request::new("POST", target).json(body))
    }

    pub(crate) fn patch(&self, target: &str, body: &Value) -> Answer {
        self.send(&Request::new("PATCH", target).json(body))
    }

    /// Sends `request` and holds the answer to the rules of all answers.
    pub(crate) fn send(&self, request: &Request) -> Answer {
        let answer = self.try_send(request).unwrap_or_else(|error| {
            panic!("no answer to {} {}: {error}", request.method, request.target);
        });
        answer.check();
        answer
    }

    /// Sends `request`; the connection may break.
    pub(crate) fn try_send(&self, request: &Request) -> io::Result<Answer> {
        let mut request = request.clone();
        if let Some(token) = &self.token {
            request = request.header("Authorization", &format!("Bearer {token}"));
        }
        if let Some(agent) = &self.agent {
            request = request.header("User-Agent", agent);
        }
        let kept = self.wire.borrow_mut().take();
        let mut wire = kept.map_or_else(|| Wire::connect(self.address), Ok)?;
        wire.write(&request.bytes(&self.address.to_string()))?;
        let answer = wire.answer_to(&request.method, &request.target)?;
        if answer.header("connection") != Some("close") {
            *self.wire.borrow_mut() = Some(wire);
        }
        Ok(answer)
    }

    /// Makes the vault of `repo`.
    pub(crate) fn create_vault(&self, repo: &str) {
        self.post("/v1/vaults", &serde_json::json!({ "repoFullName": repo })).created();
    }

    /// A push of `secrets`, an object.
    pub(crate) fn push(&self, repo: &str, environment: &str, secrets: &Value) -> Answer {
        let body =
            serde_json::json!({ "repoFullName": repo, "environment": environment, "secrets": secrets });
        self.post("/v1/secrets/push", &body)
    }

    /// A pull as text.
    pub(crate) fn pull(&self, repo: &str, environment: &str) -> Answer {
        self.get(&format!("/v1/secrets/pull?repo={repo}&environment={environment}"))
    }

    /// The `content` of a pull.
    pub(crate) fn content(&self, repo: &str, environment: &str) -> String {
        self.pull(repo, environment).ok()["content"].as_str().expect("content is text").to_owned()
    }

    /// The secrets of an environment, exactly.
    pub(crate) fn secrets(&self, repo: &str, environment: &str) -> Value {
        let target = format!("/v1/secrets/pull?repo={repo}&environment={environment}&format=json");
        self.get(&target).ok()["secrets"].clone()
    }
}

/// A connection without manners.
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::connect(address).expect("the server listens")
    }

    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Self::over(socket))
    }

    /// A connection there is already.
    pub(crate) fn over(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        Self(BufReader::new(socket))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Sends `bytes`, which must be taken.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(bytes.as_ref()).expect("the server takes what it is sent");
    }

    /// Says that nothing more will come.
    pub(crate) fn say_no_more(&self) {
        // The server may have hung up already.
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
    }

    /// Reads one answer to a request with `method` for `target`.
    pub(crate) fn answer_to(&mut self, method: &str, target: &str) -> io::Result<Answer> {
        let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let status = self.line()?;
        let mut words = status.splitn(3, ' ');
        let is_http = words.next() == Some("HTTP/1.1");
        let status = words.next().and_then(|status| status.parse().ok()).filter(|_| is_http);
        let status = status.ok_or_else(|| broken("no status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken("no colon in a header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            method: method.to_owned(),
            target: target.to_owned(),
            status,
            headers,
            body: Vec::new(),
        };
        if answer.has_body() {
            let length = answer.header("content-length").and_then(|length| length.parse().ok());
            answer.body = vec![0; length.ok_or_else(|| broken("no length"))?];
            self.0.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Everything until the server hangs up; a reset takes nothing away.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut bytes) {
            assert!(
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
                "the server does not hang up"
            );
        }
        bytes
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
