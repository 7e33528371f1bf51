//! What the forge says about people and repositories: who a token's owner is, and
//! which role they have where. Asked with the token of whoever acts, so that the
//! token's own limits hold; remembered under a keyed hash of it.

use super::actor::{Credential, ForgeToken};
use super::ports::{Affected, Forge, ForgeError, ForgeUser, Installation, Listing, Reply, Repository};
use super::questions::{Freshness, Questions, Tally};
use super::{Actor, Error, ErrorKind, Result, Services, Settings};
use crate::base::meter::{self, Counters};
use crate::base::{RepoName, SecretText};
use crate::store::records::{Source, Vault};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The keyed hash of a token.
type Tag = [u8; 32];

/// How long it is known at least whose a token is: that never changes, and whether the
/// token is still good shows whenever a role is asked with it.
const IDENTITY: Duration = Duration::from_secs(60);
/// When to come back if the forge cannot be asked and does not say when it can.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Strangers' tokens that the forge is asked about at one time: few of all the calls there
/// can be, so that those who make tokens up are in nobody's way but strangers'.
const STRANGERS_AT_ONCE: usize = 4;
/// How long a stranger waits for their turn.
const STRANGERS_WAIT: Duration = Duration::from_secs(10);

/// The forge, and what it said lately.
pub(super) struct Roles {
    forge: Arc<dyn Forge>,
    people: Questions<Tag, ForgeUser>,
    repositories: Questions<(Tag, String), Option<Repository>>,
    listings: Questions<Tag, Arc<Listing>>,
    strangers: Arc<Semaphore>,
    /// Tokens the forge does not want to see before a certain time.
    paused: Mutex<HashMap<Tag, Instant>>,
    /// How questions were answered, by question and result.
    pub(super) answers: Counters,
}

/// Whether the repositories under an account's name belong to that account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespaces {
    /// They do.
    Owned,
    /// They do not: a forge is connected, and may know somebody else by that name.
    Foreign,
}

/// What is known of the actor's part in a repository before the store is entered.
pub(super) enum Standing {
    /// Nothing: this appliance itself gives the roles.
    Local(Namespaces),
    /// What the forge shows the actor; `None`: no such repository.
    Forge(Option<Repository>),
}

impl Standing {
    /// Brings what we have of the vault's repository up to what the forge says of it.
    /// Whether anything was new.
    pub(super) fn tell(&self, vault: &mut Vault) -> bool {
        let Self::Forge(Some(repository)) = self else { return false };
        // By spelling, which matters for what is shown.
        let is_news = vault.repo.to_string() != repository.name.to_string()
            || vault.private != repository.private
            || vault.avatar_url != repository.avatar_url;
        if is_news {
            vault.repo = repository.name.clone();
            vault.private = repository.private;
            vault.avatar_url.clone_from(&repository.avatar_url);
        }
        is_news
    }
}

/// What is known of the actor's part in all repositories.
pub(super) enum Reach {
    /// Nothing: this appliance itself gives the roles.
    Local(Namespaces),
    /// Those the actor has a part in.
    Forge(Arc<Listing>),
}

impl Reach {
    /// The actor's part in the repository of `vault`.
    pub(super) fn standing_on(&self, vault: &Vault) -> Standing {
        match (self, vault.source) {
            (Self::Local(namespaces), _) => Standing::Local(*namespaces),
            (Self::Forge(all), Source::GitHub { repository_id }) => {
                Standing::Forge(all.repositories.iter().find(|one| one.id == repository_id).cloned())
            }
            (Self::Forge(_), Source::Local { .. }) => Standing::Forge(None),
        }
    }

    /// The organisations at the forge whose repositories it leaves out.
    pub(super) fn withheld_by(&self) -> &[u64] {
        match self {
            Self::Local(_) => &[],
            Self::Forge(all) => &all.withheld_by,
        }
    }
}

impl Roles {
    pub(super) fn new(forge: Arc<dyn Forge>, settings: &Settings) -> Self {
        let freshness = Freshness { answers: settings.forge.role_cache, grace: settings.forge.stale_grace };
        let longer = Freshness { answers: freshness.answers.max(IDENTITY), ..freshness };
        let answers = meter::counters(
            "keywayd_forge_answers_total",
            "Questions to the forge, by question, and whether the answer was known or had to be asked for.",
            &["question", "result"],
        );
        Self {
            forge,
            people: Questions::new(longer, Tally::of(&answers, "identity")),
            repositories: Questions::new(freshness, Tally::of(&answers, "repository")),
            listings: Questions::new(freshness, Tally::of(&answers, "repositories")),
            strangers: Arc::new(Semaphore::new(STRANGERS_AT_ONCE)),
            paused: Mutex::default(),
            answers,
        }
    }

