//! What can go wrong with the file.

use crate::crypto::{KeyringError, OpenError};
use std::path::PathBuf;
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
}

impl StoreError {
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
    #[error("cannot use `{0}`: {1}")]
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
        "the master key does not belong to this data (`{0}`)\n\nhint: the file was sealed with another key; find the key that was made with it"
    )]
    WrongMasterKey(PathBuf),
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
}

impl OpenStoreError {
    pub(super) fn keyring(path: &std::path::Path, error: KeyringError) -> Self {
        match error {
            KeyringError::WrongMasterKey => Self::WrongMasterKey(path.to_owned()),
            damaged @ KeyringError::Damaged(_) => Self::Damaged(path.to_owned(), damaged.to_string()),
        }
    }
}
