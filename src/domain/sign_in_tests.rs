//! Signing in, where time and order decide: what has run out, what ended a moment ago,
//! and what a try costs. With a clock that the test sets.

use super::devices::PolledDevice;
use super::forge_sign_in::Destination;
use super::ports::{
    Affected, Asking, Forge, ForgeError, ForgeUser, Installation, IssuedTokens, Listing, Reply, Repository,
};
use super::retention_tests::SetClock;
use super::sign_in::PasswordSignIn;
use super::{Actor, ErrorKind, Origin, Services, Settings, SignedIn};
use crate::base::ids::RequestId;
use crate::base::{AccountName, Agent, OwnerName, RepoName, Role, Scope, SecretText};
use crate::domain::api_keys::NewApiKey;
use crate::store::Store;
use futures_util::FutureExt;
use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const PASSWORD: &str = "correct horse";

struct World {
    services: Services,
    clock: Arc<SetClock>,
}

fn alice() -> AccountName {
    AccountName::parse("alice").unwrap()
}

fn secret(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

fn origin() -> Origin {
    let (request_id, address) = (RequestId::from_bytes([7; 16]), IpAddr::from([127, 0, 0, 1]));
    Origin { request_id, address, user_agent: "a browser".to_owned(), agent: Agent::Other }
}

impl World {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(forge: Option<Arc<dyn Forge>>) -> Self {
        let clock = Arc::new(SetClock::default());
        clock.advance(Duration::from_secs(1_800_000_000));
        let (store, none) = (Store::in_memory(), super::integrations::Integrations::none());
        let mut settings = Settings::for_tests();
        settings.sign_in.redirect_origins = vec!["https://app.example".to_owned()];
        settings.forge.allowed_owners = vec![OwnerName::parse("acme").unwrap()];
        let services = Services::new(store, clock.clone(), settings, forge, none);
        services.add_account(alice(), true, Some(secret(PASSWORD))).await.unwrap();
        Self { services, clock }
    }

    async fn try_sign_in(&self, name: &str, password: &str) -> Result<SignedIn, ErrorKind> {
        let form = PasswordSignIn { name: name.to_owned(), password: secret(password), mark: None };
        self.services.sign_in(form, origin()).await.map_err(|error| error.kind)
    }

    async fn sign_in(&self) -> (SecretText, Actor) {
        let token = self.try_sign_in("alice", PASSWORD).await.unwrap().token;
        let actor = self.who(&token).await.unwrap();
        (token, actor)
    }

    async fn who(&self, token: &SecretText) -> Result<Actor, ErrorKind> {
        self.services.authenticate(token, false, origin()).await.map_err(|error| error.kind)
    }
}

fn key() -> NewApiKey {
    NewApiKey::unlimited("test", Scope::ALL.into_iter().collect())
}

#[tokio::test]
async fn every_try_costs_one_hash_whoever_is_named() {
    let world = World::new().await;
    world.services.set_disabled(alice(), true).await.unwrap();
    world.services.add_account(AccountName::parse("bob").unwrap(), false, None).await.unwrap();
    let count = || world.services.0.passwords.checked.load(Ordering::Relaxed);
    // Disabled; without a password; nobody; names that nobody can have.
    for name in ["alice", "bob", "nobody", "", "Not A Name", "ünbekannt"] {
        let before = count();
        assert_eq!(world.try_sign_in(name, PASSWORD).await.err(), Some(ErrorKind::Unauthorized));
        assert_eq!(count() - before, 1, "{name}");
    }
    world.services.set_disabled(alice(), false).await.unwrap();
    for password in ["wrong", PASSWORD] {
        let before = count();
        let _ = world.try_sign_in("alice", password).await;
        assert_eq!(count() - before, 1, "{password}");
    }
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over() {
    let world = World::new().await;
    let (token, _) = world.sign_in().await;
    let days = world.services.settings().sign_in.session;
    world.clock.advance(days - Duration::from_secs(1));
    world.who(&token).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.who(&token).await.err(), Some(ErrorKind::Unauthorized));
    world.services.sweep_sign_ins().await.unwrap();
    assert_eq!(world.who(&token).await.err(), Some(ErrorKind::Unauthorized));
}

#[tokio::test]
async fn a_password_that_was_just_replaced_begins_no_session() {
    let world = World::new().await;
    let checked = world.services.check_password(Some(&alice()), secret(PASSWORD)).await.unwrap();
    let (user, hash) = checked.expect("it is the password");
    world.services.set_account_password(alice(), secret("battery staple")).await.unwrap();
    let outcome = world.services.let_in(user, hash, origin()).await;
    assert_eq!(outcome.err().map(|error| error.kind), Some(ErrorKind::Unauthorized));
}

#[tokio::test]
async fn whose_session_just_ended_approves_no_device_and_makes_no_key() {
    let world = World::new().await;
    let (token, actor) = world.sign_in().await;
    let started = world.services.start_device(None, &origin()).await.unwrap();
    let code = started.user_code.expose();
    world.services.sign_out(&token, origin()).await.unwrap();
    let kind = |outcome: Option<super::Error>| outcome.map(|error| error.kind);
    let decided = world.services.decide_device(&actor, code, true).await;
    assert_eq!(kind(decided.err()), Some(ErrorKind::Unauthorized));
    let polled = world.services.poll_device(&started.device_code, &origin()).await.unwrap();
    assert!(matches!(polled, PolledDevice::Pending));
    let minted = world.services.mint_api_key(&actor, key()).await;
    assert_eq!(kind(minted.err()), Some(ErrorKind::Unauthorized));
    let repo = RepoName::parse("alice/app").unwrap();
    let made = world.services.create_vault(&actor, repo).await;
    assert_eq!(kind(made.err()), Some(ErrorKind::Unauthorized));
}

#[tokio::test]
async fn device_codes_end_and_leave_the_store() {
    let world = World::new().await;
    let (_, actor) = world.sign_in().await;
    let started = world.services.start_device(None, &origin()).await.unwrap();
    world.clock.advance(started.expires_in);
    let code = started.user_code.expose();
    assert!(world.services.device_request(code).unwrap().is_none());
    assert!(!world.services.decide_device(&actor, code, true).await.unwrap());
    let polled = world.services.poll_device(&started.device_code, &origin()).await.unwrap();
    assert!(matches!(polled, PolledDevice::Expired));
    world.services.sweep_sign_ins().await.unwrap();
    let polled = world.services.poll_device(&started.device_code, &origin()).await.unwrap();
    assert!(matches!(polled, PolledDevice::Expired));
}

#[tokio::test]
async fn a_new_password_takes_back_what_was_approved_and_not_fetched() {
    let world = World::new().await;
    let (_, actor) = world.sign_in().await;
    let started = world.services.start_device(None, &origin()).await.unwrap();
    assert!(world.services.decide_device(&actor, started.user_code.expose(), true).await.unwrap());
    world.services.set_account_password(alice(), secret("battery staple")).await.unwrap();
    let polled = world.services.poll_device(&started.device_code, &origin()).await.unwrap();
    assert!(matches!(polled, PolledDevice::Expired));
}

/// A forge where everybody who comes back is the same, and may come in.
struct OneUser;

fn repository() -> Repository {
    let name = RepoName::parse("acme/app").unwrap();
    Repository { id: 7, name, private: true, avatar_url: None, permission: Some(Role::Admin) }
}

impl Forge for OneUser {
    fn title(&self) -> &str {
        "GitHub"
    }

    fn signs_in(&self) -> bool {
        true
    }

    fn identify<'a>(&'a self, _: &'a SecretText, _: bool) -> Asking<'a, ForgeUser> {
        let user = ForgeUser { id: 1, login: "octocat".to_owned(), email: None, avatar_url: None };
        ready(Ok(user)).boxed()
    }

    fn repository<'a>(
        &'a self,
        _: &'a SecretText,
        _: &'a RepoName,
        _: Option<&'a str>,
    ) -> Asking<'a, Reply<Option<Repository>>> {
        ready(Ok(Reply::Fresh { value: Some(repository()), validator: None })).boxed()
    }

    fn repositories<'a>(&'a self, _: &'a SecretText) -> Asking<'a, Listing> {
        ready(Ok(Listing { repositories: vec![repository()], withheld_by: Vec::new() })).boxed()
    }

    fn installation<'a>(&'a self, _: &'a SecretText, _: &'a RepoName) -> Asking<'a, Installation> {
        ready(Ok(Installation { installed: true, install_url: None, id: None })).boxed()
    }

    /// The state is all that the tests want to know of it.
    fn sign_in_url(&self, state: &str, _: &str) -> String {
        state.to_owned()
    }

    fn exchange<'a>(&'a self, _: &'a SecretText, _: &'a SecretText) -> Asking<'a, IssuedTokens> {
        let token = secret("issued");
        ready(Ok(IssuedTokens { token, expires_in: None, refresh: None, refresh_expires_in: None })).boxed()
    }

    fn refresh<'a>(&'a self, _: &'a SecretText) -> Asking<'a, IssuedTokens> {
        ready(Err(ForgeError::BadToken)).boxed()
    }

    fn affected(&self, _: &str, _: &[u8]) -> Affected {
        Affected::Nothing
    }
}

