//! What history costs: changing one secret of a large environment with many versions,
//! and reading the activity of a long log, each as a multiple of the same on a small
//! file in the same run. `cargo bench --bench history`; more than twice is a failure.
//!
//! The services are called as the HTTP room calls them, on a real file: a change is
//! measured with its commit. `HISTORY_ENTRIES` sets the length of the long log.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use keywayd::base::ids::{EntryId, RequestId, SecretId};
use keywayd::base::{
    AccountName, Agent, EnvironmentName, Page, RepoName, Scope, SecretName, SecretText, SystemClock,
};
use keywayd::base::{Clock, Platform};
use keywayd::crypto::{MasterKey, MasterSecret};
use keywayd::domain::api_keys::NewApiKey;
use keywayd::domain::journal::ActivityFilter;
use keywayd::domain::push::Push;
use keywayd::domain::{Actor, Origin, Services, Settings};
use keywayd::store::records::{Action, CredentialKind, Entry, EntryActor};
use keywayd::store::{DataDir, Store, StoreError};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 200;
const SECRETS: usize = 500;
const VERSIONS: usize = 10;
const MOST: f64 = 2.0;

struct World {
    services: Services,
    alice: Actor,
    repo: RepoName,
    environment: EnvironmentName,
    _dir: tempfile::TempDir,
}

impl World {
    /// A vault on a file of its own, whose log has `entries` more entries about it.
    async fn new(entries: u64) -> Self {
        let scratch = tempfile::tempdir().expect("a scratch directory can be made");
        let (dir, master) =
            (DataDir::at(scratch.path().join("data")), MasterSecret::Key(MasterKey::generate()));
        dir.create().expect("a directory can be made");
        let open = || dir.lock().expect("nobody else has it");
        let store = Store::create(&dir, open(), &master, 16 << 20).expect("a database can be made");
        let (services, alice) = enter(store).await;
        let (repo, environment) = (RepoName::parse("alice/app"), EnvironmentName::parse("staging"));
        let (repo, environment) = (repo.expect("a name"), environment.expect("a name"));
        let vault = services.create_vault(&alice, repo.clone()).await.expect("a vault can be made").vault_id;
        if entries == 0 {
            return Self { services, alice, repo, environment, _dir: scratch };
        }
        services.close().await;
        drop(services);
        let store = Store::open(&dir, open(), &master, 16 << 20).expect("the database can be opened");
        let entry = lengthy(&alice, vault, &repo);
        for _ in 0..entries / 1_000 {
            let entry = entry.clone();
            let add = move |_: keywayd::store::View<'_>, batch: &mut keywayd::store::Batch<'_>| {
                for _ in 0..1_000 {
                    let now = SystemClock.now();
                    batch.audit(Entry { id: EntryId::new(now), at: now, ..entry.clone() });
                }
                Ok::<_, StoreError>(())
            };
            store.write(add).await.expect("entries can be written");
        }
        let services = Services::new(
            store,
            Arc::new(SystemClock),
            settings(),
            None,
            keywayd::domain::integrations::Integrations::none(),
        );
        Self { services, alice, repo, environment, _dir: scratch }
    }

    /// Fills the environment, so that every secret has `versions` old values.
    async fn fill(&self, secrets: usize, versions: usize) {
        for value in 0..=versions {
            let value = format!("a value of ordinary length, number {value}");
            let pair = |number| (format!("SETTING_NUMBER_{number}"), SecretText::new(value.clone()));
            let push = Push {
                repo: self.repo.clone(),
                environment: self.environment.clone(),
                secrets: (0..secrets).map(pair).collect(),
                if_match: None,
            };
            self.services.push(&self.alice, push).await.expect("a push succeeds");
        }
    }

    async fn secret(&self) -> SecretId {
        let page = Page::new(Some(1), Some(0)).expect("a page");
        let listed = self.services.list_secrets(&self.alice, &self.repo, None, page).await;
        listed.expect("secrets can be listed").items[0].id
    }

