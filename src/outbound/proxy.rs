//! The ways out of the network: directly, or through a proxy that the environment
//! names, as other programs understand it. This machine itself is always reached
//! directly.

use super::{OutboundSettings, agent, tls};
use ureq::http::Uri;
use ureq::{Agent, Proxy};

/// What the environment says: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in
/// either case.
#[derive(Clone, Default)]
pub struct ProxySettings {
    https: Option<String>,
    http: Option<String>,
    exceptions: Vec<String>,
}

// An address of a proxy may hold a password.
impl std::fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxySettings").field("exceptions", &self.exceptions).finish_non_exhaustive()
    }
}

impl ProxySettings {
    /// Reads the settings; `variable` looks a variable of the environment up.
    #[must_use]
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let value = variable(&name.to_ascii_lowercase()).or_else(|| variable(name));
            value.filter(|value| !value.trim().is_empty())
        };
        let all = either("ALL_PROXY");
        let exceptions = either("NO_PROXY").unwrap_or_default();
        let exceptions = exceptions.split(',').map(|entry| entry.trim().to_ascii_lowercase());
        Self {
            https: either("HTTPS_PROXY").or_else(|| all.clone()),
            http: either("HTTP_PROXY").or(all),
            exceptions: exceptions.filter(|entry| !entry.is_empty()).collect(),
        }
    }

    /// The proxy for `uri`.
    pub(super) fn for_uri(&self, uri: &Uri) -> Option<&str> {
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let here = literal == "localhost"
            || literal.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let excepted = |entry: &String| {
            let suffix = entry.trim_start_matches("*.").trim_start_matches('.');
            entry == "*" || host == suffix || host.ends_with(&format!(".{suffix}"))
        };
        if here || self.exceptions.iter().any(excepted) {
            return None;
        }
        if uri.scheme_str() == Some("https") { self.https.as_deref() } else { self.http.as_deref() }
    }
}

/// One agent for each way out.
pub(super) struct Agents {
    settings: ProxySettings,
    direct: Agent,
    https: Option<Agent>,
    http: Option<Agent>,
}

impl Agents {
    pub(super) fn new(settings: &OutboundSettings) -> Self {
        let tls = tls(settings);
        let through = |url: &Option<String>| {
            let proxy = Proxy::new(url.as_ref()?);
            if proxy.is_err() {
                tracing::warn!("the proxy that the environment names is not understood; calling directly");
            }
            Some(agent(settings, tls.clone(), Some(proxy.ok()?)))
        };
        Self {
            https: through(&settings.proxies.https),
            http: through(&settings.proxies.http),
            direct: agent(settings, tls.clone(), None),
            settings: settings.proxies.clone(),
        }
    }

    pub(super) fn for_url(&self, url: &str) -> &Agent {
        let Ok(uri) = url.parse::<Uri>() else { return &self.direct };
        let through = match (self.settings.for_uri(&uri), uri.scheme_str()) {
            (Some(_), Some("https")) => self.https.as_ref(),
            (Some(_), _) => self.http.as_ref(),
            (None, _) => None,
        };
        through.unwrap_or(&self.direct)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let find =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        ProxySettings::read(find).for_uri(&url.parse().unwrap()).map(str::to_owned)
    }

    #[test]
    fn the_environment_names_the_way_out() {
        let all = [
            ("HTTPS_PROXY", "http://p:1"),
            ("http_proxy", "http://p:2"),
            ("NO_PROXY", "corp.example, .x.example"),
        ];
        assert_eq!(proxy(&all, "https://api.example/a").as_deref(), Some("http://p:1"));
        assert_eq!(proxy(&all, "http://api.example/a").as_deref(), Some("http://p:2"));
        assert_eq!(
            proxy(&[("ALL_PROXY", "http://p:3")], "https://api.example/").as_deref(),
            Some("http://p:3")
        );
        for direct in [
            "https://corp.example/",
            "https://git.CORP.example/",
            "https://a.x.example",
            "http://127.0.0.1:1/",
            "http://[::1]:1/",
            "https://localhost/",
        ] {
            assert_eq!(proxy(&all, direct), None, "{direct}");
        }
        assert!(proxy(&all, "https://notcorp.example/").is_some());
        assert_eq!(proxy(&[], "https://api.example/"), None);
        assert_eq!(proxy(&[("HTTPS_PROXY", "http://p:1"), ("no_proxy", "*")], "https://api.example/"), None);
    }
}
