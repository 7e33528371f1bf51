//! Records that every request asks for (whose key this is, which vault a name means,
//! what may be done in it), kept open: finding and deciphering one costs ten times as
//! much as having it.
//!
//! What is kept belongs to a committed state and goes with it. The next state takes it
//! over only if the commit in between wrote to none of these tables, as those of
//! pulls do not. So nothing here can be out of date, and nobody has to think of it.
//!
//! Plaintext in memory is wiped when dropped. Secrets' values are never kept, nor is
//! what belongs to other services.

use super::tables::{
    API_KEY_TOKENS, API_KEYS, GRANTS, SESSIONS, USER_NAMES, USERS, VAULT_KEYS, VAULT_NAMES, VAULTS,
};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use zeroize::Zeroizing;

const KEPT: [&str; 9] = [
    API_KEY_TOKENS.name,
    API_KEYS.name,
    SESSIONS.name,
    USERS.name,
    USER_NAMES.name,
    VAULT_NAMES.name,
    VAULTS.name,
    VAULT_KEYS.name,
    GRANTS.name,
];
/// Most plaintext kept of one table. Beyond it, all of that table's is let go.
const TABLE_BYTES: usize = 256 << 10;
/// What a record is counted for beside its own bytes.
const RECORD_BYTES: usize = 128;

type Plain = Arc<Zeroizing<Vec<u8>>>;

/// What has been opened of one committed state.
#[derive(Default)]
pub(super) struct Opened {
    shelves: [Shelf; KEPT.len()],
}

impl Opened {
    /// Whether records of `table` are kept.
    pub(super) fn keeps(table: &str) -> bool {
        KEPT.contains(&table)
    }

    /// Where records of `table` are kept, if they are.
    pub(super) fn of(&self, table: &str) -> Option<&Shelf> {
        let at = KEPT.iter().position(|kept| *kept == table)?;
        self.shelves.get(at)
    }
}

/// What has been opened of one table.
#[derive(Default)]
pub(super) struct Shelf(RwLock<Records>);

#[derive(Default)]
struct Records {
    by_key: HashMap<Box<[u8]>, Plain>,
    bytes: usize,
}

impl Shelf {
    pub(super) fn find(&self, key: &[u8]) -> Option<Plain> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_key.get(key).map(Arc::clone)
    }

    pub(super) fn put(&self, key: &[u8], plain: Zeroizing<Vec<u8>>) {
        let bytes = key.len() + plain.len() + RECORD_BYTES;
        if bytes > TABLE_BYTES {
            return;
        }
        let mut records = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if records.bytes + bytes > TABLE_BYTES {
            *records = Records::default();
        }
        // Two may have opened the same record at the same time.
        if records.by_key.insert(key.into(), Arc::new(plain)).is_none() {
            records.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: usize) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(vec![7; bytes])
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let opened = Opened::default();
        let shelf = opened.of(USERS.name).unwrap();
        for number in 0..100_000_u32 {
            shelf.put(&number.to_be_bytes(), plain(200));
            assert!(shelf.0.read().unwrap().bytes <= TABLE_BYTES);
        }
        assert_eq!(shelf.find(&99_999_u32.to_be_bytes()).unwrap().len(), 200);
        assert!(shelf.find(&0_u32.to_be_bytes()).is_none());
        shelf.put(b"large", plain(TABLE_BYTES));
        assert!(shelf.find(b"large").is_none());
    }

    #[test]
    fn values_are_not_kept() {
        for table in ["environments", "versions", "trash", "connections", "forge_grants"] {
            assert!(super::super::tables::NAMES.contains(&table) && !Opened::keeps(table), "{table}");
        }
    }
}
