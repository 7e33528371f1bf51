//! Vaults: one per repository.

use super::activity::entry;
use super::auth::{check_still_good, remember};
use super::gate::Change;
use super::permissions::{self, local_role, vault_lookup};
use super::ports::Repository;
use super::roles::{Namespaces, Reach, Standing};
use super::{Actor, Error, Result, Services};
use crate::base::ids::{EnvironmentId, UserId, VaultId};
use crate::base::{EnvironmentName, Page, Paged, RepoName, Role, Timestamp};
use crate::store::records::{Account, Action, Deletion, EnvironmentInfo, EnvironmentKind, Source, Vault};
use crate::store::tables::{
    DELETED_VAULTS, GRANTS, GRANTS_BY_USER, VAULT_KEYS, VAULT_NAMES, VAULTS, VAULTS_BY_OWNER,
};
use crate::store::{Span, StoreError, VaultSeal, View};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// A vault as lists show it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultSummary {
    /// The vault's id.
    pub id: VaultId,
    /// `owner/repo` as its source spells it.
    pub repo_full_name: String,
    /// The owner.
    pub repo_owner: String,
    /// The repository's own name.
    pub repo_name: String,
    /// The owner's picture.
    pub repo_avatar: Option<String>,
    /// Living secrets in all environments.
    pub secret_count: u64,
    /// Names of the environments, oldest first.
    pub environments: Vec<EnvironmentName>,
    /// The caller's role.
    pub permission: Role,
    /// Whether the repository is private.
    pub is_private: bool,
    /// When the vault was made.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: Timestamp,
    /// When anything in it last changed.
    #[serde(serialize_with = "rfc_3339")]
    pub updated_at: Timestamp,
}

/// What is in somebody's reach, as far as the forge shows it.
#[derive(Clone, Debug)]
pub struct InReach<T> {
    /// Those that are.
    pub list: T,
    /// The numbers of the organisations at the forge that leave theirs out, because they
    /// want the token to be authorised for their single sign-on first.
    pub withheld_by: Vec<u64>,
}

/// The answer to making a vault.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedVault {
    /// The vault's id.
    pub vault_id: VaultId,
    /// `owner/repo`.
    pub repo_full_name: String,
    /// For people.
    pub message: String,
}

/// Times go out as RFC 3339, in UTC.
pub(super) fn rfc_3339<S: serde::Serializer>(time: &Timestamp, target: S) -> Result<S::Ok, S::Error> {
    target.collect_str(time)
}

impl Services {
    /// Every vault the actor reaches, by name. The forge is asked once for all of the
    /// actor's repositories, not once for each vault.
    ///
    /// # Errors
    /// If the store fails, or the forge cannot be asked.
    pub async fn list_vaults(&self, actor: &Actor, page: Page) -> Result<InReach<Paged<VaultSummary>>> {
        let InReach { list, withheld_by } = self.reachable_vaults(actor).await?;
        Ok(InReach { list: page.cut(list).map(|(vault, role)| summary(&vault, role)), withheld_by })
    }

    /// Every vault the actor reaches, with their role, by name.
    pub(super) async fn reachable_vaults(&self, actor: &Actor) -> Result<InReach<Vec<(Vault, Role)>>> {
        let reach = self.reach(actor).await?;
        let withheld_by = reach.withheld_by().to_vec();
        let (services, actor) = (self.clone(), actor.clone());
        // An admin's list walks through all vaults; that is no work for an async thread.
        let walk = move || services.store().read(|view| reachable(view, &actor, &reach));
        let list = tokio::task::spawn_blocking(walk).await.map_err(Error::internal)??;
        Ok(InReach { list, withheld_by })
    }

    /// One vault.
    ///
    /// # Errors
    /// Not found, when there is none or the actor has no role on it.
    pub async fn vault(&self, actor: &Actor, repo: &RepoName) -> Result<VaultSummary> {
        self.look(actor, repo, |_, access| Ok(summary(&access.vault, access.role))).await
    }

