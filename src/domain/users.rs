//! What the API tells people about themselves.

use super::integrations::connections_of;
use super::vaults::rfc_3339;
use super::{Actor, Result, Services};
use crate::base::Timestamp;
use crate::base::ids::UserId;
use crate::store::records::{Account, User};
use crate::store::{StoreError, View};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashSet;

/// Everybody has the same plan: nothing is metered.
pub const PLAN: &str = "team";
const UNLIMITED: &str = "unlimited";

/// A user, to themselves.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The user's id.
    pub id: UserId,
    /// The login.
    pub username: String,
    /// The number at GitHub; `null` for an account of this appliance.
    pub github_id: Option<u64>,
    /// Mail address.
    pub email: Option<String>,
    /// Picture.
    pub avatar_url: Option<String>,
    /// Always `team`.
    pub plan: &'static str,
    /// When first seen.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: Timestamp,
}

/// What a plan would limit.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanLimits {
    max_public_repos: &'static str,
    max_private_repos: &'static str,
    max_providers: &'static str,
    max_environments_per_vault: &'static str,
    max_secrets_per_private_vault: &'static str,
}

/// What is in use.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct PlanUse {
    /// Vaults of public repositories in reach.
    pub public: u64,
    /// Vaults of private repositories in reach.
    pub private: u64,
    /// Connected providers.
    pub providers: u64,
}

/// Plan, limits and use.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct PlanUsage {
    /// Always `team`.
    pub plan: &'static str,
    /// All unlimited.
    pub limits: PlanLimits,
    /// What is in use.
    pub usage: PlanUse,
}

impl Services {
    /// The actor's own profile.
    #[must_use]
    pub fn profile(&self, actor: &Actor) -> Profile {
        profile(&actor.user)
    }

    /// What the actor uses.
    ///
    /// # Errors
    /// If the store fails, or the forge cannot be asked.
    pub async fn plan_usage(&self, actor: &Actor) -> Result<PlanUsage> {
        let vaults = self.reachable_vaults(actor).await?.list;
        let providers = self.store().read(|view| providers(view, actor))?;
        let private = vaults.iter().filter(|(vault, _)| vault.private).count() as u64;
        let limits = PlanLimits {
            max_public_repos: UNLIMITED,
            max_private_repos: UNLIMITED,
            max_providers: UNLIMITED,
            max_environments_per_vault: UNLIMITED,
            max_secrets_per_private_vault: UNLIMITED,
        };
        let usage = PlanUse { public: vaults.len() as u64 - private, private, providers };
        Ok(PlanUsage { plan: PLAN, limits, usage })
    }
}

/// How many services the actor has connected.
fn providers(view: View<'_>, actor: &Actor) -> Result<u64, StoreError> {
    let connections = connections_of(view, actor.user_id())?;
    let names: HashSet<&str> = connections.iter().map(|connection| connection.provider.as_str()).collect();
    Ok(names.len() as u64)
}

fn profile(user: &User) -> Profile {
    Profile {
        id: user.id,
        username: user.username().to_owned(),
        github_id: match user.account {
            Account::GitHub { id, .. } => Some(id),
            Account::Local { .. } => None,
        },
        email: user.email.clone(),
        avatar_url: user.avatar_url.clone(),
        plan: PLAN,
        created_at: user.created_at,
    }
}
