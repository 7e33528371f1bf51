//! What time does: the trash is purged, audit entries leave, surplus versions go. With a
//! clock that the test sets.

use super::api_keys::NewApiKey;
use super::audit_log::Head;
use super::journal::ActivityFilter;
use super::push::Push;
use super::{Actor, ErrorKind, Origin, Services, Settings};
use crate::base::ids::RequestId;
use crate::base::{AccountName, Agent, Clock, EnvironmentName, Page, RepoName, Scope, SecretText, Timestamp};
use crate::crypto::{MasterKey, MasterSecret};
use crate::store::tables::{
    API_KEY_USAGE, AUDIT, DELETED_ENVIRONMENTS, DELETED_VAULTS, ENVIRONMENTS, PURGED_VAULTS, REVISIONS,
    TRASH, TRASH_BY_TIME, VAULT_KEYS, VAULTS, VERSIONS,
};
use crate::store::{DataDir, Span, Store, StoreError, View};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Default)]
pub(super) struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        // Every question is a millisecond later than the one before.
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl SetClock {
    pub(super) fn advance(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

struct World {
    services: Services,
    clock: Arc<SetClock>,
    alice: Actor,
}

fn repo() -> RepoName {
    RepoName::parse("alice/app").unwrap()
}

fn page() -> Page {
    Page::new(Some(100), None).unwrap()
}

async fn enter(services: &Services) -> Actor {
    let name = AccountName::parse("alice").unwrap();
    let wanted = NewApiKey::unlimited("test", Scope::ALL.into_iter().collect());
    let token = services.mint_token(&name, wanted).await.unwrap().token;
    let address = IpAddr::from([127, 0, 0, 1]);
    let request_id = RequestId::from_bytes([7; 16]);
    let origin = Origin { request_id, address, user_agent: String::new(), agent: Agent::Other };
    services.authenticate(&token, false, origin).await.unwrap()
}

impl World {
    async fn new() -> Self {
        Self::on(Store::in_memory(), Settings::for_tests()).await
    }

    async fn on(store: Store, settings: Settings) -> Self {
        let clock = Arc::new(SetClock(AtomicU64::new(1_800_000_000_000)));
        let services =
            Services::new(store, clock.clone(), settings, None, super::integrations::Integrations::none());
        services.add_account(AccountName::parse("alice").unwrap(), true, None).await.unwrap();
        let alice = enter(&services).await;
        services.create_vault(&alice, repo()).await.unwrap();
        Self { services, clock, alice }
    }

    async fn push(&self, pairs: &[(&str, &str)]) {
        let secret = |(key, value): &(&str, &str)| ((*key).to_owned(), SecretText::new((*value).to_owned()));
        let push = Push {
            repo: repo(),
            environment: EnvironmentName::parse("staging").unwrap(),
            secrets: pairs.iter().map(secret).collect(),
            if_match: None,
        };
        self.services.push(&self.alice, push).await.unwrap();
    }

    async fn trash(&self) -> usize {
        self.services.list_trash(&self.alice, &repo(), page()).await.unwrap().items.len()
    }

    /// Records of the vaults' own tables, and entries of the indexes by time.
    fn left(&self) -> [usize; 8] {
        let count = |view: View<'_>| {
            let (mut counts, all) = ([0; 8], Span::all());
            view.keys_in(&ENVIRONMENTS, &all, |_| step(&mut counts[0]))?;
            view.keys_in(&VERSIONS, &all, |_| step(&mut counts[1]))?;
            view.keys_in(&TRASH, &all, |_| step(&mut counts[2]))?;
            view.keys_in(&REVISIONS, &all, |_| step(&mut counts[3]))?;
            view.scan_index(&TRASH_BY_TIME, &all, |_| step(&mut counts[4]))?;
            view.scan_index(&DELETED_ENVIRONMENTS, &all, |_| step(&mut counts[5]))?;
            view.scan_index(&DELETED_VAULTS, &all, |_| step(&mut counts[6]))?;
            view.scan_index(&PURGED_VAULTS, &all, |_| step(&mut counts[7]))?;
            Ok::<_, StoreError>(counts)
        };
        self.services.store().read(count).unwrap()
    }
}

const fn step(count: &mut usize) -> ControlFlow<()> {
    *count += 1;
    ControlFlow::Continue(())
}

#[tokio::test]
async fn secrets_are_purged_when_their_time_is_over_and_not_before() {
    let world = World::new().await;
    world.push(&[("A", "1"), ("B", "1")]).await;
    world.push(&[("A", "2"), ("B", "2")]).await;
    world.push(&[("B", "2")]).await;
    world.clock.advance(29 * DAY);
    world.push(&[]).await;
    assert!(!world.services.purge_overdue().await.unwrap().is_something());
    assert_eq!(world.trash().await, 2);
    world.clock.advance(DAY);
    let purged = world.services.purge_overdue().await.unwrap();
    assert_eq!((purged.secrets, world.trash().await), (1, 1), "the one that was deleted first");
    assert_eq!(world.left(), [1, 1, 1, 5, 1, 0, 0, 0]);
    world.clock.advance(30 * DAY);
    assert_eq!(world.services.purge_overdue().await.unwrap().secrets, 1);
    assert_eq!(world.left(), [1, 0, 0, 5, 0, 0, 0, 0]);
}

#[tokio::test]
async fn environments_and_vaults_are_purged_with_all_that_is_in_them() {
    let world = World::new().await;
    world.push(&[("A", "1"), ("B", "1")]).await;
    world.push(&[("A", "2")]).await;
    let staging = EnvironmentName::parse("staging").unwrap();
    world.services.delete_environment(&world.alice, &repo(), staging).await.unwrap();
    assert_eq!(world.left(), [1, 1, 1, 3, 1, 1, 0, 0]);
    world.clock.advance(31 * DAY);
    let purged = world.services.purge_overdue().await.unwrap();
    assert_eq!((purged.secrets, purged.environments), (1, 1));
    assert_eq!(world.left(), [0; 8]);

    let world = World::new().await;
    world.push(&[("A", "1"), ("B", "1")]).await;
    world.push(&[("A", "2")]).await;
    let vault = world.services.vault(&world.alice, &repo()).await.unwrap().id;
    world.services.delete_vault(&world.alice, &repo()).await.unwrap();
    world.services.purge_vault(&world.alice, vault).await.unwrap();
    let gone = world.services.store().read(|view| {
        Ok::<_, StoreError>((view.find(&VAULT_KEYS, vault)?.is_none(), view.find(&VAULTS, vault)?.is_none()))
    });
    assert_eq!(gone.unwrap(), (true, true), "the key is gone at once");
    assert_eq!(
        world.left(),
        [1, 1, 1, 3, 1, 0, 0, 1],
        "what nobody can open any more is still to be swept out"
    );
    world.services.purge_overdue().await.unwrap();
    assert_eq!(world.left(), [0, 0, 0, 0, 1, 0, 0, 0], "the index by time forgets it when its time comes");
    world.clock.advance(31 * DAY);
    world.services.purge_overdue().await.unwrap();
    assert_eq!(world.left(), [0; 8]);
    let refused = world.services.restore_vault(&world.alice, vault).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_vault_nobody_asks_for_is_purged_in_its_time() {
    let world = World::new().await;
    world.push(&[("A", "1")]).await;
    world.services.delete_vault(&world.alice, &repo()).await.unwrap();
    world.clock.advance(31 * DAY);
    let purged = world.services.purge_overdue().await.unwrap();
    assert_eq!((purged.vaults, world.left()), (1, [0; 8]));
}

#[tokio::test]
async fn versions_beyond_a_lowered_number_go() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, master) = (DataDir::at(dir.path().join("data")), MasterSecret::Key(MasterKey::generate()));
    dir.create().unwrap();
    let world = {
        let store = Store::create(&dir, dir.lock().unwrap(), &master, 1 << 20).unwrap();
        World::on(store, Settings::for_tests()).await
    };
    for value in ["1", "2", "3", "4", "5", "6"] {
        world.push(&[("A", value), ("B", value)]).await;
    }
    assert_eq!(world.services.purge_overdue().await.unwrap().versions, 0);
    assert_eq!(world.left()[1], 10);
    world.services.close().await;
    drop(world);
    let store = Store::open(&dir, dir.lock().unwrap(), &master, 1 << 20).unwrap();
    let settings = Settings { versions_kept: 2, ..Settings::for_tests() };
    let services = Services::new(
        store,
        Arc::new(SetClock::default()),
        settings,
        None,
        super::integrations::Integrations::none(),
    );
    assert_eq!(services.purge_overdue().await.unwrap().versions, 6);
    assert_eq!(services.purge_overdue().await.unwrap().versions, 0);
    let mut numbers = Vec::new();
    let read = services.store().read(|view| {
        view.keys_in(&VERSIONS, &Span::all(), |(_, _, number): (_, _, u64)| {
            numbers.push(number);
            ControlFlow::Continue(())
        })
    });
    read.unwrap();
    assert_eq!(numbers, [4, 5, 4, 5], "the newest are kept");
}

