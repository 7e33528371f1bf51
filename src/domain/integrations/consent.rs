//! Connecting with a browser: people are sent to the service, say yes there, and come
//! back with a code (OAuth 2.0, RFC 6749 §4.1; PKCE, RFC 7636). Being on the way is good
//! for ten minutes, once, for one service, and for the browser that was sent: else
//! somebody could have the account of another connected with their own. Each user has a
//! few on their way, so that nobody fills the store with what never comes back.

use super::access::{require_scope, require_unconfined, trial};
use super::connections::{Connected, NewConnection, gone};
use super::failure::explain;
use crate::base::{Scope, SecretText, random};
use crate::crypto::digest::pkce_challenge;
use crate::crypto::{Binding, envelope};
use crate::domain::activity::sign_in_entry;
use crate::domain::auth::{check_still_good, remember};
use crate::domain::ports::provider::{Account, Provider, ProviderError, Session, Team};
use crate::domain::{Actor, Error, ErrorKind, Origin, Result, Services};
use crate::store::records::{Action, Grants, PendingConnection, Renewal};
use crate::store::tables::{Lookup, PENDING_CONNECTIONS, USERS};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const STATE_CHARS: usize = 43;
const VERIFIER_CHARS: usize = 64;
const PENDING_FOR: Duration = Duration::from_secs(10 * 60);

/// What people have to know to connect a service.
#[derive(Clone, Copy, Debug)]
pub struct WayToConnect {
    /// The service's name in paths.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Where they make a token.
    pub tokens_at: &'static str,
    /// Whether they are sent there; otherwise they hand us a token.
    pub asks_consent: bool,
}

/// A browser that has come back.
#[derive(Debug)]
pub struct Consented {
    /// The service's name for people.
    pub title: &'static str,
    /// What is connected now.
    pub connected: Connected,
    /// The login of the user whose connection it is.
    pub username: String,
    /// Where to go now, if whoever began wanted to go somewhere.
    pub redirect_uri: Option<String>,
}

/// A credential on its way through a page.
#[derive(Serialize, Deserialize)]
struct Ticket {
    #[serde(with = "crate::base::secret::exposed")]
    credential: SecretText,
    until: u64,
}

impl Services {
    /// How `provider` is connected with a browser.
    ///
    /// # Errors
    /// Not found or conflict, when the service is unknown or not enabled; forbidden, for
    /// an API key that may not connect.
    pub fn way_to_connect(&self, actor: &Actor, provider: &str) -> Result<WayToConnect> {
        require_scope(actor, Scope::WriteSecrets)?;
        require_unconfined(actor, "connect an account")?;
        let provider = self.integrations().provider(provider)?;
        let profile = provider.profile();
        Ok(WayToConnect {
            name: profile.name,
            title: profile.title,
            tokens_at: profile.tokens_at,
            asks_consent: provider.asking().is_some(),
        })
    }

    /// Begins: the address to send `browser` to.
    ///
    /// # Errors
    /// Not found or conflict, when the service is unknown, not enabled or asks nobody;
    /// invalid, for a `redirect_uri` that is not allowed; forbidden, for an API key that
    /// may not connect; rate limited, when too many of all users are under way.
    pub async fn begin_connecting(
        &self,
        actor: &Actor,
        provider: &str,
        browser: &str,
        redirect_uri: Option<String>,
    ) -> Result<String> {
        require_scope(actor, Scope::WriteSecrets)?;
        let provider = self.integrations().provider(provider)?;
        let profile = provider.profile();
        let asking = provider.asking().ok_or_else(|| {
            Error::conflict(format!(
                "{} is connected with a token here; use `POST /v1/integrations/{}/connect`",
                profile.title, profile.name
            ))
        })?;
        if let Some(uri) = &redirect_uri {
            self.check_redirect(uri)?;
        }
        let state = random::text(BASE62, STATE_CHARS);
        let verifier = SecretText::new(random::text(BASE62, VERIFIER_CHARS));
        let url = asking.consent_url(&state, &pkce_challenge(&verifier));
        let pending = PendingConnection {
            user: actor.user_id(),
            provider: profile.name.to_owned(),
            browser: self.connecting_browser(browser),
            verifier,
            redirect_uri,
            expires_at: self.now().plus(PENDING_FOR),
        };
        let (key, actor) = (self.connecting_state(&state), actor.clone());
        let departures = &self.integrations().departures;
        let given_up = departures.give_up_oldest(actor.user_id());
        departures.open(key, actor.user_id(), self.now(), pending.expires_at)?;
        let written: Result<()> = self
            .store()
            .write(move |view, batch| {
                check_still_good(view, &actor)?;
                // Who comes back has to be found again.
                remember(view, batch, &actor)?;
                if let Some(key) = given_up {
                    batch.delete(&PENDING_CONNECTIONS, key);
                }
                Ok(batch.put(&PENDING_CONNECTIONS, key, &pending)?)
            })
            .await;
        written.inspect_err(|_| departures.close(&key))?;
        Ok(url)
    }