#[tokio::test]
async fn a_sign_in_at_the_forge_stays_open_for_ten_minutes() {
    let world = World::with(Some(Arc::new(OneUser))).await;
    let begin = async || {
        let here = Destination::Here { user_code: None };
        world.services.begin_forge_sign_in("browser", here, &origin()).await.unwrap()
    };
    let finish = async |state: &str| {
        let outcome = world.services.finish_forge_sign_in("browser", state, &secret("code"), origin()).await;
        outcome.map(|signed_in| signed_in.session.username).map_err(|error| error.kind)
    };
    let (first, second) = (begin().await, begin().await);
    world.clock.advance(Duration::from_secs(599));
    assert_eq!(finish(&first).await.as_deref(), Ok("octocat"));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(finish(&second).await, Err(ErrorKind::Invalid));
    let third = begin().await;
    world.clock.advance(Duration::from_secs(601));
    world.services.sweep_sign_ins().await.unwrap();
    assert_eq!(finish(&third).await, Err(ErrorKind::Invalid));
}

#[tokio::test]
async fn the_code_for_another_site_is_good_for_a_minute() {
    let world = World::with(Some(Arc::new(OneUser))).await;
    let code = async || {
        let redirect_uri = "https://app.example/cb".to_owned();
        let there = Destination::Elsewhere { redirect_uri, state: None };
        let state = world.services.begin_forge_sign_in("browser", there, &origin()).await.unwrap();
        let finished =
            world.services.finish_forge_sign_in("browser", &state, &secret("code"), origin()).await;
        finished.unwrap().code.unwrap()
    };
    let redeem = async |code: &SecretText| {
        let outcome = world.services.redeem_sign_in_code(code, origin()).await;
        outcome.map(|session| session.username).map_err(|error| error.kind)
    };
    let (first, second) = (code().await, code().await);
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(redeem(&first).await.as_deref(), Ok("octocat"));
    assert_eq!(redeem(&first).await, Err(ErrorKind::Unauthorized));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(redeem(&second).await, Err(ErrorKind::Unauthorized));
}
