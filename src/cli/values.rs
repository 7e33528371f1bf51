//! Arguments become types as they are read, and what is wrong with one is said in the
//! words of that type.

use super::args::KeyPlace;
use crate::{
    base::{AccountName, EnvironmentName, ForgeLogin, RepoName, Role, Scope, Scopes, duration, limits},
    config,
    domain::operator::Person,
};
use ipnet::IpNet;
use std::{net::SocketAddr, time::Duration};

pub(super) fn account(text: &str) -> Result<AccountName, String> {
    AccountName::parse(text).map_err(|error| error.to_string())
}

/// An account, or somebody of the forge.
pub(super) fn person(text: &str) -> Result<Person, String> {
    match text.strip_prefix("github:") {
        Some(login) => ForgeLogin::parse(login).map(Person::OfTheForge).map_err(|error| error.to_string()),
        None => AccountName::parse(text)
            .map(Person::Named)
            .map_err(|error| format!("{error}; somebody of GitHub is `github:LOGIN`")),
    }
}

pub(super) fn repository(text: &str) -> Result<RepoName, String> {
    RepoName::parse(text).map_err(|error| error.to_string())
}

pub(super) fn environment(text: &str) -> Result<EnvironmentName, String> {
    EnvironmentName::parse(text).map_err(|error| error.to_string())
}

pub(super) fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| {
        let names: Vec<_> = Role::ALL.iter().map(|role| format!("`{role}`")).collect();
        format!("must be one of {}", names.join(", "))
    })
}

/// Scopes with commas between them, or `all`.
pub(super) fn scopes(text: &str) -> Result<Scopes, String> {
    if text == "all" {
        return Ok(Scope::ALL.into_iter().collect());
    }
    let known: Vec<_> = Scope::ALL.iter().map(|scope| format!("`{scope}`")).collect();
    let read = |name: &str| {
        let scope = Scope::parse(name.trim());
        scope.ok_or_else(|| format!("must be `all`, or some of {} with commas between", known.join(", ")))
    };
    text.split(',').map(read).collect()
}

pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(time) if time.is_zero() => Err("must be longer than nothing".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

/// The label of an API key.
pub(super) fn label(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if (1..=limits::API_KEY_NAME_CHARS_MAX).contains(&length) && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be 1 to {} characters on one line", limits::API_KEY_NAME_CHARS_MAX))
    }
}

/// Where a master key lies, as `KIND:PLACE` with the names of `[master_key]`.
pub(super) fn key_place(text: &str) -> Result<KeyPlace, String> {
    let place = text.split_once(':').filter(|(_, place)| !place.is_empty());
    match place {
        Some(("file", path)) => Ok(KeyPlace::File(path.into())),
        Some(("passphrase_file", path)) => Ok(KeyPlace::PassphraseFile(path.into())),
        Some(("credential", name)) => Ok(KeyPlace::Credential(name.to_owned())),
        Some(("env", name)) => Ok(KeyPlace::Variable(name.to_owned())),
        _ => Err("must be `file:PATH`, `passphrase_file:PATH`, `credential:NAME` or `env:NAME`".to_owned()),
    }
}

/// An age public key as it looks; whether its checksum holds is found out when it is used.
pub(super) fn recipient(text: &str) -> Result<String, String> {
    let is_key =
        text.len() == 62 && text.starts_with("age1") && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_key {
        Ok(text.to_owned())
    } else {
        Err("must be an age public key, `age1…` (62 characters)".to_owned())
    }
}

pub(super) fn network(text: &str) -> Result<IpNet, String> {
    config::parse_network(text)
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    config::parse_listen(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_named_or_all() {
        assert_eq!(scopes("all").unwrap().iter().count(), 4);
        let two = scopes("write:secrets, read:secrets").unwrap();
        assert!(two.contains(Scope::ReadSecrets) && two.contains(Scope::WriteSecrets));
        for bad in ["", "read", "read:secrets,", "ALL"] {
            assert!(scopes(bad).unwrap_err().contains("`admin:api-keys`"), "{bad}");
        }
    }

    #[test]
    fn words_for_what_is_wrong() {
        assert!(role("owner").unwrap_err().contains("`maintain`"));
        assert!(account("Alice").unwrap_err().contains("lower-case"));
        assert!(repository("acme").unwrap_err().contains("owner/repo"));
        assert!(lifetime("0d").is_err() && lifetime("30").is_err() && lifetime("30d").is_ok());
        assert!(label("").is_err() && label("a\nb").is_err() && label("CI of acme").is_ok());
        assert!(listen("8490").unwrap_err().contains("127.0.0.1:8490"));
    }
}
