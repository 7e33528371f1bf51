//! Coming from the schema of an older version: with a migration that no version has, after
//! all those there are. It is tried with whatever the disk can do to it.

use super::faults::{Disk, Fault, Remains};
use super::*;
use crate::store::engine::Writing;
use crate::store::migrate::{self, MIGRATIONS, Migration};
use crate::store::watch::Watch;
use std::fs;
use std::path::Path;

/// Counts in every user's address how often it was there.
const MARK: Migration = Migration { what: "a mark on every user", run: mark };

/// Of the version after this one.
fn next() -> Vec<Migration> {
    [MIGRATIONS, &[MARK]].concat()
}

fn mark(tables: &Writing<'_>, keyring: &Keyring) -> Result<(), StoreError> {
    let view = View { tables, keyring };
    let mut batch = Batch::new(keyring);
    view.scan(&USERS, &Span::all(), |id, user| {
        let email = format!("{}+", user.email.as_deref().unwrap_or_default());
        batch.put(&USERS, id, &User { email: Some(email), ..user })?;
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    for change in batch.changes {
        tables.put(change.table, &change.key, &change.value.unwrap_or_default())?;
    }
    Ok(())
}

fn marks(store: &Store) -> Vec<Option<String>> {
    let mut found = Vec::new();
    let look = |view: View<'_>| {
        view.scan(&USERS, &Span::all(), |_, user| {
            found.push(user.email);
            Ok::<_, StoreError>(std::ops::ControlFlow::Continue(()))
        })
    };
    store.read(look).unwrap();
    found
}

/// A data directory of this version, with two users.
struct Place {
    dir: DataDir,
    master: MasterSecret,
    _scratch: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir::at(scratch.path().join("data"));
        dir.create().unwrap();
        let master = MasterSecret::Key(MasterKey::generate());
        let store = Store::create(&dir, dir.lock().unwrap(), &master, 1 << 20).unwrap();
        for number in [1, 2] {
            put(&store, user(number)).await.unwrap();
        }
        Self { dir, master, _scratch: scratch }
    }

    fn open(&self, steps: &[Migration]) -> Result<Store, OpenStoreError> {
        Store::open_as_of(&self.dir, self.dir.lock().unwrap(), &self.master, 1 << 20, steps)
    }

    fn copy(&self) -> std::path::PathBuf {
        self.dir.before_upgrade(migrate::schema(MIGRATIONS))
    }
}

#[tokio::test]
async fn an_older_file_is_copied_and_then_brought_to_the_newer_schema_once() {
    let place = Place::new().await;
    assert_eq!(marks(&place.open(MIGRATIONS).unwrap()), [None, None]);
    assert!(!place.copy().exists(), "nothing to migrate, nothing to keep");
    for _ in 0..2 {
        assert_eq!(marks(&place.open(&next()).unwrap()), [Some("+".to_owned()), Some("+".to_owned())]);
    }

    // The version before does not touch it, and says who can.
    let newer = fs::read(place.dir.database()).unwrap();
    let refusal = place.open(MIGRATIONS).err().unwrap().to_string();
    assert!(refusal.contains(concat!("written by keywayd ", env!("CARGO_PKG_VERSION"))), "{refusal}");
    assert_eq!(fs::read(place.dir.database()).unwrap(), newer);

    // It goes on with the copy.
    let mut copy = BackupFile::open(&place.copy(), &place.master).unwrap();
    assert!(copy.verify(&Watch::nobody().at_full_speed()).unwrap().is_sound());
    fs::rename(place.copy(), place.dir.database()).unwrap();
    assert_eq!(marks(&place.open(MIGRATIONS).unwrap()), [None, None]);
}

#[tokio::test]
async fn without_a_copy_nothing_is_changed() {
    let place = Place::new().await;
    let before = fs::read(place.dir.database()).unwrap();
    let in_the_way = Path::new(&place.dir.path().join("keyway.redb.upgrading")).join("x");
    fs::create_dir_all(&in_the_way).unwrap();
    let refusal = place.open(&next()).err().unwrap().to_string();
    assert!(refusal.contains("copied, which failed"), "{refusal}");
    assert_eq!(fs::read(place.dir.database()).unwrap(), before);
    fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    assert_eq!(marks(&place.open(&next()).unwrap()).len(), 2);
}

#[tokio::test]
async fn a_step_that_fails_leaves_the_file_as_it_was() {
    let place = Place::new().await;
    let failing = Migration { what: "nothing", run: |_, _| Err(StoreError::damaged("user", "a test")) };
    let steps = [MIGRATIONS, &[MARK, failing]].concat();
    let refusal = place.open(&steps).err().unwrap().to_string();
    assert!(refusal.contains("cannot be brought to schema"), "{refusal}");
    assert_eq!(marks(&place.open(MIGRATIONS).unwrap()), [None, None]);
}

#[tokio::test]
async fn whatever_the_disk_does_meanwhile_the_file_is_of_the_one_schema_or_the_other() {
    let (master, disk) = (MasterSecret::Key(MasterKey::generate()), Disk::new(Vec::new(), None));
    let store = Store::open_in(disk.clone(), &master, Some(&Keyring::generate())).unwrap();
    for number in 1..=20 {
        put(&store, user(number)).await.unwrap();
    }
    drop(store);
    let before = disk.image();
    let whole = Disk::new(before.clone(), None);
    drop(Store::open_in_as_of(whole.clone(), &master, None, &next()).unwrap());
    let (mut old, mut new) = (0, 0);
    for number in 0..whole.operations() {
        for fault in [
            Fault::FailsForGood,
            Fault::Stops(Remains::Nothing),
            Fault::Stops(Remains::Everything),
            Fault::Stops(Remains::Torn),
            Fault::Stops(Remains::Some(7)),
        ] {
            let what = format!("{fault:?} at operation {number}");
            let disk = Disk::new(before.clone(), Some((number, fault)));
            drop(Store::open_in_as_of(disk.clone(), &master, None, &next()));
            let open = |steps| Store::open_in_as_of(Disk::new(disk.image(), None), &master, None, steps);
            match open(MIGRATIONS) {
                Ok(store) => {
                    old += 1;
                    assert_eq!(marks(&store), vec![None; 20], "{what}");
                }
                Err(OpenStoreError::Newer { .. }) => new += 1,
                Err(error) => panic!("{what}: {error}"),
            }
            let store = open(&next()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(marks(&store), vec![Some("+".to_owned()); 20], "{what}");
        }
    }
    assert!(old > 0 && new > 0, "{old} and {new}");
}
