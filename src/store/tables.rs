//! The catalogue of tables. A table's name is bound into everything sealed in it, so
//! a name never changes; a new table is one line here and needs no migration.
//!
//! Keys are ids, sequence numbers and keyed hashes, never names. The first group is
//! sealed by the root key, the second by the key of the vault it belongs to.

use super::StoreError;
use super::codec::{self, Record};
use super::keys::TableKey;
use super::records::{
    ApiKey, ApiKeyUsage, Connection, DeviceCode, Entry, Environment, ForgeGrant, Grant, Link,
    PendingConnection, PendingSignIn, Revision, Session, SignInCode, TrashedSecret, User, Vault, VaultKeys,
    Version,
};
use crate::base::Timestamp;
use crate::base::ids::{ApiKeyId, ConnectionId, EnvironmentId, SecretId, SessionId, UserId, VaultId};
use std::marker::PhantomData;

/// A keyed hash of a name.
pub type Lookup = [u8; 32];

/// A table whose records are sealed by the root key.
pub struct Table<K, R> {
    pub(super) name: &'static str,
    shape: PhantomData<fn(K, R)>,
}

/// A table whose records are sealed by their vault's key.
pub struct VaultTable<K, R> {
    pub(super) name: &'static str,
    shape: PhantomData<fn(K, R)>,
}

/// A table that holds keys only.
pub struct Index<K> {
    pub(super) name: &'static str,
    shape: PhantomData<fn(K)>,
}

