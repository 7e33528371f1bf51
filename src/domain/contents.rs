//! The secrets of one environment: loading them, and the one way to change them.
//! Every change, whichever call it comes from, is an [`Edit`]: it keeps overwritten
//! values as versions, puts deleted secrets into the trash and writes down the new
//! state as a revision, all in the caller's one transaction.

use super::activity::Counts;
use super::permissions::{CanRead, CanWrite};
use super::{Actor, Error, ErrorKind, Result, Settings};
use crate::base::ids::{EnvironmentId, RevisionId, SecretId, UserId, VersionId};
use crate::base::limits::SECRETS_PER_ENVIRONMENT;
use crate::base::{Platform, SecretName, SecretText, Timestamp};
use crate::store::records::{
    Deletion, Environment, EnvironmentSeen, ManifestItem, Revision, Secret, TrashedSecret, Vault, Version,
};
use crate::store::tables::{ENVIRONMENTS, REVISIONS, TRASH, TRASH_BY_TIME, VAULTS, VERSIONS};
use crate::store::{Batch, StoreError, VaultSeal, View};
use std::collections::HashMap;

/// How many past states of an environment are remembered.
const REVISIONS_KEPT: u64 = 50;

/// The environment's living secrets.
pub(super) fn load(view: View<'_>, right: &CanRead) -> Result<Environment> {
    Ok(load_with(view, &seal(view, right)?, right)?)
}

/// The keys of the vault that `right` is for.
pub(super) fn seal(view: View<'_>, right: &CanRead) -> Result<VaultSeal> {
    view.vault_seal(right.vault())?.ok_or_else(without_keys)
}

fn load_with(view: View<'_>, seal: &VaultSeal, right: &CanRead) -> Result<Environment, StoreError> {
    let key = (right.vault(), right.environment());
    Ok(view.find_in(seal, &ENVIRONMENTS, key)?.unwrap_or_else(|| untouched(right.environment())))
}

/// What `see` makes of the environment's living secrets where they lie.
pub(super) fn look<T>(
    view: View<'_>,
    right: &CanRead,
    mut see: impl FnMut(EnvironmentSeen<'_>) -> T,
) -> Result<T> {
    let key = (right.vault(), right.environment());
    let found = view.look_in(&seal(view, right)?, &ENVIRONMENTS, key, &mut see)?;
    Ok(found.unwrap_or_else(|| see(EnvironmentSeen::empty(untouched(right.environment()).revision))))
}

/// An environment that nobody has written to yet; its first state is named after it.
fn untouched(environment: EnvironmentId) -> Environment {
    let revision = RevisionId::from_bytes(*environment.as_bytes());
    Environment { revision, number: 0, secrets: Vec::new() }
}

fn without_keys() -> Error {
    Error::internal("a living vault has no keys")
}

/// What setting a value came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetOutcome {
    Created,
    Updated,
    Unchanged,
}

/// Whom a change is put down to.
#[derive(Clone, Copy)]
pub(super) struct Author {
    user: Option<UserId>,
    platform: Platform,
}

impl Author {
    /// The machine's own administrator, who has no account here.
    pub(super) const OPERATOR: Self = Self { user: None, platform: Platform::Admin };

    const fn of(actor: &Actor) -> Self {
        Self { user: Some(actor.user_id()), platform: actor.platform() }
    }
}

/// A change to one environment in the making.
pub(super) struct Edit<'a> {
    settings: &'a Settings,
    author: Author,
    now: Timestamp,
    seal: VaultSeal,
    vault: Vault,
    environment: EnvironmentId,
    content: Environment,
    overwritten: Vec<(SecretId, u64, Version)>,
    removed: Vec<Secret>,
    /// Secrets that leave the trash, and since when they were in it.
    untrashed: Vec<(SecretId, Timestamp)>,
    counts: Counts,
}

#[cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "positions come from `position` on the same list")
)]
impl<'a> Edit<'a> {
    /// Begins to change the environment that `right` is for.
    pub(super) fn begin(
        view: View<'_>,
        right: &CanWrite,
        vault: Vault,
        actor: &Actor,
        settings: &'a Settings,
        now: Timestamp,
    ) -> Result<Self> {
        let seal = view.vault_seal(vault.id)?.ok_or_else(without_keys)?;
        Self::sealing(view, seal, right, vault, Author::of(actor), settings, now)
    }

