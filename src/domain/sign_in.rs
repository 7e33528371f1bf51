//! Signing in with an account of this appliance, and the small proofs that go with
//! pages: that a form is one of ours, and that a browser has been here before.

use super::activity::operator_entry;
use super::attempts::Attempt;
use super::{Error, ErrorKind, Origin, Result, Services, SignedIn};
use crate::base::ids::UserId;
use crate::base::{AccountName, SecretText, random};
use crate::crypto::PasswordHash;
use crate::store::records::{Account, Action, CredentialKind, Entry, User};
use crate::store::tables::USERS;

/// A browser's mark: its own random part.
const MARK_CHARS: usize = 22;
const MARK_ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What was typed into the form, and the browser's mark.
pub struct PasswordSignIn {
    /// The login.
    pub name: String,
    /// The password.
    pub password: SecretText,
    /// What the browser shows of an earlier time.
    pub mark: Option<String>,
}

fn refused() -> Error {
    Error::unauthorized("that name and password do not belong together")
}

impl Services {
    /// Whether people can sign in with a password.
    #[must_use]
    pub fn has_local_accounts(&self) -> bool {
        self.settings().sign_in.local_accounts
    }

    /// Signs somebody in by their password. A name that nobody has is refused in the
    /// same words and for the same work.
    ///
    /// # Errors
    /// Unauthorized, rate limited.
    pub async fn sign_in(&self, form: PasswordSignIn, origin: Origin) -> Result<SignedIn> {
        if !self.has_local_accounts() {
            return Err(Error::unauthorized("local accounts are switched off on this server"));
        }
        let typed = form.name.trim().to_ascii_lowercase();
        let account = self.store().keyring().index.lookup("sign-in name", &[typed.as_bytes()]);
        let browser = form.mark.as_deref().and_then(|mark| self.good_mark(mark, &typed));
        let attempt = Attempt { account, address: origin.address, browser };
        self.0.attempts.begin(&attempt, self.now()).map_err(|wait| Error {
            retry_after: Some(wait),
            ..Error::new(
                ErrorKind::RateLimited,
                "too many tries; wait a quarter of an hour, or use a browser in which you signed in before",
            )
        })?;
        let name = AccountName::parse(&typed).ok();
        let checked = self.check_password(name.as_ref(), form.password).await;
        // Who was turned away at the door has guessed nothing.
        let checked = checked.inspect_err(|_| self.0.attempts.take_back(&attempt))?;
        let Some((user, hash)) = checked else {
            self.audit_refusal(Entry {
                credential: CredentialKind::SignIn,
                address: Some(origin.address),
                user_agent: origin.user_agent.clone(),
                request: Some(origin.request_id),
                // Without the name: people type passwords into the wrong field.
                ..operator_entry(self.now(), Action::SignInRefused)
            });
            return Err(refused());
        };
        self.0.attempts.take_back(&attempt);
        self.let_in(user, hash, origin).await
    }

    /// Begins a session of whoever has just shown the password of `hash`.
    pub(super) async fn let_in(&self, user: UserId, hash: PasswordHash, origin: Origin) -> Result<SignedIn> {
        let services = self.clone();
        self.store()
            .write(move |view, batch| {
                // Checking took a while: the account may have been disabled, or its password changed.
                let user = view.find(&USERS, user)?.filter(|user| services.turns_away(user).is_none());
                let user = user.filter(|user| has_password(user, &hash)).ok_or_else(refused)?;
                services.begin_session(view, batch, &user, &origin)
            })
            .await
    }

    /// A mark for a browser in which `name` has signed in.
    #[must_use]
    pub fn browser_mark(&self, name: &str) -> String {
        let random = random::text(MARK_ALPHABET, MARK_CHARS);
        format!("{random}.{}", self.proof("browser mark", &[&random, &name.to_ascii_lowercase()]))
    }

    fn good_mark(&self, mark: &str, name: &str) -> Option<[u8; 32]> {
        let (random, proof) = mark.split_once('.')?;
        let good = self.is_proof(proof, "browser mark", &[random, name]);
        good.then(|| self.store().keyring().index.lookup("browser mark count", &[random.as_bytes()]))
    }

    /// A token that makes a form one of ours: it fits this browser, this form, and
    /// nobody can make it up.
    #[must_use]
    pub fn form_token(&self, browser: &str, form: &str) -> String {
        self.proof("form token", &[browser, form])
    }

    /// Whether `token` was made for this browser and this form.
    #[must_use]
    pub fn is_form_token(&self, token: &str, browser: &str, form: &str) -> bool {
        self.is_proof(token, "form token", &[browser, form])
    }

    fn proof(&self, purpose: &str, parts: &[&str]) -> String {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        let hash = self.store().keyring().index.lookup(purpose, &parts);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn is_proof(&self, claimed: &str, purpose: &str, parts: &[&str]) -> bool {
        // Compared as secrets are, in constant time.
        SecretText::new(claimed.to_owned()) == SecretText::new(self.proof(purpose, parts))
    }
}

fn has_password(user: &User, hash: &PasswordHash) -> bool {
    matches!(&user.account, Account::Local { password: Some(now), .. } if now.is(hash))
}

/// A fresh random text that stands for a browser, for its cookie.
#[must_use]
pub fn new_browser() -> String {
    random::text(MARK_ALPHABET, 32)
}
