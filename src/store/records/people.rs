//! Users, the roles they were given here, and their API keys.

use crate::base::ids::{ApiKeyId, EnvironmentId, UserId, VaultId};
use crate::base::{AccountName, EnvironmentName, RepoName, Role, Scopes, Timestamp};
use crate::crypto::PasswordHash;
use crate::store::codec::Record;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Where somebody's identity comes from.
#[derive(Clone, Serialize, Deserialize)]
pub enum Account {
    /// An account of this appliance.
    Local {
        /// The login.
        name: AccountName,
        /// The password, if one was set.
        password: Option<PasswordHash>,
        /// Whether the account is admin of every local repository.
        admin: bool,
    },
    /// A GitHub user.
    GitHub {
        /// The user's number, which survives renames.
        id: u64,
        /// The login when last seen.
        login: String,
    },
}

/// A person or an account.
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// Where the identity comes from.
    pub account: Account,
    /// Mail address, where known.
    pub email: Option<String>,
    /// Picture, where known.
    pub avatar_url: Option<String>,
    /// A disabled user's credentials are refused.
    pub disabled: bool,
    /// When the user was first seen.
    pub created_at: Timestamp,
}

impl User {
    /// The login, as shown.
    #[must_use]
    pub fn username(&self) -> &str {
        match &self.account {
            Account::Local { name, .. } => name.as_str(),
            Account::GitHub { login, .. } => login,
        }
    }
}

impl Record for User {
    const KIND: &'static str = "user";
}

impl Record for UserId {
    const KIND: &'static str = "user name";
}

impl Record for VaultId {
    const KIND: &'static str = "vault name";
}

impl Record for ApiKeyId {
    const KIND: &'static str = "API key token";
}

/// A role given on this appliance.
#[derive(Clone, Serialize, Deserialize)]
pub struct Grant {
    /// On which repository, as spelt by who gave it.
    pub repo: RepoName,
    /// To whom.
    pub user: UserId,
    /// The role.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

impl Record for Grant {
    const KIND: &'static str = "grant";
}

/// A vault an API key is limited to.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeyRepository {
    /// The vault.
    pub vault: VaultId,
    /// Its repository's name when the key was made.
    pub name: RepoName,
}

/// An environment an API key is limited to.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeyEnvironment {
    /// The environment.
    pub id: EnvironmentId,
    /// Its name when the key was made.
    pub name: EnvironmentName,
}

/// An API key; of the token itself only a keyed hash is kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct ApiKey {
    /// The key's id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub user: UserId,
    /// What its owner calls it.
    pub name: String,
    /// `live` or `test`, a label.
    pub label: String,
    /// The first characters of the token.
    pub prefix: String,
    /// The token's lookup key, to take it out of the index again.
    pub token: [u8; 32],
    /// What it may do.
    pub scopes: Scopes,
    /// From where; empty: anywhere.
    pub allowed_ips: Vec<IpNet>,
    /// On which vaults; `None`: all its owner reaches.
    pub repositories: Option<Vec<KeyRepository>>,
    /// In which environments; `None`: all.
    pub environments: Option<Vec<KeyEnvironment>>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Record for ApiKey {
    const KIND: &'static str = "API key";
}

/// How an API key has been used.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct ApiKeyUsage {
    /// When last.
    pub last_used_at: Option<Timestamp>,
    /// How often.
    pub count: u64,
}

impl Record for ApiKeyUsage {
    const KIND: &'static str = "API key usage";
}
