//! Making and opening the database file. Nothing is written before it is certain
//! that the file is one of ours, of a known schema, and that the master key fits.

use super::audit::Head;
use super::engine::{Latest, definition};
use super::error::{OpenStoreError, StoreError};
use super::migrate::{self, MIGRATIONS, Migration, migrate};
use super::overlay::Overlay;
use super::rotate::Masters;
use super::spool::{self, Medium, Spool, SpoolFile};
use super::tables::{META, NAMES};
use super::{DataDir, DataDirLock, Store};
use crate::base::panics;
use crate::crypto::{Keyring, MasterSecret, OpenedRing};
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// The shape of the file, raised by every migration (`migrate`).
pub(super) const SCHEMA_KEY: &[u8] = b"schema";
/// The version of keywayd that last opened the file for writing.
pub(super) const WRITER_KEY: &[u8] = b"written_by";
pub(super) const KEYRING_KEY: &[u8] = b"keyring";

impl Store {
    /// Makes the database of a new appliance and opens it. An unfinished attempt
    /// leaves no database behind.
    ///
    /// # Errors
    /// If there is a database already, or the disk refuses.
    pub fn create(
        dir: &DataDir,
        lock: DataDirLock,
        master: &MasterSecret,
        cache_bytes: usize,
    ) -> Result<Self, OpenStoreError> {
        if dir.has_database()? {
            return Err(OpenStoreError::Exists(dir.path().to_owned()));
        }
        let unfinished = dir.draft("new");
        let io_failed = |error| OpenStoreError::Io(unfinished.clone(), error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .map_err(io_failed)?;
        let backend = FileBackend::new(file).map_err(|e| refused(&unfinished, e))?;
        let database = open_backend(&unfinished, backend, cache_bytes)?;
        initialise(&database, &Keyring::generate(), master).map_err(|e| damaged(&unfinished, e))?;
        drop(database);
        fs::rename(&unfinished, dir.database()).map_err(io_failed)?;
        dir.sync().map_err(|error| OpenStoreError::Io(dir.path().to_owned(), error))?;
        Self::open(dir, lock, master, cache_bytes)
    }

    /// Opens the database. One of an older schema is copied and then brought to this
    /// version's.
    ///
    /// # Errors
    /// If it is missing, damaged, too new, sealed with another master key, or cannot be
    /// brought to this version's schema. In all these cases the file is as it was.
    pub fn open(
        dir: &DataDir,
        lock: DataDirLock,
        master: &MasterSecret,
        cache_bytes: usize,
    ) -> Result<Self, OpenStoreError> {
        Self::open_as_of(dir, lock, master, cache_bytes, MIGRATIONS)
    }

    /// Opens the database as the version does that knows `steps`; tests know other ones.
    pub(super) fn open_as_of(
        dir: &DataDir,
        lock: DataDirLock,
        master: &MasterSecret,
        cache_bytes: usize,
        steps: &[Migration],
    ) -> Result<Self, OpenStoreError> {
        let path = dir.database();
        if !dir.has_database()? {
            return Err(OpenStoreError::Missing(dir.path().to_owned()));
        }
        let io_failed = |error| OpenStoreError::Io(path.clone(), error);
        let probe = Overlay::new(File::open(&path).map_err(io_failed)?).map_err(io_failed)?;
        let probe = open_backend(&path, probe, cache_bytes)?;
        let (mut opened, schema) = admit(&probe, &path, master, steps)?;
        dir.clear_drafts(&lock);
        if schema < migrate::schema(steps) {
            let kept = migrate::keep_copy(&probe, opened.ring, dir, schema)?;
            SpoolFile::of(&path).copy_for(&kept).map_err(|error| OpenStoreError::NotKept(Box::new(error)))?;
            tracing::warn!(
                copy = %kept.display(), schema,
                "this version changes the database; a copy is kept for the version before, remove it in time"
            );
            opened = admit(&probe, &path, master, steps)?.0;
        }
        drop(probe);
        let database = unbroken(&path, || builder(cache_bytes).open(&path).map_err(|e| refused(&path, e)))?;
        migrate(&database, &path, &opened.ring, schema, steps)?;
        Self::start(database, &path, Some(lock), opened, Some(Box::new(SpoolFile::of(&path))))
    }

    /// Opens a database that lies in `backend`; tests make it fail.
    #[cfg(any(test, fuzzing))]
    pub(super) fn open_in(
        backend: impl StorageBackend,
        master: &MasterSecret,
        keyring: Option<&Keyring>,
    ) -> Result<Self, OpenStoreError> {
        Self::open_in_as_of(backend, master, keyring, MIGRATIONS)
    }

    /// The same as of the version that knows `steps`; a new database is of the first schema.
    #[cfg(any(test, fuzzing))]
    pub(super) fn open_in_as_of(
        backend: impl StorageBackend,
        master: &MasterSecret,
        keyring: Option<&Keyring>,
        steps: &[Migration],
    ) -> Result<Self, OpenStoreError> {
        Self::open_with(backend, None, master, keyring, steps)
    }

    /// The same with a spool.
    #[cfg(any(test, fuzzing))]
    pub(super) fn open_with(
        backend: impl StorageBackend,
        spool: Option<Box<dyn Medium>>,
        master: &MasterSecret,
        keyring: Option<&Keyring>,
        steps: &[Migration],
    ) -> Result<Self, OpenStoreError> {
        let path = Path::new("test backend");
        let database = open_backend(path, backend, 1 << 20)?;
        if let Some(keyring) = keyring {
            initialise(&database, keyring, master).map_err(|e| damaged(path, e))?;
        }
        let (opened, schema) = admit(&database, path, master, steps)?;
        migrate(&database, path, &opened.ring, schema, steps)?;
        Self::start(database, path, None, opened, spool)
    }

    /// A fresh database that is gone when closed.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn in_memory() -> Self {
        let (backend, keyring) = (redb::backends::InMemoryBackend::new(), Keyring::generate());
        let master = MasterSecret::Key(crate::crypto::MasterKey::generate());
        Self::open_in(backend, &master, Some(&keyring)).expect("memory can be written")
    }