macro_rules! catalogue {
    ($($(#[$doc:meta])+ $constant:ident: $kind:ident<$($shape:ty),+> = $name:literal;)+) => {
        $(
            $(#[$doc])+
            pub const $constant: $kind<$($shape),+> = $kind { name: $name, shape: PhantomData };
        )+

        /// Every table's name.
        pub(super) const NAMES: &[&str] = &[META, $($name),+];

        /// What holds for every table but [`META`], for work that goes through all of them.
        pub(super) const SHEETS: &[Sheet] = &[$($kind::<$($shape),+>::sheet($name)),+];
    };
}

/// Whose key seals a table's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SealedBy {
    /// The root key.
    Root,
    /// The key of the vault whose id the record's key begins with.
    Vault,
    /// Nobody's: it has keys only.
    Nobody,
}

/// A table without its types.
pub(super) struct Sheet {
    pub(super) name: &'static str,
    /// What people call its records.
    pub(super) kind: &'static str,
    pub(super) sealed_by: SealedBy,
    /// Whether these bytes are a key of it.
    pub(super) is_key: fn(&[u8]) -> bool,
    /// Whether these bytes, after unsealing, are a record of it.
    pub(super) decodes: fn(&[u8]) -> Result<(), StoreError>,
}

/// Schema version, sealed keyring, audit head: what is needed before records can be read.
pub(super) const META: &str = "meta";

catalogue! {
    /// People and accounts.
    USERS: Table<UserId, User> = "users";
    /// Who a login name belongs to.
    USER_NAMES: Table<Lookup, UserId> = "user_names";
    /// Roles given on this appliance, by repository and user.
    GRANTS: Table<(Lookup, UserId), Grant> = "grants";
    /// The same, to be found by user.
    GRANTS_BY_USER: Index<(UserId, Lookup)> = "grants_by_user";
    /// Vaults, with their environments' names and rules.
    VAULTS: Table<VaultId, Vault> = "vaults";
    /// Which living vault a repository has.
    VAULT_NAMES: Table<Lookup, VaultId> = "vault_names";
    /// Vaults of the user whose namespace they are in.
    VAULTS_BY_OWNER: Index<(UserId, VaultId)> = "vaults_by_owner";
    /// Each vault's own keys.
    VAULT_KEYS: Table<VaultId, VaultKeys> = "vault_keys";
    /// API keys.
    API_KEYS: Table<ApiKeyId, ApiKey> = "api_keys";
    /// Which API key a token is.
    API_KEY_TOKENS: Table<Lookup, ApiKeyId> = "api_key_tokens";
    /// API keys of a user.
    API_KEYS_BY_USER: Index<(UserId, ApiKeyId)> = "api_keys_by_user";
    /// When and how often an API key was used.
    API_KEY_USAGE: Table<ApiKeyId, ApiKeyUsage> = "api_key_usage";
    /// Accounts of users at services that secrets are synchronised with.
    CONNECTIONS: Table<(UserId, ConnectionId), Connection> = "connections";
    /// Browsers on their way to such a service and back.
    PENDING_CONNECTIONS: Table<Lookup, PendingConnection> = "pending_connections";
    /// The audit log, by sequence number.
    AUDIT: Table<u64, Entry> = "audit";
    /// The sequence numbers of a vault's audit entries, counted through, so that any page
    /// of them and their number are found without a walk.
    AUDIT_BY_VAULT: Table<(VaultId, u64), u64> = "audit_by_vault";
    /// The same for a user's.
    AUDIT_BY_USER: Table<(UserId, u64), u64> = "audit_by_user";
    /// How far tasks in the background have come, by task.
    PROGRESS: Table<u64, u64> = "progress";
    /// Deleted vaults, by when they were deleted.
    DELETED_VAULTS: Index<(Timestamp, VaultId)> = "deleted_vaults";
    /// Deleted environments of living and deleted vaults, by when they were deleted.
    DELETED_ENVIRONMENTS: Index<(Timestamp, VaultId, EnvironmentId)> = "deleted_environments";
    /// Deleted secrets, by when they were deleted.
    TRASH_BY_TIME: Index<(Timestamp, VaultId, SecretId)> = "trash_by_time";
    /// Vaults whose key is destroyed and whose sealed records still have to be swept out.
    PURGED_VAULTS: Index<VaultId> = "purged_vaults";

    /// Who is signed in.
    SESSIONS: Table<SessionId, Session> = "sessions";
    /// Sessions of a user.
    SESSIONS_BY_USER: Index<(UserId, SessionId)> = "sessions_by_user";
    /// Clients that ask to be let in, by the code they hold.
    DEVICE_CODES: Table<Lookup, DeviceCode> = "device_codes";
    /// The same, to be found by the code people type.
    USER_CODES: Table<Lookup, Lookup> = "user_codes";
    /// Browsers on their way to the forge and back.
    PENDING_SIGN_INS: Table<Lookup, PendingSignIn> = "pending_sign_ins";
    /// One-time codes that web sites exchange for sessions.
    SIGN_IN_CODES: Table<Lookup, SignInCode> = "sign_in_codes";
    /// What the forge gave us to ask in somebody's name.
    FORGE_GRANTS: Table<UserId, ForgeGrant> = "forge_grants";

    /// What people read: an environment's living secrets in one record.
    ENVIRONMENTS: VaultTable<(VaultId, EnvironmentId), Environment> = "environments";
    /// Old values of secrets, by version number.
    VERSIONS: VaultTable<(VaultId, SecretId, u64), Version> = "versions";
    /// Deleted secrets.
    TRASH: VaultTable<(VaultId, SecretId), TrashedSecret> = "trash";
    /// The states an environment went through, by number.
    REVISIONS: VaultTable<(VaultId, EnvironmentId, u64), Revision> = "revisions";
    /// What an environment is synchronised with.
    LINKS: VaultTable<(VaultId, EnvironmentId, Lookup), Link> = "links";
}

impl<K: TableKey, R: Record> Table<K, R> {
    pub(super) const KIND: &'static str = R::KIND;

    const fn sheet(name: &'static str) -> Sheet {
        Sheet { name, kind: R::KIND, sealed_by: SealedBy::Root, is_key: is_key::<K>, decodes: decodes::<R> }
    }
}

impl<K: TableKey, R: Record> VaultTable<K, R> {
    pub(super) const KIND: &'static str = R::KIND;

    const fn sheet(name: &'static str) -> Sheet {
        Sheet { name, kind: R::KIND, sealed_by: SealedBy::Vault, is_key: is_key::<K>, decodes: decodes::<R> }
    }
}

impl<K: TableKey> Index<K> {
    const fn sheet(name: &'static str) -> Sheet {
        let kind = "index entry";
        Sheet { name, kind, sealed_by: SealedBy::Nobody, is_key: is_key::<K>, decodes: is_empty }
    }
}

fn is_key<K: TableKey>(bytes: &[u8]) -> bool {
    K::from_bytes(bytes).is_some()
}

fn decodes<R: Record>(bytes: &[u8]) -> Result<(), StoreError> {
    codec::decode::<R>(bytes).map(drop)
}

fn is_empty(bytes: &[u8]) -> Result<(), StoreError> {
    if bytes.is_empty() { Ok(()) } else { Err(StoreError::damaged("index entry", "it holds a value")) }
}
