//! Signing in with a browser at the forge (OAuth 2.0 with PKCE, RFC 6749 and RFC
//! 7636). A sign-in is good for ten minutes, once, and only for the browser that
//! began it.

use super::activity::sign_in_entry;
use super::attempts::{Neighbourhood, neighbourhood};
use super::auth::recognised;
use super::grants::put_grant;
use super::permissions::forge_vault;
use super::ports::{ForgeUser, IssuedTokens, Repository};
use super::waiting::Waiting;
use super::{Error, ErrorKind, Origin, Result, Services, SignedIn};
use crate::base::{SecretText, random};
use crate::crypto::digest::pkce_challenge;
use crate::store::records::{Action, ForgeGrant, PendingSignIn, SignInCode, SignInTarget, User};
use crate::store::tables::{Lookup, PENDING_SIGN_INS, SIGN_IN_CODES, USERS};
use crate::store::{StoreError, View};
use std::time::Duration;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const STATE_CHARS: usize = 43;
const VERIFIER_CHARS: usize = 64;
const CODE_CHARS: usize = 43;
const PENDING_FOR: Duration = Duration::from_secs(10 * 60);
const CODE_FOR: Duration = Duration::from_secs(60);
/// Most browsers behind one address that are away at the same time; an office has one.
const PER_ADDRESS: usize = 200;

/// Browsers that were sent to the forge and are not back.
pub(super) struct Departures(Waiting<Neighbourhood, ()>);

impl Default for Departures {
    fn default() -> Self {
        Self(Waiting::new("sign-ins", PER_ADDRESS))
    }
}

/// Where a browser wants to go after signing in.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To our own page, or to that of the device code that is to be confirmed.
    Here {
        /// The code as it was typed.
        user_code: Option<String>,
    },
    /// To another site.
    Elsewhere {
        /// Its address.
        redirect_uri: String,
        /// What it wants to have back.
        state: Option<String>,
    },
}

/// A browser that has come back and whose user is signed in.
#[derive(Debug)]
pub struct ForgeSignedIn {
    /// The session of this browser.
    pub session: SignedIn,
    /// Where it goes now.
    pub destination: Destination,
    /// The one-time code for the other site.
    pub code: Option<SecretText>,
}

impl Services {
    /// Begins: the address at the forge to send this browser to.
    ///
    /// # Errors
    /// Not found when nobody can sign in at a forge, invalid for a destination that is
    /// not allowed, rate limited when too many are under way.
    pub async fn begin_forge_sign_in(
        &self,
        browser: &str,
        destination: Destination,
        origin: &Origin,
    ) -> Result<String> {
        let roles = self.0.roles.as_ref().filter(|roles| roles.forge().signs_in());
        let roles =
            roles.ok_or_else(|| Error::not_found("signing in with GitHub is not set up on this server"))?;
        if let Destination::Elsewhere { redirect_uri, .. } = &destination {
            self.check_redirect(redirect_uri)?;
        }
        let state = random::text(BASE62, STATE_CHARS);
        let verifier = SecretText::new(random::text(BASE62, VERIFIER_CHARS));
        let url = roles.forge().sign_in_url(&state, &pkce_challenge(&verifier));
        let (now, key) = (self.now(), self.state_key(&state));
        let expires_at = now.plus(PENDING_FOR);
        self.0.departures.0.open(key, neighbourhood(origin.address), now, expires_at)?;
        let pending = PendingSignIn {
            browser: self.browser_key(browser),
            verifier,
            target: destination.into(),
            expires_at,
        };
        let written: Result<()> =
            self.store().write(move |_, batch| Ok(batch.put(&PENDING_SIGN_INS, key, &pending)?)).await;
        written.inspect_err(|_| self.0.departures.0.close(&key))?;
        Ok(url)
    }

