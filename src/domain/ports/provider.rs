//! What this room asks of a service that secrets are synchronised with. Four very
//! different services stand behind it; what they can and cannot do is data
//! ([`Profile`], [`Held`]), so that one engine serves them all.

use crate::base::SecretText;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The service's answer, when it comes.
pub type Asking<'a, T> = BoxFuture<'a, Result<T, ProviderError>>;

/// Whether values can be read back from a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBack {
    /// All but those marked as sealed there.
    UnlessSealed,
    /// None.
    Never,
}

/// How people let us act for them at a service. A token that they made there always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// In no other way.
    TokenOnly,
    /// They are sent there and asked (OAuth 2.0, RFC 6749 §4.1).
    Asked {
        /// Whether the service ties the answer to whoever asked (PKCE, RFC 7636).
        pkce: bool,
    },
}

/// What a service is called, and what it can do.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name in paths and answers.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// How people let us act for them.
    pub consent: Consent,
    /// Where people make a token, for them to read.
    pub tokens_at: &'static str,
    /// Whether values can be read back.
    pub read_back: ReadBack,
    /// The environments every project has; empty: each project has its own.
    pub environments: &'static [&'static str],
    /// Most variables handed over in one call; what a service takes one by one is
    /// handed over in small portions, so that the time left is looked at in between.
    pub batch: usize,
}

/// With what a service is called, and until when it may take.
pub struct Session {
    /// The token.
    pub token: SecretText,
    /// How the service wants it shown, as [`Account::scheme`] said.
    pub scheme: Option<String>,
    /// The team to act for.
    pub team: Option<String>,
    /// Nothing is waited for beyond this.
    pub until: Instant,
}

/// Who a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account's id at the service.
    pub id: String,
    /// What it is called.
    pub username: String,
    /// The team the token is for, if it is for one.
    pub team: Option<Team>,
    /// How the service wants the token shown, where there are several ways.
    pub scheme: Option<String>,
}

/// What a service issues after consent, or for a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The token.
    pub token: SecretText,
    /// How long it is good; `None`: until it is revoked.
    pub expires_in: Option<Duration>,
    /// What the next one can be had for, once.
    pub refresh: Option<SecretText>,
    /// The team that consent was given for, if it was for one.
    pub team: Option<String>,
}

/// A group of people at a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// Its id there.
    pub id: String,
    /// What it is called.
    pub name: String,
}

/// Something at the service that has variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// Its id there.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The repository it is built from, as `owner/repo`, where the service knows one.
    pub linked_repo: Option<String>,
    /// What it is built with, where the service knows.
    pub framework: Option<String>,
    /// A part of it with variables of its own: id and name.
    pub service: Option<(String, String)>,
    /// Its environments.
    pub environments: Vec<String>,
    /// The team it belongs to, where the service says so.
    pub team: Option<(String, String)>,
}

/// One set of variables at the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The project's id, the same for every way of naming it.
    pub project: String,
    /// What the project is called.
    pub project_name: String,
    /// The part of the project.
    pub service: Option<String>,
    /// The environment, spelt the one way the service spells it.
    pub environment: String,
    /// What else the service's calls need to know; nobody else reads it.
    pub route: String,
}

/// What is known of a variable's value from listing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// This.
    Value(SecretText),
    /// It can be had with [`Provider::reveal`], at the price of a call.
    OnRequest,
    /// The service does not tell it.
    Sealed,
}

/// A variable at the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub held: Held,
    /// Changes whenever the value does; equal only if it did not.
    pub marker: Option<String>,
    /// What changing it takes to know; nobody but the service's own calls reads it.
    pub record: SecretText,
}

/// Everything in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// What may be changed.
    pub variables: Vec<Variable>,
    /// Names that belong to the service or to something else there.
    pub left_alone: BTreeSet<String>,
    /// What changing names takes to know that are not in this place, but in others of
    /// the same project that they share a record with.
    pub elsewhere: BTreeMap<String, SecretText>,
}

/// A variable that is to have a value.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// The value.
    pub value: SecretText,
    /// [`Variable::record`] if it is there already, or its part of [`Listing::elsewhere`].
    pub record: Option<SecretText>,
}

