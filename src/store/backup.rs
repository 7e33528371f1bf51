//! Copies of the database: backups taken while serving, and putting one back. A copy is
//! written beside its final name, verified there, and only then given the name, so that
//! under the name there is a whole and sound file or none. It holds the sealed records
//! and the sealed keyring; the master key is not in it.

use super::copy::{Draft, Replaced, copy, sync_parent, with_suffix};
use super::engine::Snapshot;
use super::error::{FileError, OpenStoreError, StoreError};
use super::migrate::{MIGRATIONS, migrate};
use super::open::{KEYRING_KEY, admit, damaged, open_backend, prepare, unbroken};
use super::overlay::Overlay;
use super::spool::{self, Medium as _, SpoolFile};
use super::verify::{Findings, walk};
use super::view::View;
use super::watch::Pace;
use super::{DataDir, DataDirLock, Store};
use crate::crypto::{Keyring, Master, MasterSecret, OpenedRing};
use redb::Database;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Memory for a file that is only looked at, in bytes.
const CACHE_BYTES: usize = 8 << 20;

/// A backup that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupMade {
    /// Its length, in bytes.
    pub bytes: u64,
    /// How many records it holds.
    pub records: u64,
}

/// A file that was put in the database's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// How many records it holds.
    pub records: u64,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Where the database is now that was there before.
    pub replaced: Option<PathBuf>,
}

impl Store {
    /// Copies the present state to a new file at `path`, while others go on reading and
    /// writing, and verifies the copy. Takes its time: for a thread of its own.
    ///
    /// # Errors
    /// If the file exists, cannot be written, or the database is not sound.
    pub fn backup(&self, path: &Path, pace: &Pace) -> Result<BackupMade, FileError> {
        if fs::exists(path).map_err(|error| FileError::io(path, error))? {
            return Err(FileError::Exists(path.to_owned()));
        }
        self.complete_log()?;
        let draft = copied(self.latest.snapshot(), with_suffix(path, ".partial"), None, pace)?;
        let made = BackupMade { bytes: draft.bytes, records: draft.records };
        draft.file.keep_as(path)?;
        Ok(made)
    }

    /// Looks at every record, while others go on reading and writing. Takes its time: for
    /// a thread of its own.
    ///
    /// # Errors
    /// If there is no snapshot to be had, or the work is called off; what is damaged is
    /// a finding.
    pub fn verify(&self, pace: &Pace) -> Result<Findings, StoreError> {
        self.complete_log()?;
        walk(&|| Ok(self.latest.snapshot()), pace)
    }
}

/// A database file that is looked at and not changed: a backup, or the database of an
/// appliance that does not run.
pub struct BackupFile {
    path: PathBuf,
    database: Database,
    keyring: Arc<Keyring>,
    master: Master,
    /// Whether older master keys open it too, which are done for.
    superseded: bool,
    /// What is wrong with the spool beside it, if something is.
    spool: Option<String>,
}

impl BackupFile {
    /// Opens the file with the master key it was sealed with.
    ///
    /// # Errors
    /// If it is missing, foreign, damaged, too new, or needs another master key.
    pub fn open(path: &Path, secret: &MasterSecret) -> Result<Self, OpenStoreError> {
        let io_failed = |error| OpenStoreError::Io(path.to_owned(), error);
        let file = File::open(path).map_err(io_failed)?;
        if !file.metadata().map_err(io_failed)?.is_file() {
            return Err(OpenStoreError::Damaged(path.to_owned(), "it is no file".to_owned()));
        }
        let database = open_backend(path, Overlay::new(file).map_err(io_failed)?, CACHE_BYTES)?;
        Self::of(path, database, secret)
    }

