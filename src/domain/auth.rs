//! Recognising a bearer string. What cannot be a credential by its form is refused
//! before anything is looked up.

use super::activity::entry;
use super::actor::Credential;
use super::ports::ForgeUser;
use super::{Actor, Error, Origin, Result, Services};
use crate::base::ids::{ApiKeyId, UserId};
use crate::base::{SecretText, Timestamp};
use crate::crypto::token::BearerKind;
use crate::store::records::{Account, Action, ApiKey, User};
use crate::store::tables::{API_KEY_TOKENS, API_KEYS, SESSIONS, USERS};
use crate::store::{Batch, StoreError, View};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How seldom it is noted that the same API key was refused: whoever has one that is worth
/// nothing any more must not fill the audit log with it, from however many addresses.
const REFUSAL_NOTED_EVERY: Duration = Duration::from_secs(60);
/// Most keys whose last note is remembered; about 50 bytes each.
const REFUSED_KEYS_MAX: usize = 10_000;

/// When it was last noted that a key was refused.
#[derive(Default)]
pub(super) struct RefusedKeys(Mutex<HashMap<ApiKeyId, Instant>>);

impl RefusedKeys {
    /// Whether it is time to note a refusal of `key`, which then counts as noted.
    fn is_due(&self, key: ApiKeyId, now: Instant) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |last: Instant| now.saturating_duration_since(last) < REFUSAL_NOTED_EVERY;
        if noted.get(&key).is_some_and(|last| is_recent(*last)) {
            return false;
        }
        if noted.len() >= REFUSED_KEYS_MAX {
            noted.retain(|_, last| is_recent(*last));
        }
        // So many at once are themselves something to note.
        if noted.len() >= REFUSED_KEYS_MAX {
            noted.clear();
        }
        noted.insert(key, now);
        true
    }
}

impl Services {
    /// Who `credential` stands for, shown as a bearer token or, with `by_cookie`, as a
    /// browser's cookie, which can hold a session and nothing else.
    ///
    /// # Errors
    /// Unauthorized, when it stands for nobody or may not be used (any more, or from
    /// that address); unavailable when the forge would have to be asked and cannot be.
    pub async fn authenticate(
        &self,
        credential: &SecretText,
        by_cookie: bool,
        origin: Origin,
    ) -> Result<Actor> {
        match BearerKind::of(credential) {
            BearerKind::SessionToken => self.authenticate_session(credential, by_cookie, origin),
            _ if by_cookie => Err(unknown()),
            BearerKind::ApiKey => self.authenticate_api_key(credential, origin),
            BearerKind::GitHub => self.authenticate_forge_token(credential, origin).await,
            BearerKind::GitHubInstallation => Err(Error::unauthorized(
                "a `ghs_` token belongs to an app installation, not to a person; use a personal access token or an API key",
            )),
            BearerKind::Unknown => Err(unknown()),
        }
    }

    /// Whether the forge would have to be asked about `credential`, a bearer token, and
    /// has never yet said whose it is.
    #[must_use]
    pub fn is_of_a_stranger(&self, credential: &SecretText) -> bool {
        let roles = self.0.roles.as_ref().filter(|_| BearerKind::of(credential) == BearerKind::GitHub);
        roles.is_some_and(|roles| !roles.has_identified(&self.tagged(credential.clone())))
    }

    async fn authenticate_forge_token(&self, text: &SecretText, origin: Origin) -> Result<Actor> {
        let not_taken = || Error::unauthorized("this server does not take GitHub tokens; use an API key");
        let roles = self.0.roles.as_ref().ok_or_else(not_taken)?;
        let token = self.tagged(text.clone());
        let person = roles.identify(&token).await.map_err(|error| self.explain(error, None))?;
        let (user, unsaved) = self.store().read(|view| recognised(view, person, self.now()))?;
        if let Some(reason) = self.turns_away(&user) {
            return Err(Error::unauthorized(reason));
        }
        Ok(Actor { user, credential: Credential::Forge(token), origin, unsaved })
    }

    /// Why `user` may not come in at all, if they may not.
    pub(super) fn turns_away(&self, user: &User) -> Option<&'static str> {
        if user.disabled {
            return Some("the account is disabled");
        }
        match user.account {
            Account::Local { .. } => (!self.settings().sign_in.local_accounts)
                .then_some("local accounts are switched off on this server"),
            Account::GitHub { .. } => {
                self.0.roles.is_none().then_some("GitHub is switched off on this server")
            }
        }
    }

    fn authenticate_api_key(&self, bearer: &SecretText, origin: Origin) -> Result<Actor> {
        let found = self.store().read(|view| find_key(view, bearer))?;
        let (key, user) = found.ok_or_else(unknown)?;
        let now = self.now();
        let refusal = refusal(&key, &origin, now).or_else(|| self.turns_away(&user));
        let actor = Actor::with_api_key(user, &key, origin);
        if let Some(reason) = refusal {
            if self.0.refused_keys.is_due(key.id, Instant::now()) {
                let name = format!("API key `{}`: {reason}", key.name);
                self.audit_refusal(entry(&actor, now, Action::ApiKeyRefused).regarding(name));
            }
            return Err(Error::unauthorized(reason));
        }
        self.0.usage.count(key.id, now);
        Ok(actor)
    }
}

