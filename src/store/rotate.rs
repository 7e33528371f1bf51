//! Changing keys while serving.
//!
//! A new master key rewrites the keyring's record. A new root key is added to the ring;
//! what is written from then on is sealed with it. Sealing anew what is there already
//! goes through the writer in small jobs, vault by vault and then table by table, each
//! job safe to repeat. A record of the progress lies in the database, so that a crash
//! costs nothing; old keys leave the ring when no record needs them any more.

use super::batch::{Batch, Change};
use super::engine::Tables;
use super::error::{RotateError, StoreError};
use super::keys::{Span, TableKey};
use super::open::{KEYRING_KEY, SCHEMA_KEY, WRITER_KEY};
use super::records::{Entry, VaultKeys};
use super::tables::{META, SHEETS, SealedBy, VAULT_KEYS};
use super::view::View;
use super::watch::{Pace, Stretch};
use super::{Store, VaultSeal};
use crate::base::ids::VaultId;
use crate::crypto::{Binding, Keyring, Master, MasterLabel, MasterSecret, OpenedRing, VaultKey, envelope};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// Where the progress of sealing anew is kept, in `meta`.
const PROGRESS_KEY: &[u8] = b"resealing";
const PROGRESS_KIND: &str = "progress of sealing anew";
/// Sealed bytes that one job takes up: a millisecond or two of the writer's time.
const JOB_BYTES: usize = 256 << 10;
/// Records that one job looks at.
const JOB_RECORDS: usize = 1_000;

/// The master keys that open the keyring's record.
pub(super) struct Masters {
    /// Those this process knows, oldest first, never none.
    pub(super) known: Vec<Master>,
    /// Newer ones, from a change of the master key that has not come to its end.
    pub(super) unknown: Vec<MasterLabel>,
}

/// How far sealing anew is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resealing {
    /// The vault that is being sealed anew, and before which all are; zeros at first.
    vault: VaultId,
    /// Whether that vault has its new key and is not done yet.
    begun: bool,
}

/// Where in a table to go on.
#[derive(Clone, Debug)]
struct Cursor {
    table: &'static str,
    kind: &'static str,
    span: Span,
}

impl Store {
    /// Adds a master key, which opens the data as well as those before it do.
    ///
    /// # Errors
    /// If it does already, or the write fails.
    pub async fn add_master(&self, secret: MasterSecret, note: Entry) -> Result<MasterLabel, RotateError> {
        let mut masters = self.masters.lock().await;
        let number = masters.next_number();
        // Deriving a key from a passphrase is no work for an async thread.
        let master = tokio::task::spawn_blocking(move || secret.master(number))
            .await
            .map_err(|_| StoreError::Panicked)?;
        let label = master.label();
        let mut known = masters.known.iter().map(Master::label);
        if let Some(same) = known.find(|known| known.id == label.id) {
            return Err(RotateError::Same(same));
        }
        masters.known.push(master);
        match self.rewrite_ring(&masters.known, None, Some(note)).await {
            // What an unfinished change left behind is gone from the record.
            Ok(()) => masters.unknown.clear(),
            Err(error) => {
                masters.known.pop();
                return Err(error.into());
            }
        }
        Ok(label)
    }

    /// Drops all master keys but the newest: from now on it alone opens the data.
    ///
    /// # Errors
    /// If a newer one is not known to this process, or the write fails.
    pub async fn drop_older_masters(&self) -> Result<MasterLabel, RotateError> {
        let mut masters = self.masters.lock().await;
        let newest = newest_of(&masters)?;
        let older = masters.known.len() - 1;
        self.rewrite_ring(&masters.known[older..], None, None).await?;
        masters.known.drain(..older);
        Ok(newest)
    }

    /// The master key that opens the data, the newest if there are several.
    pub async fn master(&self) -> Option<MasterLabel> {
        self.masters.lock().await.newest()
    }

    /// A newer master key that opens the data too but is not known to this process: the
    /// change to it has not come to its end.
    pub async fn awaited_master(&self) -> Option<MasterLabel> {
        self.masters.lock().await.unknown.last().copied()
    }

    /// Adds a root key, with which everything is sealed from now on, seals the vaults'
    /// keys anew with it, and replaces the session key. Answers the root key's generation.
    ///
    /// # Errors
    /// If a change of the master key is not finished, or a write fails.
    pub async fn rotate_root(&self, note: Entry, pace: &Pace) -> Result<u32, RotateError> {
        let _only = self.resealing.try_lock().map_err(|_| RotateError::UnderWay)?;
        let generation = {
            let masters = self.masters.lock().await;
            newest_of(&masters)?;
            let keyring = self.keyring().with_new_root().with_new_session();
            let generation = keyring.newest_root().0;
            self.rewrite_ring(&masters.known, Some(keyring), Some(note)).await?;
            generation
        };
        let vault_keys = Cursor::at_start(VAULT_KEYS.name, "vault keys");
        let mut stretch =
            pace.begin("sealing vault keys anew", self.latest.snapshot().count([VAULT_KEYS.name])?);
        self.reseal_table(vault_keys, &mut stretch).await?;
        stretch.finish();
        Ok(generation)
    }

