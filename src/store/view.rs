//! Reading: typed records out of sealed bytes. A view shows either a snapshot, or
//! the state inside the writer's transaction; who reads cannot tell the difference.

use super::StoreError;
use super::audit::AuditLog;
use super::codec::{self, InPlace, Record};
use super::engine::Tables;
use super::keys::{Span, TableKey};
use super::records::VaultKeys;
use super::tables::{Index, Table, VAULT_KEYS, VaultTable};
use crate::base::ids::VaultId;
use crate::crypto::{Binding, Keyring, VaultKey, envelope};
use std::ops::ControlFlow;
use zeroize::Zeroizing;

/// A consistent state of the store, for reading.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(super) tables: &'a dyn Tables,
    pub(super) keyring: &'a Keyring,
}

/// The opened keys of one vault. Who holds this can read and write its sealed tables.
pub struct VaultSeal {
    pub(super) vault: VaultId,
    pub(super) keys: VaultKeys,
}

impl VaultSeal {
    /// Keys for a new vault; they still have to be written with the vault.
    #[must_use]
    pub fn generate(vault: VaultId) -> Self {
        Self { vault, keys: VaultKeys(vec![(1, VaultKey::generate())]) }
    }

    /// The keys as a record.
    #[must_use]
    pub const fn record(&self) -> &VaultKeys {
        &self.keys
    }

    /// The plaintext of a record of this vault.
    pub(super) fn unseal(
        &self,
        table: &'static str,
        kind: &'static str,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let unopened = |problem| StoreError::unopened(kind, problem);
        let vault_key = self.key_for(sealed).map_err(unopened)?;
        envelope::open(vault_key, Binding { table, key }, sealed).map_err(unopened)
    }

    fn key_for(&self, sealed: &[u8]) -> Result<&VaultKey, crate::crypto::OpenError> {
        let wanted = envelope::generation(sealed)?;
        let found = self.keys.0.iter().rev().find(|(generation, _)| *generation == wanted);
        found.map(|(_, key)| key).ok_or(crate::crypto::OpenError::UnknownGeneration(wanted))
    }
}