/// The user whom the forge describes so, and whether the store has yet to learn that.
///
/// The id follows from the forge's number, so that somebody can act before anything
/// is stored about them.
pub(super) fn recognised(
    view: View<'_>,
    person: ForgeUser,
    now: Timestamp,
) -> Result<(User, bool), StoreError> {
    let ForgeUser { id: number, login, email, avatar_url } = person;
    let hash = view.keyring().index.lookup("forge user", &[&number.to_be_bytes()]);
    let mut bytes: [u8; 16] = hash.first_chunk().copied().unwrap_or_default();
    // Version 8, for ids with a meaning of their own (RFC 9562 §5.8).
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let id = UserId::from_bytes(bytes);
    let account = Account::GitHub { id: number, login };
    let Some(known) = view.find(&USERS, id)? else {
        return Ok((User { id, account, email, avatar_url, disabled: false, created_at: now }, true));
    };
    let same = matches!((&known.account, &account),
        (Account::GitHub { login: old, .. }, Account::GitHub { login: new, .. }) if old == new);
    let email = email.or_else(|| known.email.clone());
    let unsaved = !same || known.email != email || known.avatar_url != avatar_url;
    Ok((User { account, email, avatar_url, ..known }, unsaved))
}

/// Refuses an actor whose credential has ended since it was recognised: to ask the forge
/// may have taken seconds. Judged on `view`, the state that is acted on.
///
/// # Errors
/// Unauthorized.
pub(super) fn check_still_good(view: View<'_>, actor: &Actor) -> Result<()> {
    let ended = || Error::unauthorized("the credential has just ended; sign in again");
    let is_good = match &actor.credential {
        Credential::Session { id, .. } => view.find(&SESSIONS, *id)?.is_some(),
        Credential::ApiKey(key) => view.find(&API_KEYS, key.id)?.is_some_and(|key| key.revoked_at.is_none()),
        Credential::Forge(_) => true,
    };
    // Of somebody from the forge nothing may have been written yet.
    let is_in = view.find(&USERS, actor.user_id())?.map_or(actor.unsaved, |user| !user.disabled);
    if is_good && is_in { Ok(()) } else { Err(ended()) }
}

/// Writes down what the forge told about the actor. Whether they are let in is not the
/// forge's to say, and may have changed since they were recognised.
pub(super) fn remember(view: View<'_>, batch: &mut Batch<'_>, actor: &Actor) -> Result<(), StoreError> {
    if !actor.unsaved {
        return Ok(());
    }
    let mut user = actor.user.clone();
    if let Some(known) = view.find(&USERS, user.id)? {
        (user.disabled, user.created_at) = (known.disabled, known.created_at);
    }
    batch.put(&USERS, user.id, &user)
}

impl Services {
    /// Notes that an API key was shown for something its scopes do not allow.
    pub fn note_missing_scope(&self, actor: &Actor, reason: &str) {
        self.audit_refusal(entry(actor, self.now(), Action::AccessDenied).regarding(reason));
    }
}

fn unknown() -> Error {
    Error::unauthorized("the bearer token is not valid; it may be mistyped, expired or revoked")
}

fn find_key(view: View<'_>, bearer: &SecretText) -> Result<Option<(ApiKey, User)>, StoreError> {
    let Some(id) = view.find(&API_KEY_TOKENS, view.keyring().index.api_key(bearer))? else {
        return Ok(None);
    };
    let Some(key) = view.find(&API_KEYS, id)? else { return Ok(None) };
    Ok(view.find(&USERS, key.user)?.map(|user| (key, user)))
}

/// Why the key may not be used, if it may not.
fn refusal(key: &ApiKey, origin: &Origin, now: Timestamp) -> Option<&'static str> {
    if key.revoked_at.is_some() {
        return Some("the API key has been revoked");
    }
    if key.expires_at.is_some_and(|end| end <= now) {
        return Some("the API key has expired");
    }
    let allowed =
        key.allowed_ips.is_empty() || key.allowed_ips.iter().any(|net| net.contains(&origin.address));
    (!allowed).then_some("the API key may not be used from this address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_key_is_noted_once_a_minute_and_each_by_itself() {
        let (keys, start) = (RefusedKeys::default(), Instant::now());
        let key = |number: u8| ApiKeyId::from_bytes([number; 16]);
        let after = |secs| start + Duration::from_secs(secs);
        assert!(keys.is_due(key(1), start) && keys.is_due(key(2), start));
        assert!(!keys.is_due(key(1), start) && !keys.is_due(key(1), after(59)));
        assert!(keys.is_due(key(1), after(60)) && !keys.is_due(key(1), after(61)));
    }

    #[test]
    fn keys_that_were_refused_long_ago_take_no_memory() {
        let (keys, start) = (RefusedKeys::default(), Instant::now());
        for number in 0..3 * REFUSED_KEYS_MAX {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&number.to_be_bytes());
            let now = start + Duration::from_millis(10 * number as u64);
            assert!(keys.is_due(ApiKeyId::from_bytes(key), now));
        }
        assert!(keys.0.lock().unwrap().len() <= REFUSED_KEYS_MAX);
    }
}
