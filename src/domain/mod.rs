//! The product's rules: one file per subject, all methods of [`Services`]. A service
//! gets an [`Actor`], asks [`permissions`] what the actor may do, and hands back what
//! the API shows. Whatever reads or changes secrets needs a capability that only
//! `permissions` can make.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

pub mod activity;
pub mod actor;
pub mod api_keys;
mod attempts;
pub mod audit_log;
mod auth;
mod contents;
pub mod devices;
pub mod dotenv;
pub mod environments;
pub mod error;
pub mod forge_sign_in;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gate;
mod grants;
pub mod integrations;
pub mod journal;
mod meters;
pub mod operator;
pub mod overrides;
mod passwords;
pub mod permissions;
pub mod ports;
mod progress;
pub mod pull;
pub mod push;
mod questions;
#[cfg(test)]
mod retention_tests;
pub mod revisions;
mod roles;
pub mod secrets;
pub mod sessions;
mod settings;
pub mod sign_in;
#[cfg(test)]
mod sign_in_tests;
pub mod transfer;
pub mod trash;
pub mod upkeep;
mod usage;
pub mod users;
pub mod vaults;
pub mod versions;
mod waiting;

pub use actor::{Actor, Origin};
pub use error::{Error, ErrorKind, FieldError, Result};
pub use sessions::SignedIn;
pub use settings::{ForgeSettings, ReadAudit, Settings, SignInSettings};

use crate::base::ids::InstanceId;
use crate::base::{Clock, Timestamp};
use crate::store::Store;
use attempts::Attempts;
use auth::RefusedKeys;
use devices::Devices;
use forge_sign_in::Departures;
use grants::Renewals;
use integrations::Integrations;
use passwords::Passwords;
use roles::Roles;
use std::sync::Arc;
use tokio::sync::Notify;
use upkeep::Upkeep;
use usage::UsageCounter;

/// The product. Cheap to clone; all clones are the same appliance.
#[derive(Clone)]
pub struct Services(Arc<Inner>);

struct Inner {
    instance: InstanceId,
    store: Store,
    clock: Arc<dyn Clock>,
    settings: Settings,
    passwords: Passwords,
    usage: UsageCounter,
    /// Rung when there is something for the sweeper to do before its time.
    sweep: Notify,
    roles: Option<Roles>,
    renewals: Renewals,
    devices: Devices,
    departures: Departures,
    attempts: Attempts,
    refused_keys: RefusedKeys,
    integrations: Integrations,
    upkeep: Upkeep,
}

impl Services {
    /// Puts the rules on top of a store, and connects them with a forge if there is one.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        settings: Settings,
        forge: Option<Arc<dyn ports::Forge>>,
        integrations: Integrations,
    ) -> Self {
        Self(Arc::new(Inner {
            instance: InstanceId::random(),
            roles: forge.map(|forge| Roles::new(forge, &settings)),
            store,
            clock,
            settings,
            passwords: Passwords::default(),
            usage: UsageCounter::default(),
            sweep: Notify::default(),
            renewals: Renewals::default(),
            devices: Devices::default(),
            departures: Departures::default(),
            attempts: Attempts::default(),
            refused_keys: RefusedKeys::default(),
            integrations,
            upkeep: Upkeep::default(),
        }))
    }

    /// The operator's defaults.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn in_memory() -> Self {
        Self::in_memory_at(Arc::new(crate::base::SystemClock))
    }

    /// The same, by another clock.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn in_memory_at(clock: Arc<dyn Clock>) -> Self {
        Self::new(Store::in_memory(), clock, Settings::for_tests(), None, Integrations::none())
    }

    /// The operator's defaults, with services to synchronise with.
    #[cfg(test)]
    pub(crate) fn in_memory_with(integrations: Integrations) -> Self {
        let (clock, rules) = (Arc::new(crate::base::SystemClock), Settings::for_tests());
        Self::new(Store::in_memory(), clock, rules, None, integrations)
    }

    /// What tells this run of the appliance from every other run, and from other
    /// appliances.
    #[must_use]
    pub fn instance(&self) -> InstanceId {
        self.0.instance
    }

    /// Whether the appliance can serve.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn health(&self) -> Result<()> {
        if self.store().is_healthy() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Unavailable, error::STORE_FAILED))
        }
    }

    /// Why the appliance cannot serve reads and writes at this moment, in words for
    /// operators; empty: it can.
    #[must_use]
    pub fn hindrances(&self) -> Vec<String> {
        let mut hindrances = Vec::new();
        if let Err(error) = self.health() {
            hindrances.push(error.detail);
        }
        if self.store().is_full() {
            hindrances.push("more writes are waiting than the disk can take".to_owned());
        }
        hindrances
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

    fn integrations(&self) -> &Integrations {
        &self.0.integrations
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}