    /// The file at `path`, which was opened as `database`.
    pub(super) fn of(path: &Path, database: Database, secret: &MasterSecret) -> Result<Self, OpenStoreError> {
        let (OpenedRing { ring, master, older, newer }, schema) = admit(&database, path, secret, MIGRATIONS)?;
        // In memory: what is looked at, and put in a database's place, is of this version's schema.
        settle_in(&database, path, &ring, schema)?;
        let (keyring, superseded) = (Arc::new(ring), !older.is_empty() && newer.is_empty());
        // As if it had been closed: the audit entries that a killed process left are in its log.
        let spool =
            spool::take_in(&database, &keyring, &SpoolFile::of(path)).map_err(OpenStoreError::spool)?;
        Ok(Self { path: path.to_owned(), database, keyring, master, superseded, spool })
    }

    /// Looks at every page and every record.
    ///
    /// # Errors
    /// If the work is called off; what is damaged is a finding.
    pub fn verify(&mut self, pace: &Pace) -> Result<Findings, FileError> {
        let mut findings = Findings::default();
        let path = self.path.clone();
        match unbroken(&path, || Ok(self.database.check_integrity())) {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => findings.note("the file's own bookkeeping does not fit its pages".to_owned()),
            Ok(Err(error)) => findings.note(format!("its pages are damaged: {error}")),
            Err(_) => findings.note("its pages are damaged".to_owned()),
        }
        if !findings.is_sound() {
            return Ok(findings);
        }
        let snapshot = Arc::new(self.snapshot()?);
        let mut findings = walk(&|| Ok(Arc::clone(&snapshot)), pace)?;
        if let Some(problem) = &self.spool {
            findings.note(format!("the audit spool: {problem}"));
        }
        Ok(findings)
    }