#[tokio::test]
async fn old_audit_entries_leave_and_the_rest_can_still_be_verified() {
    let world = World::new().await;
    for value in ["1", "2", "3"] {
        world.push(&[("A", value)]).await;
    }
    let services = &world.services;
    let (early, kept) = (services.audit_head().await.unwrap(), services.settings().audit_time());
    world.clock.advance(DAY);
    world.push(&[("A", "4")]).await;
    let late = services.audit_head().await.unwrap();
    let total = async || {
        let listed = services.activity(&world.alice, Some(&repo()), ActivityFilter::default(), page()).await;
        let listed = listed.unwrap();
        assert_eq!(listed.total, listed.items.len() as u64);
        listed.total
    };
    assert_eq!((services.prune_audit().await.unwrap(), total().await), (0, 5));
    world.clock.advance(kept.checked_sub(DAY / 2).unwrap());
    assert_eq!(services.prune_audit().await.unwrap(), early.sequence);
    assert_eq!(total().await, 1, "the last push");
    let verify = async |checkpoint: Head| {
        let report = services.verify_audit(Some(checkpoint)).await.unwrap();
        assert_eq!((report.fault, report.first), (None, early.sequence + 1));
        report.checkpoint_seen
    };
    assert_eq!(verify(late).await, Some(true));
    assert_eq!(verify(early).await, Some(true), "the last entry that left is still known");
    assert_eq!(verify(Head { sequence: 1, mac: [0; 32] }).await, Some(false), "older ones are not");
    let exported = services.export_audit(0, None).await.unwrap();
    assert_eq!((exported.lines.len(), exported.last), (2, late.sequence + 1), "and the note about it");
    assert_eq!(services.audit_forwarded().await.unwrap(), early.sequence);
}

