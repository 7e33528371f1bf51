//! The spool as a file: its owner's alone, beside the database and named after it, so
//! that whoever moves the one by hand sees the other.

use super::{Medium, SPOOL_BYTES};
use crate::store::copy::{Draft, sync_parent, with_suffix};
use crate::store::error::FileError;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A spool in the file system.
pub(in crate::store) struct SpoolFile {
    path: PathBuf,
    file: Option<File>,
}

impl SpoolFile {
    /// The one of the database at `database`.
    pub(in crate::store) fn of(database: &Path) -> Self {
        Self { path: beside(database), file: None }
    }

    /// Gives it away before another database takes the place of its own, which is at `replaced`
    /// then, if it is kept. Answers its new name, if there is a spool.
    pub(in crate::store) fn give_away(self, replaced: Option<&Path>) -> Result<Option<PathBuf>, FileError> {
        let failed = |error| FileError::io(&self.path, error);
        if !fs::exists(&self.path).map_err(failed)? {
            return Ok(None);
        }
        let aside = replaced.map_or_else(|| aside_of(&self.path), |database| Ok(beside(database)))?;
        fs::rename(&self.path, &aside).and_then(|()| sync_parent(&aside)).map_err(failed)?;
        Ok(Some(aside))
    }

    /// Copies it, or that there is none, for the copy of its database at `database`.
    pub(in crate::store) fn copy_for(&self, database: &Path) -> Result<(), FileError> {
        let copy = Self::of(database);
        let failed = |error| FileError::io(&copy.path, error);
        match self.read()? {
            None => Self::of(database).remove(),
            Some(bytes) => {
                let (draft, file) = Draft::new(with_suffix(&copy.path, ".new"))?;
                file.write_all_at(&bytes, 0).map_err(failed)?;
                draft.keep_as(&copy.path)
            }
        }
    }
}

/// Where the spool of the database at `database` lies.
pub(in crate::store) fn beside(database: &Path) -> PathBuf {
    with_suffix(database, ".spool")
}

/// A free name for the spool at `path`, which is not to be used.
fn aside_of(path: &Path) -> Result<PathBuf, FileError> {
    let mut number = 1;
    loop {
        let aside = with_suffix(path, &format!(".aside-{number}"));
        if !fs::exists(&aside).map_err(|error| FileError::io(&aside, error))? {
            return Ok(aside);
        }
        number += 1;
    }
}

impl Medium for SpoolFile {
    fn read(&self) -> Result<Option<Vec<u8>>, FileError> {
        let mut bytes = Vec::new();
        let read =
            File::open(&self.path).and_then(|file| file.take(SPOOL_BYTES as u64).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::io(&self.path, error)),
        }
    }

    fn make(&mut self) -> Result<(), FileError> {
        let (draft, file) = Draft::new(with_suffix(&self.path, ".new"))?;
        let zeros = [0; 64 << 10];
        for offset in (0..SPOOL_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset as u64).map_err(|error| FileError::io(draft.path(), error))?;
        }
        draft.keep_as(&self.path)?;
        self.file = Some(file);
        Ok(())
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), FileError> {
        let written = match &self.file {
            Some(file) => file.write_all_at(bytes, offset as u64).and_then(|()| file.sync_data()),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        written.map_err(|error| FileError::io(&self.path, error))
    }

    fn remove(&mut self) -> Result<(), FileError> {
        self.file = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::io(&self.path, error)),
            _ => Ok(()),
        }
    }

    fn set_aside(&mut self) -> Result<PathBuf, FileError> {
        self.file = None;
        let aside = aside_of(&self.path)?;
        fs::rename(&self.path, &aside)
            .and_then(|()| sync_parent(&aside))
            .map_err(|error| FileError::io(&self.path, error))?;
        Ok(aside)
    }
}
