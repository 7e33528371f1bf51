//! Signing in: sessions, the codes that lead to one, and what the forge gave us to act
//! in somebody's name. Codes are kept as keyed hashes; what has to be shown to the
//! forge again is sealed like everything else.

use crate::base::ids::{SessionId, UserId};
use crate::base::secret::exposed;
use crate::base::{RepoName, SecretText, Timestamp};
use crate::store::codec::Record;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Somebody signed in. Deleting this record ends it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    /// The session's id, `jti` in its token.
    pub id: SessionId,
    /// Who.
    pub user: UserId,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// From which address.
    pub address: IpAddr,
    /// How the client named itself.
    pub user_agent: String,
}

impl Record for Session {
    const KIND: &'static str = "session";
}

/// What was said to a client that asks to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceState {
    /// Nothing yet.
    Pending,
    /// It may come in, as this user.
    Approved(UserId),
    /// It may not.
    Denied,
}

/// A client that asks to be let in by a code (RFC 8628).
#[derive(Clone, Serialize, Deserialize)]
pub struct DeviceCode {
    /// The lookup key of the code that people type.
    pub user_code: [u8; 32],
    /// What was said to it.
    pub state: DeviceState,
    /// The repository it named.
    pub repository: Option<RepoName>,
    /// From which address it asks.
    pub address: IpAddr,
    /// How it names itself.
    pub user_agent: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Record for DeviceCode {
    const KIND: &'static str = "device code";
}

impl Record for [u8; 32] {
    const KIND: &'static str = "user code";
}

/// A browser on its way to the forge and back.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingSignIn {
    /// The keyed hash of the cookie of the browser that has to come back.
    pub browser: [u8; 32],
    /// The PKCE verifier (RFC 7636).
    #[serde(with = "exposed")]
    pub verifier: SecretText,
    /// Where to go afterwards.
    pub target: SignInTarget,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Where a browser goes when its user has signed in.
#[derive(Clone, Serialize, Deserialize)]
pub enum SignInTarget {
    /// To our own page, or to that of the device code that is to be confirmed.
    Here {
        /// The code as it was typed.
        user_code: Option<String>,
    },
    /// To another site, which gets a one-time code.
    Elsewhere {
        /// Its address; the origin was checked.
        redirect_uri: String,
        /// What it wants to have back.
        state: Option<String>,
    },
}

impl Record for PendingSignIn {
    const KIND: &'static str = "pending sign-in";
}

/// A one-time code that a web site exchanges for a session.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignInCode {
    /// Whose session it will be.
    pub user: UserId,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Record for SignInCode {
    const KIND: &'static str = "sign-in code";
}

/// What the forge gave us to ask in somebody's name.
#[derive(Clone, Serialize, Deserialize)]
pub struct ForgeGrant {
    /// The token.
    #[serde(with = "exposed")]
    pub token: SecretText,
    /// Until when it is good; `None`: until it is revoked.
    pub expires_at: Option<Timestamp>,
    /// What a new one can be had for.
    pub refresh: Option<RefreshToken>,
}

/// What a new token can be had for, once.
#[derive(Clone, Serialize, Deserialize)]
pub struct RefreshToken {
    /// The token.
    #[serde(with = "exposed")]
    pub token: SecretText,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
}

impl Record for ForgeGrant {
    const KIND: &'static str = "forge grant";
}
