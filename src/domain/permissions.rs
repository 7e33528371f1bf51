//! Who may do what. The one place that turns a role into a capability: reading or
//! writing an environment takes a [`CanRead`] or [`CanWrite`], managing a vault a
//! [`CanManage`], destroying what was deleted a [`CanPurge`], and only this file can
//! make them.
//!
//! Rights on an environment, the first rule that applies:
//!
//! 1. an override for the user
//! 2. an override for exactly the user's role
//! 3. the environment's type: `protected` takes `write` to read and `admin` to write
//! 4. the role: `read` reads, `write` writes
//!
//! Somebody who can only read a public repository has no role on it; an override for
//! that user is all they may have. An API key narrows all of these and widens none.

#[cfg(test)]
mod tests;

use super::auth::check_still_good;
use super::roles::{Namespaces, Standing};
use super::{Actor, Error, Result, Settings};
use crate::base::ids::{EnvironmentId, UserId, VaultId};
use crate::base::{EnvironmentName, RepoName, Role, Timestamp};
use crate::store::records::{
    Account, EnvironmentInfo, EnvironmentKind, Override, OverrideTarget, Source, User, Vault,
};
use crate::store::tables::{GRANTS, Lookup, VAULT_NAMES, VAULTS};
use crate::store::{StoreError, View};

/// What somebody may do in one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// See values.
    pub can_read: bool,
    /// Change values.
    pub can_write: bool,
}

impl Rights {
    const NONE: Self = Self { can_read: false, can_write: false };
}

/// Somebody's standing on one vault: they have a role on it.
pub struct Access<'a> {
    actor: &'a Actor,
    /// The vault as it is now.
    pub vault: Vault,
    /// The role.
    pub role: Role,
    /// Whether overrides for the user are all that counts.
    is_guest: bool,
}

/// The right to read one environment.
pub struct CanRead {
    vault: VaultId,
    environment: EnvironmentId,
}

/// The right to change one environment's secrets; it includes reading them.
pub struct CanWrite(CanRead);

/// The right to manage a vault.
pub struct CanManage {
    vault: VaultId,
}

/// The right to destroy something that is in the trash of a vault, or the vault itself
/// if it is in the trash.
pub struct CanPurge {
    vault: VaultId,
}

impl CanRead {
    /// The right of the machine's administrator, who owns the data directory and the key.
    pub(super) const fn of_operator(vault: &Vault, environment: &EnvironmentInfo) -> Self {
        Self { vault: vault.id, environment: environment.id }
    }

    /// The vault.
    #[must_use]
    pub const fn vault(&self) -> VaultId {
        self.vault
    }

    /// The environment.
    #[must_use]
    pub const fn environment(&self) -> EnvironmentId {
        self.environment
    }
}

impl CanWrite {
    /// The right of the machine's administrator, who owns the data directory and the key.
    pub(super) const fn of_operator(vault: &Vault, environment: &EnvironmentInfo) -> Self {
        Self(CanRead::of_operator(vault, environment))
    }

    /// What can be written can be read.
    #[must_use]
    pub const fn read(&self) -> &CanRead {
        &self.0
    }
}

impl CanManage {
    /// The vault.
    #[must_use]
    pub const fn vault(&self) -> VaultId {
        self.vault
    }
}

impl CanPurge {
    /// The right that comes with time: what was deleted longer ago than the operator
    /// lets it be kept may be destroyed by anybody. `None`: not yet.
    #[must_use]
    pub fn overdue(
        vault: VaultId,
        deleted_at: Timestamp,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Self> {
        (deleted_at.plus(settings.trash_time()) <= now).then_some(Self { vault })
    }

    /// The vault.
    #[must_use]
    pub const fn vault(&self) -> VaultId {
        self.vault
    }
}

impl<'a> Access<'a> {
    /// The actor's standing on the vault of `repo`.
    ///
    /// # Errors
    /// Not found, with the same words, when there is no vault and when the actor has
    /// no role on it; unauthorized when the actor's credential has just ended.
    pub(super) fn of(view: View<'_>, actor: &'a Actor, repo: &RepoName, standing: &Standing) -> Result<Self> {
        check_still_good(view, actor)?;
        let unknown = || Error::not_found(format!("no vault for `{repo}`, or no access to it"));
        let found = match standing {
            Standing::Local(namespaces) => Self::by_own_roles(view, actor, repo, *namespaces)?,
            Standing::Forge(Some(repository)) => match forge_vault(view, repository.id)? {
                Some(vault) => Self::by_role(actor, vault, repository.role(), repository.permission),
                None => None,
            },
            Standing::Forge(None) => None,
        };
        found.filter(|access| actor.reaches(access.vault.id)).ok_or_else(unknown)
    }