    /// Gives every vault a new key and seals every record anew with the newest keys; at
    /// the end the old ones are dropped. Goes on where an earlier run stopped.
    ///
    /// # Errors
    /// If it is under way already, a change of the master key is not finished, a record is
    /// damaged, a write fails, or the work is called off; then it goes on when called again.
    pub async fn reseal(&self, note: Entry, pace: &Pace) -> Result<(), RotateError> {
        let _only = self.resealing.try_lock().map_err(|_| RotateError::UnderWay)?;
        newest_of(&*self.masters.lock().await)?;
        let mut progress = match self.resealing()? {
            Some(progress) => progress,
            None => self.begin_resealing(note).await?,
        };
        let sealed = SHEETS.iter().filter(|sheet| sheet.sealed_by != SealedBy::Nobody);
        let total = self.latest.snapshot().count(sealed.map(|sheet| sheet.name))?;
        let mut stretch = pace.begin("sealing anew", total);
        while let Some(vault) = self.next_vault(progress)? {
            self.reseal_vault(vault, progress, &mut stretch).await?;
            progress = Resealing { vault, begun: false };
        }
        for sheet in SHEETS.iter().filter(|sheet| sheet.sealed_by == SealedBy::Root) {
            let cursor = Cursor::at_start(sheet.name, sheet.kind);
            self.reseal_table(cursor, &mut stretch).await?;
        }
        self.finish_resealing().await?;
        stretch.finish();
        Ok(())
    }

    /// Whether [`Store::reseal`] was begun and has not come to its end.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn is_resealing(&self) -> Result<bool, StoreError> {
        Ok(self.resealing()?.is_some())
    }

    /// Writes the keyring's record anew for these master keys.
    async fn rewrite_ring(
        &self,
        masters: &[Master],
        change: Option<Keyring>,
        note: Option<Entry>,
    ) -> Result<(), StoreError> {
        let record = change.as_ref().unwrap_or(&self.keyring()).seal(masters);
        self.write(move |_, batch| {
            put_meta(batch, KEYRING_KEY, Some(record));
            if change.is_some() {
                // With other root keys, what was sealed anew before does not count.
                put_meta(batch, PROGRESS_KEY, None);
            }
            batch.entries.extend(note);
            batch.keyring_from_now = change.map(Arc::new);
            Ok(())
        })
        .await
    }

    fn resealing(&self) -> Result<Option<Resealing>, StoreError> {
        self.read(Resealing::load)
    }

    async fn begin_resealing(&self, note: Entry) -> Result<Resealing, StoreError> {
        let start = Resealing { vault: VaultId::from_bytes([0; 16]), begun: false };
        self.write(move |view, batch| {
            start.save(view.keyring, batch);
            batch.entries.push(note);
            Ok(start)
        })
        .await
    }

    /// The vault to go on with.
    fn next_vault(&self, progress: Resealing) -> Result<Option<VaultId>, StoreError> {
        if progress.begun {
            return Ok(Some(progress.vault));
        }
        self.read(|view| {
            let mut next = None;
            let span = after(&progress.vault.to_bytes(), Bound::Unbounded);
            view.tables.scan(VAULT_KEYS.name, &span, &mut |key, _| {
                next = TableKey::from_bytes(key);
                Ok(ControlFlow::Break(()))
            })?;
            Ok(next)
        })
    }

    /// Gives `vault` a new key, seals its records anew and drops the old keys.
    async fn reseal_vault(
        &self,
        vault: VaultId,
        progress: Resealing,
        stretch: &mut Stretch<'_>,
    ) -> Result<(), StoreError> {
        if !progress.begun {
            self.write(move |view, batch| begin_vault(view, batch, vault)).await?;
        }
        for sheet in SHEETS.iter().filter(|sheet| sheet.sealed_by == SealedBy::Vault) {
            let mut cursor = Some(Cursor { table: sheet.name, kind: sheet.kind, span: Span::under(vault) });
            while let Some(from) = cursor {
                let (seen, next) =
                    self.write(move |view, batch| reseal_in_vault(view, batch, vault, from)).await?;
                cursor = next;
                rest(stretch, seen).await?;
            }
        }
        self.write(move |view, batch| finish_vault(view, batch, vault)).await
    }

    /// Seals the records of a table under the root key anew.
    async fn reseal_table(&self, start: Cursor, stretch: &mut Stretch<'_>) -> Result<(), StoreError> {
        let mut cursor = Some(start);
        while let Some(from) = cursor {
            let (seen, next) = self.write(move |view, batch| reseal_under_root(view, batch, from)).await?;
            cursor = next;
            rest(stretch, seen).await?;
        }
        Ok(())
    }

    /// Drops the old root keys once it is certain that nothing is sealed with them.
    async fn finish_resealing(&self) -> Result<(), RotateError> {
        let masters = self.masters.lock().await;
        newest_of(&masters)?;
        self.write(reseal_meta).await?;
        // Since the newest key is in force nothing is sealed with an older one any more: a
        // snapshot from now on that holds nothing old is the last word.
        let (snapshot, keyring) = (self.latest.snapshot(), self.keyring());
        let newest = keyring.newest_root().0;
        let left = tokio::task::spawn_blocking(move || oldest_in(&*snapshot));
        if left.await.map_err(|_| StoreError::Panicked)??.is_some_and(|generation| generation < newest) {
            return Err(StoreError::damaged("record", "it is still sealed with an older key").into());
        }
        let only = keyring.without_older_roots();
        Ok(self.rewrite_ring(&masters.known, Some(only), None).await?)
    }
}

