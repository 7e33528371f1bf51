//! Scopes: what an API key may be used for, whatever its owner's role is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One permission of an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    /// List, pull, reveal.
    #[serde(rename = "read:secrets")]
    ReadSecrets,
    /// Create and change.
    #[serde(rename = "write:secrets")]
    WriteSecrets,
    /// Delete and purge.
    #[serde(rename = "delete:secrets")]
    DeleteSecrets,
    /// Mint, list and revoke API keys.
    #[serde(rename = "admin:api-keys")]
    AdminApiKeys,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] =
        [Self::ReadSecrets, Self::WriteSecrets, Self::DeleteSecrets, Self::AdminApiKeys];

    /// The scope's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadSecrets => "read:secrets",
            Self::WriteSecrets => "write:secrets",
            Self::DeleteSecrets => "delete:secrets",
            Self::AdminApiKeys => "admin:api-keys",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes, kept sorted and without repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Whether `scope` is among them.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Whether all of these are also in `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.0.iter().all(|&scope| other.contains(scope))
    }

    /// The scopes in their fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<_> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }
}
