//! A disk that fails, or stops, at every single one of its operations in turn, on the
//! database or on the spool. Whatever happens, what the store said is written is there
//! afterwards, whole, with its audit entry; so is the entry of whatever was read, in its
//! place in the order of things; and nothing is there in part.
//!
//! When the power goes, what was not yet synced is on the disk, or is not, or only some
//! of it is, in any order, or a write is there in part: each of these is tried.

use super::*;
use crate::store::error::FileError;
use crate::store::migrate::MIGRATIONS;
use crate::store::records::{Action, Entry};
use crate::store::spool::Medium;
use redb::StorageBackend;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// Steps of the script; each changes three records and adds an audit entry, after some reads.
const STEPS: u64 = 6;
/// The number of a step's first read.
const READS: u64 = 1_000;
/// A sector: what a disk writes in one piece.
const SECTOR: usize = 512;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// The operation fails, and nothing else.
    Fails,
    /// The operation and all after it fail, as on a disk that was pulled out or is full.
    FailsForGood,
    /// The power goes.
    Stops(Remains),
}

/// What of the writes since the last sync is on the disk when the power comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Remains {
    Nothing,
    Everything,
    /// The last write only in part.
    Torn,
    /// Some writes, whichever; the number chooses.
    Some(u64),
}

/// A file on a disk; others may lie on the same one.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    state: Arc<Mutex<State>>,
    /// Which file.
    file: usize,
}

#[derive(Debug)]
struct State {
    files: Vec<Contents>,
    /// Operations so far.
    done: u64,
    /// Which operation goes wrong, and how.
    fault: Option<(u64, Fault)>,
}

