//! What all connections share: settings, routes, limits, and the services behind them.

use super::body::MEMORY_UNIT;
use super::limits::Limits;
use super::openapi;
use super::problem::Problem;
use super::router::{Route, Table, TableError};
use super::settings::HttpSettings;
use crate::base::meter::Meters;
use crate::base::{Aside, Clock};
use crate::domain::Services;
use crate::telemetry::Requests;
use hyper::body::Bytes;
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Memory for the large bodies of all who have shown no credential, in bytes. They have
/// few of them: events of a forge.
const BODY_MEMORY_OF_STRANGERS: usize = 8 << 20;

/// The front of the house: made once, shared by all connections.
pub struct Front {
    pub(super) settings: HttpSettings,
    pub(super) services: Services,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) table: Table,
    pub(super) limits: Option<Limits>,
    /// Handlers that run on whether or not their client stays.
    pub(super) mutations: TaskTracker,
    /// Cancelled when the server takes no more connections.
    pub(super) shut: CancellationToken,
    pub(super) requests: Requests,
    /// The page of numbers, for whoever asks at the door for it.
    pub(super) meters: Meters,
    body_memory: Arc<Semaphore>,
    body_memory_of_strangers: Arc<Semaphore>,
    /// Where large bodies are read.
    pub(super) aside: Aside,
    tables: Vec<&'static [Route]>,
    /// Made when somebody asks for it first.
    description: OnceLock<Description>,
}

/// The API's description, as data and as it is sent.
pub(super) struct Description {
    pub(super) document: Value,
    pub(super) text: Bytes,
}

impl Front {
    /// Puts it together; `routes` are the tables of all rooms that answer requests, and
    /// `meters` is the page that all rooms show their numbers on.
    ///
    /// # Errors
    /// If two routes contradict each other.
    pub fn new(
        settings: HttpSettings,
        services: Services,
        clock: Arc<dyn Clock>,
        routes: &[&'static [Route]],
        meters: Meters,
    ) -> Result<Self, TableError> {
        let requests = Requests::default();
        requests.show(&meters);
        let largest = settings.body_limit_bytes.max(settings.push_body_limit_bytes);
        let memory = settings.body_memory_bytes.max(largest).div_ceil(MEMORY_UNIT);
        let of_strangers = settings.body_limit_bytes.max(BODY_MEMORY_OF_STRANGERS).div_ceil(MEMORY_UNIT);
        Ok(Self {
            table: Table::new(routes)?,
            limits: settings.rate_limits.as_ref().map(Limits::new),
            mutations: TaskTracker::new(),
            shut: CancellationToken::new(),
            requests,
            meters,
            tables: routes.to_vec(),
            description: OnceLock::new(),
            aside: Aside::new(usize::MAX),
            body_memory: Arc::new(Semaphore::new(memory.min(Semaphore::MAX_PERMITS))),
            body_memory_of_strangers: Arc::new(Semaphore::new(of_strangers)),
            settings,
            services,
            clock,
        })
    }

    /// What the server's calls say about themselves.
    pub(super) fn description(&self) -> &Description {
        self.description.get_or_init(|| {
            let document = openapi::description(&self.tables);
            Description { text: document.to_string().into(), document }
        })
    }

    /// Waits for the right to hold a body of `size_bytes` in memory, of somebody `known` or
    /// of a stranger.
    pub(super) async fn body_memory(
        &self,
        size_bytes: usize,
        known: bool,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        let memory = if known { &self.body_memory } else { &self.body_memory_of_strangers };
        let units = u32::try_from(size_bytes.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX);
        Arc::clone(memory).acquire_many_owned(units).await.map_err(Problem::internal)
    }
}
