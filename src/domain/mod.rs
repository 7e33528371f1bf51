//! The product's rules: one file per subject, all methods of [`Services`]. A service
//! gets an [`Actor`], asks [`permissions`] what the actor may do, and hands back what
//! the API shows. Whatever reads or changes secrets needs a capability that only
//! `permissions` can make.

pub mod activity;
pub mod actor;
pub mod api_keys;
pub mod audit_log;
mod auth;
mod contents;
pub mod dotenv;
pub mod environments;
pub mod error;
mod gate;
pub mod journal;
pub mod operator;
pub mod overrides;
mod passwords;
pub mod permissions;
pub mod pull;
pub mod push;
#[cfg(test)]
mod retention_tests;
pub mod revisions;
pub mod secrets;
pub mod trash;
mod usage;
pub mod users;
pub mod vaults;
pub mod versions;

pub use actor::{Actor, Origin};
pub use error::{Error, ErrorKind, FieldError, Result};

use crate::base::{Clock, EnvironmentName, Timestamp};
use crate::store::Store;
use passwords::Passwords;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use usage::UsageCounter;

/// Whether reading secrets waits until its audit entry is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAudit {
    /// The values leave after the entry is on the disk.
    Durable,
    /// The entry follows within a second.
    Relaxed,
}

/// What the operator decided about this room.
#[derive(Clone, Debug)]
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

/// The product. Cheap to clone; all clones are the same appliance.
#[derive(Clone)]
pub struct Services(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    settings: Settings,
    passwords: Passwords,
    usage: UsageCounter,
    /// Rung when there is something for the sweeper to do before its time.
    sweep: Notify,
}

impl Services {
    /// Puts the rules on top of a store.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            store,
            clock,
            settings,
            passwords: Passwords::default(),
            usage: UsageCounter::default(),
            sweep: Notify::default(),
        }))
    }

    /// The operator's defaults.
    #[cfg(test)]
    pub(crate) fn test_settings() -> Settings {
        Settings {
            default_environments: ["local", "development", "staging", "production"]
                .map(|name| EnvironmentName::parse(name).unwrap())
                .to_vec(),
            versions_kept: 10,
            trash_days: 30,
            value_limit_bytes: 65_536,
            environment_limit_bytes: 1 << 20,
            read_audit: ReadAudit::Durable,
            audit_days: 365,
        }
    }

    /// The product on a store that is gone when closed.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self::new(Store::in_memory(), Arc::new(crate::base::SystemClock), Self::test_settings())
    }

    /// Whether the appliance can serve.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn health(&self) -> Result<()> {
        if self.store().is_healthy() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Unavailable, "the store cannot serve; the server's log says why"))
        }
    }

    /// Writes what is still in memory and closes the store.
    pub async fn close(&self) {
        if let Err(error) = self.flush_usage().await {
            tracing::error!(%error, "the use of API keys was not written");
        }
        let services = self.clone();
        // The writer's last commit is waited for, which is no work for an async thread.
        let _ = tokio::task::spawn_blocking(move || services.store().close()).await;
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}
