//! The data directory: what lies where in it, and the lock that keeps a second
//! process out. It belongs to one user and nobody else can look into it (0700).

use super::OpenStoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A data directory.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// Held for as long as the store is in use; the operating system lets go of it when
/// the process ends, however it ends.
pub struct DataDirLock {
    _file: File,
}

impl DataDir {
    /// The directory at `path`, which need not exist yet.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The database file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join("keyway.redb")
    }

    /// A file beside the database, for a copy in the making.
    pub(super) fn draft(&self, purpose: &str) -> PathBuf {
        self.0.join(format!("keyway.redb.{purpose}"))
    }

    /// The copy of a database of the schema `found` from before it was brought to a later one.
    pub(super) fn before_upgrade(&self, found: u32) -> PathBuf {
        self.0.join(format!("keyway.redb.schema-{found}"))
    }

    /// Removes copies that a killed process did not finish.
    pub(super) fn clear_drafts(&self, _lock: &DataDirLock) {
        for purpose in ["new", "restoring", "compacting", "upgrading", "spool.new"] {
            let _ = fs::remove_file(self.draft(purpose));
        }
    }

    /// Makes the directory if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(&self) -> Result<(), OpenStoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|error| OpenStoreError::Io(self.0.clone(), error))
    }

    /// Takes the directory for this process.
    ///
    /// # Errors
    /// If it is missing, cannot be written, or another process has it.
    pub fn lock(&self) -> Result<DataDirLock, OpenStoreError> {
        let path = self.0.join("lock");
        let file = match OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenStoreError::Missing(self.0.clone()));
            }
            Err(error) => return Err(OpenStoreError::Io(path, error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(DataDirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenStoreError::InUse(self.0.clone())),
            Err(TryLockError::Error(error)) => Err(OpenStoreError::Io(path, error)),
        }
    }

    /// Sees the directory's own entries onto the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    /// Whether there is a database.
    ///
    /// # Errors
    /// If the directory cannot be looked into.
    pub fn has_database(&self) -> Result<bool, OpenStoreError> {
        fs::exists(self.database()).map_err(|error| OpenStoreError::Io(self.database(), error))
    }
}
