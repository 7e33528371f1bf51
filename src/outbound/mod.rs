//! Calls to other services: one HTTPS client for all of them, with timeouts on
//! everything and a limit on all that comes back.
//!
//! The client blocks, so it works on the runtime's blocking threads, and only so many
//! at a time: one slow service must not use up what everything else needs. Redirects
//! are followed by hand, to the same host only, because a credential goes along.
//! Nothing of a call is ever part of an error but the host and what went wrong.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

mod calls;
mod proxy;
mod resolve;
mod roots;

pub use proxy::ProxySettings;
pub use roots::{RootsError, read_authorities};

use crate::base::SecretText;
use crate::base::meter::Meters;
use calls::Calls;
use resolve::Names;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use ureq::http::{self, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Proxy, config::Config};
use zeroize::Zeroizing;

/// Calls at one time.
const AT_ONCE: usize = 32;
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
const UNKNOWN_NAME: &str = "the name could not be resolved";
/// Redirects followed before giving up.
const REDIRECTS_MAX: usize = 3;

/// What the operator decided about this room.
#[derive(Clone, Debug, Default)]
pub struct OutboundSettings {
    /// How long a call may take, from looking the name up to the last byte.
    pub timeout: Duration,
    /// Further certificate authorities to trust.
    pub authorities: Vec<Certificate<'static>>,
    /// The ways out of the network.
    pub proxies: ProxySettings,
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    /// Whom this one calls, for the count.
    service: &'static str,
}

struct Inner {
    settings: OutboundSettings,
    agents: std::sync::OnceLock<proxy::Agents>,
    permits: Arc<Semaphore>,
    calls: Calls,
}

/// What to do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Do.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Remove.
    Delete,
}

/// One call.
pub struct Call {
    method: Method,
    url: String,
    headers: Vec<(&'static str, SecretText)>,
    body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
    until: Option<Instant>,
}

/// What came back. Any status is an answer.
pub struct Reply {
    /// The status.
    pub status: u16,
    headers: http::HeaderMap,
    body: Zeroizing<Vec<u8>>,
}

/// Why nothing usable came back; names the host and nothing else of the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("calling `{host}`: {reason}")]
pub struct CallError {
    host: String,
    reason: String,
}

impl CallError {
    /// Whether the host's name was not found.
    #[must_use]
    pub fn is_of_the_name(&self) -> bool {
        self.reason == UNKNOWN_NAME
    }
}

impl Call {
    /// Reads `url`.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// Sends `body`, which is of `kind`, to `url`.
    #[must_use]
    pub fn post(url: impl Into<String>, kind: &'static str, body: Zeroizing<Vec<u8>>) -> Self {
        Self::new(Method::Post, url).body(kind, body)
    }

    /// Does `method` to `url`.
    #[must_use]
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), body: None, until: None }
    }

    /// With `body`, which is of `kind`.
    #[must_use]
    pub fn body(mut self, kind: &'static str, body: Zeroizing<Vec<u8>>) -> Self {
        self.body = Some((kind, body));
        self
    }

    /// To be over by then, if the settings would let it take longer.
    #[must_use]
    pub const fn until(mut self, until: Instant) -> Self {
        self.until = Some(until);
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, SecretText::new(value.into())));
        self
    }

    fn host(&self) -> String {
        host_of(&self.url)
    }
}

impl Reply {
    /// A header, if it is there and readable.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({})", self.status)
    }
}

impl Client {
    /// A client; it starts up at its first call.
    #[must_use]
    pub fn new(settings: OutboundSettings) -> Self {
        let (agents, permits) = (std::sync::OnceLock::new(), Arc::new(Semaphore::new(AT_ONCE)));
        let inner = Arc::new(Inner { settings, agents, permits, calls: Calls::default() });
        Self { inner, service: "other" }
    }

    /// The same client, whose calls are counted as calls to `service`.
    #[must_use]
    pub fn to(&self, service: &'static str) -> Self {
        Self { inner: Arc::clone(&self.inner), service }
    }

    /// Shows what is counted of calls.
    pub fn show(&self, meters: &Meters) {
        self.inner.calls.show(meters);
    }

    /// The addresses that calls to `url` may come from, as whoever answers there sees
    /// them; none if that cannot be told, as when the call goes through a proxy. Nothing is
    /// sent.
    pub async fn own_addresses_towards(&self, url: &str) -> Vec<IpAddr> {
        let Ok(uri) = url.parse::<Uri>() else { return Vec::new() };
        if self.inner.settings.proxies.for_uri(&uri).is_some() {
            return Vec::new();
        }
        let wait = self.inner.settings.timeout;
        let work = tokio::task::spawn_blocking(move || {
            let found = Names::default().of(&uri, wait).unwrap_or_default();
            found.into_iter().filter_map(own_address_towards).collect()
        });
        work.await.unwrap_or_default()
    }

    /// Makes a call. Redirects of reads are followed as long as they stay on the host.
    ///
    /// # Errors
    /// If no whole answer came back in time.
    pub async fn send(&self, call: Call) -> Result<Reply, CallError> {
        let begun = Instant::now();
        let outcome = self.dispatch(call).await;
        self.inner.calls.made(self.service, &outcome, begun.elapsed());
        outcome
    }

