//! Services that secrets are synchronised with: who connected one, and which of its
//! projects belong to which environment.

use crate::base::ids::{ConnectionId, LinkId, UserId};
use crate::base::secret::exposed;
use crate::base::{SecretName, SecretText, Timestamp};
use crate::store::codec::Record;
use serde::{Deserialize, Serialize};

/// What a service gives in exchange for somebody's consent.
#[derive(Clone, Serialize, Deserialize)]
pub struct Grants {
    /// The token to call with.
    #[serde(with = "exposed")]
    pub token: SecretText,
    /// How the service wants the token shown, where it has several ways.
    pub scheme: Option<String>,
    /// Until when the token is good; `None`: until it is revoked.
    pub expires_at: Option<Timestamp>,
    /// What the next token can be had for.
    pub refresh: Option<Renewal>,
}

/// A token that buys the next one, once.
#[derive(Clone, Serialize, Deserialize)]
pub struct Renewal(#[serde(with = "exposed")] pub SecretText);

/// Somebody's account at a service.
#[derive(Clone, Serialize, Deserialize)]
pub struct Connection {
    /// The connection's id.
    pub id: ConnectionId,
    /// Whose it is.
    pub user: UserId,
    /// The service.
    pub provider: String,
    /// The account there.
    pub account: String,
    /// What the account calls itself.
    pub username: String,
    /// The team there, if the connection is for one.
    pub team: Option<String>,
    /// What the team is called.
    pub team_name: Option<String>,
    /// The tokens.
    pub grants: Grants,
    /// When it was connected, or connected again.
    pub created_at: Timestamp,
}

impl Record for Connection {
    const KIND: &'static str = "connection";
}

/// A browser on its way to a service and back, for somebody who wants to connect it.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingConnection {
    /// Who.
    pub user: UserId,
    /// The service.
    pub provider: String,
    /// The keyed hash of the cookie of the browser that has to come back.
    pub browser: [u8; 32],
    /// The PKCE verifier (RFC 7636).
    #[serde(with = "exposed")]
    pub verifier: SecretText,
    /// Where to go afterwards; the origin was checked.
    pub redirect_uri: Option<String>,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Record for PendingConnection {
    const KIND: &'static str = "pending connection";
}

/// What a variable at the service was last seen to hold.
#[derive(Clone, Serialize, Deserialize)]
pub struct Memory {
    /// The variable.
    pub name: SecretName,
    /// A keyed hash of its value.
    pub digest: [u8; 32],
    /// The service's mark of that state: as long as it stands, so does the value.
    pub marker: String,
}

/// An environment of a vault and the place it is synchronised with.
#[derive(Clone, Serialize, Deserialize)]
pub struct Link {
    /// The link's id.
    pub id: LinkId,
    /// The connection that was last used.
    pub connection: ConnectionId,
    /// Whose connection that is.
    pub user: UserId,
    /// The service.
    pub provider: String,
    /// The project there.
    pub project: String,
    /// What the project is called.
    pub project_name: String,
    /// The part of the project, where projects have parts.
    pub service: Option<String>,
    /// The environment there.
    pub provider_environment: String,
    /// When the two were first linked.
    pub created_at: Timestamp,
    /// When a synchronisation last came to its end.
    pub synced_at: Option<Timestamp>,
    /// What is there, by name, as far as we know.
    pub memories: Vec<Memory>,
}

impl Record for Link {
    const KIND: &'static str = "link";
}
