//! Who is acting, with which credential, and where from.

use crate::base::ids::{ApiKeyId, EnvironmentId, RequestId, UserId, VaultId};
use crate::base::{Agent, Platform, Scopes, Timestamp};
use crate::store::records::{ApiKey, CredentialKind, User};
use ipnet::IpNet;
use std::net::IpAddr;

/// What a request tells about itself.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The request's id.
    pub request_id: RequestId,
    /// The client's address.
    pub address: IpAddr,
    /// How the client names itself, cut to 200 characters.
    pub user_agent: String,
    /// Which program that is.
    pub agent: Agent,
}

/// The limits of the API key that somebody came with.
#[derive(Clone)]
pub(super) struct KeyLimits {
    pub(super) id: ApiKeyId,
    pub(super) scopes: Scopes,
    vaults: Option<Vec<VaultId>>,
    environments: Option<Vec<EnvironmentId>>,
    pub(super) expires_at: Option<Timestamp>,
    /// Empty: from anywhere.
    pub(super) allowed_ips: Vec<IpNet>,
}

/// Somebody recognised.
#[derive(Clone)]
pub struct Actor {
    pub(super) user: User,
    pub(super) key: KeyLimits,
    pub(super) origin: Origin,
}

impl Actor {
    pub(super) fn with_api_key(user: User, key: &ApiKey, origin: Origin) -> Self {
        let vaults = key.repositories.as_ref().map(|list| list.iter().map(|one| one.vault).collect());
        let environments = key.environments.as_ref().map(|list| list.iter().map(|one| one.id).collect());
        let key = KeyLimits {
            id: key.id,
            scopes: key.scopes.clone(),
            vaults,
            environments,
            expires_at: key.expires_at,
            allowed_ips: key.allowed_ips.clone(),
        };
        Self { user, key, origin }
    }

    /// The user's id.
    #[must_use]
    pub const fn user_id(&self) -> UserId {
        self.user.id
    }

    /// The same for every request with this credential, and for no other.
    #[must_use]
    pub const fn credential_tag(&self) -> [u8; 16] {
        *self.key.id.as_bytes()
    }

    /// What the credential may be used for; `None` when it is not limited.
    #[must_use]
    pub const fn scopes(&self) -> Option<&Scopes> {
        Some(&self.key.scopes)
    }

    /// Where the request came from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What kind of client this is, for the audit log.
    #[must_use]
    pub const fn platform(&self) -> Platform {
        match self.origin.agent {
            Agent::Cli => Platform::Cli,
            Agent::Mcp => Platform::Mcp,
            Agent::Other => Platform::Api,
        }
    }

    pub(super) const fn credential_kind(&self) -> CredentialKind {
        CredentialKind::ApiKey
    }

    /// Whether the credential reaches this vault at all.
    pub(super) fn reaches(&self, vault: VaultId) -> bool {
        self.key.vaults.as_ref().is_none_or(|vaults| vaults.contains(&vault))
    }

    /// Whether the credential reaches this environment.
    pub(super) fn reaches_environment(&self, environment: EnvironmentId) -> bool {
        self.key.environments.as_ref().is_none_or(|list| list.contains(&environment))
    }

    /// Whether the credential is limited to vaults or environments that exist already.
    pub(super) const fn is_confined(&self) -> bool {
        self.key.vaults.is_some() || self.key.environments.is_some()
    }

    pub(super) fn limits(&self) -> (Option<&[VaultId]>, Option<&[EnvironmentId]>) {
        (self.key.vaults.as_deref(), self.key.environments.as_deref())
    }
}