    async fn dispatch(&self, call: Call) -> Result<Reply, CallError> {
        let host = call.host();
        let failed = |reason: &str| CallError { host: host.clone(), reason: reason.to_owned() };
        let waiting = Arc::clone(&self.inner.permits).acquire_owned();
        let permit = tokio::time::timeout(self.inner.settings.timeout, waiting).await;
        let permit = match permit {
            Ok(Ok(permit)) => permit,
            _ => return Err(failed("too many other calls are under way")),
        };
        let inner = Arc::clone(&self.inner);
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            inner.follow(call)
        });
        work.await.unwrap_or_else(|_| Err(failed("the call panicked")))
    }
}

impl Inner {
    fn follow(&self, mut call: Call) -> Result<Reply, CallError> {
        for _ in 0..=REDIRECTS_MAX {
            let reply = self.once(&call)?;
            let moved = matches!(reply.status, 301 | 302 | 303 | 307 | 308);
            if !moved || call.method != Method::Get {
                return Ok(reply);
            }
            let target = reply.header("location").and_then(|target| on_same_host(&call.url, target));
            let elsewhere = || CallError {
                host: call.host(),
                reason: "it redirects to another host, where the credential must not go".to_owned(),
            };
            call.url = target.ok_or_else(elsewhere)?;
        }
        Err(CallError { host: call.host(), reason: "it redirects in circles".to_owned() })
    }

    fn once(&self, call: &Call) -> Result<Reply, CallError> {
        match self.attempt(call) {
            // A connection kept from the last call may have been closed meanwhile.
            Err(ureq::Error::Io(_)) if call.method == Method::Get => self.attempt(call),
            other => other,
        }
        .map_err(|error| CallError { host: call.host(), reason: in_words(&error) })
    }

    fn attempt(&self, call: &Call) -> Result<Reply, ureq::Error> {
        let agents = self.agents.get_or_init(|| proxy::Agents::new(&self.settings));
        let mut request = http::Request::builder().uri(&call.url).method(match call.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Patch => http::Method::PATCH,
            Method::Delete => http::Method::DELETE,
        });
        for (name, value) in &call.headers {
            let mut value = http::HeaderValue::from_str(value.expose()).map_err(http::Error::from)?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        let agent = agents.for_url(&call.url);
        let left = call.until.map_or(self.settings.timeout, |until| {
            until.saturating_duration_since(Instant::now()).min(self.settings.timeout)
        });
        let mut response = match &call.body {
            Some((kind, body)) => {
                let request = request.header("content-type", *kind).body(body.as_slice())?;
                let request = agent.configure_request(request).timeout_global(Some(left));
                agent.run(request.allow_non_standard_methods(true).build())?
            }
            None => {
                let request = agent.configure_request(request.body(())?).timeout_global(Some(left));
                agent.run(request.build())?
            }
        };
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        let (parts, _) = response.into_parts();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body: Zeroizing::new(body) })
    }
}

/// The address that a connection to `there` would come from.
fn own_address_towards(there: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match there {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A datagram socket that is connected has its route, and has sent nothing.
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(there).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// What all agents have in common.
fn tls(settings: &OutboundSettings) -> TlsConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots::all(&settings.authorities)))
        .unversioned_rustls_crypto_provider(provider)
        .build()
}

fn agent(settings: &OutboundSettings, tls: TlsConfig, proxy: Option<Proxy>) -> Agent {
    let config = Config::builder()
        .tls_config(tls)
        .proxy(proxy)
        .timeout_global(Some(settings.timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(64 << 10)
        .user_agent(concat!("keywayd/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::with_parts(config, DefaultConnector::default(), Names::default())
}

/// `target` as a whole address, if it stays with the scheme, host and port of `url`.
fn on_same_host(url: &str, target: &str) -> Option<String> {
    let base: Uri = url.parse().ok()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let whole = if target.starts_with('/') && !target.starts_with("//") {
        format!("{scheme}://{authority}{target}")
    } else {
        target.to_owned()
    };
    let there: Uri = whole.parse().ok()?;
    (there.scheme_str() == Some(scheme) && there.authority() == Some(authority)).then_some(whole)
}

fn host_of(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_else(|| "an address that is none".to_owned())
}

/// The error without what could quote the call.
fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "it took too long".to_owned(),
        ureq::Error::HostNotFound => UNKNOWN_NAME.to_owned(),
        ureq::Error::Io(error) => {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => format!("no trusted TLS connection ({error})"),
                None => format!("the connection failed ({})", error.kind()),
            }
        }
        ureq::Error::BodyExceedsLimit(_) => "it answered with more than is read".to_owned(),
        ureq::Error::Rustls(error) => format!("no trusted TLS connection ({error})"),
        ureq::Error::Tls(error) => format!("no trusted TLS connection ({error})"),
        ureq::Error::ConnectProxyFailed(_) => "the proxy did not let the call through".to_owned(),
        ureq::Error::ConnectionFailed => "there was no connection".to_owned(),
        _ => "it did not answer in HTTP".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_their_host() {
        let to = |target| on_same_host("https://api.example/a/b?c", target);
        assert_eq!(to("/d?e").as_deref(), Some("https://api.example/d?e"));
        assert_eq!(to("https://api.example/d").as_deref(), Some("https://api.example/d"));
        for elsewhere in [
            "https://api.example.evil/d",
            "https://evil.example/",
            "http://api.example/d",
            "https://api.example:8443/d",
            "https://api.example@evil.example/",
            "//evil.example/",
            "d",
            "",
        ] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
    }
}
