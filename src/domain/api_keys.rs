//! API keys: credentials for machines, which narrow what their owner may do.

use super::activity::{entry, operator_entry};
use super::actor::Credential;
use super::auth::{check_still_good, remember};
use super::permissions::Access;
use super::roles::{Reach, Standing};
use super::vaults::{reachable, rfc_3339};
use super::{Actor, Error, Result, Services};
use crate::base::ids::{ApiKeyId, UserId};
use crate::base::limits::{API_KEY_LIST_MAX, API_KEY_NAME_CHARS_MAX, API_KEYS_PER_USER, ENDED_API_KEYS_KEPT};
use crate::base::{EnvironmentName, RepoName, Scope, Scopes, SecretText, Timestamp};
use crate::crypto::token;
use crate::store::records::{Action, ApiKey, ApiKeyUsage, KeyEnvironment, KeyRepository, User, Vault};
use crate::store::tables::{API_KEY_TOKENS, API_KEY_USAGE, API_KEYS, API_KEYS_BY_USER};
use crate::store::{Batch, Span, StoreError, View};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::ControlFlow;

/// What a new key should be.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// What its owner calls it.
    pub name: String,
    /// `live` or `test`, a label.
    pub label: Label,
    /// What it may do.
    pub scopes: Scopes,
    /// Until when; `None`: for ever.
    pub expires_at: Option<Timestamp>,
    /// From where; empty: anywhere.
    pub allowed_ips: Vec<IpNet>,
    /// On which repositories; `None`: all its owner reaches.
    pub repositories: Option<Vec<RepoName>>,
    /// In which environments; `None`: all.
    pub environments: Option<Vec<EnvironmentName>>,
}

impl NewApiKey {
    /// A key for all that its owner reaches, from anywhere and for ever, that may do `scopes`.
    #[must_use]
    pub fn unlimited(name: &str, scopes: Scopes) -> Self {
        Self {
            name: name.to_owned(),
            label: Label::Live,
            scopes,
            expires_at: None,
            allowed_ips: Vec::new(),
            repositories: None,
            environments: None,
        }
    }
}

/// The label in a key's prefix; it has no other meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// `kw_live_`
    Live,
    /// `kw_test_`
    Test,
}

impl Label {
    /// The label's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

/// An API key as lists show it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySummary {
    /// The key's id.
    pub id: ApiKeyId,
    /// What its owner calls it.
    pub name: String,
    /// The first characters of the token.
    pub prefix: String,
    /// `live` or `test`.
    #[schemars(extend("enum" = ["live", "test"]))]
    pub environment: String,
    /// What it may do.
    pub scopes: Scopes,
    /// From where; empty: anywhere.
    pub allowed_ips: Vec<String>,
    /// On which repositories; `null`: all.
    pub repositories: Option<Vec<RepoName>>,
    /// In which environments; `null`: all.
    pub environments: Option<Vec<EnvironmentName>>,
    /// Until when.
    #[serde(serialize_with = "optional_rfc_3339")]
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: Timestamp,
    /// When it was last used.
    #[serde(serialize_with = "optional_rfc_3339")]
    pub last_used_at: Option<Timestamp>,
    /// How often it was used.
    pub usage_count: u64,
    /// When it was revoked.
    #[serde(serialize_with = "optional_rfc_3339")]
    pub revoked_at: Option<Timestamp>,
}

/// A new key with its token, which is shown this once.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MintedApiKey {
    /// The token.
    #[schemars(with = "SecretText")]
    #[serde(with = "crate::base::secret::exposed")]
    pub token: SecretText,
    /// The key.
    #[serde(flatten)]
    pub key: ApiKeySummary,
}

fn optional_rfc_3339<S: serde::Serializer>(time: &Option<Timestamp>, target: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc_3339(time, target),
        None => target.serialize_none(),
    }
}