    fn by_own_roles(
        view: View<'_>,
        actor: &'a Actor,
        repo: &RepoName,
        namespaces: Namespaces,
    ) -> Result<Option<Self>, StoreError> {
        let Some(vault) = find_vault(view, repo)? else { return Ok(None) };
        let role = role_on(view, actor, &vault, namespaces)?;
        Ok(role.map(|role| Self { actor, vault, role, is_guest: false }))
    }

    /// `role` as the vault's rules have it, `permission` as the forge reports it.
    fn by_role(actor: &'a Actor, vault: Vault, role: Option<Role>, permission: Option<Role>) -> Option<Self> {
        if let Some(role) = role {
            return Some(Self { actor, vault, role, is_guest: false });
        }
        let me = OverrideTarget::User(actor.user_id());
        let invited = vault.living().any(|info| info.overrides.iter().any(|rule| rule.target == me));
        permission.filter(|_| invited).map(|role| Self { actor, vault, role, is_guest: true })
    }

    /// The actor's standing on a vault in the trash.
    ///
    /// # Errors
    /// Not found, with the same words, when there is none of that id and when the actor
    /// has no role on it; unauthorized when the actor's credential has just ended.
    pub(super) fn of_deleted(
        view: View<'_>,
        actor: &'a Actor,
        id: VaultId,
        standing: &Standing,
    ) -> Result<Self> {
        check_still_good(view, actor)?;
        let unknown = || Error::not_found("no such vault in the trash, or no access to it");
        let vault = view.find(&VAULTS, id)?.filter(|vault| vault.deleted.is_some()).ok_or_else(unknown)?;
        let role = match (standing, vault.source) {
            (Standing::Local(namespaces), _) => role_on(view, actor, &vault, *namespaces)?,
            // The name may have gone over to another repository since.
            (Standing::Forge(Some(repository)), Source::GitHub { repository_id }) => {
                repository.role().filter(|_| repository.id == repository_id && actor.reaches(vault.id))
            }
            (Standing::Forge(_), _) => None,
        };
        Ok(Self { actor, vault, role: role.ok_or_else(unknown)?, is_guest: false })
    }

    /// The living environment of that name.
    ///
    /// # Errors
    /// Not found.
    pub fn environment(&self, name: &EnvironmentName) -> Result<&EnvironmentInfo> {
        let found = self.vault.living().find(|environment| environment.name == *name);
        found.ok_or_else(|| {
            Error::not_found(format!("environment `{name}` does not exist in `{}`", self.vault.repo))
        })
    }

    /// What the actor may do in `environment`.
    #[must_use]
    pub fn rights(&self, environment: &EnvironmentInfo) -> Rights {
        if !self.actor.reaches_environment(environment.id) {
            return Rights::NONE;
        }
        let user = self.actor.user_id();
        if self.is_guest {
            return exception(&environment.overrides, OverrideTarget::User(user)).unwrap_or(Rights::NONE);
        }
        decide(self.role, environment.kind, &environment.overrides, user)
    }

    /// The right to read `environment`.
    ///
    /// # Errors
    /// Forbidden.
    pub fn read(&self, environment: &EnvironmentInfo) -> Result<CanRead> {
        if self.rights(environment).can_read {
            Ok(CanRead { vault: self.vault.id, environment: environment.id })
        } else {
            Err(self.refusal("read", environment))
        }
    }

    /// The right to change the secrets of `environment`.
    ///
    /// # Errors
    /// Forbidden.
    pub fn write(&self, environment: &EnvironmentInfo) -> Result<CanWrite> {
        if self.rights(environment).can_write {
            Ok(CanWrite(CanRead { vault: self.vault.id, environment: environment.id }))
        } else {
            Err(self.refusal("write", environment))
        }
    }

    /// The right to manage the vault and its environments.
    ///
    /// # Errors
    /// Forbidden below `admin`, and for an API key that is limited to environments.
    pub fn manage(&self) -> Result<CanManage> {
        if self.role < Role::Admin {
            return Err(Error::forbidden(format!(
                "this needs the role `admin` on `{}`, yours is `{}`",
                self.vault.repo, self.role
            )));
        }
        if self.actor.limits().1.is_some() {
            return Err(Error::forbidden(
                "this API key is limited to certain environments and cannot manage a vault",
            ));
        }
        Ok(CanManage { vault: self.vault.id })
    }

    /// The right to destroy what is in the vault's trash.
    ///
    /// # Errors
    /// As [`Access::manage`].
    pub fn purge(&self) -> Result<CanPurge> {
        self.manage().map(|right| CanPurge { vault: right.vault })
    }