/// A variable that is to go.
#[derive(Clone, Debug)]
pub struct Removal {
    /// Its name.
    pub name: String,
    /// [`Variable::record`].
    pub record: SecretText,
}

/// How writing one variable went: the mark of the new state, if the service told it.
pub type Written = Result<Option<String>, ProviderError>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The token is not accepted, or not any more.
    #[error("the access was revoked or has expired")]
    BadToken,
    /// The token is good, but may not do this.
    #[error("refused: {0}")]
    Forbidden(String),
    /// There is no such thing there.
    #[error("{0} does not exist there")]
    NotFound(&'static str),
    /// There is no such environment; which there are.
    #[error("there is no such environment")]
    NoSuchEnvironment(Vec<String>),
    /// What was sent is not acceptable.
    #[error("{0}")]
    Rejected(String),
    /// Too many calls; when more are welcome.
    #[error("too many requests")]
    RateLimited(Option<Duration>),
    /// The time was up before it was asked.
    #[error("the time was up")]
    OutOfTime,
    /// It could not be asked, or did not answer sensibly. If this was a write, it may
    /// have been carried out.
    #[error("{0}")]
    Failed(String),
}

/// Asking people at a service whether we may act for them.
pub trait AskConsent: Send + Sync {
    /// The address to send them to. `challenge` is the PKCE challenge.
    fn consent_url(&self, state: &str, challenge: &str) -> String;

    /// What the service issues for the code that somebody came back with.
    /// [`ProviderError::BadToken`] if the code is not good, or not any more.
    fn exchange<'a>(
        &'a self,
        code: &'a SecretText,
        verifier: &'a SecretText,
        until: Instant,
    ) -> Asking<'a, Issued>;

    /// What the service issues for a refresh token, which is spent by that.
    /// [`ProviderError::BadToken`] if it does not any more.
    fn refresh<'a>(&'a self, refresh: &'a SecretText, until: Instant) -> Asking<'a, Issued>;
}

/// A service.
pub trait Provider: Send + Sync {
    /// What it is called, and what it can do.
    fn profile(&self) -> &'static Profile;

    /// Whether the platform gives `name` its value itself.
    fn is_reserved(&self, name: &str) -> bool;

    /// How people are asked for consent; `None`: this server has no app there, or the
    /// service asks nobody.
    fn asking(&self) -> Option<&dyn AskConsent> {
        None
    }

    /// Whose token this is. With `Session::team`, checks that it may act for that team.
    fn identify<'a>(&'a self, session: &'a Session) -> Asking<'a, Account>;

    /// Every project, over all pages.
    fn projects<'a>(&'a self, session: &'a Session) -> Asking<'a, Vec<Project>>;

    /// Finds the place that somebody names. `environment` is a name of theirs.
    fn locate<'a>(
        &'a self,
        session: &'a Session,
        project: &'a str,
        service: Option<&'a str>,
        environment: &'a str,
    ) -> Asking<'a, Place>;

    /// The variables of a place.
    fn list<'a>(&'a self, session: &'a Session, place: &'a Place) -> Asking<'a, Listing>;

    /// The values of variables that were listed as [`Held::OnRequest`], in the same
    /// order; `None`: it is sealed after all.
    fn reveal<'a>(
        &'a self,
        _session: &'a Session,
        _place: &'a Place,
        variables: &'a [&'a Variable],
    ) -> BoxFuture<'a, Vec<Result<Option<SecretText>, ProviderError>>> {
        let sealed = variables.iter().map(|_| Ok(None)).collect();
        Box::pin(std::future::ready(sealed))
    }

    /// Gives variables their values; how it went for each, in the same order. Fails as a
    /// whole if the service took or refused them as a whole.
    fn set<'a>(
        &'a self,
        session: &'a Session,
        place: &'a Place,
        settings: &'a [Setting],
    ) -> Asking<'a, Vec<Written>>;

    /// Takes variables away, like [`Provider::set`].
    fn remove<'a>(
        &'a self,
        session: &'a Session,
        place: &'a Place,
        removals: &'a [Removal],
    ) -> Asking<'a, Vec<Written>>;
}
