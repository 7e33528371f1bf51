//! Tokens that end are renewed before they do. A refresh token is good for one exchange
//! (at Railway a second one revokes everything), so renewals of a connection never run
//! side by side, and one that has begun is seen through whoever waits for it.

use super::connections::no_connection;
use super::failure::explain;
use crate::base::Timestamp;
use crate::base::ids::{ConnectionId, UserId};
use crate::domain::ports::provider::ProviderError;
use crate::domain::{Error, Result, Services};
use crate::store::records::{Connection, Grants, Renewal};
use crate::store::tables::CONNECTIONS;
use std::time::{Duration, Instant};

/// How long before its end a token is renewed: longer than any request takes.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// How long a renewal may take, whatever becomes of the request that needs it.
const PATIENCE: Duration = Duration::from_secs(30);

impl Grants {
    /// What it can be renewed with, if it is time to.
    fn due(&self, now: Timestamp) -> Option<&Renewal> {
        let soon = self.expires_at.is_some_and(|end| end <= now.plus(EARLY));
        self.refresh.as_ref().filter(|_| soon)
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

impl Services {
    /// `connection` with a token that is good for this request.
    ///
    /// # Errors
    /// Upstream, if the service renews it no more; what it fails with, if the token has
    /// ended and the service cannot be asked; not found, if it is gone meanwhile.
    pub(super) async fn fresh(&self, connection: Connection) -> Result<Connection> {
        let connection = if connection.grants.due(self.now()).is_some() {
            let (services, user, id) = (self.clone(), connection.user, connection.id);
            // On a task of its own: once the old refresh token is spent, the new one must be kept.
            let renewal = tokio::spawn(async move { services.renew_connection(user, id).await });
            renewal.await.map_err(Error::internal)??
        } else {
            connection
        };
        if connection.grants.has_ended(self.now()) {
            let profile = self.integrations().provider(&connection.provider)?.profile();
            return Err(explain(profile, ProviderError::BadToken, &[]));
        }
        Ok(connection)
    }

    async fn renew_connection(&self, user: UserId, id: ConnectionId) -> Result<Connection> {
        let lock = self.integrations().renewing.of(id.to_string());
        let _turn = lock.lock().await;
        // Whoever waited for the turn finds it done.
        let found = self.store().read(|view| view.find(&CONNECTIONS, (user, id)))?;
        let mut connection = found.ok_or_else(no_connection)?;
        let Some(Renewal(spent)) = connection.grants.due(self.now()).cloned() else { return Ok(connection) };
        let provider = self.integrations().provider(&connection.provider)?;
        // Without an app a token is used as long as it lasts.
        let Some(asking) = provider.asking() else { return Ok(connection) };
        let (now, title) = (self.now(), provider.profile().title);
        match asking.refresh(&spent, Instant::now() + PATIENCE).await {
            Ok(issued) => {
                connection.grants = Grants {
                    token: issued.token,
                    scheme: connection.grants.scheme,
                    expires_at: issued.expires_in.map(|length| now.plus(length)),
                    // A service that issues no new one goes on taking the old one (RFC 6749 §6).
                    refresh: Some(Renewal(issued.refresh.unwrap_or_else(|| spent.clone()))),
                };
            }
            Err(ProviderError::BadToken) => {
                tracing::info!(service = title, "a connection is not renewed any more");
                connection.grants.refresh = None;
            }
            Err(error) if !connection.grants.has_ended(self.now()) => {
                tracing::warn!(service = title, %error, "a connection could not be renewed yet");
                return Ok(connection);
            }
            Err(error) => return Err(explain(provider.profile(), error, &[&spent])),
        }
        self.store()
            .write(move |view, batch| {
                // One that was deleted stays so, and one that was connected again is newer.
                let found = view.find(&CONNECTIONS, (user, id))?.ok_or_else(no_connection)?;
                match &found.grants.refresh {
                    Some(Renewal(refresh)) if *refresh == spent => {
                        batch.put(&CONNECTIONS, (user, id), &connection)?;
                        Ok(connection)
                    }
                    _ => Ok(found),
                }
            })
            .await
    }
}
