//! Web addresses of settings, in the one spelling that browsers use for origins:
//! lower-case scheme and host, no default port. Written here rather than taken from a
//! URL library because settings need a narrow part of the grammar and should refuse
//! the rest (user names, queries, fragments, non-ASCII hosts) instead of repairing it.

use super::{Fault, Given, Setting, quoted};
use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
};

/// An `http` or `https` URL without query and fragment, to which paths are appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    text: String,
}

/// Scheme, host and port, as in an `Origin` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOrigin {
    text: String,
}

impl HttpUrl {
    /// The URL as text. A path ends in a slash if it was written so; an empty one never does.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL with `path` below it, and exactly one slash between.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}/{}", self.text.trim_end_matches('/'), path.trim_start_matches('/'))
    }
}

impl HttpOrigin {
    /// The origin of a server that listens on `address`.
    #[must_use]
    pub fn of(address: SocketAddr, https: bool) -> Self {
        let (scheme, default_port) = if https { ("https", 443) } else { ("http", 80) };
        let host = match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        let port =
            if address.port() == default_port { String::new() } else { format!(":{}", address.port()) };
        Self { text: format!("{scheme}://{host}{port}") }
    }

    /// The origin as text, as a browser spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host: a name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        match rest.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => rest.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for HttpOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits a URL into its origin, respelt, and its path as written.
fn split(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => ("http", 80),
        "https" => ("https", 443),
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\\\"<>`{}|^".contains(&byte);
    if !path.bytes().all(plain) {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = read_host(host)?;
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse::<u16>().ok()?),
        Some(_) => return None,
    };
    let port = port.filter(|&port| port != default_port).map(|port| format!(":{port}"));
    Some((format!("{scheme}://{host}{}", port.unwrap_or_default()), path))
}

/// A host name of letters, digits, hyphens and underscores, or an address.
fn read_host(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    (host.len() <= 253 && host.split('.').all(label)).then(|| host.to_ascii_lowercase())
}

impl Setting for HttpUrl {
    fn take(given: &Given) -> Result<Self, Fault> {
        let hint =
            "write `https://` or `http://`, a host and perhaps a port and a path, without user or query";
        let (origin, path) = given.text().and_then(split).ok_or_else(|| Fault::not(given, "a URL", hint))?;
        let path = if path == "/" { "" } else { path };
        Ok(Self { text: format!("{origin}{path}") })
    }

    fn show(&self) -> Option<String> {
        quoted(&self.text)
    }
}

impl Setting for HttpOrigin {
    fn take(given: &Given) -> Result<Self, Fault> {
        if given.text() == Some("*") {
            let hint = "name each one, such as `https://app.example.org`: \
                        answers carry credentials, so `*` would let in every site";
            return Err(Fault { cause: "`*` is not allowed".to_owned(), hint: hint.to_owned() });
        }
        let hint = "write only scheme, host and perhaps a port, such as `https://secrets.example.org`";
        match given.text().and_then(split) {
            Some((text, "" | "/")) => Ok(Self { text }),
            Some((origin, _)) => Err(Fault {
                cause: format!("{} has a path", given.shown()),
                hint: format!("write only `{origin}`"),
            }),
            None => Err(Fault::not(given, "an origin", hint)),
        }
    }

    fn show(&self) -> Option<String> {
        quoted(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<String, Fault> {
        HttpOrigin::take(&Given::loose(text.to_owned())).map(|origin| origin.text)
    }

    fn url(text: &str) -> Option<HttpUrl> {
        HttpUrl::take(&Given::loose(text.to_owned())).ok()
    }

    #[test]
    fn origins_are_spelt_as_browsers_spell_them() {
        for (text, spelt) in [
            ("https://Example.ORG", "https://example.org"),
            ("HTTPS://example.org:443/", "https://example.org"),
            ("http://example.org:80", "http://example.org"),
            ("http://example.org:443", "http://example.org:443"),
            ("http://[::1]:8490", "http://[::1]:8490"),
            ("http://[0:0::1]", "http://[::1]"),
            ("http://10.0.0.7:8490/", "http://10.0.0.7:8490"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(spelt));
        }
    }

    #[test]
    fn the_host_of_an_origin() {
        for (text, host) in [
            ("https://a.example", "a.example"),
            ("http://a.example:81", "a.example"),
            ("http://10.0.0.7:81", "10.0.0.7"),
            ("http://[::1]:81", "::1"),
        ] {
            assert_eq!(HttpOrigin::take(&Given::loose(text.to_owned())).unwrap().host(), host);
        }
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for bad in [
            "",
            "*",
            "null",
            "example.org",
            "ftp://example.org",
            "https://",
            "https://:80",
            "https://a..b",
            "https://user@example.org",
            "https://example.org:x",
            "https://example.org:",
            "https://example.org:70000",
            "https://example.org?x",
            "https://exa mple.org",
            "https://[::1",
            "https://exämple.org",
            "https://a/b",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
        assert_eq!(origin("https://a.example/b").unwrap_err().hint, "write only `https://a.example`");
    }

    #[test]
    fn paths_are_appended_with_one_slash() {
        for base in ["https://git.example.org/api/v3", "https://git.example.org/api/v3/"] {
            assert_eq!(url(base).unwrap().join("/user"), "https://git.example.org/api/v3/user");
        }
        assert_eq!(url("https://example.org/").unwrap().as_str(), "https://example.org");
        for bad in ["https://example.org/?a", "https://example.org/#a", "https://example.org/a b", "mailto:x"]
        {
            assert!(url(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_origin_of_an_address() {
        for (address, https, spelt) in [
            ("127.0.0.1:8490", false, "http://127.0.0.1:8490"),
            ("127.0.0.1:80", false, "http://127.0.0.1"),
            ("[::1]:443", true, "https://[::1]"),
        ] {
            assert_eq!(HttpOrigin::of(address.parse().unwrap(), https).as_str(), spelt);
        }
    }
}
