//! The narrow door to the database engine: ordered tables of bytes, read at a
//! snapshot or inside the writer's transaction. Everything above deals in typed
//! records; everything that knows redb is here, in `writer` and in `open`.

use super::StoreError;
use super::keys::Span;
use super::opened::Opened;
use super::tables::NAMES;
use super::view::View;
use crate::crypto::Keyring;
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableHandle, WriteTransaction,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::rc::Rc;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Keys and values are bytes: redb writes the types' names into the file.
type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type ReadTable = ReadOnlyTable<&'static [u8], &'static [u8]>;
type OpenTable<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

/// Sees one record: its key and its sealed value.
pub(super) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'v;

/// What can be read.
pub(super) trait Tables {
    /// Calls `visit` with the value at `key`, if there is one.
    fn get(&self, table: &'static str, key: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;
    /// Calls `visit` with every record in `span`, in order, until it breaks off.
    fn scan(&self, table: &'static str, span: &Span, visit: &mut Visit<'_>) -> Result<(), StoreError>;
    /// What has been opened of this state, if it is one that will not change.
    fn opened(&self) -> Option<&Opened> {
        None
    }
}

pub(super) const fn definition(table: &'static str) -> Definition {
    TableDefinition::new(table)
}

/// One committed state. Its tables are opened at their first use and stay open, because
/// finding a table by name costs as much as finding a record in it.
pub(super) struct Snapshot {
    transaction: ReadTransaction,
    /// The keys that open everything in this state.
    keyring: Arc<Keyring>,
    tables: Vec<(&'static str, OnceLock<ReadTable>)>,
    opened: Arc<Opened>,
}

impl Snapshot {
    pub(super) fn of(database: &Database, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        Self::with(database, keyring, Arc::default())
    }

    fn with(database: &Database, keyring: Arc<Keyring>, opened: Arc<Opened>) -> Result<Self, StoreError> {
        let tables = NAMES.iter().map(|name| (*name, OnceLock::new())).collect();
        Ok(Self { transaction: database.begin_read()?, keyring, tables, opened })
    }

    pub(super) const fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// The state with its keys.
    pub(super) fn view(&self) -> View<'_> {
        View { tables: self, keyring: &self.keyring }
    }

    /// For a table of the engine's own words.
    pub(super) const fn transaction(&self) -> &ReadTransaction {
        &self.transaction
    }

    /// The names of all tables there are, known or not.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.transaction.list_tables()?.map(|table| table.name().to_owned()).collect())
    }

    /// How many records there are in `tables`.
    pub(super) fn count<'t>(&self, tables: impl IntoIterator<Item = &'t str>) -> Result<u64, StoreError> {
        let mut records = 0;
        for table in tables {
            let definition = TableDefinition::<&[u8], &[u8]>::new(table);
            records += self.transaction.open_table(definition)?.len()?;
        }
        Ok(records)
    }

    fn table(&self, name: &'static str) -> Result<&ReadTable, StoreError> {
        let found = self.tables.iter().find(|(own, _)| *own == name);
        let (_, slot) = found.ok_or_else(|| StoreError::damaged("table", "it is not in the catalogue"))?;
        match slot.get() {
            Some(table) => Ok(table),
            None => {
                let table = self.transaction.open_table(definition(name))?;
                Ok(slot.get_or_init(|| table))
            }
        }
    }
}

impl Tables for Snapshot {
    fn get(&self, table: &'static str, key: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        get_from(self.table(table)?, key, visit)
    }

    fn scan(&self, table: &'static str, span: &Span, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan_in(self.table(table)?, span, visit)
    }

    fn opened(&self) -> Option<&Opened> {
        Some(&self.opened)
    }
}

/// The last committed state, shared by everybody who reads. The writer renews it after
/// each commit and before anybody hears of that commit. While it is held, the pages it
/// shows are not reused, which puts their reuse off by one commit.
pub(super) struct Latest(RwLock<Arc<Snapshot>>);

impl Latest {
    pub(super) fn of(database: &Database, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        Ok(Self(RwLock::new(Arc::new(Snapshot::of(database, keyring)?))))
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows the state that was committed just now, which is opened by `keyring`.
    /// `still_open`: the commit wrote to no table of which records are kept open.
    pub(super) fn renew(
        &self,
        database: &Database,
        keyring: Arc<Keyring>,
        still_open: bool,
    ) -> Result<(), StoreError> {
        let opened = if still_open { Arc::clone(&self.snapshot().opened) } else { Arc::default() };
        let fresh = Arc::new(Snapshot::with(database, keyring, opened)?);
        let stale = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), fresh);
        drop(stale);
        Ok(())
    }
}

/// The writer's transaction; its tables stay open from their first use to the commit.
/// Each has a cell of its own, so that a scan of one may look things up on the way.
pub(super) struct Writing<'txn> {
    transaction: &'txn WriteTransaction,
    tables: RefCell<HashMap<&'static str, Rc<RefCell<OpenTable<'txn>>>>>,
}

impl<'txn> Writing<'txn> {
    pub(super) fn new(transaction: &'txn WriteTransaction) -> Self {
        Self { transaction, tables: RefCell::default() }
    }

    pub(super) fn put(&self, table: &'static str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.table(table)?.borrow_mut().insert(key, value)?;
        Ok(())
    }

    pub(super) fn delete(&self, table: &'static str, key: &[u8]) -> Result<(), StoreError> {
        self.table(table)?.borrow_mut().remove(key)?;
        Ok(())
    }

    fn table(&self, name: &'static str) -> Result<Rc<RefCell<OpenTable<'txn>>>, StoreError> {
        if let Some(table) = self.tables.borrow().get(name) {
            return Ok(Rc::clone(table));
        }
        let table = Rc::new(RefCell::new(self.transaction.open_table(definition(name))?));
        self.tables.borrow_mut().insert(name, Rc::clone(&table));
        Ok(table)
    }
}

impl Tables for Writing<'_> {
    fn get(&self, table: &'static str, key: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        get_from(&*self.table(table)?.borrow(), key, visit)
    }

    fn scan(&self, table: &'static str, span: &Span, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan_in(&*self.table(table)?.borrow(), span, visit)
    }
}

fn get_from(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    if let Some(value) = table.get(key)? {
        let _ = visit(key, value.value())?;
    }
    Ok(())
}

fn scan_in(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    span: &Span,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let mut range = table.range::<&[u8]>((bound(&span.from), bound(&span.to)))?;
    while let Some(item) = if span.newest_first { range.next_back() } else { range.next() } {
        let (key, value) = item?;
        if visit(key.value(), value.value())?.is_break() {
            break;
        }
    }
    Ok(())
}

fn bound(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

impl Snapshot {
    /// How many records a table has, which it knows without a walk.
    pub(super) fn records(&self, table: &'static str) -> Result<u64, StoreError> {
        Ok(redb::ReadableTableMetadata::len(self.table(table)?)?)
    }
}
