//! What this room asks of the outside: the forge that keeps the repositories. Whoever
//! implements it knows the forge's language; the rules stay here.

pub mod provider;

use crate::base::{RepoName, Role, SecretText};
use futures_util::future::BoxFuture;
use std::time::Duration;

/// The forge's answer, when it comes.
pub type Asking<'a, T> = BoxFuture<'a, Result<T, ForgeError>>;

/// Somebody, as the forge knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgeUser {
    /// The number, which survives renames.
    pub id: u64,
    /// The login.
    pub login: String,
    /// Mail address, if it is shown.
    pub email: Option<String>,
    /// Picture.
    pub avatar_url: Option<String>,
}

/// A repository, as the forge shows it to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The number, which survives renames.
    pub id: u64,
    /// The name, as the forge spells it today.
    pub name: RepoName,
    /// Whether only its members see it.
    pub private: bool,
    /// The owner's picture.
    pub avatar_url: Option<String>,
    /// The highest permission the forge reports for whoever asked.
    pub permission: Option<Role>,
}

impl Repository {
    /// The role of whoever asked. Everybody may read a public repository, so there
    /// reading alone is no role.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.permission.filter(|&role| self.private || role > Role::Read)
    }
}

/// The repositories somebody has a part in, as far as the forge shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those it shows.
    pub repositories: Vec<Repository>,
    /// The numbers of the organisations whose repositories it leaves out, because they
    /// want the token to be authorised for their single sign-on first.
    pub withheld_by: Vec<u64>,
}

/// An answer that may be the one already known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<T> {
    /// Nothing has changed since.
    Unchanged,
    /// This, to be named by `validator` the next time.
    Fresh {
        /// The answer.
        value: T,
        /// How the forge names this state of it.
        validator: Option<String>,
    },
}

/// What the forge gives in exchange for a proof that somebody agreed.
#[derive(Clone)]
pub struct IssuedTokens {
    /// The token to ask with.
    pub token: SecretText,
    /// How long it is good; `None`: until it is revoked.
    pub expires_in: Option<Duration>,
    /// What the next one can be had for.
    pub refresh: Option<SecretText>,
    /// How long that is good.
    pub refresh_expires_in: Option<Duration>,
}

/// Whether our app is installed where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Whether it is, or need not be.
    pub installed: bool,
    /// Where it can be installed.
    pub install_url: Option<String>,
    /// The installation's number.
    pub id: Option<u64>,
}

/// What an event at the forge may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affected {
    /// No role.
    Nothing,
    /// Roles on the repository of this number.
    Repository(u64),
    /// Any role.
    Everything,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForgeError {
    /// The forge does not accept the token, or not any more.
    BadToken,
    /// The token is a good one, but not for this server; why, in words.
    Unsuitable(String),
    /// The organisation wants the token to be authorised first, at this address.
    SingleSignOn(Option<String>),
    /// The forge refused to sign somebody in; why, in words for that person.
    Refused(String),
    /// The forge could not be asked.
    Unavailable {
        /// When it can be asked again, if it said so.
        retry_after: Option<Duration>,
        /// What happened, for the log.
        cause: String,
    },
}

/// The forge.
pub trait Forge: Send + Sync {
    /// Its name, for people.
    fn title(&self) -> &str;

    /// Whether people can sign in with a browser.
    fn signs_in(&self) -> bool;

    /// Whose `token` this is. A token that other apps may have been issued is checked
    /// for being ours, unless `ours` says that it is.
    fn identify<'a>(&'a self, token: &'a SecretText, ours: bool) -> Asking<'a, ForgeUser>;

    /// The repository called `name`, under whatever name it goes today; `None` if
    /// `token` does not see one. `known` names the state that is known already.
    fn repository<'a>(
        &'a self,
        token: &'a SecretText,
        name: &'a RepoName,
        known: Option<&'a str>,
    ) -> Asking<'a, Reply<Option<Repository>>>;

    /// Every repository `token`'s user has a part in.
    fn repositories<'a>(&'a self, token: &'a SecretText) -> Asking<'a, Listing>;

    /// Whether our app is installed where `name` is.
    fn installation<'a>(&'a self, token: &'a SecretText, name: &'a RepoName) -> Asking<'a, Installation>;

    /// Where a browser goes to sign in. `challenge` is the PKCE challenge (RFC 7636).
    fn sign_in_url(&self, state: &str, challenge: &str) -> String;

    /// Exchanges the code a browser came back with.
    fn exchange<'a>(&'a self, code: &'a SecretText, verifier: &'a SecretText) -> Asking<'a, IssuedTokens>;

    /// Exchanges a refresh token, which is spent by that.
    fn refresh<'a>(&'a self, refresh: &'a SecretText) -> Asking<'a, IssuedTokens>;

    /// What the event called `event` may have changed.
    fn affected(&self, event: &str, body: &[u8]) -> Affected;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_a_public_repository_is_no_role() {
        let role = |private, permission| {
            let name = RepoName::parse("acme/app").unwrap();
            Repository { id: 1, name, private, avatar_url: None, permission }.role()
        };
        assert_eq!(role(true, Some(Role::Read)), Some(Role::Read));
        assert_eq!(role(false, Some(Role::Read)), None);
        assert_eq!(role(false, Some(Role::Triage)), Some(Role::Triage));
        assert_eq!(role(true, None), None);
    }
}