    fn start(
        database: Database,
        path: &Path,
        lock: Option<DataDirLock>,
        opened: OpenedRing,
        mut spool: Option<Box<dyn Medium>>,
    ) -> Result<Self, OpenStoreError> {
        let superseded = !opened.older.is_empty() && opened.newer.is_empty();
        let (keyring, masters) = Masters::of(opened);
        prepare(&database).map_err(|e| damaged(path, e))?;
        let unreadable = |error: StoreError| OpenStoreError::Damaged(path.to_owned(), error.to_string());
        if superseded {
            // The operator has come over to the newer master key: the older ones are done.
            settle(&database, &keyring.seal(&masters.known)).map_err(|e| damaged(path, e))?;
        }
        let keyring = Arc::new(keyring);
        if let Some(medium) = &mut spool {
            spool::take_over(&database, &keyring, medium.as_mut()).map_err(OpenStoreError::spool)?;
        }
        let latest = Latest::of(&database, keyring).map_err(unreadable)?;
        let head = Head::to_continue(latest.snapshot().view()).map_err(unreadable)?;
        Ok(Self::run(database, latest, masters, head, Spool::new(spool), lock))
    }
}

pub(super) fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    builder
}

pub(super) fn open_backend(
    path: &Path,
    backend: impl StorageBackend,
    cache_bytes: usize,
) -> Result<Database, OpenStoreError> {
    unbroken(path, || builder(cache_bytes).create_with_backend(backend).map_err(|e| refused(path, e)))
}

