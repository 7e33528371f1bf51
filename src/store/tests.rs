//! The store by itself: sealing at its place, groups, and a disk that fails.

mod faults;
mod migrations;
mod spool;

use super::records::{Account, User};
use super::tables::{PROGRESS, USERS};
use super::*;
use crate::base::ids::UserId;
use crate::base::{AccountName, Timestamp};
use crate::crypto::{MasterKey, MasterSecret};
use redb::backends::InMemoryBackend;

pub(super) fn user(number: u64) -> User {
    User {
        id: UserId::new(Timestamp::from_millis(number)),
        account: Account::Local { name: AccountName::parse("alice").unwrap(), password: None, admin: false },
        email: None,
        avatar_url: None,
        disabled: false,
        created_at: Timestamp::from_millis(number),
    }
}

async fn put(store: &Store, user: User) -> Result<(), StoreError> {
    store.write(move |_, batch| batch.put(&USERS, user.id, &user)).await
}

#[tokio::test]
async fn what_was_written_is_read_back() {
    let store = Store::open_in(
        InMemoryBackend::new(),
        &MasterSecret::Key(MasterKey::generate()),
        Some(&Keyring::generate()),
    )
    .unwrap();
    let alice = user(1);
    put(&store, alice.clone()).await.unwrap();
    let found = store.read(|view| view.find(&USERS, alice.id)).unwrap().unwrap();
    assert_eq!(found.username(), "alice");
}

/// What is kept open is taken over by the next state only if it is the same there.
#[tokio::test]
async fn what_is_kept_open_is_never_out_of_date() {
    let store = Store::in_memory();
    let alice = user(1);
    let disabled = || store.read(|view| view.find(&USERS, alice.id)).unwrap().map(|user| user.disabled);
    put(&store, alice.clone()).await.unwrap();
    for now in [true, false] {
        assert_eq!((disabled(), disabled()), (Some(!now), Some(!now)));
        store.write(|_, batch| batch.put(&PROGRESS, 1, &1)).await.unwrap();
        assert_eq!(disabled(), Some(!now));
        put(&store, User { disabled: now, ..alice.clone() }).await.unwrap();
        assert_eq!(disabled(), Some(now));
    }
    let id = alice.id;
    let delete = store.write(move |_, batch| {
        batch.delete(&USERS, id);
        Ok::<_, StoreError>(())
    });
    delete.await.unwrap();
    assert_eq!(disabled(), None);
}

#[tokio::test]
async fn a_refused_or_panicking_job_leaves_its_neighbours_alone() {
    let store = Store::open_in(
        InMemoryBackend::new(),
        &MasterSecret::Key(MasterKey::generate()),
        Some(&Keyring::generate()),
    )
    .unwrap();
    let (alice, bob, carol) = (user(1), user(2), user(3));
    let (alice_id, bob_id, carol_id) = (alice.id, bob.id, carol.id);
    let (first, second, third, fourth) = tokio::join!(
        put(&store, alice),
        store.write(move |_, batch| {
            batch.put(&USERS, bob.id, &bob)?;
            Err::<(), _>(StoreError::Busy)
        }),
        store.write(|_, _| -> Result<(), StoreError> { panic!("a bug in a job") }),
        put(&store, carol),
    );
    assert!(first.is_ok() && fourth.is_ok());
    assert!(matches!(second, Err(StoreError::Busy)));
    assert!(matches!(third, Err(StoreError::Panicked)));
    let there = |id| store.read(|view| view.find(&USERS, id)).unwrap().is_some();
    assert!(there(alice_id) && !there(bob_id) && there(carol_id));
}

/// A service that listed vaults in the writer looked each one's role up during the
/// scan, and the writer's tables could be borrowed only once at a time.
#[tokio::test]
async fn a_scan_in_the_writer_may_look_things_up() {
    let store = Store::open_in(
        InMemoryBackend::new(),
        &MasterSecret::Key(MasterKey::generate()),
        Some(&Keyring::generate()),
    )
    .unwrap();
    put(&store, user(1)).await.unwrap();
    let again = |view: View<'_>, _: &mut Batch<'_>| {
        let mut found = 0;
        view.scan(&USERS, &Span::all(), |id, _| {
            found += usize::from(view.find(&USERS, id)?.is_some());
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok::<_, StoreError>(found)
    };
    assert_eq!(store.write(again).await.unwrap(), 1);
}