    /// Makes the vault of `repo`.
    ///
    /// # Errors
    /// Not found without a role on the repository, forbidden below `admin`, conflict
    /// when it has a vault.
    pub async fn create_vault(&self, actor: &Actor, repo: RepoName) -> Result<CreatedVault> {
        let standing = self.standing_noted(actor, &repo).await?;
        let (services, caller, wanted) = (self.clone(), actor.clone(), repo.clone());
        let outcome = self
            .store()
            .write(move |view, batch| {
                check_still_good(view, &caller)?;
                let place = match &standing {
                    Standing::Local(namespaces) => may_create(view, &caller, &wanted, *namespaces)?,
                    Standing::Forge(repository) => {
                        services.may_create_for(&caller, &wanted, repository.as_ref())?
                    }
                };
                let now = services.now();
                let vault = new_vault(place, &caller, &services.settings().default_environments, now);
                let lookup = vault_lookup(view, &vault);
                if view.find(&VAULT_NAMES, lookup)?.is_some() {
                    return Err(Error::conflict(format!("a vault for `{}` exists already", vault.repo)));
                }
                remember(view, batch, &caller)?;
                batch.put(&VAULTS, vault.id, &vault)?;
                batch.put(&VAULT_KEYS, vault.id, VaultSeal::generate(vault.id).record())?;
                batch.put(&VAULT_NAMES, lookup, &vault.id)?;
                if let Source::Local { owner: Some(owner) } = vault.source {
                    batch.index(&VAULTS_BY_OWNER, (owner, vault.id));
                }
                batch.audit(entry(&caller, now, Action::VaultCreated).on(&vault));
                Ok(vault)
            })
            .await;
        let vault = self.note_refusal(actor, &repo, outcome)?;
        Ok(CreatedVault {
            vault_id: vault.id,
            message: format!("vault created for {}", vault.repo),
            repo_full_name: vault.repo.to_string(),
        })
    }

    /// Whether the actor may make the vault of a repository at the forge.
    fn may_create_for(
        &self,
        actor: &Actor,
        wanted: &RepoName,
        repository: Option<&Repository>,
    ) -> Result<Place> {
        let seen = repository.and_then(|repository| Some((repository, repository.role()?)));
        let (repository, role) = seen.ok_or_else(|| no_repository(wanted))?;
        allowed_to_create(actor, &repository.name, Some(role))?;
        if !self.settings().forge.allows(&repository.name) {
            return Err(Error::forbidden(format!(
                "this server makes no vaults for repositories of `{}`; its operator lists owners in \
                 `identity.github.allowed_owners`",
                repository.name.owner()
            )));
        }
        Ok(Place {
            source: Source::GitHub { repository_id: repository.id },
            repo: repository.name.clone(),
            private: repository.private,
            avatar_url: repository.avatar_url.clone(),
        })
    }

    /// Puts a vault into the trash.
    ///
    /// # Errors
    /// Not found, or forbidden below `admin`.
    pub async fn delete_vault(&self, actor: &Actor, repo: &RepoName) -> Result<()> {
        self.change(actor, repo, |Change { view, batch, access, actor, now, .. }| {
            access.manage()?;
            let mut vault = access.vault;
            vault.deleted = Some(Deletion { at: now, by: Some(actor.user_id()) });
            batch.put(&VAULTS, vault.id, &vault)?;
            batch.delete(&VAULT_NAMES, vault_lookup(view, &vault));
            batch.index(&DELETED_VAULTS, (now, vault.id));
            batch.audit(entry(actor, now, Action::VaultDeleted).on(&vault));
            Ok(())
        })
        .await
    }
}

/// Where a new vault belongs.
struct Place {
    source: Source,
    repo: RepoName,
    private: bool,
    avatar_url: Option<String>,
}

/// Whether the actor may make the vault of a local `repo`, and whose namespace it would be in.
fn may_create(view: View<'_>, actor: &Actor, repo: &RepoName, namespaces: Namespaces) -> Result<Place> {
    let own = namespaces == Namespaces::Owned
        && matches!(&actor.user.account,
            Account::Local { name, .. } if name.as_str().eq_ignore_ascii_case(repo.owner()));
    let role = if own { Some(Role::Admin) } else { local_role(view, actor, repo)? };
    allowed_to_create(actor, repo, role)?;
    let source = Source::Local { owner: own.then(|| actor.user_id()) };
    Ok(Place { source, repo: repo.clone(), private: true, avatar_url: None })
}

