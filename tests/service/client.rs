//! A small HTTP client over any stream: the tests need to know which socket a request
//! goes through, and to send one without waiting for its answer.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// One connection.
pub(crate) struct Client<S: Read + Write> {
    stream: BufReader<S>,
}

/// One answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    body: String,
}

/// By TCP.
pub(crate) fn plain(address: SocketAddr) -> Client<TcpStream> {
    Client::over(TcpStream::connect(address).unwrap())
}

/// By a Unix socket.
pub(crate) fn unix(path: &Path) -> Client<UnixStream> {
    Client::over(UnixStream::connect(path).unwrap())
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).read()
    }

    /// Sends a request and leaves the answer for [`Self::read`].
    pub(crate) fn send_get(mut self, path: &str, token: &str) -> Self {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        self
    }

    /// As a reverse proxy that was asked by `client`.
    pub(crate) fn get_from(&mut self, path: &str, token: &str, client: Option<&str>) -> Reply {
        let forwarded = client.map(|client| format!("X-Forwarded-For: {client}\r\n")).unwrap_or_default();
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{forwarded}\r\n"
        ))
        .read()
    }

    pub(crate) fn post(&mut self, path: &str, token: &str, body: &str) -> Reply {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .read()
    }

    /// Sends the head of a request and of its body nothing; returns when the server waits for that.
    pub(crate) fn begin_post(&mut self, path: &str, token: &str, length: usize) {
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        ));
        assert_eq!(self.read().status, 100);
    }

    /// Sends a request and reads the answer; `None` if the connection ended before its
    /// first byte, when a client may safely ask again on another.
    pub(crate) fn attempt(&mut self, request: &str) -> Option<Reply> {
        self.stream.get_mut().write_all(request.as_bytes()).ok()?;
        match self.stream.fill_buf() {
            Ok([]) | Err(_) => None,
            Ok(_) => Some(self.read()),
        }
    }

    fn send(&mut self, request: &str) -> &mut Self {
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        self
    }

    /// Reads one answer.
    pub(crate) fn read(&mut self) -> Reply {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut head).unwrap(), 0, "closed after `{head}`");
        }
        let mut reply =
            Reply { status: head.get(9..12).unwrap().parse().unwrap(), head, body: String::new() };
        let length = reply.header("content-length").parse().unwrap_or_default();
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        reply.body = String::from_utf8(body).unwrap();
        reply
    }
}

impl Reply {
    /// A header's value; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}