impl Services {
    /// Mints a key for the actor. It can never do more than the key that mints it.
    ///
    /// # Errors
    /// Invalid, forbidden when it would do more, not found for a repository out of
    /// reach, conflict when the owner has too many.
    pub async fn mint_api_key(&self, actor: &Actor, wanted: NewApiKey) -> Result<MintedApiKey> {
        check(&wanted, self.now())?;
        let wanted = narrowed(wanted, actor)?;
        self.may_act_later(actor, &wanted)?;
        let named = self.standings(actor, wanted.repositories.as_deref()).await?;
        // Which vaults are in reach is asked only where it decides something.
        let everywhere = wanted.environments.is_some() || actor.limits().1.is_some();
        let reach = if named.is_none() && everywhere { Some(self.reach(actor).await?) } else { None };
        let (services, caller) = (self.clone(), actor.clone());
        self.store()
            .write(move |view, batch| {
                check_still_good(view, &caller)?;
                let now = services.now();
                let vaults = bound_vaults(view, &caller, named.as_deref())?;
                let environments = bound_environments(view, &caller, &vaults, &wanted, reach.as_ref())?;
                remember(view, batch, &caller)?;
                let minted = mint(view, batch, caller.user_id(), wanted, vaults, environments, now)?;
                batch.audit(entry(&caller, now, Action::ApiKeyCreated).regarding(minted.key.name.clone()));
                Ok(minted)
            })
            .await
    }

    /// The actor's keys, newest first; of those that have ended the latest.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list_api_keys(&self, actor: &Actor) -> Result<Vec<ApiKeySummary>> {
        self.store().read(|view| {
            let mut keys = Vec::new();
            for id in key_ids(view, actor.user_id())? {
                if let Some(key) = view.find(&API_KEYS, id)? {
                    keys.push(self.summary_of(view, &key)?);
                }
            }
            Ok(keys)
        })
    }

    /// One of the actor's keys.
    ///
    /// # Errors
    /// Not found, also for somebody else's.
    pub async fn api_key(&self, actor: &Actor, id: ApiKeyId) -> Result<ApiKeySummary> {
        self.store().read(|view| self.summary_of(view, &own_key(view, actor, id)?).map_err(Error::from))
    }

    /// Revokes one of the actor's keys, at once.
    ///
    /// # Errors
    /// Not found, also for somebody else's.
    pub async fn revoke_api_key(&self, actor: &Actor, id: ApiKeyId) -> Result<()> {
        let (services, caller) = (self.clone(), actor.clone());
        self.store()
            .write(move |view, batch| {
                check_still_good(view, &caller)?;
                let mut key = own_key(view, &caller, id)?;
                if key.revoked_at.is_none() {
                    let now = services.now();
                    key.revoked_at = Some(now);
                    batch.put(&API_KEYS, id, &key)?;
                    batch.audit(entry(&caller, now, Action::ApiKeyRevoked).regarding(key.name));
                }
                Ok(())
            })
            .await
    }

    /// Mints a key for any user, at the request of the machine's administrator.
    ///
    /// # Errors
    /// As [`Services::mint_api_key`].
    pub(super) async fn mint_for(&self, user: User, wanted: NewApiKey) -> Result<MintedApiKey> {
        check(&wanted, self.now())?;
        let services = self.clone();
        self.store()
            .write(move |view, batch| {
                let now = services.now();
                let vaults = match &wanted.repositories {
                    Some(repos) => {
                        Some(repos.iter().map(|repo| any_vault(view, repo)).collect::<Result<_>>()?)
                    }
                    None => None,
                };
                let environments = named_environments(&vaults, &wanted, || {
                    let ids = super::vaults::candidates(view, user.id)?;
                    let vaults = ids.into_iter().map(|id| view.find(&crate::store::tables::VAULTS, id));
                    Ok(vaults.collect::<Result<Vec<_>, StoreError>>()?.into_iter().flatten().collect())
                })?;
                let subject = format!("{} for {}", wanted.name, user.username());
                let minted = mint(view, batch, user.id, wanted, vaults, environments, now)?;
                batch.audit(operator_entry(now, Action::ApiKeyCreated).regarding(subject));
                Ok(minted)
            })
            .await
    }

    /// A key acts through what its owner left us at the forge, and reaches no further
    /// than the credential that minted it: one made with a token of the forge, which may
    /// be limited in ways we do not see, is for repositories that were checked with it.
    fn may_act_later(&self, actor: &Actor, wanted: &NewApiKey) -> Result<()> {
        if actor.is_of_the_forge() && !self.has_grant(actor.user_id())? {
            return Err(Error::conflict(
                "an API key acts through its owner's sign-in, and there is none yet; sign in once with a browser",
            ));
        }
        if matches!(actor.credential, Credential::Forge(_)) && wanted.repositories.is_none() {
            let message = "must name repositories when the key is made with a GitHub token";
            return Err(Error::invalid("repositories", message));
        }
        Ok(())
    }

    /// The actor's part in each of the named repositories.
    async fn standings(
        &self,
        actor: &Actor,
        repos: Option<&[RepoName]>,
    ) -> Result<Option<Vec<(RepoName, Standing)>>> {
        let Some(repos) = repos else { return Ok(None) };
        let mut all = Vec::with_capacity(repos.len());
        for repo in repos {
            all.push((repo.clone(), self.standing(actor, repo).await?));
        }
        Ok(Some(all))
    }

    fn summary_of(&self, view: View<'_>, key: &ApiKey) -> Result<ApiKeySummary, StoreError> {
        Ok(summary(key, self.usage_of(view, key)?))
    }
}