    async fn update(&self, secret: SecretId, round: usize) {
        let value = SecretText::new(format!("another value of ordinary length, number {round}"));
        let name = None::<SecretName>;
        self.services
            .update_secret(&self.alice, &self.repo, secret, name, Some(value))
            .await
            .expect("an update");
    }

    async fn activity(&self) {
        let page = Page::new(Some(100), None).expect("a page");
        let filter = ActivityFilter::default();
        let shown = self.services.activity(&self.alice, Some(&self.repo), filter, page).await;
        assert_eq!(shown.expect("activity can be read").items.len(), 100);
    }
}

fn settings() -> Settings {
    Settings { versions_kept: VERSIONS as u64, ..Settings::default() }
}

async fn enter(store: Store) -> (Services, Actor) {
    let services = Services::new(
        store,
        Arc::new(SystemClock),
        settings(),
        None,
        keywayd::domain::integrations::Integrations::none(),
    );
    let name = AccountName::parse("alice").expect("a name");
    services.add_account(name.clone(), true, None).await.expect("an account can be made");
    let wanted = NewApiKey::unlimited("bench", Scope::ALL.into_iter().collect());
    let token = services.mint_token(&name, wanted).await.expect("a key can be made").token;
    let origin = Origin {
        request_id: RequestId::from_bytes([7; 16]),
        address: [127, 0, 0, 1].into(),
        user_agent: "keyway-cli/1.0".to_owned(),
        agent: Agent::Cli,
    };
    let alice = services.authenticate(&token, false, origin).await.expect("the key is good");
    (services, alice)
}

/// An entry as an ordinary pull makes it.
fn lengthy(alice: &Actor, vault: keywayd::base::ids::VaultId, repo: &RepoName) -> Entry {
    Entry {
        id: EntryId::new(SystemClock.now()),
        at: SystemClock.now(),
        action: Action::SecretsPulled,
        actor: Some(EntryActor { user: alice.user_id(), username: "alice".to_owned() }),
        credential: CredentialKind::ApiKey,
        credential_id: Some([7; 16]),
        address: Some([127, 0, 0, 1].into()),
        platform: Platform::Cli,
        user_agent: "keyway-cli/1.0".to_owned(),
        request: Some(RequestId::from_bytes([7; 16])),
        vault: Some(vault),
        repo: Some(repo.clone()),
        environment: EnvironmentName::parse("staging").ok(),
        names: Vec::new(),
        subject: None,
        counts: [0, 0, 0, 12],
    }
}

/// The medians of both, measured in turn so that a busy moment hits both alike.
async fn medians(small: impl AsyncFn(usize), large: impl AsyncFn(usize)) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let begun = Instant::now();
        small(round).await;
        times[0].push(begun.elapsed());
        let begun = Instant::now();
        large(round).await;
        times[1].push(begun.elapsed());
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2]
    })
}

fn tell(what: &str, [small, large]: [Duration; 2]) -> bool {
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    println!("{what}: {large:.1?} against {small:.1?} on a small file, {ratio:.2} times");
    ratio < MOST
}

#[expect(clippy::disallowed_methods, reason = "a switch of the bench, not a setting")]
fn entries() -> u64 {
    std::env::var("HISTORY_ENTRIES").ok().and_then(|number| number.parse().ok()).unwrap_or(1_000_000)
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let good = runtime.block_on(async {
        let (small, large) = (World::new(0).await, World::new(0).await);
        small.fill(5, 0).await;
        large.fill(SECRETS, VERSIONS).await;
        let (one, other) = (small.secret().await, large.secret().await);
        let update = medians(
            async |round| small.update(one, round).await,
            async |round| large.update(other, round).await,
        );
        let update = tell("an update of one of 500 secrets with 10 versions each", update.await);

        let count = entries();
        let begun = Instant::now();
        let (small, large) = (World::new(1_000).await, World::new(count).await);
        println!("wrote {count} entries in {:.1?}", begun.elapsed());
        let activity = medians(async |_| small.activity().await, async |_| large.activity().await);
        let activity = tell(&format!("100 of {count} entries of the activity"), activity.await);
        update && activity
    });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