    /// Ends one that the service refused, so that its state is of no more use.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn abandon_connecting(&self, state: &str) -> Result<()> {
        self.take_connecting(state).await.map(drop)
    }

    /// Ends one: exchanges the code that `browser` came back with, and keeps the
    /// connection.
    ///
    /// # Errors
    /// Invalid when it is not this browser's, not this service's or not open any more;
    /// forbidden when the user may not come in any more; upstream or unavailable, when
    /// the service does not go along.
    pub async fn finish_connecting(
        &self,
        provider: &str,
        browser: &str,
        state: &str,
        code: &SecretText,
        origin: Origin,
    ) -> Result<Consented> {
        let until = self.integration_deadline();
        let pending = self.take_connecting(state).await?;
        let pending = pending.filter(|pending| {
            pending.provider == provider
                && pending.browser == self.connecting_browser(browser)
                && pending.expires_at > self.now()
        });
        let pending = pending.ok_or_else(|| {
            let detail = "this was not begun in this browser, has been used already, took longer than ten \
                          minutes or was followed by too many others; begin again";
            Error::new(ErrorKind::Invalid, detail)
        })?;
        let user = self.store().read(|view| view.find(&USERS, pending.user))?;
        let user = user.filter(|user| self.turns_away(user).is_none()).ok_or_else(gone)?;
        let provider = self.integrations().provider(&pending.provider)?;
        let profile = provider.profile();
        let failed = |error, hidden: &SecretText| match error {
            ProviderError::BadToken => Error::forbidden(format!(
                "{} says that this consent has expired or was used already; begin again",
                profile.title
            )),
            error => explain(profile, error, &[hidden]),
        };
        let asking = provider.asking().ok_or_else(|| Error::internal("consent without an app"))?;
        let issued = asking.exchange(code, &pending.verifier, until).await;
        let issued = issued.map_err(|error| failed(error, code))?;
        let session = trial(issued.token, issued.team, until);
        let account = owner(&*provider, &session).await.map_err(|error| failed(error, &session.token))?;
        let now = self.now();
        let grants = Grants {
            token: session.token,
            scheme: account.scheme.clone(),
            expires_at: issued.expires_in.map(|length| now.plus(length)),
            refresh: issued.refresh.map(Renewal),
        };
        let note = sign_in_entry(&user, &origin, now, Action::IntegrationConnected);
        let username = user.username().to_owned();
        let provider = profile.name;
        let new = NewConnection { user, unsaved: false, actor: None, provider, account, grants, note };
        let connected = self.keep_connection(new).await?;
        Ok(Consented { title: profile.title, connected, username, redirect_uri: pending.redirect_uri })
    }

    /// Takes a pending one out of the store, whosever it is: a state that was shown once
    /// is of no more use.
    async fn take_connecting(&self, state: &str) -> Result<Option<PendingConnection>> {
        let key = self.connecting_state(state);
        self.integrations().departures.close(&key);
        self.store()
            .write(move |view, batch| {
                let pending = view.find(&PENDING_CONNECTIONS, key)?;
                if pending.is_some() {
                    batch.delete(&PENDING_CONNECTIONS, key);
                }
                Ok(pending)
            })
            .await
    }

    fn connecting_state(&self, state: &str) -> Lookup {
        self.store().keyring().index.lookup("connecting state", &[state.as_bytes()])
    }

    fn connecting_browser(&self, browser: &str) -> Lookup {
        self.store().keyring().index.lookup("connecting browser", &[browser.as_bytes()])
    }

    /// A credential, sealed for the page of `browser` about `provider`: what a browser
    /// was opened with is shown again when its form comes back, and is good or not then.
    #[must_use]
    pub fn seal_ticket(&self, credential: &SecretText, browser: &str, provider: &str) -> String {
        let until = self.now().plus(PENDING_FOR).as_millis();
        let ticket = Ticket { credential: credential.clone(), until };
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(&ticket).unwrap_or_default());
        let keyring = self.store().keyring();
        let (generation, key) = keyring.newest_root();
        let place = format!("{browser} {provider}");
        let sealed = envelope::seal(key, generation, binding(&place), &plain);
        BASE64_URL_SAFE_NO_PAD.encode(sealed)
    }

    /// What [`Services::seal_ticket`] sealed; `None` for anything else, for another
    /// browser or service, and after ten minutes.
    #[must_use]
    pub fn open_ticket(&self, ticket: &str, browser: &str, provider: &str) -> Option<SecretText> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(ticket).ok()?;
        let keyring = self.store().keyring();
        let key = keyring.root_for(&sealed).ok()?;
        let place = format!("{browser} {provider}");
        let plain = envelope::open(key, binding(&place), &sealed).ok()?;
        let ticket: Ticket = serde_json::from_slice(&plain).ok()?;
        (ticket.until > self.now().as_millis()).then_some(ticket.credential)
    }
}

/// Whose token was issued. That it is for a team the service said itself; an app need not
/// be allowed to read what the team is called.
async fn owner(provider: &dyn Provider, session: &Session) -> Result<Account, ProviderError> {
    match (provider.identify(session).await, &session.team) {
        (Err(ProviderError::Forbidden(_) | ProviderError::NotFound(_)), Some(team)) => {
            let alone = trial(session.token.clone(), None, session.until);
            let team = Team { id: team.clone(), name: team.clone() };
            Ok(Account { team: Some(team), ..provider.identify(&alone).await? })
        }
        (answer, _) => answer,
    }
}

const fn binding(place: &str) -> Binding<'_> {
    Binding { table: "connecting ticket", key: place.as_bytes() }
}
