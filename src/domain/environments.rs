//! Environments of a vault.

use super::activity::entry;
use super::gate::Change;
use super::vaults::new_environment;
use super::{Actor, Error, Result, Services};
use crate::base::limits::ENVIRONMENTS_PER_VAULT;
use crate::base::{EnvironmentName, RepoName, Timestamp};
use crate::store::Batch;
pub use crate::store::records::EnvironmentKind;
use crate::store::records::{Action, Deletion, EnvironmentInfo, Vault};
use crate::store::tables::{DELETED_ENVIRONMENTS, VAULTS};
use schemars::JsonSchema;
use serde::Serialize;

/// The answer to making an environment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EnvironmentCreated {
    /// The new name.
    pub environment: EnvironmentName,
    /// All names.
    pub environments: Vec<EnvironmentName>,
}

/// The answer to renaming an environment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentRenamed {
    /// What it was called.
    pub old_name: EnvironmentName,
    /// What it is called.
    pub new_name: EnvironmentName,
    /// All names.
    pub environments: Vec<EnvironmentName>,
}

/// The answer to deleting an environment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EnvironmentDeleted {
    /// What it was called.
    pub deleted: EnvironmentName,
    /// The names that are left.
    pub environments: Vec<EnvironmentName>,
}

/// The answer to changing an environment's type.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EnvironmentTypeChanged {
    /// Which environment.
    pub environment: EnvironmentName,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: EnvironmentKind,
}

impl Services {
    /// The names of a vault's environments, oldest first.
    ///
    /// # Errors
    /// Not found.
    pub async fn environments(&self, actor: &Actor, repo: &RepoName) -> Result<Vec<EnvironmentName>> {
        self.look(actor, repo, |_, access| Ok(names(&access.vault))).await
    }

    /// Adds an environment.
    ///
    /// # Errors
    /// Not found, forbidden below `admin`, conflict when the name is taken.
    pub async fn create_environment(
        &self,
        actor: &Actor,
        repo: &RepoName,
        name: EnvironmentName,
    ) -> Result<EnvironmentCreated> {
        let environment = name.clone();
        let vault = self
            .manage_environments(actor, repo, move |vault, _, now| {
                free(vault, &name)?;
                if vault.living().count() >= ENVIRONMENTS_PER_VAULT {
                    return Err(Error::conflict(format!(
                        "a vault has at most {ENVIRONMENTS_PER_VAULT} environments"
                    )));
                }
                vault.environments.push(new_environment(name.clone(), now));
                Ok((Action::EnvironmentCreated, name, None))
            })
            .await?;
        Ok(EnvironmentCreated { environment, environments: names(&vault) })
    }

    /// Renames an environment; it keeps its secrets, rules and history.
    ///
    /// # Errors
    /// Not found, forbidden below `admin`, conflict when the new name is taken.
    pub async fn rename_environment(
        &self,
        actor: &Actor,
        repo: &RepoName,
        old_name: EnvironmentName,
        new_name: EnvironmentName,
    ) -> Result<EnvironmentRenamed> {
        let (old, new) = (old_name.clone(), new_name.clone());
        let vault = self
            .manage_environments(actor, repo, move |vault, _, _| {
                if old != new {
                    free(vault, &new)?;
                }
                let subject = format!("renamed to `{new}`");
                living_mut(vault, &old)?.name = new;
                Ok((Action::EnvironmentRenamed, old, Some(subject)))
            })
            .await?;
        Ok(EnvironmentRenamed { old_name, new_name, environments: names(&vault) })
    }

    /// Puts an environment into the trash.
    ///
    /// # Errors
    /// Not found, forbidden below `admin` and for the last one.
    pub async fn delete_environment(
        &self,
        actor: &Actor,
        repo: &RepoName,
        name: EnvironmentName,
    ) -> Result<EnvironmentDeleted> {
        let (deleted, by) = (name.clone(), actor.user_id());
        let vault = self
            .manage_environments(actor, repo, move |vault, batch, now| {
                let last = vault.living().count() == 1;
                let environment = living_mut(vault, &name)?;
                if last {
                    return Err(Error::forbidden("the last environment of a vault cannot be deleted; make another one first, or delete the vault"));
                }
                environment.deleted = Some(Deletion { at: now, by: Some(by) });
                let id = environment.id;
                batch.index(&DELETED_ENVIRONMENTS, (now, vault.id, id));
                Ok((Action::EnvironmentDeleted, name, None))
            })
            .await?;
        Ok(EnvironmentDeleted { deleted, environments: names(&vault) })
    }

    /// Changes how an environment is guarded.
    ///
    /// # Errors
    /// Not found, forbidden below `admin`.
    pub async fn set_environment_type(
        &self,
        actor: &Actor,
        repo: &RepoName,
        name: EnvironmentName,
        kind: EnvironmentKind,
    ) -> Result<EnvironmentTypeChanged> {
        let environment = name.clone();
        self.manage_environments(actor, repo, move |vault, _, _| {
            living_mut(vault, &name)?.kind = kind;
            let subject = format!("{kind:?}").to_ascii_lowercase();
            Ok((Action::EnvironmentTypeChanged, name, Some(subject)))
        })
        .await?;
        Ok(EnvironmentTypeChanged { environment, kind })
    }

    /// Lets `change` alter the vault's environments, and writes what comes of it.
    async fn manage_environments(
        &self,
        actor: &Actor,
        repo: &RepoName,
        change: impl FnOnce(
            &mut Vault,
            &mut Batch<'_>,
            Timestamp,
        ) -> Result<(Action, EnvironmentName, Option<String>)>
        + Send
        + 'static,
    ) -> Result<Vault> {
        self.change(actor, repo, move |Change { batch, access, actor, now, .. }| {
            access.manage()?;
            let mut vault = access.vault;
            let (action, environment, subject) = change(&mut vault, batch, now)?;
            vault.updated_at = now;
            batch.put(&VAULTS, vault.id, &vault)?;
            let mut note = entry(actor, now, action).on(&vault).within(&environment);
            note.subject = subject;
            batch.audit(note);
            Ok(vault)
        })
        .await
    }
}

pub(super) fn names(vault: &Vault) -> Vec<EnvironmentName> {
    vault.living().map(|environment| environment.name.clone()).collect()
}

fn free(vault: &Vault, name: &EnvironmentName) -> Result<()> {
    if vault.living().any(|environment| environment.name == *name) {
        return Err(Error::conflict(format!("environment `{name}` exists already in `{}`", vault.repo)));
    }
    Ok(())
}

fn living_mut<'v>(vault: &'v mut Vault, name: &EnvironmentName) -> Result<&'v mut EnvironmentInfo> {
    let missing = Error::not_found(format!("environment `{name}` does not exist in `{}`", vault.repo));
    let living =
        |environment: &&mut EnvironmentInfo| environment.deleted.is_none() && environment.name == *name;
    vault.environments.iter_mut().find(living).ok_or(missing)
}
