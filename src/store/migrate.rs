//! From the schema of an older version to that of this one, at start: first the file is
//! copied as it is, then the steps in between run in one transaction, which also writes
//! the schema's number. Whatever happens, the file is of the one schema or of the other.
//!
//! There are no steps yet. To add one: append it to [`MIGRATIONS`], let it read the old
//! shape and write the new one, and put a file of the old schema beside those in
//! `tests/stored`. A new table, or a record that says its own format, needs none.

use super::backup;
use super::engine::{Snapshot, Writing};
use super::error::{OpenStoreError, StoreError};
use super::location::DataDir;
use super::open::SCHEMA_KEY;
use super::tables::META;
use super::watch::Watch;
use crate::crypto::Keyring;
use redb::Database;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What leads from one schema to the next.
#[derive(Clone, Copy)]
pub(super) struct Migration {
    /// What it does, for the log.
    pub(super) what: &'static str,
    /// Does it.
    pub(super) run: fn(&Writing<'_>, &Keyring) -> Result<(), StoreError>,
}

/// All there ever were; the first leads from schema 1 to 2. A step stays as it is for
/// ever: files of its schema lie in backups.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// The schema to which `steps` lead.
pub(super) fn schema(steps: &[Migration]) -> u32 {
    1 + u32::try_from(steps.len()).unwrap_or(u32::MAX - 1)
}

/// Copies `database`, which is of the schema `found` and lies in `dir`, to the file that
/// the version before goes on with if this one does not work out. Returns the copy.
pub(super) fn keep_copy(
    database: &Database,
    keyring: Keyring,
    dir: &DataDir,
    found: u32,
) -> Result<PathBuf, OpenStoreError> {
    let aside = dir.before_upgrade(found);
    let copied = || {
        let snapshot = Snapshot::of(database, Arc::new(keyring))?;
        backup::keep_copy(&snapshot, dir.draft("upgrading"), &aside, &Watch::nobody().at_full_speed())
    };
    match copied() {
        Ok(()) => Ok(aside),
        Err(error) => Err(OpenStoreError::NotKept(Box::new(error))),
    }
}

/// Brings `database` from the schema `found` to that of `steps`.
pub(super) fn migrate(
    database: &Database,
    path: &Path,
    keyring: &Keyring,
    found: u32,
    steps: &[Migration],
) -> Result<(), OpenStoreError> {
    let wanted = schema(steps);
    if found >= wanted {
        return Ok(());
    }
    let failed = |error: StoreError| OpenStoreError::NotMigrated {
        path: path.to_owned(),
        found,
        wanted,
        problem: error.to_string(),
    };
    run(database, keyring, found, steps).map_err(failed)
}

fn run(database: &Database, keyring: &Keyring, found: u32, steps: &[Migration]) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    {
        let tables = Writing::new(&transaction);
        let done = usize::try_from(found.saturating_sub(1)).unwrap_or(usize::MAX);
        for step in steps.iter().skip(done) {
            tracing::info!("bringing the database to this version's schema: {}", step.what);
            (step.run)(&tables, keyring)?;
        }
        tables.put(META, SCHEMA_KEY, &schema(steps).to_be_bytes())?;
    }
    Ok(transaction.commit()?)
}