impl Masters {
    /// The master keys of a ring that was just opened, and the ring.
    pub(super) fn of(opened: OpenedRing) -> (Keyring, Self) {
        (opened.ring, Self { known: vec![opened.master], unknown: opened.newer })
    }

    /// The newest known.
    pub(super) fn newest(&self) -> Option<MasterLabel> {
        self.known.last().map(Master::label)
    }

    /// The number for the next one.
    pub(super) fn next_number(&self) -> u32 {
        let unknown = self.unknown.iter().map(|label| label.number);
        let numbers = self.known.iter().map(|master| master.label().number).chain(unknown);
        numbers.max().unwrap_or(0) + 1
    }
}

/// The newest master key, if this process knows it.
fn newest_of(masters: &Masters) -> Result<MasterLabel, RotateError> {
    match (masters.unknown.last(), masters.newest()) {
        (Some(unknown), _) => Err(RotateError::Unfinished(*unknown)),
        (None, Some(newest)) => Ok(newest),
        (None, None) => Err(StoreError::damaged("keyring", "no master key opens it").into()),
    }
}

impl Cursor {
    fn at_start(table: &'static str, kind: &'static str) -> Self {
        Self { table, kind, span: Span::all() }
    }
}

impl Resealing {
    fn load(view: View<'_>) -> Result<Option<Self>, StoreError> {
        let mut found = None;
        view.tables.get(META, PROGRESS_KEY, &mut |key, sealed| {
            let plain = view.unseal(META, PROGRESS_KIND, key, sealed)?;
            let (vault, begun) = match plain.split_first_chunk() {
                Some((vault, [begun])) => (VaultId::from_bytes(*vault), *begun != 0),
                _ => return Err(StoreError::damaged(PROGRESS_KIND, "it has the wrong length")),
            };
            found = Some(Self { vault, begun });
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    fn save(self, keyring: &Keyring, batch: &mut Batch<'_>) {
        let plain = [self.vault.as_bytes().as_slice(), &[u8::from(self.begun)]].concat();
        put_meta(batch, PROGRESS_KEY, Some(seal_meta(keyring, PROGRESS_KEY, &plain)));
    }
}

fn begin_vault(view: View<'_>, batch: &mut Batch<'_>, vault: VaultId) -> Result<(), StoreError> {
    if let Some(mut seal) = view.vault_seal(vault)? {
        let generation = seal.keys.0.last().map_or(0, |(generation, _)| *generation) + 1;
        seal.keys.0.push((generation, VaultKey::generate()));
        batch.put(&VAULT_KEYS, vault, seal.record())?;
    }
    Resealing { vault, begun: true }.save(view.keyring, batch);
    Ok(())
}

fn finish_vault(view: View<'_>, batch: &mut Batch<'_>, vault: VaultId) -> Result<(), StoreError> {
    if let Some(VaultSeal { keys: VaultKeys(mut keys), .. }) = view.vault_seal(vault)? {
        let newest = keys.pop().ok_or_else(|| StoreError::damaged("vault keys", "there is none"))?;
        for sheet in SHEETS.iter().filter(|sheet| sheet.sealed_by == SealedBy::Vault) {
            view.tables.scan(sheet.name, &Span::under(vault), &mut |_, sealed| {
                if generation(sheet.kind, sealed)? < newest.0 {
                    return Err(StoreError::damaged(sheet.kind, "it is still sealed with an older key"));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        batch.put(&VAULT_KEYS, vault, &VaultKeys(vec![newest]))?;
    }
    Resealing { vault, begun: false }.save(view.keyring, batch);
    Ok(())
}

/// One job's worth of a vault's table. Answers how many records it looked at, and where
/// to go on.
fn reseal_in_vault(
    view: View<'_>,
    batch: &mut Batch<'_>,
    vault: VaultId,
    from: Cursor,
) -> Result<(u64, Option<Cursor>), StoreError> {
    let Some(seal) = view.vault_seal(vault)? else { return Ok((0, None)) };
    let newest = seal.keys.0.last().ok_or_else(|| StoreError::damaged("vault keys", "there is none"))?;
    reseal_some(view, batch, from, newest.0, |table, kind, key, sealed| {
        let plain = seal.unseal(table, kind, key, sealed)?;
        Ok(envelope::seal(&newest.1, newest.0, Binding { table, key }, &plain))
    })
}

/// One job's worth of a table under the root key.
fn reseal_under_root(
    view: View<'_>,
    batch: &mut Batch<'_>,
    from: Cursor,
) -> Result<(u64, Option<Cursor>), StoreError> {
    let (newest, root) = view.keyring.newest_root();
    reseal_some(view, batch, from, newest, |table, kind, key, sealed| {
        let plain = view.unseal(table, kind, key, sealed)?;
        Ok(envelope::seal(root, newest, Binding { table, key }, &plain))
    })
}

fn reseal_some(
    view: View<'_>,
    batch: &mut Batch<'_>,
    from: Cursor,
    newest: u32,
    reseal: impl Fn(&'static str, &'static str, &[u8], &[u8]) -> Result<Vec<u8>, StoreError>,
) -> Result<(u64, Option<Cursor>), StoreError> {
    let Cursor { table, kind, span } = from;
    let (mut seen, mut bytes, mut next) = (0, 0, None);
    view.tables.scan(table, &span, &mut |key, sealed| {
        seen += 1;
        if generation(kind, sealed)? < newest {
            bytes += sealed.len();
            let value = reseal(table, kind, key, sealed)?;
            batch.changes.push(Change { table, key: key.to_vec(), value: Some(value) });
        }
        if bytes < JOB_BYTES && seen < JOB_RECORDS {
            return Ok(ControlFlow::Continue(()));
        }
        next = Some(Cursor { table, kind, span: after(key, span.to.clone()) });
        Ok(ControlFlow::Break(()))
    })?;
    Ok((seen as u64, next))
}

/// What `meta` holds besides records: everything there that is sealed with the root key.
fn reseal_meta(view: View<'_>, batch: &mut Batch<'_>) -> Result<(), StoreError> {
    view.tables.scan(META, &Span::all(), &mut |key, sealed| {
        if is_sealed_meta(key) {
            let plain = view.unseal(META, "meta", key, sealed)?;
            put_meta(batch, key, Some(seal_meta(view.keyring, key, &plain)));
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// The oldest generation of the root key that something is sealed with.
fn oldest_in(tables: &dyn Tables) -> Result<Option<u32>, StoreError> {
    let mut oldest: Option<u32> = None;
    let mut note = |kind, sealed: &[u8]| {
        let found = generation(kind, sealed)?;
        oldest = Some(oldest.map_or(found, |oldest| oldest.min(found)));
        Ok(ControlFlow::Continue(()))
    };
    for sheet in SHEETS.iter().filter(|sheet| sheet.sealed_by == SealedBy::Root) {
        tables.scan(sheet.name, &Span::all(), &mut |_, sealed| note(sheet.kind, sealed))?;
    }
    tables.scan(META, &Span::all(), &mut |key, sealed| {
        if is_sealed_meta(key) { note("meta", sealed) } else { Ok(ControlFlow::Continue(())) }
    })?;
    Ok(oldest)
}

/// Whether what lies in `meta` at `key` is sealed with the root key.
fn is_sealed_meta(key: &[u8]) -> bool {
    ![SCHEMA_KEY, WRITER_KEY, KEYRING_KEY].contains(&key)
}

fn seal_meta(keyring: &Keyring, key: &[u8], plain: &[u8]) -> Vec<u8> {
    let (generation, root) = keyring.newest_root();
    envelope::seal(root, generation, Binding { table: META, key }, plain)
}

fn put_meta(batch: &mut Batch<'_>, key: &[u8], value: Option<Vec<u8>>) {
    batch.changes.push(Change { table: META, key: key.to_vec(), value });
}

fn generation(kind: &'static str, sealed: &[u8]) -> Result<u32, StoreError> {
    envelope::generation(sealed).map_err(|problem| StoreError::unopened(kind, problem))
}

/// The keys behind `key`.
fn after(key: &[u8], to: Bound<Vec<u8>>) -> Span {
    Span { from: Bound::Excluded(key.to_vec()), to, newest_first: false }
}

async fn rest(stretch: &mut Stretch<'_>, seen: u64) -> Result<(), StoreError> {
    let pause = stretch.did_at_once(seen)?;
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    stretch.resume();
    Ok(())
}
