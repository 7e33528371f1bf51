//! The database file as somebody with the disk sees it: tables of bytes, to look at and to damage. The server
//! must not be running.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

/// Every record of a table: its key and its value.
pub(crate) fn records(database: &Path, table: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let database = Database::open(database).expect("the file is whole");
    let transaction = database.begin_read().expect("it can be read");
    let table = transaction.open_table(definition(table)).expect("the table is there");
    let records = table.iter().expect("it can be read").map(|record| {
        let (key, value) = record.expect("it can be read");
        (key.value().to_vec(), value.value().to_vec())
    });
    records.collect()
}

/// Puts `value` at `key`.
pub(crate) fn put(database: &Path, table: &str, key: &[u8], value: &[u8]) {
    let database = Database::open(database).expect("the file is whole");
    let transaction = database.begin_write().expect("it can be written");
    let mut open = transaction.open_table(definition(table)).expect("the table is there");
    open.insert(key, value).expect("it can be written");
    drop(open);
    transaction.commit().expect("it can be written");
}

fn definition(table: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(table)
}
