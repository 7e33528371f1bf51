//! Records of the spool: what they look like in the file.
//!
//! ```text
//! blocks of 4 KiB; a record begins with a block, and zeros fill its last one
//! record:    "kwS1" ‖ length of the envelope (u32) ‖ last entry of the log (u64) ‖ number (u32) ‖ envelope
//! envelope:  sealed by the root key, bound to the head of the log (number and MAC) and the record's number
//! in it:     per entry: length (u32) ‖ the entry as a record of its own
//! ```

use crate::crypto::{Binding, Keyring, envelope};
use crate::store::StoreError;
use crate::store::audit::Head;
use crate::store::codec;
use crate::store::records::Entry;
use zeroize::Zeroizing;

/// Where records begin: what a disk writes at once, so that writing one harms no other.
pub(super) const BLOCK: usize = 4096;
const MAGIC: &[u8; 4] = b"kwS1";
const HEADER_BYTES: usize = 20;
/// In the place of a table's name.
const TABLE: &str = "audit spool";
const KIND: &str = "record of the audit spool";

/// A record as it lies in the file.
pub(super) struct Found<'a> {
    /// The last entry of the log that it goes on from.
    pub(super) sequence: u64,
    pub(super) number: u32,
    envelope: &'a [u8],
}

impl<'a> Found<'a> {
    /// What begins at the start of `bytes`, if it looks like a record.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        // What is cut short does not open.
        let length = (u32::from_be_bytes(*length) as usize).min(rest.len());
        Some(Self {
            sequence: u64::from_be_bytes(*sequence),
            number: u32::from_be_bytes(*number),
            envelope: rest.get(..length)?,
        })
    }

    /// What is in it, if it goes on from `head`.
    pub(super) fn open(&self, keyring: &Keyring, head: &Head) -> Option<Zeroizing<Vec<u8>>> {
        let root = keyring.root_for(self.envelope).ok()?;
        let key = place(head, self.number);
        envelope::open(root, Binding { table: TABLE, key: &key }, self.envelope).ok()
    }
}

/// The entries in an opened record.
pub(super) fn entries_in(mut plain: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    while !plain.is_empty() {
        let parts = plain
            .split_first_chunk()
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_be_bytes(*length) as usize));
        let (encoded, rest) = parts.ok_or_else(|| StoreError::damaged(KIND, "it does not decode"))?;
        entries.push(codec::decode(encoded)?);
        plain = rest;
    }
    Ok(entries)
}

/// A record as it is written.
pub(super) fn record(
    keyring: &Keyring,
    head: &Head,
    number: u32,
    entries: &[&Entry],
) -> Result<Vec<u8>, StoreError> {
    let too_long = |_| StoreError::damaged(KIND, "it is too long");
    let mut plain = Zeroizing::new(Vec::with_capacity(BLOCK));
    for entry in entries {
        let encoded = codec::encode(*entry)?;
        plain.extend_from_slice(&u32::try_from(encoded.len()).map_err(too_long)?.to_be_bytes());
        plain.extend_from_slice(&encoded);
    }
    let (generation, root) = keyring.newest_root();
    let key = place(head, number);
    let sealed = envelope::seal(root, generation, Binding { table: TABLE, key: &key }, &plain);
    let bytes = (HEADER_BYTES + sealed.len()).next_multiple_of(BLOCK);
    let mut record = Vec::with_capacity(bytes);
    record.extend_from_slice(MAGIC);
    record.extend_from_slice(&u32::try_from(sealed.len()).map_err(too_long)?.to_be_bytes());
    record.extend_from_slice(&head.sequence.to_be_bytes());
    record.extend_from_slice(&number.to_be_bytes());
    record.extend_from_slice(&sealed);
    record.resize(bytes, 0);
    Ok(record)
}

/// What a record is bound to.
fn place(head: &Head, number: u32) -> Vec<u8> {
    [head.sequence.to_be_bytes().as_slice(), &head.mac, &number.to_be_bytes()].concat()
}
