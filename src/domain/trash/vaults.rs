//! Deleted vaults. They keep everything, and come back unless their repository has
//! another vault by then.

use super::Stay;
use super::purge::purge_vault;
use crate::base::ids::VaultId;
use crate::base::{EnvironmentName, Page, Paged};
use crate::domain::activity::entry;
use crate::domain::gate::Change;
use crate::domain::permissions::{Access, vault_lookup};
use crate::domain::vaults::InReach;
use crate::domain::{Actor, Error, ErrorKind, Result, Services};
use crate::store::Span;
use crate::store::records::Action;
use crate::store::tables::{DELETED_VAULTS, VAULT_NAMES, VAULTS};
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::ControlFlow;

/// A deleted vault as lists show it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrashedVault {
    /// The vault's id.
    pub id: VaultId,
    /// `owner/repo`.
    pub repo_full_name: String,
    /// Secrets in it.
    pub secret_count: u64,
    /// Its environments, oldest first.
    pub environments: Vec<EnvironmentName>,
    /// Since when it is there, and how long it will be.
    #[serde(flatten)]
    pub stay: Stay,
}

/// The answer to restoring a vault.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredVault {
    /// The vault's id.
    pub vault_id: VaultId,
    /// `owner/repo`.
    pub repo_full_name: String,
    /// For people.
    pub message: String,
}

impl Services {
    /// The deleted vaults the actor is admin of, last deleted first.
    ///
    /// # Errors
    /// If the store fails, or the forge cannot be asked.
    pub async fn list_trashed_vaults(
        &self,
        actor: &Actor,
        page: Page,
    ) -> Result<InReach<Paged<TrashedVault>>> {
        let reach = self.reach(actor).await?;
        let withheld_by = reach.withheld_by().to_vec();
        let (services, actor) = (self.clone(), actor.clone());
        tokio::task::spawn_blocking(move || {
            let all = services.store().read(|view| {
                let mut ids = Vec::new();
                view.scan_index(&DELETED_VAULTS, &Span::all().newest_first(), |(_, id)| {
                    ids.push(id);
                    ControlFlow::Continue(())
                })?;
                let mut vaults = Vec::new();
                for id in ids {
                    let Some(vault) = view.find(&VAULTS, id)? else { continue };
                    match Access::of_deleted(view, &actor, id, &reach.standing_on(&vault)) {
                        Ok(access) if access.manage().is_ok() => {
                            vaults.extend(access.vault.deleted.map(|deletion| (deletion, access.vault)));
                        }
                        Ok(_) => {}
                        Err(error) if error.kind == ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(vaults)
            })?;
            let (settings, now) = (services.settings(), services.now());
            let list = page.cut(all).map(|(deletion, vault)| TrashedVault {
                id: vault.id,
                repo_full_name: vault.repo.to_string(),
                secret_count: vault.living().map(|info| u64::from(info.secret_count)).sum(),
                environments: vault.living().map(|info| info.name.clone()).collect(),
                stay: Stay::of(&deletion, settings, now),
            });
            Ok(InReach { list, withheld_by })
        })
        .await
        .map_err(Error::internal)?
    }

    /// Takes a vault out of the trash.
    ///
    /// # Errors
    /// Not found; forbidden below `admin`; conflict when its repository has another vault.
    pub async fn restore_vault(&self, actor: &Actor, id: VaultId) -> Result<RestoredVault> {
        self.change_deleted(actor, id, |Change { view, batch, access, actor, now, .. }| {
            access.manage()?;
            let mut vault = access.vault;
            let lookup = vault_lookup(view, &vault);
            if view.find(&VAULT_NAMES, lookup)?.is_some() {
                return Err(Error::conflict(format!(
                    "`{}` has another vault now; delete that one first",
                    vault.repo
                )));
            }
            if let Some(deletion) = vault.deleted.take() {
                batch.unindex(&DELETED_VAULTS, (deletion.at, vault.id));
            }
            vault.updated_at = now;
            batch.put(&VAULTS, vault.id, &vault)?;
            batch.put(&VAULT_NAMES, lookup, &vault.id)?;
            batch.audit(entry(actor, now, Action::VaultRestored).on(&vault));
            Ok(RestoredVault {
                vault_id: vault.id,
                message: format!("the vault of `{}` is back with all that was in it", vault.repo),
                repo_full_name: vault.repo.to_string(),
            })
        })
        .await
    }

    /// Destroys a vault in the trash, and its key: from then on nothing of it can be read
    /// by anybody.
    ///
    /// # Errors
    /// Not found, or forbidden below `admin`.
    pub async fn purge_vault(&self, actor: &Actor, id: VaultId) -> Result<()> {
        self.change_deleted(actor, id, |Change { batch, access, actor, now, .. }| {
            let right = access.purge()?;
            purge_vault(batch, &right, &access.vault);
            batch.audit(entry(actor, now, Action::VaultPurged).on(&access.vault));
            Ok(())
        })
        .await?;
        self.wake_sweeper();
        Ok(())
    }
}