    /// Ends one that the forge refused, so that its state is of no more use. `false`:
    /// it was not one of this browser's.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn abandon_forge_sign_in(&self, browser: &str, state: &str) -> Result<bool> {
        Ok(self.take_pending(browser, state).await?.is_some())
    }

    /// Ends one: exchanges the code the browser came back with, and signs its user in.
    ///
    /// # Errors
    /// Invalid when the sign-in is not this browser's or not open any more; forbidden
    /// when the user may not come in, in words for them; unavailable.
    pub async fn finish_forge_sign_in(
        &self,
        browser: &str,
        state: &str,
        code: &SecretText,
        origin: Origin,
    ) -> Result<ForgeSignedIn> {
        let pending = self.take_pending(browser, state).await?.ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                "this sign-in was not begun in this browser, has been used already or took longer than ten minutes",
            )
        })?;
        let forge = self.roles()?.forge();
        let explain = |error| self.explain(error, None);
        let issued = forge.exchange(code, &pending.verifier).await.map_err(explain)?;
        let person = forge.identify(&issued.token, true).await.map_err(explain)?;
        let seen = forge.repositories(&issued.token).await.map_err(explain)?;
        let (user, _) = self.store().read(|view| recognised(view, person.clone(), self.now()))?;
        if let Some(reason) = self.turns_away(&user) {
            return Err(Error::forbidden(reason));
        }
        if !self.store().read(|view| self.belongs_here(view, &seen.repositories))? {
            let note = sign_in_entry(&user, &origin, self.now(), Action::SignInRefused);
            self.audit_refusal(note);
            let more = if seen.withheld_by.is_empty() {
                "ask its operator"
            } else {
                "repositories of organisations with a single sign-on were left out: sign in to it first, \
                 then try again"
            };
            return Err(Error::forbidden(format!(
                "`{}` has no role on any vault of this server, and no repository it makes vaults for; {more}",
                user.username()
            )));
        }
        self.admit(person, issued, pending.target, origin).await
    }

    /// The session for a one-time code.
    ///
    /// # Errors
    /// Unauthorized when the code is not good, or not any more.
    pub async fn redeem_sign_in_code(&self, code: &SecretText, origin: Origin) -> Result<SignedIn> {
        let (services, key) = (self.clone(), self.code_key(code));
        let outcome: Result<Option<SignedIn>> = self
            .store()
            .write(move |view, batch| {
                let Some(code) = view.find(&SIGN_IN_CODES, key)? else { return Ok(None) };
                batch.delete(&SIGN_IN_CODES, key);
                let user = view.find(&USERS, code.user)?.filter(|user| services.turns_away(user).is_none());
                match user.filter(|_| code.expires_at > services.now()) {
                    Some(user) => services.begin_session(view, batch, &user, &origin).map(Some),
                    None => Ok(None),
                }
            })
            .await;
        outcome?.ok_or_else(|| {
            Error::unauthorized("the code is not valid; each works once, within a minute of signing in")
        })
    }

    async fn admit(
        &self,
        person: ForgeUser,
        issued: IssuedTokens,
        target: SignInTarget,
        origin: Origin,
    ) -> Result<ForgeSignedIn> {
        let services = self.clone();
        let onward = matches!(target, SignInTarget::Elsewhere { .. });
        let code = onward.then(|| SecretText::new(random::text(BASE62, CODE_CHARS)));
        let code_key = code.as_ref().map(|code| self.code_key(code));
        let session = self
            .store()
            .write(move |view, batch| {
                let now = services.now();
                let (user, _): (User, bool) = recognised(view, person, now)?;
                if let Some(reason) = services.turns_away(&user) {
                    return Err(Error::forbidden(reason));
                }
                batch.put(&USERS, user.id, &user)?;
                put_grant(batch, user.id, &ForgeGrant::new(issued, now))?;
                if let Some(key) = code_key {
                    batch.put(
                        &SIGN_IN_CODES,
                        key,
                        &SignInCode { user: user.id, expires_at: now.plus(CODE_FOR) },
                    )?;
                }
                services.begin_session(view, batch, &user, &origin)
            })
            .await?;
        Ok(ForgeSignedIn { session, destination: target.into(), code })
    }

    /// Whether somebody with a part in these repositories has any business here: a role
    /// on a vault, or a repository vaults may be made for.
    fn belongs_here(&self, view: View<'_>, repositories: &[Repository]) -> Result<bool, StoreError> {
        if repositories.iter().any(|one| self.settings().forge.allows(&one.name)) {
            return Ok(true);
        }
        for one in repositories.iter().filter(|one| one.role().is_some()) {
            if forge_vault(view, one.id)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a pending sign-in out of the store, whosever it is: a state that was shown
    /// once is of no more use.
    async fn take_pending(&self, browser: &str, state: &str) -> Result<Option<PendingSignIn>> {
        let (key, browser) = (self.state_key(state), self.browser_key(browser));
        let pending: Option<PendingSignIn> = self
            .store()
            .write(move |view, batch| {
                let pending = view.find(&PENDING_SIGN_INS, key)?;
                if pending.is_some() {
                    batch.delete(&PENDING_SIGN_INS, key);
                }
                Ok::<_, Error>(pending)
            })
            .await?;
        self.0.departures.0.close(&key);
        Ok(pending.filter(|pending| pending.browser == browser && pending.expires_at > self.now()))
    }

    /// Checks that a browser may be sent to `redirect_uri`.
    ///
    /// # Errors
    /// Invalid.
    pub fn check_redirect(&self, redirect_uri: &str) -> Result<()> {
        let plain = redirect_uri.len() <= 2_000
            && redirect_uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\#\"<>`".contains(&byte));
        let within = |origin: &String| {
            redirect_uri
                .strip_prefix(origin.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        };
        if plain && self.settings().sign_in.redirect_origins.iter().any(within) {
            Ok(())
        } else {
            let message = "must be an address of a site that the operator lists in `server.redirect_origins`";
            Err(Error::invalid("redirect_uri", message))
        }
    }

    fn state_key(&self, state: &str) -> Lookup {
        self.store().keyring().index.lookup("sign-in state", &[state.as_bytes()])
    }

    fn browser_key(&self, browser: &str) -> Lookup {
        self.store().keyring().index.lookup("sign-in browser", &[browser.as_bytes()])
    }

    fn code_key(&self, code: &SecretText) -> Lookup {
        self.store().keyring().index.lookup("sign-in code", &[code.expose().as_bytes()])
    }
}

impl From<Destination> for SignInTarget {
    fn from(destination: Destination) -> Self {
        match destination {
            Destination::Here { user_code } => Self::Here { user_code },
            Destination::Elsewhere { redirect_uri, state } => Self::Elsewhere { redirect_uri, state },
        }
    }
}

impl From<SignInTarget> for Destination {
    fn from(target: SignInTarget) -> Self {
        match target {
            SignInTarget::Here { user_code } => Self::Here { user_code },
            SignInTarget::Elsewhere { redirect_uri, state } => Self::Elsewhere { redirect_uri, state },
        }
    }
}
