//! Overrides: exceptions to the role table, for one environment and either one user or
//! everybody with exactly one role. There is one rule per target, so rules cannot
//! contradict each other, and no change may lock every admin out of an environment.

use super::activity::entry;
use super::gate::Change;
use super::permissions::{Access, Rights, decide, is_admin_of};
use super::secrets::named_in_body;
use super::vaults::rfc_3339;
use super::{Actor, Error, Result, Services};
use crate::base::ids::{OverrideId, UserId};
use crate::base::limits::OVERRIDES_PER_ENVIRONMENT;
use crate::base::{EnvironmentName, Page, Paged, RepoName, Role, Timestamp};
pub use crate::store::records::OverrideTarget;
use crate::store::records::{Action, EnvironmentInfo, Override, Vault};
use crate::store::tables::{USERS, VAULTS};
use crate::store::{Span, View};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// An override as the API shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideSummary {
    /// The override's id.
    pub id: OverrideId,
    /// The environment it is for.
    pub environment: EnvironmentName,
    /// `role` or `user`.
    #[schemars(extend("enum" = ["role", "user"]))]
    pub target_type: &'static str,
    /// Everybody with exactly this role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_role: Option<Role>,
    /// This user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_user_id: Option<UserId>,
    /// Whether they may read.
    pub can_read: bool,
    /// Whether they may write.
    pub can_write: bool,
    /// Since when.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: Timestamp,
}

/// What somebody may do in each environment of a vault.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EffectivePermissions {
    /// The role on the repository.
    pub role: Role,
    /// What comes of it, by environment.
    pub permissions: BTreeMap<EnvironmentName, Effective>,
}

/// What somebody may do in one environment.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// See values.
    pub can_read: bool,
    /// Change values.
    pub can_write: bool,
}

impl Services {
    /// What the actor may do in each environment, with the credential at hand.
    ///
    /// # Errors
    /// Not found.
    pub async fn effective_permissions(
        &self,
        actor: &Actor,
        repo: &RepoName,
    ) -> Result<EffectivePermissions> {
        self.look(actor, repo, |_, access| {
            let permissions = access.vault.living().map(|info| {
                let Rights { can_read, can_write } = access.rights(info);
                (info.name.clone(), Effective { can_read, can_write })
            });
            Ok(EffectivePermissions { role: access.role, permissions: permissions.collect() })
        })
        .await
    }

    /// The overrides of all environments, by environment and age.
    ///
    /// # Errors
    /// Not found, or forbidden below `admin`.
    pub async fn list_overrides(
        &self,
        actor: &Actor,
        repo: &RepoName,
        page: Page,
    ) -> Result<Paged<OverrideSummary>> {
        self.look(actor, repo, |_, access| {
            access.manage()?;
            let mut infos: Vec<&EnvironmentInfo> = access.vault.living().collect();
            infos.sort_by(|a, b| a.name.cmp(&b.name));
            let rules = infos.iter().flat_map(|info| info.overrides.iter().map(|rule| summary(info, rule)));
            Ok(page.cut(rules.collect()))
        })
        .await
    }

    /// Makes an override.
    ///
    /// # Errors
    /// Not found; forbidden below `admin`; invalid; conflict when there is one for that
    /// target, or when it would lock every admin out.
    pub async fn create_override(
        &self,
        actor: &Actor,
        repo: &RepoName,
        environment: EnvironmentName,
        target: OverrideTarget,
        rights: Rights,
    ) -> Result<OverrideSummary> {
        check(rights)?;
        self.change(actor, repo, move |change| {
            change.access.manage()?;
            let info = named_in_body(&change.access, &environment)?.clone();
            if let OverrideTarget::User(user) = target
                && change.view.find(&USERS, user)?.is_none()
            {
                return Err(Error::invalid("targetUserId", "must be the id of a user this server knows"));
            }
            if info.overrides.iter().any(|rule| rule.target == target) {
                return Err(Error::conflict(format!(
                    "environment `{environment}` has an override for {} already; change that one",
                    spelt(target)
                )));
            }
            if info.overrides.len() >= OVERRIDES_PER_ENVIRONMENT {
                return Err(Error::conflict(format!(
                    "an environment has at most {OVERRIDES_PER_ENVIRONMENT} overrides"
                )));
            }
            let rule = Override {
                id: OverrideId::new(change.now),
                target,
                can_read: rights.can_read,
                can_write: rights.can_write,
                created_at: change.now,
            };
            let mut after = info;
            after.overrides.push(rule);
            write(change, &after, &rule, Action::OverrideCreated)?;
            Ok(summary(&after, &rule))
        })
        .await
    }

