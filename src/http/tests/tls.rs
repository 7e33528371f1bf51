//! HTTPS: protocols, fresh certificates, files that cannot be used, and plain HTTP
//! where it does not belong.

use super::*;
use crate::http::tls::{TlsError, TlsIdentity};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "secrets.example";

/// Certificate and key as files.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new(change: impl FnOnce(&mut CertificateParams)) -> (Self, CertificateDer<'static>) {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        let certificate = files.renew(change);
        (files, certificate)
    }

    fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    fn renew(&self, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(self.certificate(), certificate.pem()).unwrap();
        fs::write(self.key(), key.serialize_pem()).unwrap();
        certificate.into()
    }

    fn load(&self) -> Result<TlsIdentity, TlsError> {
        TlsIdentity::load(&self.certificate(), &self.key(), Arc::new(SystemClock))
    }

    fn refusal(&self) -> String {
        self.load().err().unwrap().to_string()
    }
}

async fn start(identity: &TlsIdentity) -> Server {
    let identity = identity.clone();
    Server::start_on(
        Duration::from_secs(60),
        |settings| settings.hsts = true,
        |socket| Listener::Tls(socket, identity),
    )
    .await
}

async fn connect(
    server: &Server,
    certificate: &CertificateDer<'static>,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
}

/// Asks for `/v1/open` on a connection of HTTP/1.1 and reads one answer.
async fn ask(socket: &mut TlsStream<TcpStream>) -> String {
    socket.write_all(b"GET /v1/open HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0, "closed early");
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn both_protocols_are_offered_and_the_answer_asks_for_https_from_now_on() {
    let (files, certificate) = Files::new(|_| {});
    let server = start(&files.load().unwrap()).await;
    let mut socket = connect(&server, &certificate, &[]).await.unwrap();
    let answer = ask(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 200"));
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"));

    let socket = connect(&server, &certificate, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), TokioIo::new(socket))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("https://secrets.example/v1/open");
    let request = request.body(http_body_util::Empty::<hyper::body::Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_open_ones_stay() {
    let (files, old) = Files::new(|_| {});
    let identity = files.load().unwrap();
    let server = start(&identity).await;
    let mut open = connect(&server, &old, &[]).await.unwrap();
    ask(&mut open).await;

    let before = identity.fingerprint();
    let new = files.renew(|_| {});
    assert_ne!(identity.fingerprint(), before);
    assert!(connect(&server, &new, &[]).await.is_err(), "not read yet");
    identity.reload().unwrap();
    ask(&mut connect(&server, &new, &[]).await.unwrap()).await;
    assert!(connect(&server, &old, &[]).await.is_err(), "the old certificate is still shown");
    ask(&mut open).await;

    // Half of a renewal: the old pair stays in use.
    fs::write(files.key(), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(matches!(identity.reload(), Err(TlsError::Mismatch { .. })));
    ask(&mut connect(&server, &new, &[]).await.unwrap()).await;
}

#[tokio::test]
async fn plain_http_gets_an_explanation_and_noise_gets_nothing() {
    let (files, certificate) = Files::new(|_| {});
    let server = start(&files.load().unwrap()).await;
    let reply = server.get("/v1/open").await;
    assert_eq!(reply.status(), 400);
    assert!(reply.0.ends_with("let the address start with https://\n"));
    for noise in [&b"\x16\x03\x01\x00\x05hello"[..], b"\0\0\0\0", b"get / HTTP/1.1\r\n\r\n"] {
        let mut socket = server.connect().await;
        socket.write_all(noise).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP"));
    }
    assert!(connect(&server, &certificate, &[]).await.is_ok());
}

#[tokio::test]
async fn a_peer_that_does_not_finish_its_handshake_is_hung_up_on() {
    let (files, _) = Files::new(|_| {});
    let identity = files.load().unwrap();
    let soon = |settings: &mut HttpSettings| settings.timeouts.first_head = Duration::from_millis(50);
    let server =
        Server::start_on(Duration::from_secs(60), soon, |socket| Listener::Tls(socket, identity)).await;
    for start in [&b""[..], b"\x16\x03\x01\x02"] {
        let mut socket = server.connect().await;
        socket.write_all(start).await.unwrap();
        // It ends; how long it took is not this test's concern.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test]
async fn the_end_of_the_day_waits_for_handshakes_but_not_for_long() {
    let (files, certificate) = Files::new(|_| {});
    let server = start(&files.load().unwrap()).await;
    let mut stuck = server.connect().await;
    stuck.write_all(b"\x16").await.unwrap();
    let mut open = connect(&server, &certificate, &[]).await.unwrap();
    server.stop.send(()).unwrap();
    // Its first request, and its last.
    assert!(ask(&mut open).await.starts_with("HTTP/1.1 200"));
    assert_eq!(open.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(server.running.await.unwrap(), Drained::Clean);
}

#[test]
fn files_that_cannot_be_used_are_refused_with_the_reason() {
    let (files, _) = Files::new(|_| {});
    let (certificate, key) = (files.certificate(), files.key());
    let (good_certificate, good_key) = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (file, text, words) in [
        (&certificate, "", "holds no certificate"),
        (&certificate, std::str::from_utf8(&good_key).unwrap(), "holds no certificate"),
        (&certificate, broken, "cannot be used"),
        (&certificate, "-----BEGIN CERTIFICATE-----\n!\n", "cannot be used"),
        (&key, "", "holds no private key"),
        (&key, std::str::from_utf8(&good_certificate).unwrap(), "holds no private key"),
        (&key, encrypted, "is encrypted"),
        (&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be used"),
    ] {
        fs::write(file, text).unwrap();
        let refusal = files.refusal();
        assert!(refusal.contains(words) && refusal.contains(file.to_str().unwrap()), "{refusal}");
        fs::write(&certificate, &good_certificate).unwrap();
        fs::write(&key, &good_key).unwrap();
    }
    assert!(files.load().is_ok());
    fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(files.refusal().contains("does not belong to the certificate"));
    fs::remove_file(&key).unwrap();
    assert!(files.refusal().contains("cannot read the private key"));
    assert!(files.load().is_err() && files.load().is_err());
}

#[test]
fn an_expired_certificate_is_refused_and_one_of_the_future_is_not() {
    let (files, _) = Files::new(|params| params.not_after = date_time_ymd(2020, 1, 1));
    assert!(files.refusal().contains("expired at 2020-01-01T00:00:00.000Z"), "{}", files.refusal());
    files.renew(|params| params.not_before = date_time_ymd(2999, 1, 1));
    assert!(files.load().is_ok(), "a clock that is behind must not stop the server");
}

#[test]
fn what_a_certificate_says_of_itself() {
    let (files, _) = Files::new(|params| {
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2124, 1, 1);
    });
    let identity = files.load().unwrap();
    assert!(identity.is_for(NAME));
    assert!(!identity.is_for("other.example") && !identity.is_for("127.0.0.1") && !identity.is_for(""));
    let validity = identity.validity().unwrap();
    assert_eq!(validity.until.to_string(), "2124-01-01T00:00:00.000Z");
    let at = |text| crate::base::Timestamp::parse(text).unwrap();
    assert!(!validity.ends_soon(at("2113-12-01T00:00:00Z")));
    assert!(validity.ends_soon(at("2114-02-01T00:00:00Z")));
}
