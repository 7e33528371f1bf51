//! Makes things fit for the log.

use std::error::Error;
use std::fmt;

/// The beginnings of the credentials we know, which tell the kind and nothing more.
const KINDS: [&str; 9] =
    ["kw_live_", "kw_test_", "github_pat_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "eyJ"];

/// A credential's kind, such as `ghp_…`; `[redacted]` for anything unknown.
#[must_use]
pub fn credential(token: &str) -> String {
    match KINDS.iter().find(|kind| token.starts_with(*kind)) {
        Some(kind) => format!("{kind}…"),
        None => "[redacted]".to_owned(),
    }
}

/// An address without its user part, query and fragment, where credentials travel.
#[must_use]
pub fn url(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    match bare.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => bare.to_owned(),
    }
}

/// An error and everything that led to it, outermost first: `cannot start: no such file`.
#[must_use]
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl fmt::Display + 'a {
    Chain(error)
}

struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_credential_only_the_kind_is_shown() {
        assert_eq!(credential("ghp_abcdefghij"), "ghp_…");
        assert_eq!(credential("kw_live_0123"), "kw_live_…");
        assert_eq!(credential("hunter2"), "[redacted]");
    }

    #[test]
    fn addresses_lose_what_may_carry_credentials() {
        assert_eq!(url("https://user:pw@example.com/a/b?token=x#y"), "https://example.com/a/b");
        assert_eq!(url("https://example.com?token=x"), "https://example.com");
        assert_eq!(url("/callback?code=x"), "/callback");
    }

    #[test]
    fn causes_are_told_outermost_first() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot start")]
        struct Outer(#[source] std::io::Error);

        let outer = Outer(std::io::Error::other("no such file"));
        assert_eq!(chain(&outer).to_string(), "cannot start: no such file");
    }
}
