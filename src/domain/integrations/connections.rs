//! Connections: accounts of users at services. A connection belongs to one user, and to
//! everybody else it does not exist. Its tokens never leave this room but towards the
//! service itself.

use super::IntegrationSummary;
use super::access::{require_unconfined, trial};
use super::failure::explain;
use crate::base::ids::{ConnectionId, UserId};
use crate::base::{SecretText, Timestamp};
use crate::domain::activity::entry;
use crate::domain::auth::check_still_good;
use crate::domain::ports::provider::{Account, ProviderError};
use crate::domain::vaults::rfc_3339;
use crate::domain::{Actor, Error, Result, Services};
use crate::store::records::{Action, Connection, Entry, Grants, User};
use crate::store::tables::{CONNECTIONS, USERS};
use crate::store::{Batch, Span, StoreError, View};
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::ControlFlow;

/// Longest token that is taken, in bytes; a bundle of Fly.io's can have some thousand.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Longest team id that is taken, in bytes.
const TEAM_BYTES_MAX: usize = 200;
/// Most connections of one user.
const CONNECTIONS_MAX: usize = 100;

/// A connection, as its owner sees it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSummary {
    /// The connection's id.
    pub id: ConnectionId,
    /// The service.
    pub provider: String,
    /// The account there: the team if it is one's, else the user.
    pub provider_account_id: String,
    /// The team there.
    pub provider_team_id: Option<String>,
    /// Since when, or since when anew.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: Timestamp,
}

/// What connecting came to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Connected {
    /// Always true; failures are errors.
    pub success: bool,
    /// The service.
    pub provider: &'static str,
    /// The account that is connected now.
    pub user: ConnectedUser,
}

/// An account at a service.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectedUser {
    /// Its id there.
    pub id: String,
    /// What it is called.
    pub username: String,
    /// The team it is connected for.
    pub team_name: Option<String>,
}

/// A connection that is to be kept.
pub(super) struct NewConnection {
    /// Whose.
    pub(super) user: User,
    /// Whether the store does not know them yet.
    pub(super) unsaved: bool,
    /// Who asks with a credential, which must still be good; nobody after a consent, which
    /// was given once.
    pub(super) actor: Option<Actor>,
    /// The service.
    pub(super) provider: &'static str,
    /// The account there.
    pub(super) account: Account,
    /// The tokens.
    pub(super) grants: Grants,
    /// What the audit log says of it.
    pub(super) note: Entry,
}

impl Services {
    /// Every service this version knows.
    #[must_use]
    pub fn list_integrations(&self) -> Vec<IntegrationSummary> {
        self.integrations().summaries()
    }

    /// Connects an account by a token somebody made there.
    ///
    /// # Errors
    /// Not found or conflict, when the service is unknown or not enabled; invalid, when
    /// it does not accept the token; upstream or unavailable, when it cannot be asked.
    pub async fn connect(
        &self,
        actor: &Actor,
        provider: &str,
        token: SecretText,
        team: Option<String>,
    ) -> Result<Connected> {
        require_unconfined(actor, "connect an account")?;
        let provider = self.integrations().provider(provider)?;
        let profile = provider.profile();
        let session = trial(clean_token(&token)?, clean_team(team)?, self.integration_deadline());
        let account = provider.identify(&session).await.map_err(|error| match error {
            ProviderError::BadToken => {
                Error::invalid("token", format!("is not accepted by {}; make a new one there", profile.title))
            }
            ProviderError::Forbidden(_) | ProviderError::NotFound(_) if session.team.is_some() => {
                Error::invalid(
                    "teamId",
                    format!("names no team that this token may use at {}", profile.title),
                )
            }
            error => explain(profile, error, &[&session.token]),
        })?;
        let grants =
            Grants { token: session.token, scheme: account.scheme.clone(), expires_at: None, refresh: None };
        let note = entry(actor, self.now(), Action::IntegrationConnected);
        let (user, unsaved, provider) = (actor.user.clone(), actor.unsaved, profile.name);
        let actor = Some(actor.clone());
        self.keep_connection(NewConnection { user, unsaved, actor, provider, account, grants, note }).await
    }

