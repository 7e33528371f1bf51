//! What a process that was killed left in its spool: it gets into the log it was meant for,
//! once, and into no other, whatever was done to the file meanwhile.

use super::*;
use crate::base::Timestamp;
use crate::store::records::{Action, Entry};
use crate::store::spool::beside;
use crate::store::watch::Watch;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

const BLOCK: usize = 4096;

/// A data directory and its key.
struct Place {
    scratch: tempfile::TempDir,
    dir: DataDir,
    master: MasterSecret,
}

impl Place {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir::at(scratch.path().join("data"));
        dir.create().unwrap();
        Self { scratch, dir, master: MasterSecret::Key(MasterKey::generate()) }
    }

    fn create(&self) -> Store {
        Store::create(&self.dir, self.dir.lock().unwrap(), &self.master, 1 << 20).unwrap()
    }

    fn open(&self) -> Store {
        Store::open(&self.dir, self.dir.lock().unwrap(), &self.master, 1 << 20).unwrap()
    }

    fn look(&self) -> BackupFile {
        BackupFile::open(&self.dir.database(), &self.master).unwrap()
    }

    fn spool(&self) -> PathBuf {
        beside(&self.dir.database())
    }

    /// The directory as it is at this moment, as if whoever uses it were killed.
    fn killed(&self) -> Self {
        let place = Self::new();
        for name in ["keyway.redb", "keyway.redb.spool"] {
            let _ = fs::copy(self.dir.path().join(name), place.dir.path().join(name));
        }
        let MasterSecret::Key(key) = &self.master else { unreachable!("it is a key") };
        let master = MasterSecret::Key(MasterKey::from_bytes(*key.expose()));
        Self { master, ..place }
    }

    /// Files with a name like that of the spool.
    fn spools(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.contains(".spool"));
        names.sort();
        names
    }
}

fn entry(subject: &str) -> Entry {
    let entry = Entry::of_machine(Timestamp::from_millis(1), Action::SecretsPulled);
    Entry { subject: Some(subject.to_owned()), ..entry }
}

async fn note(store: &Store, subject: &str) {
    let entry = entry(subject);
    let written = store.write(move |_, batch| {
        batch.audit(entry);
        Ok::<_, StoreError>(())
    });
    written.await.unwrap();
}

/// The subjects in the log, whose chain must hold.
fn log(view: View<'_>) -> Result<Vec<String>, StoreError> {
    assert_eq!(view.audit().verify(None)?.fault, None);
    let mut subjects = Vec::new();
    view.audit().after(0, |_, entry| {
        subjects.push(entry.subject.unwrap_or_default());
        ControlFlow::Continue(())
    })?;
    Ok(subjects)
}

