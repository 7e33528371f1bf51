//! Entries of the audit log: who did what, from where, to which names. Never a value.

use crate::base::ids::{EntryId, RequestId, UserId, VaultId};
use crate::base::{EnvironmentName, Platform, RepoName, SecretName, Timestamp};
use crate::store::codec::Record;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

macro_rules! actions {
    ($($(#[$doc:meta])+ $name:ident = $wire:literal;)+) => {
        /// What was done. Stored by position: append only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Action {
            $($(#[$doc])+ $name,)+
        }

        impl schemars::JsonSchema for Action {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                "Action".into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($wire),+] })
            }
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The action's name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }

            /// The action of that name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|action| action.as_str() == text)
            }
        }
    };
}

actions! {
    /// The appliance was set up.
    ApplianceInitialised = "appliance_initialised";
    /// An account was made.
    UserCreated = "user_created";
    /// An account was disabled.
    UserDisabled = "user_disabled";
    /// An account was enabled again.
    UserEnabled = "user_enabled";
    /// A password was set.
    UserPasswordChanged = "user_password_changed";
    /// An account was deleted.
    UserDeleted = "user_deleted";
    /// A role was given.
    RoleGranted = "role_granted";
    /// A role was taken away.
    RoleRevoked = "role_revoked";
    /// An API key was minted.
    ApiKeyCreated = "api_key_created";
    /// An API key was revoked.
    ApiKeyRevoked = "api_key_revoked";
    /// An API key that is expired, revoked, from a wrong address or of a disabled user was shown.
    ApiKeyRefused = "api_key_refused";
    /// Somebody known was refused something.
    AccessDenied = "access_denied";
    /// A vault was made.
    VaultCreated = "vault_created";
    /// A vault was put into the trash.
    VaultDeleted = "vault_deleted";
    /// An environment was made.
    EnvironmentCreated = "environment_created";
    /// An environment was renamed.
    EnvironmentRenamed = "environment_renamed";
    /// An environment's type was changed.
    EnvironmentTypeChanged = "environment_type_changed";
    /// An environment was put into the trash.
    EnvironmentDeleted = "environment_deleted";
    /// One secret was made.
    SecretCreated = "secret_created";
    /// One secret was renamed or got a new value.
    SecretUpdated = "secret_updated";
    /// One secret was put into the trash.
    SecretDeleted = "secret_deleted";
    /// One value was shown.
    SecretRevealed = "secret_value_accessed";
    /// An environment was written.
    SecretsPushed = "secrets_pushed";
    /// An environment was read.
    SecretsPulled = "secrets_pulled";
    /// A secret was taken out of the trash.
    SecretRestored = "secret_restored";
    /// A deleted secret was destroyed.
    SecretPurged = "secret_purged";
    /// The trash of a vault was emptied, or what was overdue in it destroyed.
    TrashEmptied = "trash_emptied";
    /// An old value was shown.
    VersionRevealed = "secret_version_accessed";
    /// An old value became the present one again.
    VersionRestored = "secret_version_restored";
    /// An environment was taken back to an earlier state.
    RevisionRestored = "revision_restored";
    /// An environment was taken out of the trash.
    EnvironmentRestored = "environment_restored";
    /// A deleted environment was destroyed.
    EnvironmentPurged = "environment_purged";
    /// A vault was taken out of the trash.
    VaultRestored = "vault_restored";
    /// A deleted vault and its key were destroyed.
    VaultPurged = "vault_purged";
    /// An exception to the role table was made.
    OverrideCreated = "permission_override_created";
    /// An exception to the role table was changed.
    OverrideChanged = "permission_override_updated";
    /// An exception to the role table was removed.
    OverrideDeleted = "permission_override_deleted";
    /// The audit log was written out by the machine's administrator.
    AuditExported = "audit_exported";
    /// Audit entries past their retention left the log.
    AuditPruned = "audit_pruned";
    /// Somebody signed in.
    SignedIn = "user_login";
    /// Somebody signed out.
    SignedOut = "user_logout";
    /// Somebody who showed who they are was not let in.
    SignInRefused = "login_refused";
    /// A client was let in by its device code.
    DeviceApproved = "device_approved";
    /// A client was turned away by its device code.
    DeviceDenied = "device_denied";
    /// A service was connected.
    IntegrationConnected = "integration_connected";
    /// A connection was deleted.
    IntegrationDisconnected = "integration_disconnected";
    /// An environment was linked to a project of a service.
    IntegrationLinked = "integration_linked";
    /// An environment was compared with what a service has.
    SecretsCompared = "secrets_compared";
    /// Values are about to be sent to a service.
    SyncStarted = "sync_started";
    /// An environment was synchronised with a service.
    SecretsSynced = "secrets_synced";
    /// A backup was taken.
    BackupTaken = "backup_taken";
    /// A backup was put in the database's place.
    BackupRestored = "backup_restored";
    /// Keys were replaced.
    KeysRotated = "keys_rotated";
    /// An environment was written to an archive.
    EnvironmentExported = "environment_exported";
    /// An environment was taken from an archive or a file.
    EnvironmentImported = "environment_imported";
    /// Audit entries of reads that a killed process left to be written were damaged.
    AuditSpoolDamaged = "audit_spool_damaged";
}

/// With what somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// On the machine itself.
    Machine,
    /// An API key.
    ApiKey,
    /// A session.
    Session,
    /// A token of the forge that keeps the repositories.
    ForgeToken,
    /// A password, or a proof from the forge, in exchange for a session.
    SignIn,
}

/// Who did it.
#[derive(Clone, Serialize, Deserialize)]
pub struct EntryActor {
    /// The user.
    pub user: UserId,
    /// The login at that time.
    pub username: String,
}

/// One entry.
#[derive(Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The entry's id.
    pub id: EntryId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: Action,
    /// Who; `None` for the machine's own administrator.
    pub actor: Option<EntryActor>,
    /// With which kind of credential.
    pub credential: CredentialKind,
    /// Which one, by id.
    pub credential_id: Option<[u8; 16]>,
    /// From which address.
    pub address: Option<IpAddr>,
    /// With what kind of client.
    pub platform: Platform,
    /// How the client named itself.
    pub user_agent: String,
    /// In which request.
    pub request: Option<RequestId>,
    /// In which vault.
    pub vault: Option<VaultId>,
    /// Of which repository.
    pub repo: Option<RepoName>,
    /// In which environment.
    pub environment: Option<EnvironmentName>,
    /// Which secrets, by key.
    pub names: Vec<SecretName>,
    /// Whom or what else: a login, a new name, the reason of a refusal.
    pub subject: Option<String>,
    /// How many secrets were created, updated, deleted, read.
    pub counts: [u32; 4],
}

impl Entry {
    /// An entry about what the machine, or its own administrator, did.
    #[must_use]
    pub fn of_machine(now: Timestamp, action: Action) -> Self {
        Self {
            id: EntryId::new(now),
            at: now,
            action,
            actor: None,
            credential: CredentialKind::Machine,
            credential_id: None,
            address: None,
            platform: Platform::Admin,
            user_agent: String::new(),
            request: None,
            vault: None,
            repo: None,
            environment: None,
            names: Vec::new(),
            subject: None,
            counts: [0; 4],
        }
    }
}

impl Record for u64 {
    const KIND: &'static str = "number";
}

impl Record for Entry {
    const KIND: &'static str = "audit entry";
}
