//! Services that secrets are synchronised with: connecting accounts, finding projects,
//! and one engine that compares and synchronises. The services themselves stand behind
//! the port [`Provider`]; none of their names is known here.

mod access;
mod connections;
mod consent;
mod failure;
mod links;
mod plan;
mod projects;
mod pull;
mod push;
mod renewal;
mod sides;
mod sync;

pub use connections::{Connected, ConnectedUser, ConnectionSummary};
pub(super) use connections::{connections_of, forget_connections};
pub use consent::{Consented, WayToConnect};
pub use links::{LinkSummary, Linked};
pub use plan::{Diff, Direction};
pub use projects::{AllProjects, BrokenConnection, ProjectSummary};
pub use sync::{KeyFailure, Preview, SyncPlace, SyncRequest, SyncResult, SyncStats, SyncStatus, Synced};

use super::ports::provider::{Profile, Provider};
use super::waiting::Waiting;
use super::{Error, Result};
use crate::base::ids::UserId;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// A service this version knows. One that is not enabled is not there to be called.
#[derive(Clone)]
pub struct Integration {
    /// What it is called, and what it can do.
    pub profile: &'static Profile,
    /// The service, if the operator enabled it.
    pub provider: Option<Arc<dyn Provider>>,
}

/// All of them, and how they are used.
pub struct Integrations {
    known: Vec<Integration>,
    budget: Duration,
    running: Locks,
    renewing: Locks,
    /// Browsers that were sent to a service and are not back.
    departures: Waiting<UserId, ()>,
}

/// Most connections of one user that are on their way; one more, and the oldest is given up.
const DEPARTURES_MAX: usize = 10;

/// A service as the list of services shows it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationSummary {
    /// Its name in paths.
    pub name: &'static str,
    /// Its name for people.
    pub display_name: &'static str,
    /// Whether it is enabled here.
    pub configured: bool,
}

impl Integrations {
    /// `known` services, in the order they are listed. One request spends at most
    /// `budget` on calling them.
    #[must_use]
    pub fn new(known: Vec<Integration>, budget: Duration) -> Self {
        let departures = Waiting::new("connections", DEPARTURES_MAX);
        Self { known, budget, running: Locks::default(), renewing: Locks::default(), departures }
    }

    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Vec::new(), Duration::ZERO)
    }

    /// The services, as they are listed.
    pub(super) fn summaries(&self) -> Vec<IntegrationSummary> {
        let summary = |known: &Integration| IntegrationSummary {
            name: known.profile.name,
            display_name: known.profile.title,
            configured: known.provider.is_some(),
        };
        self.known.iter().map(summary).collect()
    }

    /// The service called `name`.
    ///
    /// # Errors
    /// Not found, or conflict when it is not enabled.
    pub(super) fn provider(&self, name: &str) -> Result<Arc<dyn Provider>> {
        let known = self.known.iter().find(|known| known.profile.name == name);
        let known = known
            .ok_or_else(|| Error::not_found("no such integration; `GET /v1/integrations` lists them"))?;
        known.provider.clone().ok_or_else(|| {
            let Profile { name, title, .. } = known.profile;
            Error::conflict(format!(
                "{title} is not enabled on this server; its operator can set `integrations.{name}.enabled`"
            ))
        })
    }
}

/// Mutual exclusion by name, for as long as somebody is interested.
#[derive(Default)]
struct Locks(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Locks {
    fn of(&self, name: String) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get(&name).and_then(Weak::upgrade) {
            return held;
        }
        all.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        all.insert(name, Arc::downgrade(&lock));
        lock
    }
}
