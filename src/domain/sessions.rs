//! Sessions: who is signed in. A session token is good while its record is there, so
//! that signing out, a new password and disabling an account end it at once.

use super::activity::sign_in_entry;
use super::actor::Credential;
use super::{Actor, Error, Origin, Result, Services};
use crate::base::ids::{SessionId, UserId};
use crate::base::{SecretText, Timestamp};
use crate::crypto::SessionClaims;
use crate::store::records::{Action, CredentialKind, DeviceState, Entry, Session, User};
use crate::store::tables::{
    DEVICE_CODES, FORGE_GRANTS, PENDING_CONNECTIONS, PENDING_SIGN_INS, SESSIONS, SESSIONS_BY_USER,
    SIGN_IN_CODES, USER_CODES, USERS,
};
use crate::store::{Batch, Span, StoreError, View};
use std::ops::ControlFlow;

/// Somebody who has just signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// The session's token.
    pub token: SecretText,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// The login.
    pub username: String,
}

impl Services {
    /// Begins a session of `user` and writes it with `batch`.
    pub(super) fn begin_session(
        &self,
        view: View<'_>,
        batch: &mut Batch<'_>,
        user: &User,
        origin: &Origin,
    ) -> Result<SignedIn> {
        let now = self.now();
        let session = Session {
            id: SessionId::new(now),
            user: user.id,
            created_at: now,
            expires_at: now.plus(self.settings().sign_in.session),
            address: origin.address,
            user_agent: origin.user_agent.clone(),
        };
        let claims = SessionClaims {
            issuer: self.settings().sign_in.issuer.clone(),
            user: user.id,
            session: session.id,
            expires_at: session.expires_at,
        };
        let token = view.keyring().sign_session(&claims).map_err(Error::internal)?;
        batch.put(&SESSIONS, session.id, &session)?;
        batch.index(&SESSIONS_BY_USER, (user.id, session.id));
        batch.audit(Entry {
            credential_id: Some(*session.id.as_bytes()),
            ..sign_in_entry(user, origin, now, Action::SignedIn)
        });
        Ok(SignedIn { token, expires_at: session.expires_at, username: user.username().to_owned() })
    }

    /// Who `token` stands for.
    pub(super) fn authenticate_session(
        &self,
        token: &SecretText,
        by_cookie: bool,
        origin: Origin,
    ) -> Result<Actor> {
        let unknown = || Error::unauthorized("the session is not valid; it may have ended, sign in again");
        let now = self.now();
        let found = self.store().read(|view| self.find_session(view, token))?;
        let (session, user) = found.ok_or_else(unknown)?;
        if session.expires_at <= now {
            return Err(unknown());
        }
        if let Some(reason) = self.turns_away(&user) {
            return Err(Error::unauthorized(reason));
        }
        let credential = Credential::Session { id: session.id, by_cookie };
        Ok(Actor { user, credential, origin, unsaved: false })
    }

    /// Ends the session of `token`, if it is one of ours.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sign_out(&self, token: &SecretText, origin: Origin) -> Result<()> {
        let Some((session, user)) = self.store().read(|view| self.find_session(view, token))? else {
            return Ok(());
        };
        let now = self.now();
        self.store()
            .write(move |_, batch| {
                end(batch, session.user, session.id);
                batch.audit(Entry {
                    credential: CredentialKind::Session,
                    credential_id: Some(*session.id.as_bytes()),
                    ..sign_in_entry(&user, &origin, now, Action::SignedOut)
                });
                Ok(())
            })
            .await
    }

    fn find_session(
        &self,
        view: View<'_>,
        token: &SecretText,
    ) -> Result<Option<(Session, User)>, StoreError> {
        let issuer = &self.settings().sign_in.issuer;
        let Some(claims) = view.keyring().open_session(token, issuer) else { return Ok(None) };
        let session = view.find(&SESSIONS, claims.session)?.filter(|session| session.user == claims.user);
        let Some(session) = session else { return Ok(None) };
        Ok(view.find(&USERS, session.user)?.map(|user| (session, user)))
    }

    /// Deletes what has run out: sessions, and codes nobody came for. To be called now
    /// and then.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sweep_sign_ins(&self) -> Result<()> {
        let services = self.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let now = services.now();
            services.store().read(|view| Ended::of(view, now))
        });
        let ended = ended.await.map_err(Error::internal)??;
        if ended.is_empty() {
            return Ok(());
        }
        self.store()
            .write(move |_, batch| {
                ended.delete(batch);
                Ok(())
            })
            .await
    }
}