#[tokio::test]
async fn entries_do_not_leave_across_a_break() {
    let world = World::new().await;
    world.push(&[("A", "1")]).await;
    let services = &world.services;
    let remove = services.store().write(|_, batch| {
        batch.delete(&AUDIT, 3);
        Ok::<_, StoreError>(())
    });
    remove.await.unwrap();
    world.clock.advance(400 * DAY);
    assert_eq!(services.prune_audit().await.unwrap_err().kind, ErrorKind::Internal);
    let fault = services.verify_audit(None).await.unwrap().fault.unwrap();
    assert_eq!(
        (fault.sequence, fault.problem.as_str()),
        (Some(3), "is missing"),
        "the evidence is still there"
    );
}

/// A count must neither dip nor jump while it is being written.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_use_of_a_key_is_counted_exactly_at_every_moment() {
    let world = World::new().await;
    let services = &world.services;
    let key = services.list_api_keys(&world.alice).await.unwrap()[0].id;
    let used = async || services.api_key(&world.alice, key).await.unwrap().usage_count;
    let before = used().await;
    let flusher = services.clone();
    let flushing = tokio::spawn(async move {
        for _ in 0..200 {
            flusher.flush_usage().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    for number in 1..=2_000 {
        services.0.usage.count(key, Timestamp::from_millis(number));
        assert_eq!(used().await, before + number);
    }
    flushing.await.unwrap();
    services.flush_usage().await.unwrap();
    let written = services.store().read(|view| view.find(&API_KEY_USAGE, key)).unwrap().unwrap();
    assert_eq!(written.count, before + 2_000);
}