/// A store with a write and three reads, one record each, that are in the spool.
async fn with_reads() -> (Place, Store) {
    let place = Place::new();
    let store = place.create();
    note(&store, "written").await;
    for subject in ["one", "two", "three"] {
        store.audit_read(entry(subject)).await.unwrap();
    }
    (place, store)
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_log_after_the_next_start() {
    let (place, store) = with_reads().await;
    let killed = place.killed();
    assert_eq!(store.read(log).unwrap(), ["written"], "they are in the spool");
    assert_eq!(fs::metadata(killed.spool()).unwrap().len(), 4 << 20);
    let all = ["written", "one", "two", "three"];
    assert_eq!(killed.look().read(log).unwrap(), all, "a look at the file shows all, and changes nothing");
    assert_eq!(killed.spools(), ["keyway.redb.spool"]);
    let spool = fs::read(killed.spool()).unwrap();
    drop(killed.open());
    assert!(killed.spools().is_empty(), "{:?}", killed.spools());
    // What was moved is not moved again, should the file come back.
    fs::write(killed.spool(), &spool).unwrap();
    assert_eq!(killed.open().read(log).unwrap(), all);

    // And where nobody is killed: what is written comes behind what was read before it.
    note(&store, "later").await;
    store.audit_read(entry("last")).await.unwrap();
    assert_eq!(store.read_log(log).unwrap(), ["written", "one", "two", "three", "later", "last"]);
    drop(store);
    assert!(place.spools().is_empty(), "a store that was closed has no spool: {:?}", place.spools());
}

#[tokio::test]
async fn more_reads_than_the_spool_takes_are_all_in_the_log() {
    let place = Place::new();
    let store = place.create();
    let numbers: Vec<_> = (0..3_000).map(|number| number.to_string()).collect();
    let reads = numbers.iter().map(|number| store.audit_read(entry(number)));
    for outcome in futures_util::future::join_all(reads).await {
        outcome.unwrap();
    }
    assert_eq!(store.read_log(log).unwrap(), numbers);
}

#[tokio::test]
async fn damage_costs_what_is_damaged_and_is_told() {
    let (place, store) = with_reads().await;
    let killed = place.killed();
    let whole = fs::read(killed.spool()).unwrap();
    drop(store);
    let mut gone = whole.clone();
    gone[..BLOCK].fill(0);
    let mut altered = whole.clone();
    altered[BLOCK + 100] ^= 1;
    let mut turned = whole.clone();
    turned[..BLOCK].copy_from_slice(&whole[2 * BLOCK..3 * BLOCK]);
    turned[2 * BLOCK..3 * BLOCK].copy_from_slice(&whole[..BLOCK]);
    let mut torn = whole.clone();
    torn[2 * BLOCK + 60..].fill(0);
    let short = whole[..2 * BLOCK + 60].to_vec();
    let one_missing = "1 of 3 records are damaged or missing";
    for (what, bytes, expected) in [
        ("a record that is gone", gone, &["written", "two", "three", one_missing][..]),
        ("a record that was altered", altered, &["written", "one", "three", one_missing]),
        ("records that were exchanged", turned, &["written", "one", "two", "three"]),
        ("a last record that is torn", torn, &["written", "one", "two"]),
        ("a last record that is cut off", short, &["written", "one", "two"]),
        ("nothing but zeros", vec![0; 4 << 20], &["written"]),
        ("nothing", Vec::new(), &["written"]),
    ] {
        let damaged = killed.killed();
        fs::write(damaged.spool(), bytes).unwrap();
        let findings = damaged.look().verify(&Watch::nobody().at_full_speed()).unwrap();
        assert_eq!(findings.is_sound(), expected.last() != Some(&one_missing), "{what}: {findings:?}");
        let store = damaged.open();
        assert_eq!(store.read(log).unwrap(), expected, "{what}");
        let kept: &[&str] = if findings.is_sound() { &[] } else { &["keyway.redb.spool.aside-1"] };
        assert_eq!(damaged.spools(), kept, "{what}");
    }
}

#[tokio::test]
async fn a_spool_that_belongs_elsewhere_is_set_aside() {
    let (place, store) = with_reads().await;
    let early = place.killed();
    note(&store, "later").await;
    store.audit_read(entry("last")).await.unwrap();
    let late = place.killed();
    // An older copy of the database in the place of the one the spool belongs to.
    fs::copy(early.dir.database(), late.dir.database()).unwrap();
    let told = late.open().read(log).unwrap();
    let (told, after) = told.split_last().unwrap();
    // What is left of the records before did follow this state.
    assert_eq!(after, ["written", "two", "three"]);
    assert!(told.contains("put back"), "{told}");
    assert_eq!(late.spools(), ["keyway.redb.spool.aside-1"]);

    // Other data.
    let other = Place::new();
    drop(other.create());
    fs::copy(early.spool(), other.spool()).unwrap();
    let told = other.open().read(log).unwrap();
    assert!(told.len() == 1 && told[0].contains("put back"), "{told:?}");

    // A backup in the place of a database whose last process was killed.
    let backup = place.scratch.path().join("backup.redb");
    store.backup(&backup, &Watch::nobody().at_full_speed()).unwrap();
    store.audit_read(entry("after the backup")).await.unwrap();
    let whole = ["written", "one", "two", "three", "later", "last"];
    let replaced = place.killed();
    drop(store);
    let backup = BackupFile::open(&backup, &place.master).unwrap();
    assert_eq!(backup.read(log).unwrap(), whole, "a backup has all that was acknowledged");
    let lock = replaced.dir.lock().unwrap();
    backup.install(&replaced.dir, &lock, Some("NOW"), &Watch::nobody().at_full_speed()).unwrap();
    drop(lock);
    assert_eq!(replaced.open().read(log).unwrap(), whole);
    assert_eq!(replaced.spools(), ["keyway.redb.replaced-NOW.spool"]);
    let aside = replaced.dir.path().join("keyway.redb.replaced-NOW");
    let aside = BackupFile::open(&aside, &place.master).unwrap();
    assert_eq!(aside.read(log).unwrap().last().map(String::as_str), Some("after the backup"));
}

#[tokio::test]
async fn writing_the_file_anew_takes_what_is_in_the_spool_along() {
    let (place, store) = with_reads().await;
    let killed = place.killed();
    drop(store);
    let lock = killed.dir.lock().unwrap();
    killed.look().rewrite(&killed.dir, &lock, &Watch::nobody().at_full_speed()).unwrap();
    drop(lock);
    assert!(killed.spools().is_empty());
    assert_eq!(killed.open().read(log).unwrap(), ["written", "one", "two", "three"]);
}

#[tokio::test]
async fn new_keys_leave_nothing_under_the_old_ones() {
    let (place, store) = with_reads().await;
    let pace = Watch::nobody().at_full_speed();
    store.rotate_root(entry("new root"), &pace).await.unwrap();
    assert!(place.spools().is_empty(), "{:?}", place.spools());
    assert_eq!(store.read(log).unwrap(), ["written", "one", "two", "three", "new root"]);
    store.audit_read(entry("between")).await.unwrap();
    store.reseal(entry("all anew"), &pace).await.unwrap();
    store.audit_read(entry("after")).await.unwrap();
    let killed = place.killed();
    assert!(!killed.open().keyring().has_older_roots());
    let told = killed.open().read(log).unwrap();
    assert_eq!(told[4..], ["new root", "between", "all anew", "after"]);
}

/// The directory is full, or something lies where the spool should: then readers wait for
/// commits.
#[tokio::test]
async fn without_a_spool_reads_are_as_durable() {
    let place = Place::new();
    let store = place.create();
    fs::create_dir(place.dir.path().join("keyway.redb.spool.new")).unwrap();
    for subject in ["one", "two"] {
        store.audit_read(entry(subject)).await.unwrap();
    }
    assert_eq!(store.read(log).unwrap(), ["one", "two"]);
    assert!(store.is_healthy());
}

/// A copy for the version before an upgrade has the spool beside it that belongs to it.
#[tokio::test]
async fn an_upgrade_keeps_the_spool_with_the_copy_and_takes_it_over() {
    let (place, store) = with_reads().await;
    let killed = place.killed();
    drop(store);
    let step = migrate::Migration { what: "nothing", run: |_, _| Ok(()) };
    let steps = [migrate::MIGRATIONS, &[step]].concat();
    let open = || Store::open_as_of(&killed.dir, killed.dir.lock().unwrap(), &killed.master, 1 << 20, &steps);
    assert_eq!(open().unwrap().read(log).unwrap(), ["written", "one", "two", "three"]);
    let copy = killed.dir.before_upgrade(migrate::schema(migrate::MIGRATIONS));
    assert!(beside(&copy).exists() && !killed.spool().exists());
    let copy = BackupFile::open(&copy, &killed.master).unwrap();
    assert_eq!(copy.read(log).unwrap(), ["written", "one", "two", "three"]);
}
