//! Deleted secrets of living environments. Those of a deleted environment come back
//! with it and are not shown apart from it.

use super::Stay;
use super::purge::purge_secret;
use crate::base::ids::{EnvironmentId, SecretId, VaultId};
use crate::base::{EnvironmentName, Page, Paged, RepoName, SecretName};
use crate::domain::activity::{Counts, entry};
use crate::domain::contents::Edit;
use crate::domain::gate::Change;
use crate::domain::permissions::Access;
use crate::domain::{Actor, Error, Result, Services};
use crate::store::records::{Action, EnvironmentInfo, TrashedSecret};
use crate::store::tables::TRASH;
use crate::store::{Span, View};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// A deleted secret as lists show it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TrashedSecretSummary {
    /// The secret's id.
    pub id: SecretId,
    /// Its key.
    pub key: SecretName,
    /// The environment it was in.
    pub environment: EnvironmentName,
    /// Since when it is there, and how long it will be.
    #[serde(flatten)]
    pub stay: Stay,
}

/// The answer to restoring a secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RestoredSecret {
    /// The secret's id.
    pub id: SecretId,
    /// Its key.
    pub key: SecretName,
    /// The environment it is in again.
    pub environment: EnvironmentName,
    /// For people.
    pub message: String,
}

/// The answer to emptying the trash.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct EmptiedTrash {
    /// How many secrets were destroyed.
    pub deleted: u64,
}

/// Most secrets that one step of emptying destroys; other writers get their turn between.
const EMPTIED_AT_ONCE: usize = 500;

impl Services {
    /// The deleted secrets of the environments the actor may read, last deleted first.
    ///
    /// # Errors
    /// Not found.
    pub async fn list_trash(
        &self,
        actor: &Actor,
        repo: &RepoName,
        page: Page,
    ) -> Result<Paged<TrashedSecretSummary>> {
        let services = self.clone();
        self.look_long(actor, repo, move |view, access| {
            let readable = access.vault.living().filter(|info| access.read(info).is_ok());
            let names: HashMap<EnvironmentId, &EnvironmentName> =
                readable.map(|info| (info.id, &info.name)).collect();
            let mut found = Vec::new();
            each_trashed(view, access.vault.id, |trashed| {
                if let Some(&name) = names.get(&trashed.environment) {
                    found.push((trashed.deletion, trashed.secret.id, trashed.secret.name, name.clone()));
                }
                ControlFlow::Continue(())
            })?;
            found.sort_by_key(|(deletion, id, ..)| std::cmp::Reverse((deletion.at, *id)));
            let now = services.now();
            Ok(page.cut(found).map(|(deletion, id, key, environment)| TrashedSecretSummary {
                id,
                key,
                environment,
                stay: Stay::of(&deletion, services.settings(), now),
            }))
        })
        .await
    }

    /// Takes a secret out of the trash, with its versions.
    ///
    /// # Errors
    /// Not found; forbidden; conflict when its key lives again or its environment is in
    /// the trash itself.
    pub async fn restore_secret(
        &self,
        actor: &Actor,
        repo: &RepoName,
        id: SecretId,
    ) -> Result<RestoredSecret> {
        self.change(actor, repo, move |Change { view, batch, access, actor, now, settings }| {
            let (trashed, info) = find_trashed(view, &access, id)?;
            let right = access.write(&info)?;
            if info.deleted.is_some() {
                return Err(Error::conflict(format!(
                    "environment `{}` is in the trash itself; restore it first",
                    info.name
                )));
            }
            let (key, environment) = (trashed.secret.name.clone(), info.name);
            let mut edit = Edit::begin(view, &right, access.vault, actor, settings, now)?;
            edit.restore(trashed)?;
            let (vault, counts) = edit.finish(batch)?;
            let note = entry(actor, now, Action::SecretRestored).on(&vault).within(&environment);
            batch.audit(note.naming([&key]).counting(counts));
            let message = format!("`{key}` is back in `{environment}`");
            Ok(RestoredSecret { id, key, environment, message })
        })
        .await
    }

    /// Destroys one secret in the trash, with its versions.
    ///
    /// # Errors
    /// Not found, or forbidden below `admin`.
    pub async fn purge_secret(&self, actor: &Actor, repo: &RepoName, id: SecretId) -> Result<()> {
        self.change(actor, repo, move |Change { view, batch, access, actor, now, .. }| {
            let right = access.purge()?;
            let (trashed, info) = find_trashed(view, &access, id)?;
            purge_secret(view, batch, &right, id, trashed.deletion.at)?;
            let note = entry(actor, now, Action::SecretPurged).on(&access.vault).within(&info.name);
            let counts = Counts { deleted: 1, ..Counts::default() };
            batch.audit(note.naming([&trashed.secret.name]).counting(counts));
            Ok(())
        })
        .await
    }

    /// Destroys all secrets that were in the trash when this began. A vault's whole trash
    /// can be large: it goes in several steps, each of them whole.
    ///
    /// # Errors
    /// Not found, or forbidden below `admin`.
    pub async fn empty_trash(&self, actor: &Actor, repo: &RepoName) -> Result<EmptiedTrash> {
        let begun = self.now();
        let mut deleted = 0;
        loop {
            let step = move |Change { view, batch, access, actor, now, .. }: Change<'_, '_>| {
                let right = access.purge()?;
                let living: Vec<EnvironmentId> = access.vault.living().map(|info| info.id).collect();
                let mut going = Vec::new();
                each_trashed(view, access.vault.id, |trashed| {
                    if trashed.deletion.at <= begun && living.contains(&trashed.environment) {
                        going.push((trashed.secret.id, trashed.deletion.at, trashed.secret.name));
                    }
                    if going.len() == EMPTIED_AT_ONCE {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })?;
                for (id, since, _) in &going {
                    purge_secret(view, batch, &right, *id, *since)?;
                }
                if !going.is_empty() {
                    let deleted = u32::try_from(going.len()).unwrap_or(u32::MAX);
                    let note = entry(actor, now, Action::TrashEmptied).on(&access.vault);
                    let note = note.naming(going.iter().map(|(.., name)| name));
                    batch.audit(note.counting(Counts { deleted, ..Counts::default() }));
                }
                Ok(going.len())
            };
            let gone = self.change(actor, repo, step).await?;
            deleted += gone as u64;
            if gone < EMPTIED_AT_ONCE {
                return Ok(EmptiedTrash { deleted });
            }
        }
    }
}

/// Hands every deleted secret of a vault to `visit` until it breaks off.
pub(super) fn each_trashed(
    view: View<'_>,
    vault: VaultId,
    mut visit: impl FnMut(TrashedSecret) -> ControlFlow<()>,
) -> Result<()> {
    let Some(seal) = view.vault_seal(vault)? else { return Ok(()) };
    Ok(view.scan_in(&seal, &TRASH, &Span::under(vault), |_, trashed| Ok(visit(trashed)))?)
}

/// The deleted secret of that id and the environment it was in, deleted or not.
fn find_trashed(
    view: View<'_>,
    access: &Access<'_>,
    id: SecretId,
) -> Result<(TrashedSecret, EnvironmentInfo)> {
    let unknown = || Error::not_found("no such secret in the trash of this vault");
    let seal = view.vault_seal(access.vault.id)?.ok_or_else(unknown)?;
    let trashed = view.find_in(&seal, &TRASH, (access.vault.id, id))?.ok_or_else(unknown)?;
    let info = access.vault.environments.iter().find(|info| info.id == trashed.environment);
    Ok((trashed, info.cloned().ok_or_else(unknown)?))
}
