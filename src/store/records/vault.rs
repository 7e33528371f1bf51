//! Vaults and what is in them.

use crate::base::ids::{EnvironmentId, OverrideId, RevisionId, SecretId, UserId, VaultId, VersionId};
use crate::base::secret::exposed;
use crate::base::{EnvironmentName, Platform, RepoName, Role, SecretName, SecretText, Timestamp};
use crate::crypto::VaultKey;
use crate::store::codec::{InPlace, Record};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Who decides about roles on a vault's repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// This appliance. A vault in an account's own namespace belongs to that account.
    Local {
        /// The account whose namespace it is in.
        owner: Option<UserId>,
    },
    /// GitHub.
    GitHub {
        /// The repository's number, which survives renames.
        repository_id: u64,
    },
}

/// How an environment is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentKind {
    /// By the role table.
    Standard,
    /// By the role table.
    Development,
    /// Reading needs write, writing needs admin.
    Protected,
}

/// When and by whom something was put into the trash.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Deletion {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Option<UserId>,
}

/// Whom an override is about.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverrideTarget {
    /// Everybody with exactly this role.
    Role(Role),
    /// One user.
    User(UserId),
}

/// An exception to the role table for one environment.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Override {
    /// The override's id.
    pub id: OverrideId,
    /// Whom it is about.
    pub target: OverrideTarget,
    /// Whether they may read.
    pub can_read: bool,
    /// Whether they may write.
    pub can_write: bool,
    /// Since when.
    pub created_at: Timestamp,
}

/// What is known of an environment without opening its secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnvironmentInfo {
    /// The environment's id, which survives renames.
    pub id: EnvironmentId,
    /// Its name.
    pub name: EnvironmentName,
    /// How it is guarded.
    pub kind: EnvironmentKind,
    /// How many secrets live in it.
    pub secret_count: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// Exceptions to the role table.
    pub overrides: Vec<Override>,
    /// Set while it is in the trash.
    pub deleted: Option<Deletion>,
}

/// The secrets of one repository.
#[derive(Clone, Serialize, Deserialize)]
pub struct Vault {
    /// The vault's id.
    pub id: VaultId,
    /// Who decides about roles on it.
    pub source: Source,
    /// The repository, as its source spells it.
    pub repo: RepoName,
    /// Whether the repository is private.
    pub private: bool,
    /// The owner's picture, where known.
    pub avatar_url: Option<String>,
    /// Its environments, living and deleted, oldest first.
    pub environments: Vec<EnvironmentInfo>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: Option<UserId>,
    /// When anything in it last changed.
    pub updated_at: Timestamp,
    /// Set while it is in the trash.
    pub deleted: Option<Deletion>,
}

impl Record for Vault {
    const KIND: &'static str = "vault";
}

/// A vault's own keys, newest last. Destroying this record destroys the vault.
pub struct VaultKeys(pub(in crate::store) Vec<(u32, VaultKey)>);

impl Record for VaultKeys {
    const KIND: &'static str = "vault keys";
}

impl Serialize for VaultKeys {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        target.collect_seq(self.0.iter().map(|(generation, key)| (generation, key.expose())))
    }
}

impl<'de> Deserialize<'de> for VaultKeys {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let raw: Vec<(u32, [u8; 32])> = Deserialize::deserialize(source)?;
        Ok(Self(raw.into_iter().map(|(generation, key)| (generation, VaultKey::from_bytes(key))).collect()))
    }
}

/// One living secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secret {
    /// The secret's id.
    pub id: SecretId,
    /// Its key.
    pub name: SecretName,
    /// Its value.
    #[serde(with = "exposed")]
    pub value: SecretText,
    /// How many values it has had, this one included.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the value was written.
    pub updated_at: Timestamp,
    /// By whom.
    pub updated_by: Option<UserId>,
}

/// All living secrets of an environment.
#[derive(Clone, Serialize, Deserialize)]
pub struct Environment {
    /// The id of this state; clients see it as the `ETag` of a pull.
    pub revision: RevisionId,
    /// The number of this state; each change counts one up.
    pub number: u64,
    /// The secrets, sorted by name.
    pub secrets: Vec<Secret>,
}

impl Record for Environment {
    const KIND: &'static str = "environment";
}

/// An environment in place, for reading all of it at once.
#[derive(Deserialize)]
pub struct EnvironmentSeen<'a> {
    /// As in [`Environment`].
    pub revision: RevisionId,
    _number: u64,
    /// As in [`Environment`].
    #[serde(borrow)]
    pub secrets: Vec<SecretSeen<'a>>,
}

/// A living secret in place.
#[derive(Deserialize)]
pub struct SecretSeen<'a> {
    _id: &'a [u8],
    /// Its key.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
    _version: u64,
    _created_at: Timestamp,
    _updated_at: Timestamp,
    _updated_by: Option<&'a [u8]>,
}

impl EnvironmentSeen<'_> {
    /// An environment without secrets.
    #[must_use]
    pub const fn empty(revision: RevisionId) -> Self {
        Self { revision, _number: 0, secrets: Vec::new() }
    }
}

impl InPlace for Environment {
    type Seen<'a> = EnvironmentSeen<'a>;
}

/// A value that was overwritten.
#[derive(Clone, Serialize, Deserialize)]
pub struct Version {
    /// The version's id.
    pub id: VersionId,
    /// The value.
    #[serde(with = "exposed")]
    pub value: SecretText,
    /// When it was written.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: Option<UserId>,
}

impl Record for Version {
    const KIND: &'static str = "version";
}

/// A deleted secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct TrashedSecret {
    /// The secret as it was.
    pub secret: Secret,
    /// The environment it was in.
    pub environment: EnvironmentId,
    /// When and by whom it was deleted.
    pub deletion: Deletion,
}

impl Record for TrashedSecret {
    const KIND: &'static str = "trash";
}

/// One secret in a past state of an environment: its value is found by its version.
#[derive(Clone, Serialize, Deserialize)]
pub struct ManifestItem {
    /// Which secret.
    pub id: SecretId,
    /// Its key then.
    pub name: SecretName,
    /// Its version then.
    pub version: u64,
}

/// A state an environment was in. It names values without holding them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Revision {
    /// The state's id.
    pub id: RevisionId,
    /// When it began.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// With what kind of client.
    pub platform: Platform,
    /// Secrets that were new in it.
    pub created: u32,
    /// Secrets whose value or name changed.
    pub updated: u32,
    /// Secrets that were gone.
    pub deleted: u32,
    /// The whole state.
    pub manifest: Vec<ManifestItem>,
}

impl Record for Revision {
    const KIND: &'static str = "revision";
}
