//! Destroying what was deleted. By hand at once; in the background when its time in the
//! trash is over. The background works in bounded steps, so that other writers always
//! get their turn, and finds what is due through indexes by time of deletion.
//!
//! Purging a vault destroys its key in one step; the sealed records, which nobody can
//! open any more, are swept out afterwards.

use super::secrets::each_trashed;
use crate::base::Timestamp;
use crate::base::ids::{EnvironmentId, SecretId, VaultId};
use crate::domain::activity::{Counts, operator_entry};
use crate::domain::permissions::CanPurge;
use crate::domain::progress::VERSIONS_SWEPT;
use crate::domain::{Result, Services, Settings};
use crate::store::records::{Action, EnvironmentInfo, Source, Vault};
use crate::store::tables::{
    DELETED_ENVIRONMENTS, DELETED_VAULTS, ENVIRONMENTS, Index, LINKS, PROGRESS, PURGED_VAULTS, REVISIONS,
    TRASH, TRASH_BY_TIME, VAULT_KEYS, VAULTS, VAULTS_BY_OWNER, VERSIONS, VaultTable,
};
use crate::store::{Batch, Span, StoreError, TableKey, View};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Most secrets destroyed in one step.
const SECRETS_AT_ONCE: usize = 100;
/// Most records swept out, or looked at, in one step.
const RECORDS_AT_ONCE: usize = 2_000;

/// What a run of the background task destroyed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Secrets whose time in the trash was over.
    pub secrets: u64,
    /// Environments.
    pub environments: u64,
    /// Vaults.
    pub vaults: u64,
    /// Old values beyond the number that is kept.
    pub versions: u64,
}

impl Purged {
    /// Whether it destroyed anything.
    #[must_use]
    pub fn is_something(&self) -> bool {
        *self != Self::default()
    }
}

/// Destroys one deleted secret and its versions.
pub(super) fn purge_secret(
    view: View<'_>,
    batch: &mut Batch<'_>,
    right: &CanPurge,
    id: SecretId,
    deleted_at: Timestamp,
) -> Result<()> {
    let vault = right.vault();
    batch.delete_in(&TRASH, (vault, id));
    batch.unindex(&TRASH_BY_TIME, (deleted_at, vault, id));
    delete_under(view, batch, &VERSIONS, &Span::under((vault, id)), usize::MAX)?;
    Ok(())
}

/// Destroys a deleted environment: its secrets, their versions, its trash and revisions.
/// Returns the vault without it.
pub(super) fn purge_environment(
    view: View<'_>,
    batch: &mut Batch<'_>,
    right: &CanPurge,
    mut vault: Vault,
    id: EnvironmentId,
) -> Result<Vault> {
    let place = (right.vault(), id);
    if let Some(seal) = view.vault_seal(right.vault())? {
        let content = view.find_in(&seal, &ENVIRONMENTS, place)?;
        for secret in content.into_iter().flat_map(|content| content.secrets) {
            let versions = Span::under((right.vault(), secret.id));
            delete_under(view, batch, &VERSIONS, &versions, usize::MAX)?;
        }
    }
    let mut trashed = Vec::new();
    each_trashed(view, right.vault(), |secret| {
        if secret.environment == id {
            trashed.push((secret.secret.id, secret.deletion.at));
        }
        ControlFlow::Continue(())
    })?;
    for (secret, since) in trashed {
        purge_secret(view, batch, right, secret, since)?;
    }
    batch.delete_in(&ENVIRONMENTS, place);
    delete_under(view, batch, &REVISIONS, &Span::under(place), usize::MAX)?;
    delete_under(view, batch, &LINKS, &Span::under(place), usize::MAX)?;
    for info in vault.environments.extract_if(.., |info| info.id == id) {
        if let Some(deletion) = info.deleted {
            batch.unindex(&DELETED_ENVIRONMENTS, (deletion.at, right.vault(), id));
        }
    }
    batch.put(&VAULTS, vault.id, &vault)?;
    Ok(vault)
}

/// Destroys a deleted vault and its key; what it sealed is left to the sweeper.
pub(super) fn purge_vault(batch: &mut Batch<'_>, right: &CanPurge, vault: &Vault) {
    let id = right.vault();
    batch.delete(&VAULT_KEYS, id);
    batch.delete(&VAULTS, id);
    if let Source::Local { owner: Some(owner) } = vault.source {
        batch.unindex(&VAULTS_BY_OWNER, (owner, id));
    }
    if let Some(deletion) = vault.deleted {
        batch.unindex(&DELETED_VAULTS, (deletion.at, id));
    }
    for info in &vault.environments {
        if let Some(deletion) = info.deleted {
            batch.unindex(&DELETED_ENVIRONMENTS, (deletion.at, id, info.id));
        }
    }
    batch.index(&PURGED_VAULTS, id);
}

