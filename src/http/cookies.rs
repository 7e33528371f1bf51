//! Cookies (RFC 6265): finding one in a request, and handing one out. Ours are for
//! this host alone, out of reach of scripts, and not sent along by foreign forms.

use super::settings::HttpSettings;
use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue};
use std::time::Duration;

/// The session of whoever signed in. Clients know it by this name.
pub(super) const SESSION: &str = "keyway_session";

/// What the cookie `name` of a page is called on the wire. Where the server is reached by
/// HTTPS, the prefix makes browsers refuse one that another host of the domain has set.
pub(super) fn of_page(settings: &HttpSettings, name: &str) -> String {
    if is_secure(settings) { format!("__Host-{name}") } else { name.to_owned() }
}

fn is_secure(settings: &HttpSettings) -> bool {
    settings.public_url.starts_with("https:")
}

/// The value of the cookie `name`. Of several with one name, the first.
pub(super) fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The header that hands out `name`, for `age`; `None`: until the browser is closed.
/// `value` must be made of letters, digits, `-`, `_` and `.`.
pub(super) fn hand_out(
    settings: &HttpSettings,
    name: &str,
    value: &str,
    age: Option<Duration>,
) -> Option<HeaderValue> {
    let secure = if is_secure(settings) { "; Secure" } else { "" };
    let age = age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
    let mut header =
        HeaderValue::try_from(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let headers = HeaderMap::from_iter([(COOKIE, "xa=1; a=2; a=3;b=4; c".parse().unwrap())]);
        assert_eq!(find(&headers, "a"), Some("2"));
        assert_eq!(find(&headers, "b"), Some("4"));
        assert_eq!(find(&headers, "c"), None);
    }

    #[test]
    fn cookies_are_secure_where_the_server_is() {
        let header = |url: &str| hand_out(&HttpSettings::new(url), "n", "v", Some(Duration::ZERO)).unwrap();
        assert_eq!(header("http://127.0.0.1:1"), "n=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
        assert_eq!(of_page(&HttpSettings::new("https://k.example"), "n"), "__Host-n");
        assert_eq!(of_page(&HttpSettings::new("http://127.0.0.1:1"), "n"), "n");
        assert_eq!(header("https://k.example"), "n=v; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0");
    }
}
