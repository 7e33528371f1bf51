//! Addresses and networks. Names are not resolved, with the one exception that
//! `localhost` means 127.0.0.1: where the server listens must not depend on a lookup.

use super::{Fault, Given, Setting, quoted};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// Reads an address to listen on: `127.0.0.1:8490`, `[::1]:8490` or `localhost:8490`.
///
/// # Errors
/// If it is not an IP address and a port; the message says what to write.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| {
        let bare = text.parse::<IpAddr>().is_ok();
        let missing = if bare { "add a port" } else { "write an IP address and a port" };
        format!("{missing}, such as `127.0.0.1:8490` or `[::]:8490`; names are not looked up")
    })
}

/// Reads a network in CIDR notation; a bare address is the network of that one host.
///
/// # Errors
/// If it is neither; the message says what to write.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let host = text.parse::<IpAddr>().map(IpNet::from);
    host.or_else(|_| text.parse::<IpNet>()).map(|network| network.trunc()).map_err(|_| {
        "write an address or a network, such as `10.0.0.7`, `10.0.0.0/8` or `fd00::/8`".to_owned()
    })
}

impl Setting for SocketAddr {
    fn take(given: &Given) -> Result<Self, Fault> {
        let text = given.text().unwrap_or_default();
        parse_listen(text).map_err(|hint| Fault::not(given, "an address to listen on", hint))
    }

    fn show(&self) -> Option<String> {
        quoted(&self.to_string())
    }
}

impl Setting for IpNet {
    fn take(given: &Given) -> Result<Self, Fault> {
        let text = given.text().unwrap_or_default();
        parse_network(text).map_err(|hint| Fault::not(given, "a network", hint))
    }

    fn show(&self) -> Option<String> {
        quoted(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_needs_an_address_and_a_port() {
        assert_eq!(parse_listen("localhost:80").unwrap().to_string(), "127.0.0.1:80");
        assert!(parse_listen("[::1]:0").is_ok());
        for bad in ["", "8490", ":8490", "127.0.0.1", "example.org:80", "localhost", "localhost:99999"] {
            assert!(parse_listen(bad).is_err(), "{bad}");
        }
        assert!(parse_listen("127.0.0.1").unwrap_err().starts_with("add a port"));
    }

    #[test]
    fn a_bare_address_is_a_network_of_one() {
        for (text, network) in [
            ("10.0.0.7", "10.0.0.7/32"),
            ("::1", "::1/128"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("fd00::/8", "fd00::/8"),
        ] {
            assert_eq!(parse_network(text).unwrap().to_string(), network);
        }
        for bad in ["", "10.0.0.0/33", "10.0.0", "localhost", "*"] {
            assert!(parse_network(bad).is_err(), "{bad}");
        }
    }
}
