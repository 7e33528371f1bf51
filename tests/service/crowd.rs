//! Many clients that push and pull without pause, each in a vault of its own, and know
//! what was acknowledged to them. They ask again only when a connection ended before
//! the first byte of an answer, as any client may; everything else is a failure.

use super::client::{self, Client, Reply};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The clients, busy.
pub(crate) struct Crowd {
    clients: Vec<JoinHandle<()>>,
    answers: Arc<AtomicUsize>,
    asked_again: Arc<AtomicUsize>,
    home: Arc<AtomicBool>,
}

impl Crowd {
    pub(crate) fn gather(clients: usize, address: SocketAddr, token: &str) -> Self {
        let (answers, home) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let asked_again = Arc::new(AtomicUsize::new(0));
        let start = |number| {
            let (answers, home) = (Arc::clone(&answers), Arc::clone(&home));
            let mut member = Member {
                connection: None,
                asked_again: Arc::clone(&asked_again),
                address,
                token: token.to_owned(),
                repo: format!("admin/crowd-{number}"),
            };
            thread::spawn(move || member.work(&answers, &home))
        };
        let clients = (0..clients).map(start).collect();
        Self { clients, answers, asked_again, home }
    }

    /// Waits until the crowd has had so many answers more.
    pub(crate) fn wait_for_answers(&self, more: usize) {
        let goal = self.answers.load(Ordering::Relaxed) + more;
        while self.answers.load(Ordering::Relaxed) < goal {
            assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client has given up");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends everybody home; fails if anybody has failed. Returns how many answers there
    /// were, and how often somebody had to ask again on another connection.
    pub(crate) fn disperse(self) -> (usize, usize) {
        self.home.store(true, Ordering::Relaxed);
        let failed = self.clients.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        assert_eq!(failed, 0, "clients failed");
        (self.answers.load(Ordering::Relaxed), self.asked_again.load(Ordering::Relaxed))
    }
}

struct Member {
    connection: Option<Client<TcpStream>>,
    asked_again: Arc<AtomicUsize>,
    address: SocketAddr,
    token: String,
    repo: String,
}

impl Member {
    fn work(&mut self, answers: &AtomicUsize, home: &AtomicBool) {
        let repo = self.repo.clone();
        // Asked twice, perhaps: then the first time has done it.
        let made = self.ask("POST", "/v1/vaults", &format!(r#"{{"repoFullName": "{repo}"}}"#)).status;
        assert!(matches!(made, 201 | 409), "{made}");
        for round in 0.. {
            if home.load(Ordering::Relaxed) {
                return;
            }
            let secrets = format!(
                r#"{{"repoFullName": "{repo}", "environment": "staging", "secrets": {{"N": "{round}"}}}}"#
            );
            assert_eq!(self.ask("POST", "/v1/secrets/push", &secrets).status, 200);
            let reply = self.ask("GET", &format!("/v1/secrets/pull?repo={repo}&environment=staging"), "");
            assert_eq!(reply.status, 200);
            assert_eq!(
                reply.json()["data"]["content"],
                format!("N={round}\n"),
                "an acknowledged write is lost"
            );
            answers.fetch_add(2, Ordering::Relaxed);
        }
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Reply {
        let (token, length) = (&self.token, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        loop {
            // A refused connection is a failure: the service manager listens all the time.
            let mut connection = self.connection.take().unwrap_or_else(|| client::plain(self.address));
            if let Some(reply) = connection.attempt(&request) {
                if reply.header("connection") != "close" {
                    self.connection = Some(connection);
                }
                return reply;
            }
            self.asked_again.fetch_add(1, Ordering::Relaxed);
        }
    }
}
