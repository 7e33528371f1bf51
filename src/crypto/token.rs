//! Bearer strings: how an API key is made, and telling the kinds apart by their looks
//! alone, so that a string that can be no credential costs nothing.

use super::keys::IndexKey;
use crate::base::{SecretText, random};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const KEY_CHARS: usize = 40;
const SHOWN_CHARS: usize = 12;

/// What a bearer string looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BearerKind {
    /// `kw_live_` or `kw_test_` and 40 base62 characters.
    ApiKey,
    /// `github_pat_`, `ghp_`, `gho_`, `ghu_`.
    GitHub,
    /// `ghs_`: an installation's token, which stands for no person.
    GitHubInstallation,
    /// Three base64url parts: a signed session token.
    SessionToken,
    /// None of these.
    Unknown,
}

impl BearerKind {
    /// Judges `bearer` by its form; nothing is verified.
    #[must_use]
    pub fn of(bearer: &SecretText) -> Self {
        let text = bearer.expose();
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
        if let Some(rest) = text.strip_prefix("kw_live_").or_else(|| text.strip_prefix("kw_test_")) {
            let whole = rest.len() == KEY_CHARS && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
            return if whole { Self::ApiKey } else { Self::Unknown };
        }
        if starts(&["ghs_"]) {
            return Self::GitHubInstallation;
        }
        let wordy = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if starts(&["github_pat_", "ghp_", "gho_", "ghu_"]) {
            return if wordy { Self::GitHub } else { Self::Unknown };
        }
        let three = text.split('.').count() == 3 && text.split('.').all(|part| !part.is_empty());
        if three && wordy { Self::SessionToken } else { Self::Unknown }
    }
}

/// A fresh API key: 238 random bits behind its label.
#[must_use]
pub fn new_api_key(label: &str) -> SecretText {
    SecretText::new(format!("kw_{label}_{}", random::text(BASE62, KEY_CHARS)))
}

/// The part of an API key that may be shown in lists.
#[must_use]
pub fn shown_prefix(key: &SecretText) -> String {
    key.expose().chars().take(SHOWN_CHARS).collect()
}

impl IndexKey {
    /// Under which an API key is found; the key itself is not kept.
    #[must_use]
    pub fn api_key(&self, key: &SecretText) -> [u8; 32] {
        self.lookup("api key", &[key.expose().as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_form() {
        let kind = |text: &str| BearerKind::of(&SecretText::new(text.to_owned()));
        assert_eq!(BearerKind::of(&new_api_key("live")), BearerKind::ApiKey);
        let forty = "x".repeat(KEY_CHARS);
        assert_eq!(kind(&format!("kw_test_{forty}")), BearerKind::ApiKey);
        for odd in
            [format!("kw_live_{forty}x"), format!("kw_live_-{}", &forty[1..]), format!("kw_prod_{forty}")]
        {
            assert_eq!(kind(&odd), BearerKind::Unknown, "{odd}");
        }
        assert_eq!(kind("kw_live_short"), BearerKind::Unknown);
        assert_eq!(kind("github_pat_11A_x"), BearerKind::GitHub);
        assert_eq!(kind("ghs_12_a.b.c"), BearerKind::GitHubInstallation);
        assert_eq!(kind("aaa.bbb.ccc"), BearerKind::SessionToken);
        for nothing in ["", "hunter2", "a.b", "a..b", "a.b.c d", "ghp_\u{e9}"] {
            assert_eq!(kind(nothing), BearerKind::Unknown, "{nothing}");
        }
    }

    #[test]
    fn new_keys_are_labelled_and_never_repeat() {
        let key = new_api_key("test");
        assert!(key.expose().starts_with("kw_test_") && key.len() == 48);
        assert!(key != new_api_key("test"));
        assert_eq!(shown_prefix(&key), key.expose()[..12]);
        let index = IndexKey::generate();
        assert_eq!(index.api_key(&key), index.api_key(&key));
        assert_ne!(index.api_key(&key), index.api_key(&new_api_key("test")));
    }
}
