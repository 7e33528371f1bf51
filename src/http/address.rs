//! Who is at the other end: the socket's address, or what a trusted proxy says.

use hyper::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    /// Somebody at an address.
    Network(IpAddr),
    /// Whoever may open our Unix socket: a reverse proxy, trusted as such.
    Local,
}

/// The client's address. If the peer is a trusted proxy, that is the right-most
/// entry of `X-Forwarded-For` which is not a trusted proxy itself: each proxy adds
/// on the right whom it heard, so further left stands only what strangers claim.
///
/// An unreadable entry on the way makes the whole header worthless: the peer's
/// address counts then. Who comes through the Unix socket has the loopback address.
pub(super) fn of_client(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let peer = match peer {
        Peer::Local => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Peer::Network(address) => {
            let address = address.to_canonical();
            if !is_trusted(&address) {
                return address;
            }
            address
        }
    };
    let mut furthest = peer;
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        let Ok(line) = line.to_str() else { return peer };
        for entry in line.rsplit(',') {
            let Some(address) = read(entry.trim()) else { return peer };
            if !is_trusted(&address) {
                return address;
            }
            furthest = address;
        }
    }
    furthest
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn read(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok().or_else(|| entry.parse().ok().map(|socket: SocketAddr| socket.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, lines: &[&str]) -> String {
        seen_by(Peer::Network(peer.parse().unwrap()), lines)
    }

    fn seen_by(peer: Peer, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        of_client(peer, &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_believed_nothing() {
        assert_eq!(seen("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(seen("::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn behind_a_proxy_the_right_most_stranger_counts() {
        assert_eq!(seen("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9", "198.51.100.7", "10.0.0.2"]), "198.51.100.7");
        assert_eq!(seen("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(seen("fd00::1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(seen("10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
    }

    #[test]
    fn with_only_proxies_on_the_way_the_furthest_counts() {
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn whoever_may_open_the_unix_socket_is_a_trusted_proxy() {
        assert_eq!(seen_by(Peer::Local, &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(seen_by(Peer::Local, &["198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(seen_by(Peer::Local, &[]), "127.0.0.1");
        assert_eq!(seen_by(Peer::Local, &["unknown"]), "127.0.0.1");
        // A proxy on this machine that is not trusted itself is the client.
        assert_eq!(seen_by(Peer::Local, &["198.51.100.7, 127.0.0.1"]), "127.0.0.1");
    }

    #[test]
    fn garbage_makes_the_header_worthless() {
        for garbage in ["", "unknown", "198.51.100.7,", "198.51.100.7, _hidden", "1.2.3.4.5", "\u{e9}"] {
            let line = [garbage];
            let lines: &[&str] = if garbage.is_ascii() { &line } else { &["x\u{9}y"] };
            assert_eq!(seen("10.0.0.1", lines), "10.0.0.1", "{garbage}");
        }
        // What stands left of the answer is not looked at.
        assert_eq!(seen("10.0.0.1", &["garbage, 198.51.100.7"]), "198.51.100.7");
    }
}
