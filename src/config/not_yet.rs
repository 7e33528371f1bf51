//! Settings that are agreed but that this version cannot honour. They are refused when
//! somebody sets them: accepting a setting without acting on it would be a lie, and a
//! dangerous one for those that protect something.

/// Keys, or whole tables, that are not supported yet.
pub(super) const NOT_YET: &[&str] = &[
    // Fly.io asks nobody for consent: people bring a token.
    "integrations.fly.authorize_url",
    "integrations.fly.client_id",
    "integrations.fly.client_secret",
];

/// Whether `path` is one of `keys` or lies in one of them.
pub(super) fn covers(keys: &[&str], path: &str) -> bool {
    let under =
        |key: &&str| path.strip_prefix(*key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    keys.iter().any(under)
}