/// Ends all sessions of `user`, and takes back what would become one: codes that were
/// approved and not fetched, and connections that are on their way.
pub(super) fn end_all(view: View<'_>, batch: &mut Batch<'_>, user: UserId) -> Result<(), StoreError> {
    let mut sessions = Vec::new();
    view.scan_index(&SESSIONS_BY_USER, &Span::under(user), |(_, id)| {
        sessions.push(id);
        ControlFlow::Continue(())
    })?;
    for id in sessions {
        end(batch, user, id);
    }
    view.scan(&DEVICE_CODES, &Span::all(), |device, code| {
        if code.state == DeviceState::Approved(user) {
            batch.delete(&DEVICE_CODES, device);
            batch.delete(&USER_CODES, code.user_code);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    view.scan(&PENDING_CONNECTIONS, &Span::all(), |key, pending| {
        if pending.user == user {
            batch.delete(&PENDING_CONNECTIONS, key);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    view.scan(&SIGN_IN_CODES, &Span::all(), |key, code| {
        if code.user == user {
            batch.delete(&SIGN_IN_CODES, key);
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Ends all sessions of a user who is deleted, and gives up what the forge gave us.
pub(super) fn forget_user(view: View<'_>, batch: &mut Batch<'_>, user: UserId) -> Result<(), StoreError> {
    batch.delete(&FORGE_GRANTS, user);
    end_all(view, batch, user)
}

fn end(batch: &mut Batch<'_>, user: UserId, session: SessionId) {
    batch.delete(&SESSIONS, session);
    batch.unindex(&SESSIONS_BY_USER, (user, session));
}

/// What has run out.
#[derive(Default)]
struct Ended {
    sessions: Vec<(UserId, SessionId)>,
    devices: Vec<([u8; 32], [u8; 32])>,
    pending: Vec<[u8; 32]>,
    connecting: Vec<[u8; 32]>,
    codes: Vec<[u8; 32]>,
}

impl Ended {
    fn of(view: View<'_>, now: Timestamp) -> Result<Self, StoreError> {
        let mut ended = Self::default();
        view.scan(&SESSIONS, &Span::all(), |id, session| {
            ended.sessions.extend((session.expires_at <= now).then_some((session.user, id)));
            Ok(ControlFlow::Continue(()))
        })?;
        view.scan(&DEVICE_CODES, &Span::all(), |key, code| {
            ended.devices.extend((code.expires_at <= now).then_some((key, code.user_code)));
            Ok(ControlFlow::Continue(()))
        })?;
        view.scan(&PENDING_SIGN_INS, &Span::all(), |key, pending| {
            ended.pending.extend((pending.expires_at <= now).then_some(key));
            Ok(ControlFlow::Continue(()))
        })?;
        view.scan(&PENDING_CONNECTIONS, &Span::all(), |key, pending| {
            ended.connecting.extend((pending.expires_at <= now).then_some(key));
            Ok(ControlFlow::Continue(()))
        })?;
        view.scan(&SIGN_IN_CODES, &Span::all(), |key, code| {
            ended.codes.extend((code.expires_at <= now).then_some(key));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ended)
    }

    fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.devices.is_empty()
            && self.pending.is_empty()
            && self.connecting.is_empty()
            && self.codes.is_empty()
    }

    fn delete(self, batch: &mut Batch<'_>) {
        for (user, session) in self.sessions {
            end(batch, user, session);
        }
        for (device, user_code) in self.devices {
            batch.delete(&DEVICE_CODES, device);
            batch.delete(&USER_CODES, user_code);
        }
        for key in self.pending {
            batch.delete(&PENDING_SIGN_INS, key);
        }
        for key in self.connecting {
            batch.delete(&PENDING_CONNECTIONS, key);
        }
        for key in self.codes {
            batch.delete(&SIGN_IN_CODES, key);
        }
    }
}
