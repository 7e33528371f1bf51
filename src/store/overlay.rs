//! A database file that only looks as if it were written to: changes stay in memory.
//! Opening a redb file may repair it; through this backend it can be opened to see
//! whether the master key fits without a byte of it changing.

use redb::StorageBackend;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

const BLOCK: u64 = 4096;

#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    length: u64,
    /// Bytes of the file that still count; what lies behind reads as zero.
    file_length: u64,
    blocks: HashMap<u64, Box<[u8; BLOCK as usize]>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let changed = Changed { length, file_length: length, blocks: HashMap::new() };
        Ok(Self { file, changed: Mutex::new(changed) })
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changed {
    fn block(&self, file: &File, number: u64) -> io::Result<[u8; BLOCK as usize]> {
        if let Some(block) = self.blocks.get(&number) {
            return Ok(**block);
        }
        let mut block = [0; BLOCK as usize];
        let start = number * BLOCK;
        let there = usize::try_from(self.file_length.saturating_sub(start).min(BLOCK)).unwrap_or(0);
        file.read_exact_at(&mut block[..there], start)?;
        Ok(block)
    }
}

/// Calls `act(block, range in the block, range in the buffer)` for each block touched.
fn each_block(
    offset: u64,
    length: usize,
    mut act: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut done = 0;
    while done < length {
        let at = offset + done as u64;
        let from = usize::try_from(at % BLOCK).unwrap_or(0);
        let count = (BLOCK as usize - from).min(length - done);
        act(at / BLOCK, from..from + count, done..done + count)?;
        done += count;
    }
    Ok(())
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changed().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.changed();
        if offset + out.len() as u64 > changed.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        each_block(offset, out.len(), |number, inside, outside| {
            out[outside].copy_from_slice(&changed.block(&self.file, number)?[inside]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.changed();
        changed.length = len;
        changed.file_length = changed.file_length.min(len);
        changed.blocks.retain(|number, _| number * BLOCK < len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.changed();
        each_block(offset, data.len(), |number, inside, outside| {
            let mut block = changed.block(&self.file, number)?;
            block[inside].copy_from_slice(&data[outside]);
            changed.blocks.insert(number, Box::new(block));
            Ok(())
        })
    }
}