    /// Keeps a connection; the one there is to the same account is renewed.
    ///
    /// # Errors
    /// Conflict, when there are too many; forbidden, when the user was disabled or deleted
    /// while the service was asked.
    pub(super) async fn keep_connection(&self, new: NewConnection) -> Result<Connected> {
        let NewConnection { user, unsaved, actor, provider, account, grants, note } = new;
        let services = self.clone();
        let team_name = account.team.as_ref().map(|team| team.name.clone());
        let (id, username) = (account.id.clone(), account.username.clone());
        let now = self.now();
        self.store()
            .write(move |view, batch| {
                if let Some(actor) = &actor {
                    check_still_good(view, actor)?;
                }
                let team = account.team;
                let all = connections_of(view, user.id)?;
                let same = |one: &&Connection| {
                    one.provider == provider
                        && one.account == account.id
                        && one.team.as_ref() == team.as_ref().map(|team| &team.id)
                };
                let known = all.iter().find(same).map(|one| one.id);
                if known.is_none() && all.len() >= CONNECTIONS_MAX {
                    return Err(Error::conflict(format!(
                        "you have {CONNECTIONS_MAX} connections; delete one before you add another"
                    )));
                }
                let (team, team_name) = team.map(|team| (team.id, team.name)).unzip();
                let connection = Connection {
                    id: known.unwrap_or_else(|| ConnectionId::new(now)),
                    user: user.id,
                    provider: provider.to_owned(),
                    account: account.id,
                    username: account.username,
                    team,
                    team_name,
                    grants,
                    created_at: now,
                };
                match view.find(&USERS, user.id)? {
                    Some(user) if services.turns_away(&user).is_some() => return Err(gone()),
                    Some(_) => {}
                    // Whoever shows a token of the forge may be new here.
                    None if unsaved => batch.put(&USERS, user.id, &user)?,
                    None => return Err(gone()),
                }
                batch.put(&CONNECTIONS, (connection.user, connection.id), &connection)?;
                batch.audit(note.regarding(described(&connection)));
                Ok(())
            })
            .await?;
        let user = ConnectedUser { id, username, team_name };
        Ok(Connected { success: true, provider, user })
    }

    /// The actor's connections, oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list_connections(&self, actor: &Actor) -> Result<Vec<ConnectionSummary>> {
        let all = self.store().read(|view| connections_of(view, actor.user_id()))?;
        Ok(all.iter().map(summary).collect())
    }

    /// Forgets a connection and its tokens. What was synchronised by it stays as it is,
    /// on both sides.
    ///
    /// # Errors
    /// Not found.
    pub async fn delete_connection(&self, actor: &Actor, id: ConnectionId) -> Result<()> {
        require_unconfined(actor, "forget a connection")?;
        let (actor, now) = (actor.clone(), self.now());
        self.store()
            .write(move |view, batch| {
                check_still_good(view, &actor)?;
                let key = (actor.user_id(), id);
                let connection = view.find(&CONNECTIONS, key)?.ok_or_else(no_connection)?;
                batch.delete(&CONNECTIONS, key);
                let note = entry(&actor, now, Action::IntegrationDisconnected);
                batch.audit(note.regarding(described(&connection)));
                Ok(())
            })
            .await
    }
}

/// The connections of `user`, oldest first.
pub(in crate::domain) fn connections_of(view: View<'_>, user: UserId) -> Result<Vec<Connection>, StoreError> {
    let mut all = Vec::new();
    view.scan(&CONNECTIONS, &Span::under(user), |_: (UserId, ConnectionId), connection| {
        all.push(connection);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

/// Forgets every connection of a user who is deleted.
pub(in crate::domain) fn forget_connections(
    view: View<'_>,
    batch: &mut Batch<'_>,
    user: UserId,
) -> Result<(), StoreError> {
    for connection in connections_of(view, user)? {
        batch.delete(&CONNECTIONS, (user, connection.id));
    }
    Ok(())
}

pub(super) fn summary(connection: &Connection) -> ConnectionSummary {
    ConnectionSummary {
        id: connection.id,
        provider: connection.provider.clone(),
        provider_account_id: connection.team.clone().unwrap_or_else(|| connection.account.clone()),
        provider_team_id: connection.team.clone(),
        created_at: connection.created_at,
    }
}

pub(super) fn no_connection() -> Error {
    Error::not_found("no such connection; `GET /v1/integrations/connections` lists yours")
}

pub(super) fn gone() -> Error {
    Error::forbidden("the account that this was begun with may not come in any more")
}

fn described(connection: &Connection) -> String {
    let team = connection.team_name.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
    format!("{}: {}{team}", connection.provider, connection.username)
}

fn clean_token(token: &SecretText) -> Result<SecretText> {
    let text = token.expose().trim();
    if text.is_empty()
        || text.len() > TOKEN_BYTES_MAX
        || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    {
        return Err(Error::invalid("token", "must be a token as the service shows it"));
    }
    Ok(SecretText::new(text.to_owned()))
}

fn clean_team(team: Option<String>) -> Result<Option<String>> {
    let Some(team) = team.map(|team| team.trim().to_owned()).filter(|team| !team.is_empty()) else {
        return Ok(None);
    };
    if team.len() > TEAM_BYTES_MAX || !team.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::invalid("teamId", "must be a team's id as the service shows it"));
    }
    Ok(Some(team))
}