/// Calls `open`, whatever the file holds: where the engine finds pages that it cannot
/// have written, it panics.
pub(super) fn unbroken<T>(
    path: &Path,
    open: impl FnOnce() -> Result<T, OpenStoreError>,
) -> Result<T, OpenStoreError> {
    panics::caught(open).unwrap_or_else(|| {
        Err(OpenStoreError::Damaged(path.to_owned(), "its pages make no sense".to_owned()))
    })
}

/// Writes what every database has from its first moment.
fn initialise(database: &Database, keyring: &Keyring, master: &MasterSecret) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    {
        let mut meta = transaction.open_table(definition(META))?;
        meta.insert(SCHEMA_KEY, migrate::schema(MIGRATIONS).to_be_bytes().as_slice())?;
        meta.insert(KEYRING_KEY, keyring.seal(&[master.master(1)]).as_slice())?;
        // So that a log without an end is one that somebody took away.
        let (key, end) = Head::START.sealed(keyring);
        meta.insert(key, end.as_slice())?;
    }
    Ok(transaction.commit()?)
}

/// The keyring and the schema, if the file is one that a version with `steps` can serve
/// and the key is the right one.
pub(super) fn admit(
    database: &Database,
    path: &Path,
    master: &MasterSecret,
    steps: &[Migration],
) -> Result<(OpenedRing, u32), OpenStoreError> {
    unbroken(path, || admit_whole(database, path, master, migrate::schema(steps)))
}

fn admit_whole(
    database: &Database,
    path: &Path,
    master: &MasterSecret,
    known: u32,
) -> Result<(OpenedRing, u32), OpenStoreError> {
    let foreign =
        |_| OpenStoreError::Damaged(path.to_owned(), "its tables are not those of keywayd".to_owned());
    let transaction = database.begin_read().map_err(|e| damaged(path, e.into()))?;
    let meta = transaction.open_table(definition(META)).map_err(foreign)?;
    let read = |key: &[u8]| {
        let value = meta.get(key).map_err(|e| damaged(path, e.into()))?;
        Ok(value.map(|value| value.value().to_vec()).unwrap_or_default())
    };
    let schema = read(SCHEMA_KEY)?;
    let schema = <[u8; 4]>::try_from(schema.as_slice()).map(u32::from_be_bytes);
    let Some(found) = schema.ok().filter(|found| *found > 0) else {
        return Err(OpenStoreError::Damaged(path.to_owned(), "it does not say its schema".to_owned()));
    };
    if found > known {
        let writer = String::from_utf8_lossy(&read(WRITER_KEY)?).into_owned();
        return Err(OpenStoreError::Newer { path: path.to_owned(), found, known, writer });
    }
    let opened = Keyring::open(master, &read(KEYRING_KEY)?);
    Ok((opened.map_err(|error| OpenStoreError::keyring(path, error))?, found))
}

/// Makes the tables that are missing and notes who writes from now on.
pub(super) fn prepare(database: &Database) -> Result<(), redb::Error> {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    {
        let transaction = database.begin_read()?;
        let known = transaction.open_table(definition(META))?;
        let same_writer = known.get(WRITER_KEY)?.is_some_and(|writer| writer.value() == version);
        if same_writer && transaction.list_tables()?.count() == NAMES.len() {
            return Ok(());
        }
    }
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    for name in NAMES {
        transaction.open_table(definition(name))?;
    }
    transaction.open_table(definition(META))?.insert(WRITER_KEY, version)?;
    Ok(transaction.commit()?)
}

/// Writes the keyring's record anew.
fn settle(database: &Database, record: &[u8]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(definition(META))?.insert(KEYRING_KEY, record)?;
    Ok(transaction.commit()?)
}

fn refused(path: &Path, error: DatabaseError) -> OpenStoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenStoreError::InUse(path.parent().unwrap_or(path).to_owned()),
        other => OpenStoreError::Damaged(path.to_owned(), other.to_string()),
    }
}

pub(super) fn damaged(path: &Path, error: redb::Error) -> OpenStoreError {
    OpenStoreError::Damaged(path.to_owned(), error.to_string())
}
