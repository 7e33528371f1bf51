//! Copying a snapshot, record by record, into a fresh file. The sealed bytes are taken
//! as they are. The copy holds what the snapshot holds and nothing else: no free pages,
//! and no traces of what was deleted or sealed anew.

use super::engine::Snapshot;
use super::error::FileError;
use super::open::builder;
use super::tables::META;
use super::watch::{Pace, Stretch};
use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, TableDefinition};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Memory for the copy's own pages, in bytes.
const CACHE_BYTES: usize = 8 << 20;
/// Sealed bytes in one transaction: few, so that neither the disk nor a processor is busy
/// with a commit for long.
const GENTLE_CHUNK_BYTES: usize = 256 << 10;
const FAST_CHUNK_BYTES: usize = 16 << 20;
/// Records between two looks at the clock.
const LOOK_EVERY: u64 = 4;

type Bytes<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// A file in the making. Unless it is kept, it is removed.
pub struct Draft {
    path: PathBuf,
    kept: bool,
}

/// One record of `meta` that the copy has otherwise.
pub(super) struct Replaced<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl Draft {
    /// Makes an empty file that is its owner's alone, in place of a draft that a killed
    /// process left behind.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(path: PathBuf) -> Result<(Self, File), FileError> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::io(&path, error));
            }
            _ => {}
        }
        // Never through a link that somebody laid here in the meantime.
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| FileError::io(&path, error))?;
        Ok((Self { path, kept: false }, file))
    }

    /// Where it is now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the finished file its name, which it takes over from the file that may
    /// have it, and sees that onto the disk.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn keep_as(mut self, path: &Path) -> Result<(), FileError> {
        let io_failed = |error| FileError::io(path, error);
        File::open(&self.path).and_then(|file| file.sync_all()).map_err(io_failed)?;
        fs::rename(&self.path, path).map_err(io_failed)?;
        self.kept = true;
        sync_parent(path).map_err(io_failed)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Copies all tables of `from` into `file`, which lies at `path`, and answers how many
/// records there are.
pub(super) fn copy(
    from: &Snapshot,
    (path, file): (&Path, File),
    replaced: Option<&Replaced<'_>>,
    pace: &Pace,
) -> Result<u64, FileError> {
    let failed = |error: redb::Error| FileError::engine(path, error);
    let backend = FileBackend::new(file).map_err(|error| failed(error.into()))?;
    let mut to = builder(CACHE_BYTES).create_with_backend(backend).map_err(|error| failed(error.into()))?;
    // All that there are: a newer version may have made tables that this one does not know.
    let names = from.names()?;
    let total = from.count(names.iter().map(String::as_str))?;
    let mut stretch = pace.begin("copying", total);
    for name in &names {
        let chunk = if pace.is_gentle() { GENTLE_CHUNK_BYTES } else { FAST_CHUNK_BYTES };
        copy_table(from.transaction(), (&to, path), name, replaced, chunk, &mut stretch)?;
    }
    to.compact().map_err(|error| failed(error.into()))?;
    stretch.finish();
    Ok(total)
}

fn copy_table(
    from: &ReadTransaction,
    (to, path): (&Database, &Path),
    name: &str,
    replaced: Option<&Replaced<'_>>,
    chunk_bytes: usize,
    stretch: &mut Stretch<'_>,
) -> Result<(), FileError> {
    let failed = |error: redb::Error| FileError::engine(path, error);
    let definition = Bytes::new(name);
    let source = from.open_table(definition).map_err(|error| FileError::Store(error.into()))?;
    let mut rows = source.range::<&[u8]>(..).map_err(|error| FileError::Store(error.into()))?.peekable();
    // An empty table is a table too.
    let mut first = true;
    while first || rows.peek().is_some() {
        first = false;
        let mut transaction = to.begin_write().map_err(|error| failed(error.into()))?;
        transaction.set_quick_repair(true);
        {
            let mut table = transaction.open_table(definition).map_err(|error| failed(error.into()))?;
            let (mut bytes, mut records) = (0, 0);
            while bytes < chunk_bytes
                && let Some(row) = rows.next()
            {
                let (key, value) = row.map_err(|error| FileError::Store(error.into()))?;
                let value = match replaced {
                    Some(other) if name == META && other.key == key.value() => other.value,
                    _ => value.value(),
                };
                table.insert(key.value(), value).map_err(|error| failed(error.into()))?;
                bytes += value.len();
                records += 1;
                if records == LOOK_EVERY {
                    stretch.did(std::mem::take(&mut records))?;
                }
            }
            stretch.did(records)?;
        }
        transaction.commit().map_err(|error| failed(error.into()))?;
        stretch.did(0)?;
    }
    Ok(())
}

/// Sees the directory entry of `path` onto the disk.
///
/// # Errors
/// If the directory cannot be opened or synchronised.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// `path` with `suffix` behind its name.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
