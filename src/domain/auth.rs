//! Recognising a bearer string. What cannot be a credential by its form is refused
//! before anything is looked up.

use super::activity::entry;
use super::{Actor, Error, Origin, Result, Services};
use crate::base::{SecretText, Timestamp};
use crate::crypto::token::BearerKind;
use crate::store::records::{Action, ApiKey, User};
use crate::store::tables::{API_KEY_TOKENS, API_KEYS, USERS};
use crate::store::{StoreError, View};

impl Services {
    /// Who `bearer` stands for.
    ///
    /// # Errors
    /// Unauthorized, when it stands for nobody or may not be used (any more, or from
    /// that address).
    pub async fn authenticate(&self, bearer: &SecretText, origin: Origin) -> Result<Actor> {
        match BearerKind::of(bearer) {
            BearerKind::ApiKey => self.authenticate_api_key(bearer, origin),
            BearerKind::GitHubInstallation => Err(Error::unauthorized(
                "a `ghs_` token belongs to an app installation, not to a person; use a personal access token or an API key",
            )),
            BearerKind::GitHub => {
                Err(Error::unauthorized("this server does not take GitHub tokens; use an API key"))
            }
            BearerKind::SessionToken | BearerKind::Unknown => Err(unknown()),
        }
    }

    fn authenticate_api_key(&self, bearer: &SecretText, origin: Origin) -> Result<Actor> {
        let found = self.store().read(|view| find_key(view, bearer))?;
        let (key, user) = found.ok_or_else(unknown)?;
        let now = self.now();
        let refusal = refusal(&key, &user, &origin, now);
        let actor = Actor::with_api_key(user, &key, origin);
        if let Some(reason) = refusal {
            let name = format!("API key `{}`: {reason}", key.name);
            self.audit_refusal(entry(&actor, now, Action::ApiKeyRefused).regarding(name));
            return Err(Error::unauthorized(reason));
        }
        self.0.usage.count(key.id, now);
        Ok(actor)
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
fn refusal(key: &ApiKey, user: &User, origin: &Origin, now: Timestamp) -> Option<&'static str> {
    if key.revoked_at.is_some() {
        return Some("the API key has been revoked");
    }
    if key.expires_at.is_some_and(|end| end <= now) {
        return Some("the API key has expired");
    }
    if user.disabled {
        return Some("the account of this API key is disabled");
    }
    let allowed =
        key.allowed_ips.is_empty() || key.allowed_ips.iter().any(|net| net.contains(&origin.address));
    (!allowed).then_some("the API key may not be used from this address")
}
