//! What the operator decided about this room; `app` fills it from the configuration.

use crate::base::{EnvironmentName, OwnerName, RepoName, SecretText};
use std::time::Duration;

/// Whether reading secrets waits until its audit entry is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAudit {
    /// The values leave after the entry is on the disk.
    Durable,
    /// The entry follows within a second.
    Relaxed,
}

/// What the operator decided about this room.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Environments of a new vault.
    pub default_environments: Vec<EnvironmentName>,
    /// How many old values a secret keeps.
    pub versions_kept: u64,
    /// How many days deleted things can be restored.
    pub trash_days: u64,
    /// Longest value, in bytes.
    pub value_limit_bytes: usize,
    /// Most keys and values of one environment together, in bytes.
    pub environment_limit_bytes: usize,
    /// How reads are audited.
    pub read_audit: ReadAudit,
    /// How many days audit entries are kept.
    pub audit_days: u64,
    /// How people sign in.
    pub sign_in: SignInSettings,
    /// What counts where a forge is connected.
    pub forge: ForgeSettings,
}

impl Settings {
    /// How long deleted things can be restored.
    pub(crate) const fn trash_time(&self) -> Duration {
        Duration::from_secs(self.trash_days * 24 * 60 * 60)
    }

    /// How long audit entries are kept.
    pub(crate) const fn audit_time(&self) -> Duration {
        Duration::from_secs(self.audit_days * 24 * 60 * 60)
    }
}

/// What an appliance does that was told nothing.
impl Default for Settings {
    fn default() -> Self {
        let names = ["local", "development", "staging", "production"];
        Self {
            default_environments: names.into_iter().flat_map(EnvironmentName::parse).collect(),
            versions_kept: 10,
            trash_days: 30,
            value_limit_bytes: 64 << 10,
            environment_limit_bytes: 1 << 20,
            read_audit: ReadAudit::Durable,
            audit_days: 365,
            sign_in: SignInSettings::default(),
            forge: ForgeSettings::default(),
        }
    }
}

/// How people sign in.
#[derive(Clone, Debug, PartialEq)]
pub struct SignInSettings {
    /// Who makes session tokens: the server's public address.
    pub issuer: String,
    /// Whether there are accounts of this appliance.
    pub local_accounts: bool,
    /// How long a session lasts.
    pub session: Duration,
    /// How long a device code is good.
    pub device_code: Duration,
    /// How long a device waits between two polls.
    pub device_poll: Duration,
    /// Origins of web sites that signing in may return to.
    pub redirect_origins: Vec<String>,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            issuer: "http://127.0.0.1:8490".to_owned(),
            local_accounts: true,
            session: Duration::from_secs(30 * 24 * 60 * 60),
            device_code: Duration::from_secs(15 * 60),
            device_poll: Duration::from_secs(5),
            redirect_origins: Vec::new(),
        }
    }
}

/// What counts where a forge is connected.
#[derive(Clone, Debug, PartialEq)]
pub struct ForgeSettings {
    /// Whether the operator has connected one, even while this process does not ask it.
    pub connected: bool,
    /// For whose repositories vaults may be made.
    pub allowed_owners: Vec<OwnerName>,
    /// How long a role is believed.
    pub role_cache: Duration,
    /// How long it still is while the forge cannot be asked.
    pub stale_grace: Duration,
    /// What signs the forge's events.
    pub webhook_secret: Option<SecretText>,
}

impl Default for ForgeSettings {
    fn default() -> Self {
        Self {
            connected: false,
            allowed_owners: Vec::new(),
            role_cache: Duration::from_secs(60),
            stale_grace: Duration::ZERO,
            webhook_secret: None,
        }
    }
}

impl ForgeSettings {
    /// Whether a vault may be made for `repo`.
    pub(super) fn allows(&self, repo: &RepoName) -> bool {
        self.allowed_owners.iter().any(|owner| owner.as_str().eq_ignore_ascii_case(repo.owner()))
    }
}

#[cfg(any(test, fuzzing))]
impl Settings {
    /// The defaults, at `https://keyway.example`.
    pub(super) fn for_tests() -> Self {
        let issuer = "https://keyway.example".to_owned();
        Self { sign_in: SignInSettings { issuer, ..SignInSettings::default() }, ..Self::default() }
    }
}
