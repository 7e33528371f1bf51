//! A disk that fails, or stops, at every single one of its operations in turn. Whatever
//! happens, what the store said is written is there afterwards, whole, with its audit
//! entry; and nothing is there in part.
//!
//! When the power goes, what was not yet synced is on the disk, or is not, or only some
//! of it is, in any order, or a write is there in part: each of these is tried.

use super::*;
use crate::base::Platform;
use crate::base::ids::EntryId;
use crate::store::records::{Action, CredentialKind, Entry};
use redb::StorageBackend;
use std::io;

/// Steps of the script; each changes three records and adds an audit entry.
const STEPS: u64 = 6;
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

#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What is safe.
    durable: Vec<u8>,
    /// What is read.
    current: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Change>,
    /// Operations so far.
    done: u64,
    /// Which operation goes wrong, and how.
    fault: Option<(u64, Fault)>,
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
        let (durable, current) = (image.clone(), image);
        Self(Arc::new(Mutex::new(State { durable, current, pending: Vec::new(), done: 0, fault })))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far.
    pub(super) fn operations(&self) -> u64 {
        self.state().done
    }

    /// What is on it when the process comes back.
    pub(super) fn image(&self) -> Vec<u8> {
        let state = self.state();
        let Some((_, Fault::Stops(remains))) = state.fault else { return state.current.clone() };
        let mut image = state.durable.clone();
        let last = state.pending.len().saturating_sub(1);
        for (at, change) in state.pending.iter().enumerate() {
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

    fn change(&mut self, change: Change) -> io::Result<()> {
        let outcome = self.operate();
        // The write that the power went in may have reached the disk like those before it.
        let last = matches!(self.fault, Some((at, Fault::Stops(_))) if at + 1 == self.done);
        if outcome.is_ok() || last {
            change.apply(&mut self.current);
            self.pending.push(change);
        }
        outcome
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let there = state.current.get(from..from + out.len());
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.state().change(Change::Length(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        for change in std::mem::take(&mut state.pending) {
            change.apply(&mut state.durable);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        self.state().change(Change::Write(at, data.to_vec()))
    }
}

/// The appliance on the disk: its keys, and what it holds before the script.
struct Fixture {
    master: MasterSecret,
    image: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let (master, disk) = (MasterSecret::Key(MasterKey::generate()), Disk::new(Vec::new(), None));
        Store::open_in(disk.clone(), &master, Some(&Keyring::generate())).unwrap().close();
        Self { master, image: disk.image() }
    }

    /// Runs the script on a disk with `fault`. Returns the steps that were acknowledged.
    async fn run(&self, disk: &Disk) -> Vec<u64> {
        let Ok(store) = Store::open_in(disk.clone(), &self.master, None) else { return Vec::new() };
        let mut acknowledged = Vec::new();
        for step in 1..=STEPS {
            // Some steps come together and share a commit.
            let steps: &[u64] = if step % 3 == 0 { &[step, step + STEPS, step + 2 * STEPS] } else { &[step] };
            let jobs = steps.iter().map(|&step| store.write(move |view, batch| work(view, batch, step)));
            let outcomes = futures_util::future::join_all(jobs).await;
            for (step, outcome) in steps.iter().zip(outcomes) {
                match outcome {
                    Ok(()) => acknowledged.push(*step),
                    Err(StoreError::Engine(_)) => assert!(!store.is_healthy(), "a broken store says so"),
                    Err(other) => panic!("{other}"),
                }
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
    Entry {
        id: EntryId::new(Timestamp::from_millis(step)),
        at: Timestamp::from_millis(step),
        action: Action::UserCreated,
        actor: None,
        credential: CredentialKind::Machine,
        credential_id: None,
        address: None,
        platform: Platform::Admin,
        user_agent: String::new(),
        request: None,
        vault: None,
        repo: None,
        environment: None,
        names: Vec::new(),
        subject: Some(step.to_string()),
        counts: [0; 4],
    }
}

/// Opens what is left on the disk, and looks.
async fn assert_whole(fixture: &Fixture, image: Vec<u8>, acknowledged: &[u64], what: &str) {
    let disk = Disk::new(image, None);
    let store = Store::open_in(disk, &fixture.master, None)
        .unwrap_or_else(|error| panic!("{what}: it does not open: {error}"));
    let written = store
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
            assert_eq!(report.sound_to, written.len() as u64, "{what}: entries are missing or too many");
            Ok::<_, StoreError>(written)
        })
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let lost: Vec<_> = acknowledged.iter().filter(|step| !written.contains(step)).collect();
    assert!(lost.is_empty(), "{what}: {lost:?} were acknowledged and are lost; there are {written:?}");
    // And life goes on.
    store.write(|view, batch| work(view, batch, 500)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.read(count).unwrap(), written.len() as u64 + 1, "{what}");
}

async fn try_every_operation(faults: &[Fault]) {
    let fixture = Fixture::new();
    let disk = Disk::new(fixture.image.clone(), None);
    let all = fixture.run(&disk).await;
    assert_eq!(all.len() as u64, STEPS + 2 * (STEPS / 3), "without a fault everything is written");
    let operations = disk.operations();
    assert!(operations > 2 * STEPS, "{operations}");
    assert!(disk.image().len() > fixture.image.len(), "the file has to grow on the way");
    assert_whole(&fixture, disk.image(), &all, "no fault").await;
    let mut cut_short = 0;
    for number in 0..operations {
        for fault in faults {
            let disk = Disk::new(fixture.image.clone(), Some((number, *fault)));
            let acknowledged = fixture.run(&disk).await;
            cut_short += usize::from(acknowledged.len() < all.len());
            let what = format!("{fault:?} at operation {number} of {operations}");
            assert_whole(&fixture, disk.image(), &acknowledged, &what).await;
        }
    }
    assert!(cut_short > 0, "no fault was ever felt");
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