fn allowed_to_create(actor: &Actor, repo: &RepoName, role: Option<Role>) -> Result<()> {
    match role {
        None => Err(no_repository(repo)),
        Some(Role::Admin) if actor.is_confined() => Err(Error::forbidden(
            "this API key is limited to certain repositories or environments and cannot make a vault",
        )),
        Some(Role::Admin) => Ok(()),
        Some(role) => Err(Error::forbidden(format!(
            "making a vault needs the role `admin` on `{repo}`, yours is `{role}`"
        ))),
    }
}

/// The same words whether the repository, or a vault for it, is there or not.
fn no_repository(repo: &RepoName) -> Error {
    Error::not_found(format!(
        "no repository `{repo}`, or no access to it; making a vault needs the role `admin` on its repository"
    ))
}

fn new_vault(place: Place, actor: &Actor, environments: &[EnvironmentName], now: Timestamp) -> Vault {
    Vault {
        id: VaultId::new(now),
        source: place.source,
        repo: place.repo,
        private: place.private,
        avatar_url: place.avatar_url,
        environments: environments.iter().map(|name| new_environment(name.clone(), now)).collect(),
        created_at: now,
        created_by: Some(actor.user_id()),
        updated_at: now,
        deleted: None,
    }
}

pub(super) fn new_environment(name: EnvironmentName, now: Timestamp) -> EnvironmentInfo {
    EnvironmentInfo {
        id: EnvironmentId::new(now),
        name,
        kind: EnvironmentKind::Standard,
        secret_count: 0,
        created_at: now,
        overrides: Vec::new(),
        deleted: None,
    }
}

fn summary(vault: &Vault, role: Role) -> VaultSummary {
    VaultSummary {
        id: vault.id,
        repo_full_name: vault.repo.to_string(),
        repo_owner: vault.repo.owner().to_owned(),
        repo_name: vault.repo.repo().to_owned(),
        repo_avatar: vault.avatar_url.clone(),
        secret_count: vault.living().map(|environment| u64::from(environment.secret_count)).sum(),
        environments: vault.living().map(|environment| environment.name.clone()).collect(),
        permission: role,
        is_private: vault.private,
        created_at: vault.created_at,
        updated_at: vault.updated_at,
    }
}

/// Every living vault the actor has a role on, sorted by name.
pub(super) fn reachable(
    view: View<'_>,
    actor: &Actor,
    reach: &Reach,
) -> Result<Vec<(Vault, Role)>, StoreError> {
    let mut found = BTreeMap::new();
    let mut add = |vault: Vault, role: Role| found.insert((vault.repo.folded(), vault.id), (vault, role));
    match reach {
        Reach::Forge(repositories) => {
            for repository in &repositories.repositories {
                let Some(role) = repository.role() else { continue };
                let vault = permissions::forge_vault(view, repository.id)?;
                if let Some(vault) = vault.filter(|vault| actor.reaches(vault.id)) {
                    add(Vault { repo: repository.name.clone(), private: repository.private, ..vault }, role);
                }
            }
        }
        Reach::Local(namespaces) => {
            let mut consider = |vault: Vault| {
                if vault.deleted.is_none()
                    && let Some(role) = permissions::role_on(view, actor, &vault, *namespaces)?
                {
                    add(vault, role);
                }
                Ok::<_, StoreError>(())
            };
            if matches!(actor.user.account, Account::Local { admin: true, .. }) {
                view.scan(&VAULTS, &Span::all(), |_, vault| {
                    consider(vault)?;
                    Ok(ControlFlow::Continue(()))
                })?;
            } else {
                for id in candidates(view, actor.user_id())? {
                    if let Some(vault) = view.find(&VAULTS, id)? {
                        consider(vault)?;
                    }
                }
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Vaults the user may have a role on: those in their namespace and those of repositories
/// they were given a role on.
pub(super) fn candidates(view: View<'_>, user: UserId) -> Result<Vec<VaultId>, StoreError> {
    let mut vaults = Vec::new();
    view.scan_index(&VAULTS_BY_OWNER, &Span::under(user), |(_, vault)| {
        vaults.push(vault);
        ControlFlow::Continue(())
    })?;
    let mut repos = Vec::new();
    view.scan_index(&GRANTS_BY_USER, &Span::under(user), |(_, repo)| {
        repos.push(repo);
        ControlFlow::Continue(())
    })?;
    for repo in repos {
        if view.find(&GRANTS, (repo, user))?.is_some()
            && let Some(vault) = view.find(&VAULT_NAMES, repo)?
        {
            vaults.push(vault);
        }
    }
    Ok(vaults)
}
