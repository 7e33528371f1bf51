//! What the records of each table refer to. A table that refers to nothing says so
//! too: that every table has its line here is tested.

use crate::store::StoreError;
use crate::store::codec::{self, Record};
use crate::store::engine::{Snapshot, Tables};
use crate::store::keys::TableKey;
use crate::store::records::Source;
use crate::store::tables::{
    API_KEY_TOKENS, API_KEY_USAGE, API_KEYS, API_KEYS_BY_USER, AUDIT, AUDIT_BY_USER, AUDIT_BY_VAULT,
    CONNECTIONS, DELETED_ENVIRONMENTS, DELETED_VAULTS, DEVICE_CODES, ENVIRONMENTS, FORGE_GRANTS, GRANTS,
    GRANTS_BY_USER, Index, LINKS, PENDING_CONNECTIONS, PENDING_SIGN_INS, PROGRESS, PURGED_VAULTS, REVISIONS,
    SESSIONS, SESSIONS_BY_USER, SIGN_IN_CODES, TRASH, TRASH_BY_TIME, Table, USER_CODES, USER_NAMES, USERS,
    VAULT_KEYS, VAULT_NAMES, VAULTS, VAULTS_BY_OWNER, VERSIONS, VaultTable,
};
use std::collections::HashMap;
use std::ops::ControlFlow;

