//! Names to addresses, in Rust: a static C library would load whatever plug-ins the
//! host is set up with, or fail. `/etc/hosts` and `/etc/resolv.conf` count, as ever.

use hickory_resolver::TokioResolver;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
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
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let port = uri.port_u16().unwrap_or(default);
        let mut found = self.empty();
        for address in self.addresses(host, timeout)?.into_iter().take(ADDRESSES_MAX) {
            found.push(SocketAddr::new(address, port));
        }
        if found.is_empty() { Err(Error::HostNotFound) } else { Ok(found) }
    }
}

impl Names {
    fn addresses(&self, host: &str, timeout: NextTimeout) -> Result<Vec<IpAddr>, Error> {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        let resolver = self.resolver()?;
        // We are on a blocking thread of the runtime, and may wait for it.
        let runtime = Handle::try_current().map_err(|_| Error::HostNotFound)?;
        let looking = resolver.lookup_ip(host);
        let outcome = runtime.block_on(async { tokio::time::timeout(*timeout.after, looking).await });
        match outcome {
            Ok(Ok(found)) => Ok(found.iter().collect()),
            Ok(Err(_)) => {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Err(Error::HostNotFound)
            }
            Err(_elapsed) => Err(Error::Timeout(timeout.reason)),
        }
    }

    fn resolver(&self) -> Result<Arc<TokioResolver>, Error> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = &*kept {
            return Ok(Arc::clone(resolver));
        }
        let fresh = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        let fresh = Arc::new(fresh.map_err(|_| Error::HostNotFound)?);
        *kept = Some(Arc::clone(&fresh));
        Ok(fresh)
    }
}