    /// The same with the vault's keys at hand, which a vault in the making has before
    /// they are in the database.
    pub(super) fn sealing(
        view: View<'_>,
        seal: VaultSeal,
        right: &CanWrite,
        vault: Vault,
        author: Author,
        settings: &'a Settings,
        now: Timestamp,
    ) -> Result<Self> {
        let content = load_with(view, &seal, right.read())?;
        Ok(Self {
            settings,
            author,
            now,
            seal,
            vault,
            environment: right.read().environment(),
            content,
            overwritten: Vec::new(),
            removed: Vec::new(),
            untrashed: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// The state as it is so far.
    pub(super) const fn content(&self) -> &Environment {
        &self.content
    }

    /// The secret of that name, as it is so far.
    pub(super) fn named(&self, name: &SecretName) -> Option<&Secret> {
        self.content.secrets.get(self.position(name).ok()?)
    }

    /// Gives `name` this value, creating it if need be.
    pub(super) fn set(&mut self, name: &SecretName, value: SecretText) -> SetOutcome {
        match self.position(name) {
            Ok(at) if self.content.secrets[at].value == value => SetOutcome::Unchanged,
            Ok(at) => {
                self.overwrite(at, value);
                self.counts.updated += 1;
                SetOutcome::Updated
            }
            Err(at) => {
                let secret = Secret {
                    id: SecretId::new(self.now),
                    name: name.clone(),
                    value,
                    version: 1,
                    created_at: self.now,
                    updated_at: self.now,
                    updated_by: self.author.user,
                };
                self.content.secrets.insert(at, secret);
                self.counts.created += 1;
                SetOutcome::Created
            }
        }
    }

    /// Renames a secret or gives it a new value, or both. `None`: there is no such secret.
    ///
    /// # Errors
    /// Conflict when the new name is taken.
    pub(super) fn change(
        &mut self,
        id: SecretId,
        name: Option<SecretName>,
        value: Option<SecretText>,
    ) -> Result<Option<Secret>> {
        let Some(mut at) = self.content.secrets.iter().position(|secret| secret.id == id) else {
            return Ok(None);
        };
        let new_name = name.filter(|name| *name != self.content.secrets[at].name);
        let new_value = value.filter(|value| *value != self.content.secrets[at].value);
        if new_name.is_some() || new_value.is_some() {
            self.counts.updated += 1;
        }
        if let Some(value) = new_value {
            self.overwrite(at, value);
        }
        if let Some(name) = new_name {
            if self.position(&name).is_ok() {
                return Err(Error::conflict(format!("a secret with the key `{name}` exists already")));
            }
            let mut secret = self.content.secrets.remove(at);
            secret.name = name;
            at = self.position(&secret.name).unwrap_or_else(|free| free);
            self.content.secrets.insert(at, secret);
        }
        Ok(Some(self.content.secrets[at].clone()))
    }

    /// Puts a secret into the trash. `None`: there is no such secret.
    pub(super) fn remove(&mut self, id: SecretId) -> Option<&Secret> {
        let at = self.content.secrets.iter().position(|secret| secret.id == id)?;
        self.removed.push(self.content.secrets.remove(at));
        self.counts.deleted += 1;
        self.removed.last()
    }

    /// Puts every secret into the trash whose name `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(&SecretName) -> bool) {
        let (kept, gone) = std::mem::take(&mut self.content.secrets).into_iter().partition(|s| keep(&s.name));
        self.content.secrets = kept;
        self.removed = gone;
        self.counts.deleted += u32::try_from(self.removed.len()).unwrap_or(u32::MAX);
    }

    /// Takes a secret of this environment out of the trash, as it was.
    ///
    /// # Errors
    /// Conflict when its key lives again.
    pub(super) fn restore(&mut self, trashed: TrashedSecret) -> Result<()> {
        let Err(at) = self.position(&trashed.secret.name) else {
            return Err(Error::conflict(format!(
                "a secret with the key `{}` exists again; rename or delete it first",
                trashed.secret.name
            )));
        };
        self.untrashed.push((trashed.secret.id, trashed.deletion.at));
        self.content.secrets.insert(at, trashed.secret);
        self.counts.created += 1;
        Ok(())
    }

    /// Takes the environment back to `state`, whatever became of its secrets since:
    /// overwritten, renamed or deleted. Returns the keys that were not as they were.
    ///
    /// # Errors
    /// Conflict, naming the keys whose values are no longer kept.
    pub(super) fn revert(&mut self, view: View<'_>, state: &Revision) -> Result<Vec<SecretName>> {
        let living = std::mem::take(&mut self.content.secrets).into_iter();
        let mut living: HashMap<SecretId, Secret> = living.map(|secret| (secret.id, secret)).collect();
        let (mut lost, mut touched) = (Vec::new(), Vec::new());
        for item in &state.manifest {
            let trashed = if living.contains_key(&item.id) { None } else { self.trashed(view, item.id)? };
            let since = trashed.as_ref().map(|trashed| trashed.deletion.at);
            let secret = living.remove(&item.id).or(trashed.map(|trashed| trashed.secret));
            let value = match &secret {
                Some(secret) if secret.version == item.version => Some(secret.value.clone()),
                _ => self.old_value(view, item.id, item.version)?,
            };
            match (secret, value) {
                (Some(secret), Some(value)) => touched.extend(self.take_back(secret, since, item, value)),
                _ => lost.push(item.name.as_str()),
            }
        }
        if !lost.is_empty() {
            return Err(Error::conflict(format!(
                "the values that these keys had are no longer kept: {}",
                lost.join(", ")
            )));
        }
        self.content.secrets.sort_by(|a, b| a.name.cmp(&b.name));
        self.removed = living.into_values().collect();
        self.removed.sort_by(|a, b| a.name.cmp(&b.name));
        self.counts.deleted += u32::try_from(self.removed.len()).unwrap_or(u32::MAX);
        touched.extend(self.removed.iter().map(|secret| secret.name.clone()));
        Ok(touched)
    }

    /// One secret of an earlier state: its name and value as they were then. `since`
    /// tells when it went to the trash, if it is there.
    fn take_back(
        &mut self,
        secret: Secret,
        since: Option<Timestamp>,
        item: &ManifestItem,
        value: SecretText,
    ) -> Option<SecretName> {
        let (renamed, rewritten) = (secret.name != item.name, secret.value != value);
        let id = secret.id;
        self.content.secrets.push(Secret { name: item.name.clone(), ..secret });
        if rewritten {
            self.overwrite(self.content.secrets.len() - 1, value);
        }
        match since {
            Some(since) => {
                self.untrashed.push((id, since));
                self.counts.created += 1;
            }
            None if renamed || rewritten => self.counts.updated += 1,
            None => return None,
        }
        Some(item.name.clone())
    }

    fn trashed(&self, view: View<'_>, id: SecretId) -> Result<Option<TrashedSecret>, StoreError> {
        let found = view.find_in(&self.seal, &TRASH, (self.vault.id, id))?;
        Ok(found.filter(|trashed| trashed.environment == self.environment))
    }

    fn old_value(
        &self,
        view: View<'_>,
        id: SecretId,
        version: u64,
    ) -> Result<Option<SecretText>, StoreError> {
        let found = view.find_in(&self.seal, &VERSIONS, (self.vault.id, id, version))?;
        Ok(found.map(|version| version.value))
    }

    /// Writes the change, unless nothing changed, and says what it came to.
    ///
    /// # Errors
    /// Too large, when the environment would exceed its limits.
    pub(super) fn finish(self, batch: &mut Batch<'_>) -> Result<(Vault, Counts)> {
        self.finish_with_state(batch).map(|(vault, _, counts)| (vault, counts))
    }

    /// The same, and also says in which state the environment is then.
    ///
    /// # Errors
    /// As [`Edit::finish`].
    pub(super) fn finish_with_state(mut self, batch: &mut Batch<'_>) -> Result<(Vault, RevisionId, Counts)> {
        if self.counts == Counts::default() {
            return Ok((self.vault, self.content.revision, self.counts));
        }
        self.check_size()?;
        self.content.revision = RevisionId::new(self.now);
        self.content.number += 1;
        self.keep_versions(batch)?;
        self.fill_trash(batch)?;
        self.note_revision(batch)?;
        let key = (self.vault.id, self.environment);
        batch.put_in(&self.seal, &ENVIRONMENTS, key, &self.content)?;
        let count = u32::try_from(self.content.secrets.len()).unwrap_or(u32::MAX);
        if let Some(info) = self.vault.environments.iter_mut().find(|info| info.id == self.environment) {
            info.secret_count = count;
        }
        self.vault.updated_at = self.now;
        batch.put(&VAULTS, self.vault.id, &self.vault)?;
        Ok((self.vault, self.content.revision, self.counts))
    }

    fn position(&self, name: &SecretName) -> Result<usize, usize> {
        self.content.secrets.binary_search_by(|secret| secret.name.cmp(name))
    }

    fn overwrite(&mut self, at: usize, value: SecretText) {
        let secret = &mut self.content.secrets[at];
        let old = Version {
            id: VersionId::new(self.now),
            value: std::mem::replace(&mut secret.value, value),
            created_at: secret.updated_at,
            created_by: secret.updated_by,
        };
        self.overwritten.push((secret.id, secret.version, old));
        secret.version += 1;
        secret.updated_at = self.now;
        secret.updated_by = self.author.user;
    }

    fn check_size(&self) -> Result<()> {
        let size: usize = self.content.secrets.iter().map(|s| s.name.as_str().len() + s.value.len()).sum();
        if size > self.settings.environment_limit_bytes {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the environment would hold {size} bytes of keys and values, the limit is {}",
                    self.settings.environment_limit_bytes
                ),
            ));
        }
        if self.content.secrets.len() > SECRETS_PER_ENVIRONMENT {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("an environment holds at most {SECRETS_PER_ENVIRONMENT} secrets"),
            ));
        }
        Ok(())
    }

    fn keep_versions(&self, batch: &mut Batch<'_>) -> Result<()> {
        let kept = self.settings.versions_kept;
        for (secret, number, version) in &self.overwritten {
            if kept > 0 {
                batch.put_in(&self.seal, &VERSIONS, (self.vault.id, *secret, *number), version)?;
            }
            if *number > kept {
                batch.delete_in(&VERSIONS, (self.vault.id, *secret, number - kept));
            }
        }
        Ok(())
    }

    fn fill_trash(&mut self, batch: &mut Batch<'_>) -> Result<()> {
        let deletion = Deletion { at: self.now, by: self.author.user };
        for secret in std::mem::take(&mut self.removed) {
            let key = (self.vault.id, secret.id);
            let trashed = TrashedSecret { secret, environment: self.environment, deletion };
            batch.put_in(&self.seal, &TRASH, key, &trashed)?;
            batch.index(&TRASH_BY_TIME, (self.now, key.0, key.1));
        }
        for (secret, since) in std::mem::take(&mut self.untrashed) {
            batch.delete_in(&TRASH, (self.vault.id, secret));
            batch.unindex(&TRASH_BY_TIME, (since, self.vault.id, secret));
        }
        Ok(())
    }

    fn note_revision(&self, batch: &mut Batch<'_>) -> Result<()> {
        let manifest = self.content.secrets.iter().map(|secret| ManifestItem {
            id: secret.id,
            name: secret.name.clone(),
            version: secret.version,
        });
        let revision = Revision {
            id: self.content.revision,
            created_at: self.now,
            created_by: self.author.user,
            platform: self.author.platform,
            created: self.counts.created,
            updated: self.counts.updated,
            deleted: self.counts.deleted,
            manifest: manifest.collect(),
        };
        let key = |number| (self.vault.id, self.environment, number);
        if self.content.number == 1 {
            batch.put_in(&self.seal, &REVISIONS, key(0), &self.beginning())?;
        }
        batch.put_in(&self.seal, &REVISIONS, key(self.content.number), &revision)?;
        if self.content.number > REVISIONS_KEPT {
            batch.delete_in(&REVISIONS, key(self.content.number - REVISIONS_KEPT));
        }
        Ok(())
    }

    /// The empty state that was there before the first change, so that this one can be
    /// taken back as well.
    fn beginning(&self) -> Revision {
        let info = self.vault.environments.iter().find(|info| info.id == self.environment);
        Revision {
            id: untouched(self.environment).revision,
            created_at: info.map_or(self.now, |info| info.created_at),
            created_by: None,
            platform: Platform::Api,
            created: 0,
            updated: 0,
            deleted: 0,
            manifest: Vec::new(),
        }
    }
}