impl<'a> View<'a> {
    /// The keys under which names are looked up.
    #[must_use]
    pub const fn keyring(&self) -> &'a Keyring {
        self.keyring
    }

    /// The audit log.
    #[must_use]
    pub const fn audit(&self) -> AuditLog<'a> {
        AuditLog(*self)
    }

    /// The record at `key`.
    ///
    /// # Errors
    /// If the engine fails or the record is damaged.
    pub fn find<K: TableKey, R: Record>(&self, table: &Table<K, R>, key: K) -> Result<Option<R>, StoreError> {
        let key = key.to_bytes();
        let shelf = self.tables.opened().and_then(|opened| opened.of(table.name));
        if let Some(plain) = shelf.and_then(|shelf| shelf.find(&key)) {
            return codec::decode(&plain).map(Some);
        }
        let mut found = None;
        self.tables.get(table.name, &key, &mut |key, sealed| {
            let plain = self.unseal(table.name, Table::<K, R>::KIND, key, sealed)?;
            found = Some(codec::decode(&plain)?);
            if let Some(shelf) = shelf {
                shelf.put(key, plain);
            }
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Whether `key` is in `index`.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn contains<K: TableKey>(&self, index: &Index<K>, key: K) -> Result<bool, StoreError> {
        let mut found = false;
        self.tables.get(index.name, &key.to_bytes(), &mut |_, _| {
            found = true;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Hands every record in `span` to `visit` until it breaks off.
    ///
    /// # Errors
    /// If the engine fails, a record is damaged, or `visit` fails.
    pub fn scan<K: TableKey, R: Record>(
        &self,
        table: &Table<K, R>,
        span: &Span,
        mut visit: impl FnMut(K, R) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        self.tables.scan(table.name, span, &mut |key, sealed| {
            let record = self.open(table, key, sealed)?;
            visit(parse_key(key, R::KIND)?, record)
        })
    }

    /// Hands every key of `index` in `span` to `visit` until it breaks off.
    ///
    /// # Errors
    /// If the engine fails or a key is malformed.
    pub fn scan_index<K: TableKey>(
        &self,
        index: &Index<K>,
        span: &Span,
        mut visit: impl FnMut(K) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.tables.scan(index.name, span, &mut |key, _| Ok(visit(parse_key(key, index.name)?)))
    }

    /// The keys of `vault`; `None` when it never was or has been purged.
    ///
    /// # Errors
    /// If the engine fails or the record is damaged.
    pub fn vault_seal(&self, vault: VaultId) -> Result<Option<VaultSeal>, StoreError> {
        Ok(self.find(&VAULT_KEYS, vault)?.map(|keys| VaultSeal { vault, keys }))
    }

    /// The record at `key` in one of the vault's own tables.
    ///
    /// # Errors
    /// If the engine fails or the record is damaged.
    pub fn find_in<K: TableKey, R: Record>(
        &self,
        seal: &VaultSeal,
        table: &VaultTable<K, R>,
        key: K,
    ) -> Result<Option<R>, StoreError> {
        let mut found = None;
        self.tables.get(table.name, &key.to_bytes(), &mut |key, sealed| {
            found = Some(open_in(seal, table, key, sealed)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Hands the record at `key` in one of the vault's own tables to `see` where it lies,
    /// which for a large one takes a fraction of the time of [`View::find_in`].
    ///
    /// # Errors
    /// If the engine fails or the record is damaged.
    pub fn look_in<K: TableKey, R: InPlace, T>(
        &self,
        seal: &VaultSeal,
        table: &VaultTable<K, R>,
        key: K,
        see: impl FnOnce(R::Seen<'_>) -> T,
    ) -> Result<Option<T>, StoreError> {
        let (mut see, mut seen) = (Some(see), None);
        self.tables.get(table.name, &key.to_bytes(), &mut |key, sealed| {
            let plain = seal.unseal(table.name, VaultTable::<K, R>::KIND, key, sealed)?;
            seen = see.take().map(|see| codec::look::<R, T>(&plain, see)).transpose()?;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(seen)
    }

    /// Hands every record of the vault's table in `span` to `visit` until it breaks off.
    ///
    /// # Errors
    /// If the engine fails, a record is damaged, or `visit` fails.
    pub fn scan_in<K: TableKey, R: Record>(
        &self,
        seal: &VaultSeal,
        table: &VaultTable<K, R>,
        span: &Span,
        mut visit: impl FnMut(K, R) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        self.tables.scan(table.name, span, &mut |key, sealed| {
            let record = open_in(seal, table, key, sealed)?;
            visit(parse_key(key, R::KIND)?, record)
        })
    }

    /// The keys in `span` without opening what they lead to.
    ///
    /// # Errors
    /// If the engine fails or a key is malformed.
    pub fn keys_in<K: TableKey, R: Record>(
        &self,
        table: &VaultTable<K, R>,
        span: &Span,
        mut visit: impl FnMut(K) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.tables.scan(table.name, span, &mut |key, _| Ok(visit(parse_key(key, R::KIND)?)))
    }

    fn open<K: TableKey, R: Record>(
        &self,
        table: &Table<K, R>,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<R, StoreError> {
        codec::decode(&self.unseal(table.name, Table::<K, R>::KIND, key, sealed)?)
    }

    /// The plaintext of a record under the root key.
    pub(super) fn unseal(
        &self,
        table: &'static str,
        kind: &'static str,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let root = self.keyring.root_for(sealed).map_err(|problem| StoreError::unopened(kind, problem))?;
        envelope::open(root, Binding { table, key }, sealed)
            .map_err(|problem| StoreError::unopened(kind, problem))
    }
}

fn open_in<K: TableKey, R: Record>(
    seal: &VaultSeal,
    table: &VaultTable<K, R>,
    key: &[u8],
    sealed: &[u8],
) -> Result<R, StoreError> {
    codec::decode(&seal.unseal(table.name, VaultTable::<K, R>::KIND, key, sealed)?)
}

fn parse_key<K: TableKey>(key: &[u8], kind: &'static str) -> Result<K, StoreError> {
    K::from_bytes(key).ok_or_else(|| StoreError::damaged(kind, "its key has the wrong length"))
}
