//! Asks the running server how it is, as a container's health check does.

use super::output::{self, Failure};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The server should answer this at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the server that listens at `listen`.
///
/// # Errors
/// If it does not answer, or is not well.
pub fn run(listen: SocketAddr, json: bool) -> Result<(), Failure> {
    let url = format!("http://{}/health", reachable(listen));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let unreachable = |error: ureq::Error| {
        Failure::user(format!("no answer from `{url}`: {error}\n\nhint: is the server running?"))
    };
    let mut response = agent.get(&url).call().map_err(unreachable)?;
    let body = response.body_mut().read_to_string().map_err(unreachable)?;
    if response.status() != 200 {
        return Err(Failure::user(format!(
            "the server at `{url}` is not well (status {})",
            response.status()
        )));
    }
    output::data(if json { &body } else { "healthy" });
    Ok(())
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
