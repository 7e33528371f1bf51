//! The way out of a company's network, and what is at its end: a proxy that opens tunnels (`CONNECT`), and a
//! GitHub Enterprise Server with a certificate of the company's own authority.

use super::GitHub;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// What the server calls itself. Nobody else knows that name.
const NAME: &str = "github.corp.example";

/// The proxy.
pub(crate) struct Tunnel {
    address: SocketAddr,
    home: TempDir,
    opened: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// One that leads to `github`, whatever it is asked for.
    pub(crate) fn to(github: &GitHub) -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate can be made");
        let home = tempfile::tempdir().expect("a scratch directory can be made");
        fs::write(home.path().join("ca.pem"), made.cert.pem()).expect("the directory can be written");
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("they belong together");
        let (config, target) = (Arc::new(config), github.url.trim_start_matches("http://").to_owned());
        let door = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let (address, opened) =
            (door.local_addr().expect("it is bound"), Arc::<Mutex<Vec<String>>>::default());
        let seen = Arc::clone(&opened);
        // The thread ends with the test's process: nothing asks it to.
        std::thread::spawn(move || {
            for client in door.incoming().map_while(Result::ok) {
                let (config, target, seen) = (Arc::clone(&config), target.clone(), Arc::clone(&seen));
                std::thread::spawn(move || serve(client, config, &target, &seen));
            }
        });
        Self { address, home, opened }
    }

    /// The settings of an appliance that has no other way out.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let ca_file: PathBuf = self.home.path().join("ca.pem");
        vec![
            ("HTTPS_PROXY".to_owned(), format!("http://{}", self.address)),
            ("KEYWAYD_OUTBOUND__CA_FILE".to_owned(), ca_file.display().to_string()),
            ("KEYWAYD_IDENTITY__GITHUB__URL".to_owned(), format!("https://{NAME}")),
            ("KEYWAYD_IDENTITY__GITHUB__API_URL".to_owned(), format!("https://{NAME}/api/v3")),
        ]
    }

    /// What it was asked for.
    pub(crate) fn opened(&self) -> Vec<String> {
        self.opened.lock().expect("nobody panics with the lock").clone()
    }
}

/// Opens a tunnel, and passes one request after the other on.
fn serve(mut client: TcpStream, config: Arc<ServerConfig>, target: &str, seen: &Mutex<Vec<String>>) {
    let asked = head(&mut client).unwrap_or_default();
    let line = String::from_utf8_lossy(&asked).lines().next().unwrap_or_default().to_owned();
    seen.lock().expect("nobody panics with the lock").push(line);
    if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").is_err() {
        return;
    }
    let mut inner = StreamOwned::new(ServerConnection::new(config).expect("the settings are good"), client);
    while let Some(head) = head(&mut inner) {
        let text = String::from_utf8_lossy(&head).to_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        let mut there = TcpStream::connect(target).expect("GitHub listens");
        if inner.read_exact(&mut body).is_err() {
            return;
        }
        // One answer for one connection there, so that its end is seen.
        let head = String::from_utf8_lossy(&head).replacen("\r\n", "\r\nConnection: close\r\n", 1);
        there.write_all(head.as_bytes()).expect("GitHub reads");
        there.write_all(&body).expect("GitHub reads");
        let mut answer = Vec::new();
        there.read_to_end(&mut answer).expect("GitHub answers");
        let answer = String::from_utf8_lossy(&answer).replacen("\r\n", "\r\nConnection: close\r\n", 1);
        if inner.write_all(answer.as_bytes()).is_err() {
            return;
        }
        inner.conn.send_close_notify();
        let _ = inner.flush();
    }
}

/// The bytes up to the empty line.
fn head(from: &mut impl Read) -> Option<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(head)
}
