//! Names as people write them. Each is parsed once, where it enters; behind that a
//! name of this type is a valid one.

use crate::base::schema::described;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not a valid name; fit to be shown to whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(&'static str);

macro_rules! names {
    ($($(#[$doc:meta])+ $name:ident, $valid:path, $message:literal, $pattern:literal, $example:literal;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        described!($name, { "type": "string", "pattern": $pattern, "examples": [$example] });

        impl $name {
            /// Reads the name.
            ///
            /// # Errors
            /// If the text breaks the name's grammar.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if $valid(text.as_bytes()) { Ok(Self(text.to_owned())) } else { Err(NameError($message)) }
            }

            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                if $valid(text.as_bytes()) { Ok(Self(text)) } else { Err(NameError($message)) }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// Who a repository belongs to: a person or an organisation.
    OwnerName, is_owner, "must be 1 to 39 letters, digits or hyphens and start with a letter or digit",
        "^[A-Za-z0-9][A-Za-z0-9-]{0,38}$", "acme";
    /// A repository's own name, without its owner.
    RepoPart, is_repo, "must be 1 to 100 letters, digits, dots, underscores or hyphens, and not `.` or `..`",
        r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$", "app";
    /// An environment of a vault.
    EnvironmentName, is_environment,
        "must be 2 to 30 characters: a lower-case letter, then lower-case letters, digits, `_` or `-`",
        "^[a-z][a-z0-9_-]{1,29}$", "production";
    /// A secret's key: a POSIX environment variable name, at most 256 characters.
    SecretName, is_secret, "must be 1 to 256 letters, digits or underscores and not start with a digit",
        "^[A-Za-z_][A-Za-z0-9_]{0,255}$", "DATABASE_URL";
    /// The login of a local account.
    AccountName, is_account,
        "must be 1 to 39 lower-case letters, digits or hyphens and start with a letter or digit",
        "^[a-z0-9][a-z0-9-]{0,38}$", "alice";
    /// A login at a forge. What it looks like is the forge's to say; those that a company
    /// manages have an underscore.
    ForgeLogin, is_login, "must be 1 to 100 letters, digits, hyphens or underscores",
        "^[A-Za-z0-9_-]{1,100}$", "octocat_acme";
}

impl SecretName {
    /// Reads a key for a secret that is created by itself, where only the customary
    /// upper-case form is taken.
    ///
    /// # Errors
    /// If the text is not upper-case letters, digits and underscores after a letter.
    pub fn parse_strict(text: &str) -> Result<Self, NameError> {
        let rest = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        match text.as_bytes() {
            [b'A'..=b'Z', tail @ ..] if tail.len() < 256 && tail.iter().all(rest) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NameError(
                "must be 1 to 256 upper-case letters, digits or underscores and start with a letter",
            )),
        }
    }
}

/// A repository: `owner/repo`. Two spellings that differ only in case name the same
/// repository, so equality and order look at the folded form.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoName {
    owner: OwnerName,
    repo: RepoPart,
}

described!(RepoName, {
    "type": "string",
    "pattern": r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$",
    "examples": ["acme/app"],
});

impl RepoName {
    /// Puts the two halves together.
    #[must_use]
    pub const fn new(owner: OwnerName, repo: RepoPart) -> Self {
        Self { owner, repo }
    }

    /// Reads `owner/repo`.
    ///
    /// # Errors
    /// If there is not exactly one slash, or a half breaks its grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let malformed =
            NameError("must be `owner/repo` with letters, digits and `-` (in repo also `.` and `_`)");
        let (owner, repo) = text.split_once('/').ok_or_else(|| malformed.clone())?;
        let owner = OwnerName::parse(owner).map_err(|_| malformed.clone())?;
        let repo = RepoPart::parse(repo).map_err(|_| malformed)?;
        Ok(Self { owner, repo })
    }

    /// The owner as written.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.owner.as_str()
    }

    /// The repository's own name as written.
    #[must_use]
    pub fn repo(&self) -> &str {
        self.repo.as_str()
    }

    /// The lower-case form, the same for all spellings.
    #[must_use]
    pub fn folded(&self) -> String {
        format!("{}/{}", self.owner, self.repo).to_ascii_lowercase()
    }
}

impl PartialEq for RepoName {
    fn eq(&self, other: &Self) -> bool {
        self.owner().eq_ignore_ascii_case(other.owner()) && self.repo().eq_ignore_ascii_case(other.repo())
    }
}

impl Eq for RepoName {}

impl TryFrom<String> for RepoName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<RepoName> for String {
    fn from(name: RepoName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.repo)
    }
}

fn is_owner(text: &[u8]) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_alphanumeric();
    text.len() <= 39
        && text.first().is_some_and(alphanumeric)
        && text.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

fn is_repo(text: &[u8]) -> bool {
    (1..=100).contains(&text.len())
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
        && text != b"."
        && text != b".."
}

fn is_environment(text: &[u8]) -> bool {
    (2..=30).contains(&text.len())
        && text[0].is_ascii_lowercase()
        && text.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(byte))
}

fn is_secret(text: &[u8]) -> bool {
    (1..=256).contains(&text.len())
        && !text[0].is_ascii_digit()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn is_account(text: &[u8]) -> bool {
    is_owner(text) && !text.iter().any(u8::is_ascii_uppercase)
}

fn is_login(text: &[u8]) -> bool {
    (1..=100).contains(&text.len())
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_one_slash_and_two_valid_halves() {
        for good in ["a/b", "Acme-1/my.app_x", "0/.github", "a/..."] {
            assert!(RepoName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "/b", "a/", "a/b/c", "-a/b", "a/.", "a/..", "a b/c", "a/b c", "a/é", "a\0/b"] {
            assert!(RepoName::parse(bad).is_err(), "{bad}");
        }
        assert!(RepoName::parse(&format!("{}/x", "a".repeat(40))).is_err());
        assert!(RepoName::parse(&format!("a/{}", "x".repeat(101))).is_err());
    }

    #[test]
    fn spellings_of_one_repository_are_equal() {
        let (upper, lower) = (RepoName::parse("Acme/App").unwrap(), RepoName::parse("acme/app").unwrap());
        assert_eq!(upper, lower);
        assert_eq!(upper.folded(), lower.folded());
        assert_eq!(upper.to_string(), "Acme/App");
    }

    #[test]
    fn secret_names_follow_posix_and_the_strict_form_is_upper_case() {
        for good in ["A", "_", "lower_case", "A1", &"X".repeat(256)] {
            assert!(SecretName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n", &"X".repeat(257)] {
            assert!(SecretName::parse(bad).is_err(), "{bad}");
        }
        assert!(SecretName::parse_strict("API_KEY_2").is_ok());
        for bad in ["", "_A", "a", "Ab", "1A", &"X".repeat(257)] {
            assert!(SecretName::parse_strict(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn environment_and_account_names() {
        for good in ["local", "pr-12", "a_", &"e".repeat(30)] {
            assert!(EnvironmentName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "Prod", "1a", "-a", &"e".repeat(31)] {
            assert!(EnvironmentName::parse(bad).is_err(), "{bad}");
        }
        assert!(AccountName::parse("alice-2").is_ok());
        assert!(AccountName::parse("Alice").is_err());
        assert!(AccountName::parse("-alice").is_err());
        for good in ["Alice", "octocat_acme", "ends-", &"x".repeat(100)] {
            assert!(ForgeLogin::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a:b", "ä", &"x".repeat(101)] {
            assert!(ForgeLogin::parse(bad).is_err(), "{bad}");
        }
    }
}