    pub(super) fn forge(&self) -> &Arc<dyn Forge> {
        &self.forge
    }

    /// Whether the forge has said whose `token` is, and has not refused it since.
    pub(super) fn has_identified(&self, token: &ForgeToken) -> bool {
        self.people.has_answered(&token.tag)
    }

    pub(super) async fn identify(&self, token: &ForgeToken) -> Result<ForgeUser, ForgeError> {
        let ask = async |_| {
            let user = self.unless_paused(token.tag, self.ask_whose(token)).await?;
            Ok(Reply::Fresh { value: user, validator: None })
        };
        self.people.answer(token.tag, ask).await
    }

    async fn ask_whose(&self, token: &ForgeToken) -> Result<ForgeUser, ForgeError> {
        if self.has_identified(token) {
            return self.forge.identify(&token.text, false).await;
        }
        let unavailable =
            |cause: &str| Err(ForgeError::Unavailable { retry_after: None, cause: cause.to_owned() });
        let turn = tokio::time::timeout(STRANGERS_WAIT, Arc::clone(&self.strangers).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return unavailable("too many unknown tokens are waiting for it") };
        let (forge, token) = (Arc::clone(&self.forge), token.clone());
        // On a task of its own: the call goes on when whoever caused it has left, and so must the turn.
        let asking = tokio::spawn(async move {
            let _turn = turn;
            forge.identify(&token.text, false).await
        });
        asking.await.unwrap_or_else(|_| unavailable("asking it panicked"))
    }

    async fn repository(
        &self,
        token: &ForgeToken,
        name: &RepoName,
    ) -> Result<Option<Repository>, ForgeError> {
        let ask = async |known: Option<String>| {
            let asking = self.forge.repository(&token.text, name, known.as_deref());
            self.unless_paused(token.tag, asking).await
        };
        let answer = self.repositories.answer((token.tag, name.folded()), ask).await;
        self.unless_revoked(token, answer)
    }

    async fn listing(&self, token: &ForgeToken) -> Result<Arc<Listing>, ForgeError> {
        let ask = async |_| {
            let all = self.unless_paused(token.tag, self.forge.repositories(&token.text)).await?;
            Ok(Reply::Fresh { value: Arc::new(all), validator: None })
        };
        let answer = self.listings.answer(token.tag, ask).await;
        self.unless_revoked(token, answer)
    }

    /// Forgets whose `token` is when the forge turns out not to accept it any more.
    fn unless_revoked<T>(&self, token: &ForgeToken, answer: Result<T, ForgeError>) -> Result<T, ForgeError> {
        if matches!(answer, Err(ForgeError::BadToken)) {
            self.people.forget_one(&token.tag);
        }
        answer
    }

    /// Asks, unless the forge has named a time before which it will not answer `tag`:
    /// its limits are the token's, whatever the question.
    async fn unless_paused<T>(
        &self,
        tag: Tag,
        asking: impl Future<Output = Result<T, ForgeError>>,
    ) -> Result<T, ForgeError> {
        let wait = self.paused().get(&tag).map(|end| end.saturating_duration_since(Instant::now()));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            let cause = "it asked to be left alone for a while".to_owned();
            return Err(ForgeError::Unavailable { retry_after: Some(wait), cause });
        }
        let outcome = asking.await;
        if let Err(ForgeError::Unavailable { retry_after: Some(wait), .. }) = &outcome {
            let (now, mut paused) = (Instant::now(), self.paused());
            paused.retain(|_, end| *end > now);
            paused.insert(tag, now + *wait);
        }
        outcome
    }

    fn paused(&self) -> MutexGuard<'_, HashMap<Tag, Instant>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, affected: Affected) {
        match affected {
            Affected::Nothing => {}
            Affected::Repository(id) => {
                let concerns = |one: &Repository| one.id == id;
                self.repositories.forget(|answer| answer.as_ref().is_none_or(concerns));
                self.listings.forget(|_| true);
            }
            Affected::Everything => {
                self.repositories.forget(|_| true);
                self.listings.forget(|_| true);
                self.people.forget(|_| true);
            }
        }
    }
}

impl Services {
    /// What the forge is called, if one is connected, and whether people can sign in there.
    #[must_use]
    pub fn forge_title(&self) -> Option<(&str, bool)> {
        self.0.roles.as_ref().map(|roles| (roles.forge.title(), roles.forge.signs_in()))
    }