    fn refusal(&self, verb: &str, environment: &EnvironmentInfo) -> Error {
        let (role, name) = (self.role, &environment.name);
        Error::forbidden(if self.actor.reaches_environment(environment.id) {
            format!("your role `{role}` may not {verb} environment `{name}` of `{}`", self.vault.repo)
        } else {
            format!("this API key is not for environment `{name}` of `{}`", self.vault.repo)
        })
    }
}

impl Vault {
    /// The environments that are not in the trash, oldest first.
    pub fn living(&self) -> impl Iterator<Item = &EnvironmentInfo> {
        self.environments.iter().filter(|environment| environment.deleted.is_none())
    }
}

/// The rule table.
#[must_use]
pub fn decide(role: Role, kind: EnvironmentKind, overrides: &[Override], user: UserId) -> Rights {
    let for_user = exception(overrides, OverrideTarget::User(user));
    if let Some(rights) = for_user.or_else(|| exception(overrides, OverrideTarget::Role(role))) {
        return rights;
    }
    let (to_read, to_write) = match kind {
        EnvironmentKind::Standard | EnvironmentKind::Development => (Role::Read, Role::Write),
        EnvironmentKind::Protected => (Role::Write, Role::Admin),
    };
    Rights { can_read: role >= to_read, can_write: role >= to_write }
}

fn exception(overrides: &[Override], target: OverrideTarget) -> Option<Rights> {
    let rule = overrides.iter().find(|rule| rule.target == target)?;
    Some(Rights { can_read: rule.can_read, can_write: rule.can_write })
}

/// The lookup key of a local repository's vault and grants.
pub(super) fn repo_lookup(view: View<'_>, repo: &RepoName) -> Lookup {
    view.keyring().index.lookup("local repository", &[repo.folded().as_bytes()])
}

/// The lookup key of a vault: by name where we give the roles, by number where the
/// forge does. So a name that somebody else has taken over does not lead to it.
pub(super) fn vault_lookup(view: View<'_>, vault: &Vault) -> Lookup {
    match vault.source {
        Source::Local { .. } => repo_lookup(view, &vault.repo),
        Source::GitHub { repository_id } => forge_lookup(view, repository_id),
    }
}

fn forge_lookup(view: View<'_>, repository_id: u64) -> Lookup {
    view.keyring().index.lookup("forge repository", &[&repository_id.to_be_bytes()])
}

/// The living vault of a local `repo`.
pub(super) fn find_vault(view: View<'_>, repo: &RepoName) -> Result<Option<Vault>, StoreError> {
    living_vault(view, repo_lookup(view, repo))
}

/// The living vault of the forge's repository of that number.
pub(super) fn forge_vault(view: View<'_>, repository_id: u64) -> Result<Option<Vault>, StoreError> {
    living_vault(view, forge_lookup(view, repository_id))
}

fn living_vault(view: View<'_>, lookup: Lookup) -> Result<Option<Vault>, StoreError> {
    let Some(id) = view.find(&VAULT_NAMES, lookup)? else { return Ok(None) };
    Ok(view.find(&VAULTS, id)?.filter(|vault| vault.deleted.is_none()))
}

/// The actor's role on a local vault, as far as the credential reaches.
pub(super) fn role_on(
    view: View<'_>,
    actor: &Actor,
    vault: &Vault,
    namespaces: Namespaces,
) -> Result<Option<Role>, StoreError> {
    if !actor.reaches(vault.id) {
        return Ok(None);
    }
    match vault.source {
        Source::Local { owner } if owner == Some(actor.user_id()) && namespaces == Namespaces::Owned => {
            Ok(Some(Role::Admin))
        }
        Source::Local { .. } => local_role(view, actor, &vault.repo),
        Source::GitHub { .. } => Ok(None),
    }
}

/// The role this appliance gives the actor on a local repository that is not in the
/// actor's own namespace.
pub(super) fn local_role(view: View<'_>, actor: &Actor, repo: &RepoName) -> Result<Option<Role>, StoreError> {
    local_role_of(view, &actor.user, repo)
}

fn local_role_of(view: View<'_>, user: &User, repo: &RepoName) -> Result<Option<Role>, StoreError> {
    if matches!(user.account, Account::Local { admin: true, .. }) {
        return Ok(Some(Role::Admin));
    }
    let grant = view.find(&GRANTS, (repo_lookup(view, repo), user.id))?;
    Ok(grant.map(|grant| grant.role))
}

/// Whether `user` is known here to be admin of `vault`. For a source elsewhere nobody
/// is: it would have to be asked.
pub(super) fn is_admin_of(view: View<'_>, user: &User, vault: &Vault) -> Result<bool, StoreError> {
    Ok(match vault.source {
        Source::Local { owner } if owner == Some(user.id) => true,
        Source::Local { .. } => local_role_of(view, user, &vault.repo)? == Some(Role::Admin),
        Source::GitHub { .. } => false,
    })
}
