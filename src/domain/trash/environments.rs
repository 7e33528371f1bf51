//! Deleted environments of living vaults. They keep their secrets, versions, overrides
//! and revisions, and come back with all of them.

use super::Stay;
use super::purge::purge_environment;
use crate::base::ids::EnvironmentId;
use crate::base::limits::ENVIRONMENTS_PER_VAULT;
use crate::base::{EnvironmentName, Page, Paged, RepoName};
use crate::domain::activity::{Counts, entry};
use crate::domain::environments::names;
use crate::domain::gate::Change;
use crate::domain::{Actor, Error, Result, Services};
use crate::store::records::{Action, Deletion, EnvironmentInfo, EnvironmentKind, Vault};
use crate::store::tables::{DELETED_ENVIRONMENTS, VAULTS};
use schemars::JsonSchema;
use serde::Serialize;

/// A deleted environment as lists show it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrashedEnvironment {
    /// The environment's id.
    pub id: EnvironmentId,
    /// What it was called.
    pub environment: EnvironmentName,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: EnvironmentKind,
    /// How many secrets lived in it.
    pub secret_count: u32,
    /// Since when it is there, and how long it will be.
    #[serde(flatten)]
    pub stay: Stay,
}

/// The answer to restoring an environment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RestoredEnvironment {
    /// The environment's id.
    pub id: EnvironmentId,
    /// Its name.
    pub environment: EnvironmentName,
    /// All names.
    pub environments: Vec<EnvironmentName>,
    /// For people.
    pub message: String,
}

impl Services {
    /// The deleted environments of a vault, last deleted first.
    ///
    /// # Errors
    /// Not found, or forbidden below `admin`.
    pub async fn list_trashed_environments(
        &self,
        actor: &Actor,
        repo: &RepoName,
        page: Page,
    ) -> Result<Paged<TrashedEnvironment>> {
        self.look(actor, repo, |_, access| {
            access.manage()?;
            let infos = access.vault.environments.iter();
            let mut all: Vec<_> = infos.filter_map(|info| Some((info.deleted?, info))).collect();
            all.sort_by_key(|(deletion, info)| std::cmp::Reverse((deletion.at, info.id)));
            let now = self.now();
            Ok(page.cut(all).map(|(deletion, info)| TrashedEnvironment {
                id: info.id,
                environment: info.name.clone(),
                kind: info.kind,
                secret_count: info.secret_count,
                stay: Stay::of(&deletion, self.settings(), now),
            }))
        })
        .await
    }

    /// Takes an environment out of the trash, with all that is in it.
    ///
    /// # Errors
    /// Not found; forbidden below `admin`; conflict when its name is taken again.
    pub async fn restore_environment(
        &self,
        actor: &Actor,
        repo: &RepoName,
        id: EnvironmentId,
    ) -> Result<RestoredEnvironment> {
        self.change(actor, repo, move |Change { batch, access, actor, now, .. }| {
            access.manage()?;
            let mut vault = access.vault;
            let (deletion, info) = deleted(&vault, id)?;
            let name = info.name.clone();
            if vault.living().any(|other| other.name == name) {
                return Err(Error::conflict(format!(
                    "environment `{name}` exists again; rename or delete it first"
                )));
            }
            if vault.living().count() >= ENVIRONMENTS_PER_VAULT {
                return Err(Error::conflict(format!(
                    "a vault has at most {ENVIRONMENTS_PER_VAULT} environments"
                )));
            }
            for info in vault.environments.iter_mut().filter(|info| info.id == id) {
                info.deleted = None;
            }
            vault.updated_at = now;
            batch.put(&VAULTS, vault.id, &vault)?;
            batch.unindex(&DELETED_ENVIRONMENTS, (deletion.at, vault.id, id));
            batch.audit(entry(actor, now, Action::EnvironmentRestored).on(&vault).within(&name));
            let message = format!("environment `{name}` is back with all that was in it");
            Ok(RestoredEnvironment { id, environment: name, environments: names(&vault), message })
        })
        .await
    }

    /// Destroys an environment in the trash.
    ///
    /// # Errors
    /// Not found, or forbidden below `admin`.
    pub async fn purge_environment(&self, actor: &Actor, repo: &RepoName, id: EnvironmentId) -> Result<()> {
        self.change(actor, repo, move |Change { view, batch, access, actor, now, .. }| {
            let right = access.purge()?;
            let (_, info) = deleted(&access.vault, id)?;
            let (name, deleted) = (info.name.clone(), info.secret_count);
            let vault = purge_environment(view, batch, &right, access.vault, id)?;
            let note = entry(actor, now, Action::EnvironmentPurged).on(&vault).within(&name);
            batch.audit(note.counting(Counts { deleted, ..Counts::default() }));
            Ok(())
        })
        .await
    }
}

fn deleted(vault: &Vault, id: EnvironmentId) -> Result<(Deletion, &EnvironmentInfo)> {
    let found = vault.environments.iter().find(|info| info.id == id);
    let found = found.and_then(|info| Some((info.deleted?, info)));
    found.ok_or_else(|| Error::not_found("no such environment in the trash of this vault"))
}