    /// Reads from the file.
    ///
    /// # Errors
    /// If it cannot be read, or `read` fails.
    pub fn read<T, E: From<StoreError>>(&self, read: impl FnOnce(View<'_>) -> Result<T, E>) -> Result<T, E> {
        read(self.snapshot()?.view())
    }

    /// Makes this file the database of `dir`, with another session key, so that what
    /// was signed before is void. A database that is there is moved aside, to a name
    /// that ends in `stamp`; without `replace` that is an error.
    ///
    /// # Errors
    /// If there is a database and it is not to be replaced, or the disk refuses. Then
    /// the directory holds what it held before.
    pub fn install(
        self,
        dir: &DataDir,
        _lock: &DataDirLock,
        replace: Option<&str>,
        pace: &Pace,
    ) -> Result<Installed, FileError> {
        let there = dir.has_database()?;
        if there && replace.is_none() {
            return Err(FileError::Exists(dir.database()));
        }
        let record = self.keyring.with_new_session().seal(std::slice::from_ref(&self.master));
        let draft = copied(Arc::new(self.snapshot()?), dir.draft("restoring"), Some(&record), pace)?;
        let (records, bytes) = (draft.records, draft.bytes);
        let replaced = match replace {
            Some(stamp) if there => Some(keep_aside(&dir.database(), stamp)?),
            _ => None,
        };
        // What waits for the log of the data that was there must not get into this one.
        let spool = SpoolFile::of(&dir.database()).give_away(replaced.as_deref())?;
        match draft.file.keep_as(&dir.database()) {
            Ok(()) => Ok(Installed { records, bytes, replaced }),
            Err(error) => {
                spool.iter().for_each(|aside| drop(fs::rename(aside, spool::beside(&dir.database()))));
                Err(error)
            }
        }
    }

    /// Writes the database of `dir`, which this is, anew and without what it holds
    /// beyond its records: free pages, and traces of what was deleted or sealed anew.
    ///
    /// # Errors
    /// If it is not sound or the disk refuses. Then the database is what it was.
    pub fn rewrite(self, dir: &DataDir, _lock: &DataDirLock, pace: &Pace) -> Result<Installed, FileError> {
        let record = self.superseded.then(|| self.keyring.seal(std::slice::from_ref(&self.master)));
        let draft = copied(Arc::new(self.snapshot()?), dir.draft("compacting"), record.as_deref(), pace)?;
        let (records, bytes) = (draft.records, draft.bytes);
        draft.file.keep_as(&dir.database())?;
        // What was in it is in the log of the new file.
        SpoolFile::of(&dir.database()).remove()?;
        Ok(Installed { records, bytes, replaced: None })
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::of(&self.database, Arc::clone(&self.keyring))
    }
}

/// Copies `snapshot`, whatever its schema, to `path`, by way of `draft`, in place of a
/// copy that may be there: all of its records, looked at as far as that takes no
/// knowledge of what they say.
pub(super) fn keep_copy(
    snapshot: &Snapshot,
    draft: PathBuf,
    path: &Path,
    pace: &Pace,
) -> Result<(), FileError> {
    counted(snapshot, draft, None, pace)?.0.file.keep_as(path)
}

/// Brings a file of an older version to this one's schema and tables.
fn settle_in(database: &Database, path: &Path, ring: &Keyring, schema: u32) -> Result<(), OpenStoreError> {
    migrate(database, path, ring, schema, MIGRATIONS)?;
    unbroken(path, || prepare(database).map_err(|error| damaged(path, error)))
}

struct Copied {
    file: Draft,
    records: u64,
    bytes: u64,
}

/// A verified copy of `snapshot` that still has to get its name.
fn copied(
    snapshot: Arc<Snapshot>,
    draft: PathBuf,
    record: Option<&[u8]>,
    pace: &Pace,
) -> Result<Copied, FileError> {
    let (copied, database) = counted(&snapshot, draft, record, pace)?;
    let keyring = Arc::clone(snapshot.keyring());
    // As long as it is held no page is used again, and a busy database grows with every commit.
    drop(snapshot);
    let there = Arc::new(Snapshot::of(&database, keyring)?);
    let findings = walk(&|| Ok(Arc::clone(&there)), pace)?;
    if !findings.is_sound() {
        return Err(FileError::Unsound { path: copied.file.path().to_owned(), findings });
    }
    // Counted as `verify` counts: without what says how to open them.
    Ok(Copied { records: findings.records, ..copied })
}

/// A copy of `snapshot` that has as many records, opened again.
fn counted(
    snapshot: &Snapshot,
    draft: PathBuf,
    record: Option<&[u8]>,
    pace: &Pace,
) -> Result<(Copied, Database), FileError> {
    let (draft, file) = Draft::new(draft)?;
    let replaced = record.map(|value| Replaced { key: KEYRING_KEY, value });
    let expected = copy(snapshot, (draft.path(), file), replaced.as_ref(), pace)?;
    let io_failed = |error| FileError::io(draft.path(), error);
    let file = File::open(draft.path()).map_err(io_failed)?;
    let bytes = file.metadata().map_err(io_failed)?.len();
    let database = open_backend(draft.path(), Overlay::new(file).map_err(io_failed)?, CACHE_BYTES)?;
    let there = Snapshot::of(&database, Arc::clone(snapshot.keyring()))?;
    let names = there.names()?;
    let found = there.count(names.iter().map(String::as_str))?;
    if found != expected {
        return Err(FileError::Incomplete { path: draft.path().to_owned(), found, expected });
    }
    Ok((Copied { file: draft, records: found, bytes }, database))
}

/// A second name for a file that is about to be replaced; where the file system has no
/// such thing, a copy.
fn keep_aside(file: &Path, stamp: &str) -> Result<PathBuf, FileError> {
    let mut aside = with_suffix(file, &format!(".replaced-{stamp}"));
    let mut number = 1;
    while fs::exists(&aside).map_err(|error| FileError::io(&aside, error))? {
        number += 1;
        aside = with_suffix(file, &format!(".replaced-{stamp}-{number}"));
    }
    fs::hard_link(file, &aside)
        .or_else(|_| fs::copy(file, &aside).map(drop))
        .and_then(|()| sync_parent(&aside))
        .map_err(|error| FileError::io(&aside, error))?;
    Ok(aside)
}