    /// The actor's part in `repo`.
    pub(super) async fn standing(&self, actor: &Actor, repo: &RepoName) -> Result<Standing> {
        if !actor.is_of_the_forge() {
            return Ok(self.standing_here());
        }
        let (roles, token) = (self.roles()?, self.forge_token(actor).await?);
        let seen = roles.repository(&token, repo).await;
        seen.map(Standing::Forge).map_err(|error| self.explain(error, Some(actor)))
    }

    /// The actor's part in all repositories.
    pub(super) async fn reach(&self, actor: &Actor) -> Result<Reach> {
        if !actor.is_of_the_forge() {
            return Ok(Reach::Local(self.namespaces()));
        }
        let (roles, token) = (self.roles()?, self.forge_token(actor).await?);
        let seen = roles.listing(&token).await;
        seen.map(Reach::Forge).map_err(|error| self.explain(error, Some(actor)))
    }

    /// The part of somebody in what this appliance itself gives roles on.
    pub(super) fn standing_here(&self) -> Standing {
        Standing::Local(self.namespaces())
    }

    fn namespaces(&self) -> Namespaces {
        if self.0.roles.is_some() { Namespaces::Foreign } else { Namespaces::Owned }
    }

    pub(super) fn roles(&self) -> Result<&Roles> {
        let off =
            || Error::unauthorized("this server is not connected to a forge any more; use a local account");
        self.0.roles.as_ref().ok_or_else(off)
    }

    /// The keyed hash that stands for a token of the forge.
    pub(super) fn tagged(&self, text: SecretText) -> ForgeToken {
        let tag = self.store().keyring().index.lookup("forge token", &[text.expose().as_bytes()]);
        ForgeToken { tag, text }
    }

    /// What a failure at the forge means for whoever acts.
    pub(super) fn explain(&self, error: ForgeError, actor: Option<&Actor>) -> Error {
        let forge = self.forge_title().map_or("the forge", |(title, _)| title).to_owned();
        match error {
            ForgeError::BadToken => match actor.map(|actor| &actor.credential) {
                Some(Credential::Session { .. } | Credential::ApiKey(_)) => Error::unauthorized(format!(
                    "{forge} does not accept the stored sign-in any more; sign in with {forge} again"
                )),
                _ => Error::unauthorized(format!(
                    "{forge} does not accept this token; it may be mistyped, expired or revoked"
                )),
            },
            ForgeError::Unsuitable(reason) => Error::unauthorized(reason),
            ForgeError::Refused(reason) => Error::forbidden(reason),
            ForgeError::SingleSignOn(place) => {
                let place = place.map_or_else(
                    || format!("authorise it in your settings at {forge}"),
                    |place| format!("authorise it at {place}"),
                );
                Error::forbidden(format!(
                    "the organisation wants this token to be authorised for its single sign-on first; {place}"
                ))
            }
            ForgeError::Unavailable { retry_after, cause } => {
                let retry_after = Some(retry_after.unwrap_or(RETRY_AFTER).max(Duration::from_secs(1)));
                let detail = format!("{forge} cannot be asked right now; try again later");
                Error { retry_after, cause: Some(cause.into()), ..Error::new(ErrorKind::Unavailable, detail) }
            }
        }
    }

    /// Whether our app is installed where `repo` is; without one, nothing is missing.
    ///
    /// # Errors
    /// If the forge cannot be asked.
    pub async fn installation(&self, actor: &Actor, repo: &RepoName) -> Result<Installation> {
        if !actor.is_of_the_forge() {
            return Ok(Installation { installed: true, install_url: None, id: None });
        }
        let (roles, token) = (self.roles()?, self.forge_token(actor).await?);
        let asked = roles.unless_paused(token.tag, roles.forge.installation(&token.text, repo)).await;
        asked.map_err(|error| self.explain(error, Some(actor)))
    }

    /// Takes note of an event at the forge, sent as `body` and signed with the secret
    /// that the operator shares with it.
    ///
    /// # Errors
    /// Not found when no secret is shared, unauthorized when the signature is not good.
    pub fn forge_event(&self, event: &str, signature: &str, body: &[u8]) -> Result<()> {
        let not_here = || Error::not_found("this server takes no webhooks");
        let secret = self.settings().forge.webhook_secret.as_ref().ok_or_else(not_here)?;
        let roles = self.0.roles.as_ref().ok_or_else(not_here)?;
        if !crate::crypto::digest::is_signed(secret, body, signature) {
            return Err(Error::unauthorized("the signature is not good; compare the secrets on both sides"));
        }
        roles.forget(roles.forge.affected(event, body));
        Ok(())
    }
}