type Check = Box<dyn Fn(&[u8], &[u8], &mut Must<'_>) -> Result<(), StoreError>>;

/// The references of all tables, by table.
pub(super) struct References(HashMap<&'static str, Check>);

/// What one record refers to.
pub(super) struct Must<'a> {
    tables: &'a Snapshot,
    /// Names of the tables in which something is missing.
    pub(super) missing: Vec<&'static str>,
    failed: Option<StoreError>,
}

/// A table of any kind with keys `K`.
trait Keyed<K> {
    fn name(&self) -> &'static str;
}

/// A table with keys `K` and records `R`.
trait Holds<K, R>: Keyed<K> {}

impl<K, R> Holds<K, R> for Table<K, R> {}

impl<K, R> Holds<K, R> for VaultTable<K, R> {}

impl<K, R> Keyed<K> for Table<K, R> {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl<K, R> Keyed<K> for VaultTable<K, R> {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl<K> Keyed<K> for Index<K> {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl<'a> Must<'a> {
    pub(super) const fn new(tables: &'a Snapshot) -> Self {
        Self { tables, missing: Vec::new(), failed: None }
    }

    /// `key` has to be in `table`.
    fn be_in<K: TableKey>(&mut self, table: &impl Keyed<K>, key: K) {
        if !self.is_in(table, key) {
            self.missing.push(table.name());
        }
    }

    fn is_in<K: TableKey>(&mut self, table: &impl Keyed<K>, key: K) -> bool {
        let mut found = false;
        let looked = self.tables.get(table.name(), &key.to_bytes(), &mut |_, _| {
            found = true;
            Ok(ControlFlow::Break(()))
        });
        self.failed = self.failed.take().or(looked.err());
        found
    }
}

impl References {
    /// Notes what is missing of that which the record at `key` refers to.
    pub(super) fn of(
        &self,
        table: &'static str,
        key: &[u8],
        plain: &[u8],
        must: &mut Must<'_>,
    ) -> Result<(), StoreError> {
        if let Some(check) = self.0.get(table) {
            check(key, plain, must)?;
        }
        must.failed.take().map_or(Ok(()), Err)
    }

    pub(super) fn all() -> Self {
        let mut all = Self(HashMap::new());
        all.people();
        all.sign_ins();
        all.vaults();
        all.contents();
        all
    }

    fn people(&mut self) {
        self.records(&USERS, |_, _, _| {});
        self.records(&USER_NAMES, |_, user, must| must.be_in(&USERS, user));
        self.records(&GRANTS, |(repo, user), _, must| {
            must.be_in(&USERS, user);
            must.be_in(&GRANTS_BY_USER, (user, repo));
        });
        self.index(&GRANTS_BY_USER, |(user, repo), must| must.be_in(&GRANTS, (repo, user)));
        self.records(&API_KEYS, |id, key, must| {
            must.be_in(&USERS, key.user);
            must.be_in(&API_KEY_TOKENS, key.token);
            must.be_in(&API_KEYS_BY_USER, (key.user, id));
        });
        self.records(&API_KEY_TOKENS, |_, key, must| must.be_in(&API_KEYS, key));
        self.index(&API_KEYS_BY_USER, |(_, key), must| must.be_in(&API_KEYS, key));
        self.records(&API_KEY_USAGE, |key, _, must| must.be_in(&API_KEYS, key));
        self.records(&CONNECTIONS, |(user, _), _, must| must.be_in(&USERS, user));
    }

    fn sign_ins(&mut self) {
        self.records(&SESSIONS, |id, session, must| {
            must.be_in(&USERS, session.user);
            must.be_in(&SESSIONS_BY_USER, (session.user, id));
        });
        self.index(&SESSIONS_BY_USER, |(_, session), must| must.be_in(&SESSIONS, session));
        self.records(&DEVICE_CODES, |_, _, _| {});
        self.records(&USER_CODES, |_, device, must| must.be_in(&DEVICE_CODES, device));
        self.records(&PENDING_SIGN_INS, |_, _, _| {});
        self.records(&PENDING_CONNECTIONS, |_, pending, must| must.be_in(&USERS, pending.user));
        self.records(&SIGN_IN_CODES, |_, code, must| must.be_in(&USERS, code.user));
        self.records(&FORGE_GRANTS, |user, _, must| must.be_in(&USERS, user));
    }

    fn vaults(&mut self) {
        self.records(&VAULTS, |id, vault, must| {
            must.be_in(&VAULT_KEYS, id);
            // An environment that never held anything has no record.
            for environment in vault.environments.iter().filter(|info| info.secret_count > 0) {
                must.be_in(&ENVIRONMENTS, (id, environment.id));
            }
            if let Source::Local { owner: Some(owner) } = vault.source {
                must.be_in(&USERS, owner);
                must.be_in(&VAULTS_BY_OWNER, (owner, id));
            }
        });
        self.records(&VAULT_NAMES, |_, vault, must| must.be_in(&VAULTS, vault));
        self.index(&VAULTS_BY_OWNER, |(owner, vault), must| {
            must.be_in(&USERS, owner);
            must.be_in(&VAULTS, vault);
        });
        self.records(&VAULT_KEYS, |vault, _, must| must.be_in(&VAULTS, vault));
    }

    fn contents(&mut self) {
        // People and vaults that are gone stay in the audit log.
        self.records(&AUDIT, |_, _, _| {});
        self.records(&AUDIT_BY_VAULT, |_, entry, must| must.be_in(&AUDIT, entry));
        self.records(&AUDIT_BY_USER, |_, entry, must| must.be_in(&AUDIT, entry));
        self.records(&ENVIRONMENTS, |(vault, _), _, must| must.be_in(&VAULTS, vault));
        self.records(&VERSIONS, |(vault, ..), _, must| must.be_in(&VAULTS, vault));
        self.records(&REVISIONS, |(vault, ..), _, must| must.be_in(&VAULTS, vault));
        // The connection may be gone; then the link waits for another.
        self.records(&LINKS, |(vault, ..), _, must| must.be_in(&VAULTS, vault));
        self.records(&TRASH, |(vault, secret), trashed, must| {
            must.be_in(&VAULTS, vault);
            must.be_in(&TRASH_BY_TIME, (trashed.deletion.at, vault, secret));
        });
        self.index(&TRASH_BY_TIME, |(_, vault, secret), must| {
            // What a purged vault leaves here goes when its time comes.
            if must.is_in(&VAULTS, vault) {
                must.be_in(&TRASH, (vault, secret));
            }
        });
        self.index(&DELETED_ENVIRONMENTS, |(_, vault, _), must| must.be_in(&VAULTS, vault));
        self.index(&DELETED_VAULTS, |(_, vault), must| must.be_in(&VAULTS, vault));
        self.index(&PURGED_VAULTS, |_, _| {});
        self.records(&PROGRESS, |_, _, _| {});
    }

    fn records<K: TableKey + 'static, R: Record + 'static>(
        &mut self,
        table: &impl Holds<K, R>,
        check: impl Fn(K, R, &mut Must<'_>) + 'static,
    ) {
        let check = move |key: &[u8], plain: &[u8], must: &mut Must<'_>| {
            if let Some(key) = K::from_bytes(key) {
                check(key, codec::decode(plain)?, must);
            }
            Ok(())
        };
        self.0.insert(table.name(), Box::new(check));
    }

    fn index<K: TableKey + 'static>(&mut self, index: &Index<K>, check: impl Fn(K, &mut Must<'_>) + 'static) {
        let check = move |key: &[u8], _: &[u8], must: &mut Must<'_>| {
            if let Some(key) = K::from_bytes(key) {
                check(key, must);
            }
            Ok(())
        };
        self.0.insert(index.name, Box::new(check));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tables::SHEETS;

    #[test]
    fn every_table_says_what_it_refers_to() {
        let references = References::all();
        for sheet in SHEETS {
            assert!(references.0.contains_key(sheet.name), "add `{}` to the lists above", sheet.name);
        }
        assert_eq!(references.0.len(), SHEETS.len());
    }
}