fn check(wanted: &NewApiKey, now: Timestamp) -> Result<()> {
    let length = wanted.name.chars().count();
    if wanted.name.trim().is_empty() || length > API_KEY_NAME_CHARS_MAX {
        let message = format!("must have 1 to {API_KEY_NAME_CHARS_MAX} characters");
        return Err(Error::invalid("name", message));
    }
    if wanted.scopes.is_empty() {
        let all: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        return Err(Error::invalid("scopes", format!("must name at least one of {}", all.join(", "))));
    }
    if wanted.expires_at.is_some_and(|end| end <= now) {
        return Err(Error::invalid("expiresInDays", "must be at least 1"));
    }
    let too_many = format!("must have at most {API_KEY_LIST_MAX} entries");
    if wanted.allowed_ips.len() > API_KEY_LIST_MAX {
        return Err(Error::invalid("allowedIps", too_many));
    }
    for (field, length) in [
        ("repositories", wanted.repositories.as_ref().map(Vec::len)),
        ("environments", wanted.environments.as_ref().map(Vec::len)),
    ] {
        match length {
            Some(0) => return Err(Error::invalid(field, "must not be empty; leave it out for no limit")),
            Some(length) if length > API_KEY_LIST_MAX => return Err(Error::invalid(field, too_many)),
            _ => {}
        }
    }
    Ok(())
}

/// A key mints only subsets of itself, and what is not said is as in the key that mints:
/// else a key that ends, or that works from one place, could make itself a better one.
fn narrowed(mut wanted: NewApiKey, actor: &Actor) -> Result<NewApiKey> {
    let Credential::ApiKey(own) = &actor.credential else { return Ok(wanted) };
    if !wanted.scopes.within(&own.scopes) {
        return Err(Error::forbidden("an API key can only mint keys with scopes of its own"));
    }
    wanted.expires_at = wanted.expires_at.or(own.expires_at);
    if own.expires_at.is_some() && wanted.expires_at > own.expires_at {
        return Err(Error::forbidden("an API key can only mint keys that end no later than itself"));
    }
    if wanted.allowed_ips.is_empty() {
        wanted.allowed_ips.clone_from(&own.allowed_ips);
    }
    let within = |net: &IpNet| own.allowed_ips.iter().any(|own| own.contains(net));
    if !own.allowed_ips.is_empty() && !wanted.allowed_ips.iter().all(within) {
        return Err(Error::forbidden("an API key can only mint keys for addresses of its own"));
    }
    Ok(wanted)
}

