//! A connection made ready to call its service with.

use super::connections::no_connection;
use super::failure::explain;
use crate::base::ids::ConnectionId;
use crate::base::{Scope, SecretText};
use crate::domain::ports::provider::{Profile, Provider, ProviderError, Session};
use crate::domain::{Actor, Error, Result, Services};
use crate::store::records::Connection;
use crate::store::tables::CONNECTIONS;
use std::sync::Arc;
use std::time::Instant;

/// A service, somebody's account there, and the time there is.
pub(super) struct Access {
    pub(super) connection: Connection,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) session: Session,
}

impl Access {
    pub(super) fn profile(&self) -> &'static Profile {
        self.provider.profile()
    }

    /// The failure of a call, for the client.
    pub(super) fn explain(&self, error: ProviderError) -> Error {
        explain(self.profile(), error, &[&self.session.token])
    }
}

impl Services {
    /// The actor's connection of that id, ready for use.
    ///
    /// # Errors
    /// Not found, for other people's connections too; conflict when the service is not
    /// enabled.
    pub(super) async fn access(&self, actor: &Actor, id: ConnectionId) -> Result<Access> {
        let until = self.integration_deadline();
        let connection = self.store().read(|view| view.find(&CONNECTIONS, (actor.user_id(), id)))?;
        self.access_by(connection.ok_or_else(no_connection)?, until).await
    }

    /// `connection`, ready for use until then.
    pub(super) async fn access_by(&self, connection: Connection, until: Instant) -> Result<Access> {
        let provider = self.integrations().provider(&connection.provider)?;
        let connection = self.fresh(connection).await?;
        let session = Session {
            token: connection.grants.token.clone(),
            scheme: connection.grants.scheme.clone(),
            team: connection.team.clone(),
            until,
        };
        Ok(Access { connection, provider, session })
    }

    /// When a request that begins now stops calling services.
    pub(super) fn integration_deadline(&self) -> Instant {
        Instant::now() + self.integrations().budget
    }
}

/// A session with a token that is not kept yet.
pub(super) const fn trial(token: SecretText, team: Option<String>, until: Instant) -> Session {
    Session { token, scheme: None, team, until }
}

/// Refuses an API key that lacks `scope`; the route's own scope was compared before.
pub(super) fn require_scope(actor: &Actor, scope: Scope) -> Result<()> {
    match actor.scopes() {
        Some(scopes) if !scopes.contains(scope) => {
            Err(Error::forbidden(format!("this API key lacks the scope `{scope}`; use one that has it")))
        }
        _ => Ok(()),
    }
}

/// Refuses an API key that is limited to vaults or environments what reaches the whole of
/// its owner's accounts at services. What somebody else linked with such an environment it
/// may synchronise.
pub(super) fn require_unconfined(actor: &Actor, deed: &str) -> Result<()> {
    if actor.is_confined() {
        return Err(Error::forbidden(format!(
            "this API key is limited to certain repositories or environments and cannot {deed}"
        )));
    }
    Ok(())
}
