//! What can go wrong with the file.

use super::verify::Findings;
use crate::crypto::{KeyringError, MasterKeyId, MasterLabel, OpenError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A failed read or write.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database engine reports a failure.
    #[error("the database failed: {0}")]
    Engine(Arc<redb::Error>),
    /// A record does not open or does not decode.
    #[error("a damaged record of kind `{kind}`: {problem}")]
    Damaged {
        /// The kind of record.
        kind: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The queue of writes is full.
    #[error("too many writes are waiting")]
    Busy,
    /// The store has been closed, or its writer has died.
    #[error("the store is closed")]
    Closed,
    /// The code that prepared a write panicked; nothing of it was written.
    #[error("the preparation of a write panicked")]
    Panicked,
    /// Long work was called off.
    #[error("stopped before it was finished")]
    Stopped,
}

impl StoreError {
    /// Whether there is no room: the disk or a quota is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Engine(error) if matches!(&**error, redb::Error::Io(error) if is_full(error)))
    }

    /// Whether something on the disk is not as it was written.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Whether an earlier failure keeps everything from being written since.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Engine(error) if matches!(**error, redb::Error::PreviousIo))
    }

    /// Something that was read cannot be written out.
    pub(crate) fn unwritable(kind: &'static str, problem: &impl ToString) -> Self {
        Self::Damaged { kind, problem: problem.to_string() }
    }

    pub(super) fn damaged(kind: &'static str, problem: impl ToString) -> Self {
        Self::Damaged { kind, problem: problem.to_string() }
    }

    pub(super) fn unopened(kind: &'static str, problem: OpenError) -> Self {
        Self::damaged(kind, problem)
    }
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Engine(Arc::new(error.into()))
    }
}

/// Why the store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// Another process has it.
    #[error(
        "the data directory `{0}` is in use by another keywayd\n\nhint: stop the other process, or use another `--data-dir`"
    )]
    InUse(PathBuf),
    /// The directory or a file in it cannot be used.
    #[error("cannot use `{0}`: {1}{hint}", hint = owner_hint(.1))]
    Io(PathBuf, std::io::Error),
    /// There is no database file.
    #[error(
        "there is no database in `{0}`\n\nhint: run `keywayd init --data-dir {0}` to make one, or check `storage.data_dir`"
    )]
    Missing(PathBuf),
    /// There is one already.
    #[error("`{0}` holds a database already; nothing was changed")]
    Exists(PathBuf),
    /// The master key belongs to other data.
    #[error(
        "{} does not open `{path}`; it needs {}\n\nhint: give the key that was in force when the file was written; `keywayd key rotate` keeps old key files under their id",
        given_key(*given),
        needed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    )]
    WrongMasterKey {
        /// The file.
        path: PathBuf,
        /// Which key was tried; `None` for a passphrase.
        given: Option<MasterKeyId>,
        /// Which would do.
        needed: Vec<MasterLabel>,
    },
    /// Not a database, or a damaged one.
    #[error(
        "the database `{0}` is damaged or is no keywayd database: {1}\n\nhint: keep the file as it is and restore a backup elsewhere"
    )]
    Damaged(PathBuf, String),
    /// Written by a newer version.
    #[error(
        "the database `{path}` has schema {found}, this version knows {known}\n\nhint: it was written by keywayd {writer}; use that version or a newer one"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema this binary reads.
        known: u32,
        /// The version that wrote it.
        writer: String,
    },
    /// Audit entries wait to be moved into the log and cannot be.
    #[error(
        "audit entries of the process before wait in the spool, and cannot be moved into the log: {0}\n\nhint: see that the files in the data directory can be read and written, and that there is room"
    )]
    Spool(Box<FileError>),
    /// An older file that must be copied before it is changed, and cannot be.
    #[error("before the database is brought to this version's schema it is copied, which failed: {0}")]
    NotKept(Box<FileError>),
    /// An older file that resists.
    #[error(
        "the database `{path}` has schema {found} and cannot be brought to schema {wanted}: {problem}\n\nhint: it is as it was; go on with the version of keywayd that you had, and report this"
    )]
    NotMigrated {
        /// The database file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// This version's.
        wanted: u32,
        /// What went wrong.
        problem: String,
    },
}

impl OpenStoreError {
    pub(super) fn spool(error: FileError) -> Self {
        Self::Spool(Box::new(error))
    }

    pub(super) fn keyring(path: &Path, error: KeyringError) -> Self {
        match error {
            KeyringError::WrongMasterKey { given, needed } => {
                Self::WrongMasterKey { path: path.to_owned(), given, needed }
            }
            KeyringError::Damaged(problem) => {
                Self::Damaged(path.to_owned(), format!("the keyring record is damaged ({problem})"))
            }
        }
    }
}

fn owner_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "\n\nhint: it must be for the user that runs keywayd; run commands as that user or as root"
        }
        _ => "",
    }
}

fn given_key(id: Option<MasterKeyId>) -> String {
    id.map_or("the passphrase".to_owned(), |id| format!("the master key with id `{id}`"))
}

/// Why a backup, or another copy of the database, was not made, read or put in place.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is such a file already.
    #[error("`{0}` exists already; nothing was changed")]
    Exists(PathBuf),
    /// The disk is full.
    #[error(
        "there is no room for `{0}`: the disk or a quota is full\n\nhint: nothing was changed; make room, or write to another disk"
    )]
    Full(PathBuf),
    /// The operating system says no.
    #[error("cannot write `{0}`: {1}")]
    Write(PathBuf, std::io::Error),
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenStoreError),
    /// The file opens, but not all that is in it is sound.
    #[error("`{path}` is not sound, and nothing was changed: {}", findings.summary())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        findings: Findings,
    },
    /// The file differs from what was to be copied.
    #[error("`{path}` holds {found} records instead of {expected}; it was removed")]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Records in it.
        found: u64,
        /// Records that should be.
        expected: u64,
    },
    /// Reading the database failed, or the work was called off.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FileError {
    /// A failed operation on `path`.
    #[must_use]
    pub fn io(path: &Path, error: std::io::Error) -> Self {
        if is_full(&error) { Self::Full(path.to_owned()) } else { Self::Write(path.to_owned(), error) }
    }

    /// A failed write to the database at `path`.
    pub(super) fn engine(path: &Path, error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => Self::io(path, error),
            other => Self::Store(other.into()),
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Why a key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The new master key is one that opens the data already.
    #[error("the new master key is one that opens the data already ({0}); nothing was changed")]
    Same(MasterLabel),
    /// A change of the master key has not come to its end.
    #[error(
        "the change to {0} is not finished: keywayd runs with an older master key\n\nhint: start keywayd with the new one, or change the master key once more with `keywayd key rotate`"
    )]
    Unfinished(MasterLabel),
    /// Somebody is at it.
    #[error("another rotation is under way; wait for it")]
    UnderWay,
    /// The store failed, or the work was called off.
    #[error(transparent)]
    Store(#[from] StoreError),
}