/// The named vaults, or those the minting key is itself limited to.
fn bound_vaults(
    view: View<'_>,
    actor: &Actor,
    named: Option<&[(RepoName, Standing)]>,
) -> Result<Option<Vec<Vault>>> {
    let Some(named) = named else {
        let Some(own) = actor.limits().0 else { return Ok(None) };
        let vaults = own.iter().map(|&id| view.find(&crate::store::tables::VAULTS, id));
        return Ok(Some(vaults.collect::<Result<Vec<_>, StoreError>>()?.into_iter().flatten().collect()));
    };
    let vaults = named.iter().map(|(repo, standing)| {
        let access = Access::of(view, actor, repo, standing);
        access.map(|access| access.vault).map_err(|error| Error::invalid("repositories", error))
    });
    vaults.collect::<Result<_>>().map(Some)
}

/// The named environments within reach of the minting key, or those it is limited to.
fn bound_environments(
    view: View<'_>,
    actor: &Actor,
    vaults: &Option<Vec<Vault>>,
    wanted: &NewApiKey,
    reach: Option<&Reach>,
) -> Result<Option<Vec<KeyEnvironment>>> {
    let everywhere = || {
        let reach = reach.ok_or_else(|| Error::internal("the actor's reach was not asked for"))?;
        Ok(reachable(view, actor, reach)?.into_iter().map(|(vault, _)| vault).collect())
    };
    let named = named_environments(vaults, wanted, everywhere)?;
    let Some(own) = actor.limits().1 else { return Ok(named) };
    let Some(named) = named else {
        let vaults = match vaults {
            Some(vaults) => vaults.clone(),
            None => everywhere()?,
        };
        let all = vaults.iter().flat_map(|vault| &vault.environments);
        let kept = all.filter(|info| own.contains(&info.id));
        return Ok(Some(kept.map(|info| KeyEnvironment { id: info.id, name: info.name.clone() }).collect()));
    };
    if named.iter().any(|environment| !own.contains(&environment.id)) {
        return Err(Error::forbidden("an API key can only mint keys for environments of its own"));
    }
    Ok(Some(named))
}

/// Environments are bound by id: one that is made later under the same name is another.
fn named_environments(
    vaults: &Option<Vec<Vault>>,
    wanted: &NewApiKey,
    everywhere: impl Fn() -> Result<Vec<Vault>>,
) -> Result<Option<Vec<KeyEnvironment>>> {
    let Some(names) = &wanted.environments else { return Ok(None) };
    let all;
    let vaults = match vaults {
        Some(vaults) => vaults,
        None => {
            all = everywhere()?;
            &all
        }
    };
    let mut bound = Vec::new();
    for name in names {
        let before = bound.len();
        let found = vaults.iter().flat_map(Vault::living).filter(|info| info.name == *name);
        bound.extend(found.map(|info| KeyEnvironment { id: info.id, name: name.clone() }));
        if bound.len() == before {
            let message = format!("names `{name}`, which none of the vaults in reach has");
            return Err(Error::invalid("environments", message));
        }
    }
    Ok(Some(bound))
}

fn any_vault(view: View<'_>, repo: &RepoName) -> Result<Vault> {
    super::permissions::find_vault(view, repo)?
        .ok_or_else(|| Error::invalid("repositories", format!("names `{repo}`, which has no vault yet")))
}

fn mint(
    view: View<'_>,
    batch: &mut Batch<'_>,
    user: UserId,
    wanted: NewApiKey,
    vaults: Option<Vec<Vault>>,
    environments: Option<Vec<KeyEnvironment>>,
    now: Timestamp,
) -> Result<MintedApiKey> {
    make_room(view, batch, user, now)?;
    let label = wanted.label.as_str();
    let token = token::new_api_key(label);
    let bound = |vault: Vault| KeyRepository { vault: vault.id, name: vault.repo };
    let key = ApiKey {
        id: ApiKeyId::new(now),
        user,
        name: wanted.name,
        label: label.to_owned(),
        prefix: token::shown_prefix(&token),
        token: view.keyring().index.api_key(&token),
        scopes: wanted.scopes,
        allowed_ips: wanted.allowed_ips,
        repositories: vaults.map(|vaults| vaults.into_iter().map(bound).collect()),
        environments,
        expires_at: wanted.expires_at,
        created_at: now,
        revoked_at: None,
    };
    batch.put(&API_KEYS, key.id, &key)?;
    batch.put(&API_KEY_TOKENS, key.token, &key.id)?;
    batch.index(&API_KEYS_BY_USER, (user, key.id));
    Ok(MintedApiKey { token, key: summary(&key, ApiKeyUsage::default()) })
}