    /// Changes what an override allows. `same` is asked whether its environment and
    /// target are those the client has in mind.
    ///
    /// # Errors
    /// Not found; forbidden below `admin`; invalid; conflict when it would lock every
    /// admin out.
    pub async fn change_override(
        &self,
        actor: &Actor,
        repo: &RepoName,
        id: OverrideId,
        rights: Rights,
        same: impl FnOnce(&OverrideSummary) -> Result<()> + Send + 'static,
    ) -> Result<OverrideSummary> {
        check(rights)?;
        self.change(actor, repo, move |change| {
            change.access.manage()?;
            let (mut after, mut rule) = find(&change.access, id)?;
            same(&summary(&after, &rule))?;
            (rule.can_read, rule.can_write) = (rights.can_read, rights.can_write);
            for kept in after.overrides.iter_mut().filter(|kept| kept.id == id) {
                *kept = rule;
            }
            write(change, &after, &rule, Action::OverrideChanged)?;
            Ok(summary(&after, &rule))
        })
        .await
    }

    /// Removes an override.
    ///
    /// # Errors
    /// Not found; forbidden below `admin`; conflict when that would lock every admin out.
    pub async fn delete_override(&self, actor: &Actor, repo: &RepoName, id: OverrideId) -> Result<()> {
        self.change(actor, repo, move |change| {
            change.access.manage()?;
            let (mut after, rule) = find(&change.access, id)?;
            after.overrides.retain(|kept| kept.id != id);
            write(change, &after, &rule, Action::OverrideDeleted)
        })
        .await
    }
}

fn check(rights: Rights) -> Result<()> {
    if rights.can_write && !rights.can_read {
        return Err(Error::invalid("canWrite", "must be false where `canRead` is: who writes also reads"));
    }
    Ok(())
}

fn find(access: &Access<'_>, id: OverrideId) -> Result<(EnvironmentInfo, Override)> {
    let mut all = access.vault.living().flat_map(|info| info.overrides.iter().map(move |rule| (info, rule)));
    let found = all.find(|(_, rule)| rule.id == id).map(|(info, rule)| (info.clone(), *rule));
    found.ok_or_else(|| Error::not_found("no such override in this vault"))
}

/// Writes the environment's rules as they are to be, unless that locked every admin out.
fn write(change: Change<'_, '_>, after: &EnvironmentInfo, rule: &Override, action: Action) -> Result<()> {
    let Change { view, batch, access, actor, now, .. } = change;
    if !some_admin_is_left(view, actor, &access.vault, after)? {
        return Err(Error::conflict(format!(
            "that would lock every admin out of environment `{}`; first give one of them an override that lets them read and write",
            after.name
        )));
    }
    let mut vault = access.vault;
    for info in vault.environments.iter_mut().filter(|info| info.id == after.id) {
        info.overrides.clone_from(&after.overrides);
    }
    vault.updated_at = now;
    batch.put(&VAULTS, vault.id, &vault)?;
    let what = match (rule.can_read, rule.can_write) {
        (_, true) => "reads and writes",
        (true, false) => "reads",
        (false, false) => "neither reads nor writes",
    };
    let subject = format!("{} {what}", spelt(rule.target));
    batch.audit(entry(actor, now, action).on(&vault).within(&after.name).regarding(subject));
    Ok(())
}

/// Whether an admin who is known here still reads and writes the environment. Whoever
/// makes the change is one; the others are asked only if that one is locked out.
fn some_admin_is_left(view: View<'_>, actor: &Actor, vault: &Vault, info: &EnvironmentInfo) -> Result<bool> {
    let may = |user: UserId| {
        let rights = decide(Role::Admin, info.kind, &info.overrides, user);
        rights.can_read && rights.can_write
    };
    if may(actor.user_id()) {
        return Ok(true);
    }
    let mut candidates = Vec::new();
    view.scan(&USERS, &Span::all(), |id, user| {
        if !user.disabled && may(id) {
            candidates.push(user);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for user in candidates {
        if is_admin_of(view, &user, vault)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn spelt(target: OverrideTarget) -> String {
    match target {
        OverrideTarget::Role(role) => format!("role `{role}`"),
        OverrideTarget::User(user) => format!("user `{user}`"),
    }
}

fn summary(info: &EnvironmentInfo, rule: &Override) -> OverrideSummary {
    let (target_type, target_role, target_user_id) = match rule.target {
        OverrideTarget::Role(role) => ("role", Some(role), None),
        OverrideTarget::User(user) => ("user", None, Some(user)),
    };
    OverrideSummary {
        id: rule.id,
        environment: info.name.clone(),
        target_type,
        target_role,
        target_user_id,
        can_read: rule.can_read,
        can_write: rule.can_write,
        created_at: rule.created_at,
    }
}
