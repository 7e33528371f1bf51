//! What the forge gave us to ask in somebody's name: kept sealed, renewed before it
//! runs out. A refresh token is good for one exchange, so a user's renewals never run
//! side by side, and one that has begun is seen through whoever waits for it.

use super::actor::{Credential, ForgeToken};
use super::ports::{ForgeError, IssuedTokens};
use super::{Actor, Error, Result, Services};
use crate::base::Timestamp;
use crate::base::ids::UserId;
use crate::store::records::{ForgeGrant, RefreshToken};
use crate::store::tables::FORGE_GRANTS;
use crate::store::{Batch, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How long before its end a token is renewed.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// Who is being renewed.
#[derive(Default)]
pub(super) struct Renewals(Mutex<HashMap<UserId, Weak<tokio::sync::Mutex<()>>>>);

impl Renewals {
    fn of(&self, user: UserId) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = all.get(&user).and_then(Weak::upgrade) {
            return running;
        }
        all.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        all.insert(user, Arc::downgrade(&lock));
        lock
    }
}

impl ForgeGrant {
    pub(super) fn new(issued: IssuedTokens, now: Timestamp) -> Self {
        let refresh_end = issued.refresh_expires_in.map(|length| now.plus(length));
        let refresh = issued.refresh.map(|token| RefreshToken { token, expires_at: refresh_end });
        Self { token: issued.token, expires_at: issued.expires_in.map(|length| now.plus(length)), refresh }
    }

    /// What it can be renewed with, if it is time to.
    fn due(&self, now: Timestamp) -> Option<&RefreshToken> {
        let soon = self.expires_at.is_some_and(|end| end <= now.plus(EARLY));
        let good = |refresh: &&RefreshToken| refresh.expires_at.is_none_or(|end| end > now);
        self.refresh.as_ref().filter(|_| soon).filter(good)
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

pub(super) fn put_grant(batch: &mut Batch<'_>, user: UserId, grant: &ForgeGrant) -> Result<(), StoreError> {
    batch.put(&FORGE_GRANTS, user, grant)
}

impl Services {
    /// What to ask the forge with for `actor`: their own token, or the one they left us
    /// when they signed in.
    pub(super) async fn forge_token(&self, actor: &Actor) -> Result<ForgeToken> {
        if let Credential::Forge(token) = &actor.credential {
            return Ok(token.clone());
        }
        let grant = self.grant(actor.user_id())?.ok_or_else(|| self.sign_in_again())?;
        let grant =
            if grant.due(self.now()).is_some() { self.renewed(actor.user_id()).await? } else { grant };
        if grant.has_ended(self.now()) {
            return Err(self.sign_in_again());
        }
        Ok(self.tagged(grant.token))
    }

    /// Whether the forge can be asked in this user's name when they are not there.
    pub(super) fn has_grant(&self, user: UserId) -> Result<bool> {
        Ok(self.grant(user)?.is_some())
    }

    fn grant(&self, user: UserId) -> Result<Option<ForgeGrant>> {
        self.store().read(|view| Ok(view.find(&FORGE_GRANTS, user)?))
    }

    fn sign_in_again(&self) -> Error {
        let forge = self.forge_title().map_or("the forge", |(title, _)| title);
        Error::unauthorized(format!(
            "there is no valid sign-in with {forge} to act with; sign in with {forge} once"
        ))
    }

    async fn renewed(&self, user: UserId) -> Result<ForgeGrant> {
        let services = self.clone();
        // On a task of its own: once the old refresh token is spent, the new one must be kept.
        tokio::spawn(async move { services.renew(user).await }).await.map_err(Error::internal)?
    }

    async fn renew(&self, user: UserId) -> Result<ForgeGrant> {
        let lock = self.0.renewals.of(user);
        let _turn = lock.lock().await;
        // Whoever waited for the turn finds it done.
        let mut grant = self.grant(user)?.ok_or_else(|| self.sign_in_again())?;
        let Some(refresh) = grant.due(self.now()) else { return Ok(grant) };
        let spent = refresh.token.clone();
        match self.roles()?.forge().refresh(&spent).await {
            Ok(issued) => grant = ForgeGrant::new(issued, self.now()),
            Err(ForgeError::Unavailable { cause, .. }) if !grant.has_ended(self.now()) => {
                tracing::warn!(cause, "a sign-in could not be renewed yet");
                return Ok(grant);
            }
            Err(error @ ForgeError::Unavailable { .. }) => return Err(self.explain(error, None)),
            Err(error) => {
                tracing::info!(?error, "the forge does not renew a sign-in any more");
                grant.refresh = None;
            }
        }
        let kept = grant.clone();
        self.store()
            .write(move |view, batch| {
                // Somebody who signed in meanwhile has brought a newer one.
                let found = view.find(&FORGE_GRANTS, user)?.and_then(|grant| grant.refresh);
                if found.is_some_and(|refresh| refresh.token == spent) {
                    put_grant(batch, user, &kept)?;
                }
                Ok::<_, Error>(())
            })
            .await?;
        Ok(grant)
    }
}