/// Deletes up to `most` records in `span` and says how many.
fn delete_under<K: TableKey, R: crate::store::Record>(
    view: View<'_>,
    batch: &mut Batch<'_>,
    table: &VaultTable<K, R>,
    span: &Span,
    most: usize,
) -> Result<usize, StoreError> {
    let mut count = 0;
    view.keys_in(table, span, |key| {
        if count == most {
            return ControlFlow::Break(());
        }
        batch.delete_in(table, key);
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

impl Services {
    /// Destroys what has been in the trash for longer than it is kept, sweeps out what
    /// purged vaults left behind, and lets go of versions beyond the number that is kept.
    ///
    /// # Errors
    /// If the store fails; what was destroyed until then stays so, and the next run goes on.
    pub async fn purge_overdue(&self) -> Result<Purged> {
        let mut purged = Purged::default();
        loop {
            let secrets = self.step(overdue_secrets).await?;
            purged.secrets += secrets as u64;
            if secrets < SECRETS_AT_ONCE {
                break;
            }
        }
        while self.step(overdue_environment).await? > 0 {
            purged.environments += 1;
        }
        while self.step(overdue_vault).await? > 0 {
            purged.vaults += 1;
        }
        while self.step(|view, batch, _, _| sweep(view, batch)).await? > 0 {}
        purged.versions = self.drop_surplus_versions().await?;
        Ok(purged)
    }

    /// Comes back when there is something to sweep before the usual time.
    pub async fn sweep_wanted(&self) {
        self.0.sweep.notified().await;
    }

    pub(super) fn wake_sweeper(&self) {
        self.0.sweep.notify_one();
    }

    async fn step(
        &self,
        step: fn(View<'_>, &mut Batch<'_>, &Settings, Timestamp) -> Result<usize>,
    ) -> Result<usize> {
        let services = self.clone();
        self.store().write(move |view, batch| step(view, batch, services.settings(), services.now())).await
    }

    /// Versions beyond `versions_kept` are there only after that was lowered, which takes
    /// a restart; the table of progress remembers up to which number all is well.
    async fn drop_surplus_versions(&self) -> Result<u64> {
        let kept = self.settings().versions_kept;
        let swept = self.store().read(|view| view.find(&PROGRESS, VERSIONS_SWEPT))?;
        if swept == Some(kept) {
            return Ok(0);
        }
        let mut dropped = 0;
        let mut next = swept.is_none_or(|swept| swept > kept).then_some(Span::all());
        while let Some(span) = next {
            let step =
                move |view: View<'_>, batch: &mut Batch<'_>| surplus_versions(view, batch, &span, kept);
            let (count, rest) = self.store().write(step).await?;
            dropped += count;
            next = rest;
        }
        self.store().write(move |_, batch| batch.put(&PROGRESS, VERSIONS_SWEPT, &kept)).await?;
        Ok(dropped)
    }
}

/// The first entry of an index by time, if it is overdue.
fn first_overdue<K: TableKey>(
    view: View<'_>,
    index: &Index<K>,
    settings: &Settings,
    now: Timestamp,
    place: impl Fn(K) -> (Timestamp, VaultId),
) -> Result<Option<(K, CanPurge)>> {
    let mut found = None;
    view.scan_index(index, &Span::all(), |key| {
        let (deleted_at, vault) = place(key);
        found = CanPurge::overdue(vault, deleted_at, settings, now).map(|right| (key, right));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn overdue_secrets(
    view: View<'_>,
    batch: &mut Batch<'_>,
    settings: &Settings,
    now: Timestamp,
) -> Result<usize> {
    let mut due = Vec::new();
    view.scan_index(&TRASH_BY_TIME, &Span::all(), |(deleted_at, vault, secret)| {
        match CanPurge::overdue(vault, deleted_at, settings, now) {
            Some(right) if due.len() < SECRETS_AT_ONCE => due.push((right, secret, deleted_at)),
            _ => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    })?;
    let mut by_vault: BTreeMap<VaultId, u32> = BTreeMap::new();
    for (right, secret, deleted_at) in &due {
        purge_secret(view, batch, right, *secret, *deleted_at)?;
        *by_vault.entry(right.vault()).or_default() += 1;
    }
    for (vault, deleted) in by_vault {
        if let Some(vault) = view.find(&VAULTS, vault)? {
            let note = operator_entry(now, Action::TrashEmptied).on(&vault).regarding("overdue");
            batch.audit(note.counting(Counts { deleted, ..Counts::default() }));
        }
    }
    Ok(due.len())
}

fn overdue_environment(
    view: View<'_>,
    batch: &mut Batch<'_>,
    settings: &Settings,
    now: Timestamp,
) -> Result<usize> {
    let place = |(deleted_at, vault, _)| (deleted_at, vault);
    let Some((key, right)) = first_overdue(view, &DELETED_ENVIRONMENTS, settings, now, place)? else {
        return Ok(0);
    };
    let (deleted_at, vault, id) = key;
    batch.unindex(&DELETED_ENVIRONMENTS, key);
    let Some(vault) = view.find(&VAULTS, vault)? else { return Ok(1) };
    // The index is not sealed: what is destroyed has to say for itself that it was deleted.
    let is_meant = |info: &&EnvironmentInfo| {
        info.id == id && info.deleted.is_some_and(|deletion| deletion.at == deleted_at)
    };
    let info = vault.environments.iter().find(is_meant);
    if let Some((name, deleted)) = info.map(|info| (info.name.clone(), info.secret_count)) {
        let vault = purge_environment(view, batch, &right, vault, id)?;
        let note = operator_entry(now, Action::EnvironmentPurged).on(&vault).within(&name);
        batch.audit(note.counting(Counts { deleted, ..Counts::default() }).regarding("overdue"));
    }
    Ok(1)
}

fn overdue_vault(
    view: View<'_>,
    batch: &mut Batch<'_>,
    settings: &Settings,
    now: Timestamp,
) -> Result<usize> {
    let Some((key, right)) = first_overdue(view, &DELETED_VAULTS, settings, now, |key| key)? else {
        return Ok(0);
    };
    batch.unindex(&DELETED_VAULTS, key);
    // As with environments.
    let is_meant = |vault: &Vault| vault.deleted.is_some_and(|deletion| deletion.at == key.0);
    if let Some(vault) = view.find(&VAULTS, key.1)?.filter(is_meant) {
        purge_vault(batch, &right, &vault);
        batch.audit(operator_entry(now, Action::VaultPurged).on(&vault).regarding("overdue"));
    }
    Ok(1)
}

/// Sweeps out some of what a purged vault left behind.
fn sweep(view: View<'_>, batch: &mut Batch<'_>) -> Result<usize> {
    let mut next = None;
    view.scan_index(&PURGED_VAULTS, &Span::all(), |vault| {
        next = Some(vault);
        ControlFlow::Break(())
    })?;
    let Some(vault) = next else { return Ok(0) };
    let (span, mut left) = (Span::under(vault), RECORDS_AT_ONCE);
    left -= delete_under(view, batch, &ENVIRONMENTS, &span, left)?;
    left -= delete_under(view, batch, &TRASH, &span, left)?;
    left -= delete_under(view, batch, &REVISIONS, &span, left)?;
    left -= delete_under(view, batch, &VERSIONS, &span, left)?;
    left -= delete_under(view, batch, &LINKS, &span, left)?;
    if left > 0 {
        batch.unindex(&PURGED_VAULTS, vault);
    }
    Ok(1)
}

/// Lets go of versions in `span` beyond the newest `kept` of each secret. Returns how
/// many, and where to go on.
fn surplus_versions(
    view: View<'_>,
    batch: &mut Batch<'_>,
    span: &Span,
    kept: u64,
) -> Result<(u64, Option<Span>)> {
    let mut keys = Vec::new();
    view.keys_in(&VERSIONS, span, |key: (VaultId, SecretId, u64)| {
        keys.push(key);
        if keys.len() < RECORDS_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let more = keys.len() == RECORDS_AT_ONCE;
    let groups: Vec<_> = keys.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).collect();
    // The last secret's versions may not all be in view; it is the first of the next step.
    let whole = if more && groups.len() > 1 { groups.len() - 1 } else { groups.len() };
    let mut dropped = 0;
    for group in groups.iter().take(whole) {
        let surplus = group.len().saturating_sub(usize::try_from(kept).unwrap_or(usize::MAX));
        for &key in group.iter().take(surplus) {
            batch.delete_in(&VERSIONS, key);
            dropped += 1;
        }
    }
    let last = groups.iter().take(whole).next_back().and_then(|group| group.last());
    Ok((dropped, last.filter(|_| more).map(|&key| Span::all().after(key))))
}