/// What is in a file.
#[derive(Debug)]
struct Contents {
    /// What is safe.
    durable: Vec<u8>,
    /// What is read.
    current: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(length) => image.resize(*length, 0),
            Self::Write(at, bytes) => {
                // Without the change of length before it there is no place for it yet.
                if image.len() < at + bytes.len() {
                    image.resize(at + bytes.len(), 0);
                }
                image[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

impl Disk {
    pub(super) fn new(image: Vec<u8>, fault: Option<(u64, Fault)>) -> Self {
        let state = State { files: vec![Contents::new(image)], done: 0, fault };
        Self { state: Arc::new(Mutex::new(state)), file: 0 }
    }

    /// Another file on the same disk.
    fn beside(&self, image: Vec<u8>) -> Self {
        let mut state = self.state();
        state.files.push(Contents::new(image));
        Self { state: Arc::clone(&self.state), file: state.files.len() - 1 }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far.
    pub(super) fn operations(&self) -> u64 {
        self.state().done
    }

    /// What is in the file when the process comes back.
    pub(super) fn image(&self) -> Vec<u8> {
        let state = self.state();
        state.files[self.file].left(state.fault.map(|(_, fault)| fault))
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.state();
        let outcome = state.operate();
        // The write that the power went in may have reached the disk like those before it.
        let last = matches!(state.fault, Some((at, Fault::Stops(_))) if at + 1 == state.done);
        if outcome.is_ok() || last {
            let file = &mut state.files[self.file];
            change.apply(&mut file.current);
            file.pending.push(change);
        }
        outcome
    }
}

impl Contents {
    fn new(image: Vec<u8>) -> Self {
        Self { durable: image.clone(), current: image, pending: Vec::new() }
    }

    fn left(&self, fault: Option<Fault>) -> Vec<u8> {
        let Some(Fault::Stops(remains)) = fault else { return self.current.clone() };
        let mut image = self.durable.clone();
        let last = self.pending.len().saturating_sub(1);
        for (at, change) in self.pending.iter().enumerate() {
            match (remains, change) {
                (Remains::Nothing, _) => {}
                (Remains::Torn, Change::Write(place, bytes)) if at == last => {
                    let half = bytes.len() / 2;
                    let cut = if half > SECTOR { half / SECTOR * SECTOR } else { half };
                    Change::Write(*place, bytes[..cut].to_vec()).apply(&mut image);
                }
                (Remains::Some(seed), Change::Write(..)) => {
                    let mixed = (at as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    if mixed >> 63 == 0 {
                        change.apply(&mut image);
                    }
                }
                _ => change.apply(&mut image),
            }
        }
        image
    }
}

impl State {
    /// Counts one operation, and says whether it and its effect take place.
    fn operate(&mut self) -> io::Result<()> {
        let number = self.done;
        self.done += 1;
        let broken = match self.fault {
            None => false,
            Some((at, Fault::Fails)) => number == at,
            Some((at, Fault::FailsForGood | Fault::Stops(_))) => number >= at,
        };
        if broken { Err(io::Error::other("the disk is broken")) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().files[self.file].current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let there = state.files[self.file].current.get(from..from + out.len());
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(usize::try_from(len).map_err(io::Error::other)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        let file = &mut state.files[self.file];
        for change in std::mem::take(&mut file.pending) {
            change.apply(&mut file.durable);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(Change::Write(at, data.to_vec()))
    }
}

/// A spool on such a disk. A file of no length is one that is not there.
impl Medium for Disk {
    fn read(&self) -> Result<Option<Vec<u8>>, FileError> {
        let bytes = self.state().files[self.file].current.clone();
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn make(&mut self) -> Result<(), FileError> {
        self.set_len(0)
            .and_then(|()| StorageBackend::write(self, 0, &[0; SECTOR]))
            .and_then(|()| self.sync_data())
            .map_err(spool_failed)
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), FileError> {
        StorageBackend::write(self, offset as u64, bytes)
            .and_then(|()| self.sync_data())
            .map_err(spool_failed)
    }

    fn remove(&mut self) -> Result<(), FileError> {
        self.set_len(0).map_err(spool_failed)
    }

    fn set_aside(&mut self) -> Result<PathBuf, FileError> {
        panic!("there is nothing wrong with the spool");
    }
}

fn spool_failed(error: io::Error) -> FileError {
    FileError::io(Path::new("spool"), error)
}

/// The appliance on the disk: its keys, and what it holds before the script.
struct Fixture {
    master: MasterSecret,
    image: Vec<u8>,
}

/// What was acknowledged of the script, and in which of its waits: everything in one wait
/// was asked for before anything in the next.
type Acknowledged = Vec<(u64, usize)>;

impl Fixture {
    fn new() -> Self {
        let (master, disk) = (MasterSecret::Key(MasterKey::generate()), Disk::new(Vec::new(), None));
        Store::open_in(disk.clone(), &master, Some(&Keyring::generate())).unwrap().close();
        Self { master, image: disk.image() }
    }

    fn open(&self, disk: &Disk, spool: &Disk) -> Result<Store, OpenStoreError> {
        Store::open_with(disk.clone(), Some(Box::new(spool.clone())), &self.master, None, MIGRATIONS)
    }

    /// Runs the script on a disk that may have a fault. Returns what was acknowledged.
    async fn run(&self, disk: &Disk, spool: &Disk) -> Acknowledged {
        let Ok(store) = self.open(disk, spool) else { return Vec::new() };
        let mut acknowledged = Vec::new();
        let mut wait = 0;
        for step in 1..=STEPS {
            let first = READS + 10 * step;
            // Some come together and share a wait for the disk; some reads come with the writes.
            let (steps, reads): (&[u64], &[u64]) = match step % 3 {
                0 => (&[step, step + STEPS, step + 2 * STEPS], &[first, first + 1, first + 2]),
                1 => (&[step], &[first]),
                _ => (&[step], &[]),
            };
            for (steps, reads) in [(&[][..], reads), (&[][..], &[first + 3]), (steps, &[first + 4])] {
                let writes =
                    steps.iter().map(|&step| store.write(move |view, batch| work(view, batch, step)));
                let notes = reads.iter().map(|&number| store.audit_read(entry(number)));
                let outcomes = tokio::join!(
                    futures_util::future::join_all(writes),
                    futures_util::future::join_all(notes)
                );
                let outcomes = outcomes.0.into_iter().chain(outcomes.1);
                for (number, outcome) in steps.iter().chain(reads).zip(outcomes) {
                    match outcome {
                        Ok(()) => acknowledged.push((*number, wait)),
                        Err(StoreError::Engine(_)) => assert!(!store.is_healthy(), "a broken store says so"),
                        Err(other) => panic!("{other}"),
                    }
                }
                wait += 1;
            }
        }
        acknowledged
    }
}

/// What a step writes: two records, a count of all steps, and an audit entry.
fn work(view: View<'_>, batch: &mut Batch<'_>, step: u64) -> Result<(), StoreError> {
    let [first, second] = pair(step);
    // Large enough now and then that the file has to grow.
    let bulk = if step % 4 == 1 { 12_000 } else { 100 };
    for id in [first, second] {
        batch.put(&USERS, id, &User { id, email: Some("x".repeat(bulk)), ..user(step) })?;
    }
    let count = count(view)?;
    let counter = User { id: counter(), email: Some((count + 1).to_string()), ..user(0) };
    batch.put(&USERS, counter.id, &counter)?;
    batch.audit(entry(step));
    Ok(())
}

fn id(number: u64) -> UserId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    UserId::from_bytes(bytes)
}

fn counter() -> UserId {
    id(0)
}

/// Far apart, so that they do not lie on the same page for long.
fn pair(step: u64) -> [UserId; 2] {
    [id(step), id(1_000 + step)]
}

fn count(view: View<'_>) -> Result<u64, StoreError> {
    let counter = view.find(&USERS, counter())?;
    Ok(counter.and_then(|user| user.email?.parse().ok()).unwrap_or_default())
}

fn entry(step: u64) -> Entry {
    let entry = Entry::of_machine(Timestamp::from_millis(step), Action::UserCreated);
    Entry { subject: Some(step.to_string()), ..entry }
}

/// The numbers of the steps and reads that the log tells of, in its order.
fn told(view: View<'_>) -> Result<Vec<u64>, StoreError> {
    let mut numbers = Vec::new();
    view.audit().after(0, |_, entry| {
        numbers.push(entry.subject.unwrap().parse().unwrap());
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(numbers)
}

/// Opens what is left on the disk, and looks.
async fn assert_whole(
    fixture: &Fixture,
    (disk, spool): (&Disk, &Disk),
    acknowledged: &[(u64, usize)],
    what: &str,
) {
    let disk = Disk::new(disk.image(), None);
    let spool = disk.beside(spool.image());
    let store =
        fixture.open(&disk, &spool).unwrap_or_else(|error| panic!("{what}: it does not open: {error}"));
    let (written, told) = store
        .read(|view| {
            let mut written = Vec::new();
            for step in 1..=3 * STEPS {
                let [first, second] = pair(step).map(|id| view.find(&USERS, id));
                match (first?, second?) {
                    (Some(first), Some(second)) => {
                        assert_eq!(first.email, second.email, "{what}: step {step} is mixed");
                        written.push(step);
                    }
                    (None, None) => {}
                    _ => panic!("{what}: step {step} is there in part"),
                }
            }
            assert_eq!(count(view)?, written.len() as u64, "{what}: the count is of another state");
            let report = view.audit().verify(None)?;
            assert_eq!(report.fault, None, "{what}");
            Ok::<_, StoreError>((written, told(view)?))
        })
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut steps: Vec<_> = told.iter().copied().filter(|number| *number < READS).collect();
    steps.sort_unstable();
    assert_eq!(steps, written, "{what}: entries are missing or too many");
    let places: HashMap<_, _> = told.iter().enumerate().map(|(place, number)| (*number, place)).collect();
    assert_eq!(places.len(), told.len(), "{what}: an entry is there twice: {told:?}");
    let lost: Vec<_> = acknowledged.iter().filter(|(number, _)| !places.contains_key(number)).collect();
    assert!(lost.is_empty(), "{what}: {lost:?} were acknowledged and are lost; the log tells of {told:?}");
    let mut in_order: Vec<_> = acknowledged.iter().map(|(number, wait)| (places[number], *wait)).collect();
    in_order.sort_unstable();
    assert!(in_order.is_sorted_by_key(|(_, wait)| *wait), "{what}: the log is out of order: {told:?}");
    // And life goes on.
    store.audit_read(entry(400)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    store.write(|view, batch| work(view, batch, 500)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.read(count).unwrap(), written.len() as u64 + 1, "{what}");
    assert_eq!(store.read(self::told).unwrap(), [told.as_slice(), &[400, 500]].concat(), "{what}");
}

async fn try_every_operation(faults: &[Fault]) {
    let fixture = Fixture::new();
    let disk = Disk::new(fixture.image.clone(), None);
    let spool = disk.beside(Vec::new());
    let all = fixture.run(&disk, &spool).await;
    let reads = all.iter().filter(|(number, _)| *number > READS).count() as u64;
    assert_eq!(
        (all.len() as u64 - reads, reads),
        (STEPS + 2 * (STEPS / 3), 20),
        "without a fault all is done"
    );
    let operations = disk.operations();
    assert!(operations > 2 * STEPS, "{operations}");
    assert!(disk.image().len() > fixture.image.len(), "the file has to grow on the way");
    assert_eq!(spool.image().len(), 0, "a store that was closed has no spool");
    assert_whole(&fixture, (&disk, &spool), &all, "no fault").await;
    let (mut cut_short, mut left_in_spool) = (0, 0);
    for number in 0..operations {
        for fault in faults {
            let disk = Disk::new(fixture.image.clone(), Some((number, *fault)));
            let spool = disk.beside(Vec::new());
            let acknowledged = fixture.run(&disk, &spool).await;
            cut_short += usize::from(acknowledged.len() < all.len());
            left_in_spool += usize::from(!spool.image().is_empty());
            let what = format!("{fault:?} at operation {number} of {operations}");
            assert_whole(&fixture, (&disk, &spool), &acknowledged, &what).await;
        }
    }
    assert!(cut_short > 0, "no fault was ever felt");
    assert!(left_in_spool > 0, "no spool was ever left");
}

#[tokio::test]
async fn a_disk_that_fails_loses_nothing_that_was_acknowledged() {
    try_every_operation(&[Fault::Fails, Fault::FailsForGood]).await;
}

#[tokio::test]
async fn a_power_failure_loses_nothing_that_was_acknowledged() {
    try_every_operation(&[
        Fault::Stops(Remains::Nothing),
        Fault::Stops(Remains::Everything),
        Fault::Stops(Remains::Torn),
    ])
    .await;
}

#[tokio::test]
async fn a_power_failure_that_reorders_writes_loses_nothing_that_was_acknowledged() {
    let some = [3, 1_000_003, 77_777_777].map(|seed| Fault::Stops(Remains::Some(seed)));
    try_every_operation(&some).await;
}
