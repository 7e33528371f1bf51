//! Names to addresses, in Rust: a static C library would load whatever plug-ins the
//! host is set up with, or fail. `/etc/hosts` and `/etc/resolv.conf` count, as ever.

use hickory_resolver::TokioResolver;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// The resolver; it reads the host's settings at its first question, and again after
/// one that failed, because they may have changed.
#[derive(Default)]
pub(super) struct Names(Mutex<Option<Arc<TokioResolver>>>);

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut found = self.empty();
        let addresses = self.of(uri, *timeout.after).map_err(|problem| match problem {
            Unknown::NotFound => Error::HostNotFound,
            Unknown::TooLate => Error::Timeout(timeout.reason),
        })?;
        addresses.into_iter().for_each(|address| found.push(address));
        if found.is_empty() { Err(Error::HostNotFound) } else { Ok(found) }
    }
}

/// Why a name has no addresses.
pub(super) enum Unknown {
    NotFound,
    TooLate,
}

impl Names {
    /// The addresses behind `uri`, at most [`ADDRESSES_MAX`]. To be called on a blocking
    /// thread of the runtime.
    pub(super) fn of(&self, uri: &Uri, wait: Duration) -> Result<Vec<SocketAddr>, Unknown> {
        let host = uri.host().ok_or(Unknown::NotFound)?;
        let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let port = uri.port_u16().unwrap_or(default);
        let addresses = self.addresses(host, wait)?.into_iter().take(ADDRESSES_MAX);
        Ok(addresses.map(|address| SocketAddr::new(address, port)).collect())
    }

    fn addresses(&self, host: &str, wait: Duration) -> Result<Vec<IpAddr>, Unknown> {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        let resolver = self.resolver()?;
        // We are on a blocking thread of the runtime, and may wait for it.
        let runtime = Handle::try_current().map_err(|_| Unknown::NotFound)?;
        let looking = resolver.lookup_ip(host);
        let outcome = runtime.block_on(async { tokio::time::timeout(wait, looking).await });
        match outcome {
            Ok(Ok(found)) => Ok(found.iter().collect()),
            Ok(Err(_)) => {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Err(Unknown::NotFound)
            }
            Err(_elapsed) => Err(Unknown::TooLate),
        }
    }

    fn resolver(&self) -> Result<Arc<TokioResolver>, Unknown> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = &*kept {
            return Ok(Arc::clone(resolver));
        }
        let fresh = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        let fresh = Arc::new(fresh.map_err(|_| Unknown::NotFound)?);
        *kept = Some(Arc::clone(&fresh));
        Ok(fresh)
    }
}