/// Refuses one living key too many, and drops the keys that ended longest ago when there are
/// many: nobody can take them away, and the audit log still tells of them.
fn make_room(view: View<'_>, batch: &mut Batch<'_>, user: UserId, now: Timestamp) -> Result<()> {
    let ids = key_ids(view, user)?;
    if ids.len() < API_KEYS_PER_USER {
        return Ok(());
    }
    let (mut living, mut ended) = (0, Vec::new());
    for id in ids {
        let Some(key) = view.find(&API_KEYS, id)? else { continue };
        match ended_at(&key, now) {
            Some(end) => ended.push((end, key)),
            None => living += 1,
        }
    }
    if living >= API_KEYS_PER_USER {
        return Err(Error::conflict(format!(
            "an account holds {API_KEYS_PER_USER} living API keys at most; delete one before making another"
        )));
    }
    ended.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
    for (_, key) in ended.iter().skip(ENDED_API_KEYS_KEPT) {
        batch.delete(&API_KEY_TOKENS, key.token);
        forget_key(batch, user, key.id);
    }
    Ok(())
}

/// When the key ended, if it has.
fn ended_at(key: &ApiKey, now: Timestamp) -> Option<Timestamp> {
    let expired = key.expires_at.filter(|end| *end <= now);
    [key.revoked_at, expired].into_iter().flatten().min()
}

/// Deletes what is kept of a key but its token.
pub(super) fn forget_key(batch: &mut Batch<'_>, user: UserId, id: ApiKeyId) {
    batch.delete(&API_KEYS, id);
    batch.delete(&API_KEY_USAGE, id);
    batch.unindex(&API_KEYS_BY_USER, (user, id));
}

/// Ids of a user's keys, newest first.
pub(super) fn key_ids(view: View<'_>, user: UserId) -> Result<Vec<ApiKeyId>, StoreError> {
    let mut ids = Vec::new();
    view.scan_index(&API_KEYS_BY_USER, &Span::under(user).newest_first(), |(_, id)| {
        ids.push(id);
        ControlFlow::Continue(())
    })?;
    Ok(ids)
}

fn own_key(view: View<'_>, actor: &Actor, id: ApiKeyId) -> Result<ApiKey> {
    let key = view.find(&API_KEYS, id)?.filter(|key| key.user == actor.user_id());
    key.ok_or_else(|| Error::not_found("no such API key"))
}

fn summary(key: &ApiKey, usage: ApiKeyUsage) -> ApiKeySummary {
    let repositories = key.repositories.as_ref();
    let mut environments =
        key.environments.as_ref().map(|list| list.iter().map(|one| one.name.clone()).collect::<Vec<_>>());
    if let Some(names) = &mut environments {
        names.sort();
        names.dedup();
    }
    ApiKeySummary {
        id: key.id,
        name: key.name.clone(),
        prefix: key.prefix.clone(),
        environment: key.label.clone(),
        scopes: key.scopes.clone(),
        allowed_ips: key.allowed_ips.iter().map(ToString::to_string).collect(),
        repositories: repositories.map(|list| list.iter().map(|one| one.name.clone()).collect()),
        environments,
        expires_at: key.expires_at,
        created_at: key.created_at,
        last_used_at: usage.last_used_at,
        usage_count: usage.count,
        revoked_at: key.revoked_at,
    }
}
