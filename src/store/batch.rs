//! Writing: a job collects what it wants changed; nothing is touched until the
//! whole job is known to be good. That is what lets many jobs share one commit: a
//! refused job has changed nothing, and applying a batch only writes.

use super::StoreError;
use super::codec::{self, Record};
use super::keys::TableKey;
use super::records::Entry;
use super::tables::{Index, Table, VaultTable};
use super::view::VaultSeal;
use crate::crypto::{Binding, Keyring, envelope};
use std::sync::Arc;

pub(super) struct Change {
    pub(super) table: &'static str,
    pub(super) key: Vec<u8>,
    /// `None` deletes.
    pub(super) value: Option<Vec<u8>>,
}

/// The changes of one job, sealed as they are put in.
///
/// A job reads the state before it: what it has put here is not in its view.
pub struct Batch<'a> {
    keyring: &'a Keyring,
    pub(super) changes: Vec<Change>,
    pub(super) entries: Vec<Entry>,
    /// Keys that come into force with the commit.
    pub(super) keyring_from_now: Option<Arc<Keyring>>,
}

impl<'a> Batch<'a> {
    pub(super) const fn new(keyring: &'a Keyring) -> Self {
        Self { keyring, changes: Vec::new(), entries: Vec::new(), keyring_from_now: None }
    }

    /// Writes `record` at `key`.
    ///
    /// # Errors
    /// If the record does not encode.
    pub fn put<K: TableKey, R: Record>(
        &mut self,
        table: &Table<K, R>,
        key: K,
        record: &R,
    ) -> Result<(), StoreError> {
        let key = key.to_bytes();
        let (generation, root) = self.keyring.newest_root();
        let binding = Binding { table: table.name, key: &key };
        let sealed = envelope::seal(root, generation, binding, &codec::encode(record)?);
        self.changes.push(Change { table: table.name, key, value: Some(sealed) });
        Ok(())
    }

    /// Writes `record` at `key` in one of the vault's own tables.
    ///
    /// # Errors
    /// If the record does not encode, or the vault's keys are gone.
    pub fn put_in<K: TableKey, R: Record>(
        &mut self,
        seal: &VaultSeal,
        table: &VaultTable<K, R>,
        key: K,
        record: &R,
    ) -> Result<(), StoreError> {
        let key = key.to_bytes();
        let newest = seal.keys.0.last();
        let (generation, vault_key) =
            newest.ok_or_else(|| StoreError::damaged("vault keys", "there is none"))?;
        debug_assert!(key.starts_with(seal.vault.as_bytes()), "a vault's tables are keyed by vault");
        let binding = Binding { table: table.name, key: &key };
        let sealed = envelope::seal(vault_key, *generation, binding, &codec::encode(record)?);
        self.changes.push(Change { table: table.name, key, value: Some(sealed) });
        Ok(())
    }

    /// Puts `key` into `index`.
    pub fn index<K: TableKey>(&mut self, index: &Index<K>, key: K) {
        self.changes.push(Change { table: index.name, key: key.to_bytes(), value: Some(Vec::new()) });
    }

    /// Deletes the record at `key`, if there is one.
    pub fn delete<K: TableKey, R>(&mut self, table: &Table<K, R>, key: K) {
        self.changes.push(Change { table: table.name, key: key.to_bytes(), value: None });
    }

    /// Deletes the record at `key` in one of the vault's own tables, if there is one.
    pub fn delete_in<K: TableKey, R>(&mut self, table: &VaultTable<K, R>, key: K) {
        self.changes.push(Change { table: table.name, key: key.to_bytes(), value: None });
    }

    /// Takes `key` out of `index`.
    pub fn unindex<K: TableKey>(&mut self, index: &Index<K>, key: K) {
        self.changes.push(Change { table: index.name, key: key.to_bytes(), value: None });
    }

    /// Adds a change that is sealed already.
    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Adds `entry` to the audit log, in the same transaction.
    pub fn audit(&mut self, entry: Entry) {
        self.entries.push(entry);
    }
}
