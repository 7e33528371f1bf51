//! Asks the running server how it is, as a container's health check does: through
//! every door it has, as a client would. It has to work where nothing but this program
//! is, on TCP, TLS and a Unix socket alike; so it speaks the few lines of HTTP itself.

use super::output::{self, Failure};
use crate::config::Server;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The server should answer this at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// The answer is a line.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Asks the server with these settings.
///
/// # Errors
/// If it does not answer, or is not well.
pub fn run(server: &Server, json: bool) -> Result<(), Failure> {
    let answers = ask_server(server)?;
    let body = answers.first().map(|(_, body)| body.as_str()).unwrap_or_default();
    output::data(if json { body } else { "healthy" });
    Ok(())
}

/// Asks the server with these settings at each of its doors: where that is, and what it
/// answers there. `server.listen` comes first.
///
/// # Errors
/// If it does not answer at one of its doors, or is not well.
pub fn ask_server(server: &Server) -> Result<Vec<(String, String)>, Failure> {
    let address = reachable(server.listen);
    let host = server.public_url.host();
    let place = format!("http{}://{address}", if server.tls.cert.is_some() { "s" } else { "" });
    let body = match &server.tls.cert {
        Some(file) => ask(&place, host, || tls(address, host, file)),
        None => ask(&place, host, || tcp(address)),
    }?;
    let mut answers = vec![(place, body)];
    if let Some(path) = &server.unix_socket {
        let place = format!("unix:{}", path.display());
        let body = ask(&place, host, || unix(path))?;
        answers.push((place, body));
    }
    Ok(answers)
}

/// Asks through one door and returns the answer's body.
fn ask<S: Read + Write>(
    place: &str,
    host: &str,
    connect: impl FnOnce() -> io::Result<S>,
) -> Result<String, Failure> {
    let answer = connect().and_then(|stream| exchange(stream, host)).map_err(|error| {
        Failure::user(format!("no answer from `{place}`: {error}\n\nhint: is the server running?"))
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some(status) => Err(Failure::user(format!(
            "the server at `{place}` is not well (status {status})\n\nhint: its log says why"
        ))),
        None => Err(Failure::user(format!(
            "what answers at `{place}` is no keywayd\n\nhint: check `server.listen` and `server.tls`"
        ))),
    }
}

fn exchange(mut stream: impl Read + Write, host: &str) -> io::Result<String> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    write!(stream, "GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn unix(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn tls(
    address: SocketAddr,
    host: &str,
    certificate: &Path,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let own = CertificateDer::from_pem_file(certificate)
        .map_err(|error| io::Error::other(format!("cannot read `{}`: {error}", certificate.display())))?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OurOwn { certificate: own, provider }))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, tcp(address)?))
}

/// Accepts the certificate that is configured and no other. Who signed it, and for
/// which names, is between the server and its clients; here it is asked for by address.
#[derive(Debug)]
struct OurOwn {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OurOwn {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        let other = "the server shows another certificate than the configured one; send it SIGHUP";
        Err(rustls::Error::General(other.to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A server that listens on all addresses answers on the loopback one.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
