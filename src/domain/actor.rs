//! Who is acting, with which credential, and where from.

use crate::base::ids::{ApiKeyId, EnvironmentId, RequestId, SessionId, UserId, VaultId};
use crate::base::{Agent, Platform, Scopes, SecretText, Timestamp};
use crate::store::records::{Account, ApiKey, CredentialKind, User};
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

/// How somebody came to be recognised.
#[derive(Clone)]
pub(super) enum Credential {
    ApiKey(KeyLimits),
    Session {
        id: SessionId,
        /// Whether a browser showed it, as a cookie.
        by_cookie: bool,
    },
    /// A token of the forge, which is what the forge is asked with.
    Forge(ForgeToken),
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

/// A token to ask the forge with, and the keyed hash that stands for it.
#[derive(Clone)]
pub(super) struct ForgeToken {
    pub(super) tag: [u8; 32],
    pub(super) text: SecretText,
}

/// Somebody recognised.
#[derive(Clone)]
pub struct Actor {
    pub(super) user: User,
    pub(super) credential: Credential,
    pub(super) origin: Origin,
    /// Whether the store does not know the user yet, or not as they are now.
    pub(super) unsaved: bool,
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
        Self { user, credential: Credential::ApiKey(key), origin, unsaved: false }
    }

    /// The user's id.
    #[must_use]
    pub const fn user_id(&self) -> UserId {
        self.user.id
    }

    /// The user's login.
    #[must_use]
    pub fn username(&self) -> &str {
        self.user.username()
    }

    /// The same for every request with this credential, and for no other.
    #[must_use]
    pub fn credential_tag(&self) -> [u8; 16] {
        match &self.credential {
            Credential::ApiKey(key) => *key.id.as_bytes(),
            Credential::Session { id, .. } => *id.as_bytes(),
            Credential::Forge(token) => token.tag.first_chunk().copied().unwrap_or_default(),
        }
    }

    /// What the credential may be used for; `None` when it is not limited.
    #[must_use]
    pub const fn scopes(&self) -> Option<&Scopes> {
        match &self.credential {
            Credential::ApiKey(key) => Some(&key.scopes),
            _ => None,
        }
    }

    /// Where the request came from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What kind of client this is, for the audit log.
    #[must_use]
    pub const fn platform(&self) -> Platform {
        match (&self.credential, self.origin.agent) {
            (_, Agent::Cli) => Platform::Cli,
            (_, Agent::Mcp) => Platform::Mcp,
            (Credential::Session { by_cookie: true, .. }, Agent::Other) => Platform::Web,
            (_, Agent::Other) => Platform::Api,
        }
    }

    pub(super) const fn credential_kind(&self) -> CredentialKind {
        match self.credential {
            Credential::ApiKey(_) => CredentialKind::ApiKey,
            Credential::Session { .. } => CredentialKind::Session,
            Credential::Forge(_) => CredentialKind::ForgeToken,
        }
    }

    /// Whether the forge says who this is.
    pub(super) const fn is_of_the_forge(&self) -> bool {
        matches!(self.user.account, Account::GitHub { .. })
    }

    /// Whether the credential reaches this vault at all.
    pub(super) fn reaches(&self, vault: VaultId) -> bool {
        self.limits().0.is_none_or(|vaults| vaults.contains(&vault))
    }

    /// Whether the credential reaches this environment.
    pub(super) fn reaches_environment(&self, environment: EnvironmentId) -> bool {
        self.limits().1.is_none_or(|list| list.contains(&environment))
    }

    /// Whether the credential is limited to vaults or environments that exist already.
    pub(super) fn is_confined(&self) -> bool {
        let (vaults, environments) = self.limits();
        vaults.is_some() || environments.is_some()
    }

    pub(super) fn limits(&self) -> (Option<&[VaultId]>, Option<&[EnvironmentId]>) {
        match &self.credential {
            Credential::ApiKey(key) => (key.vaults.as_deref(), key.environments.as_deref()),
            _ => (None, None),
        }
    }
}
