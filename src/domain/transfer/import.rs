//! Putting in what comes from elsewhere. One environment is one step: it is there with
//! all that could be taken, or as it was. Nothing is deleted, and doing it again changes
//! nothing, so that what was cut off is simply repeated.

use super::{Exception, Home, Parcel, Target, Value};
use crate::base::ids::{OverrideId, UserId, VaultId};
use crate::base::limits::{ENVIRONMENTS_PER_VAULT, OVERRIDES_PER_ENVIRONMENT};
use crate::base::{AccountName, EnvironmentName, RepoName, SecretName, SecretText, Timestamp};
use crate::domain::activity::operator_entry;
use crate::domain::contents::{Author, Edit, SetOutcome};
use crate::domain::operator::account_lookup;
use crate::domain::permissions::{CanWrite, find_vault, forge_vault, vault_lookup};
use crate::domain::vaults::new_environment;
use crate::domain::{Error, ErrorKind, Result, Services};
use crate::store::records::{
    Account, Action, EnvironmentInfo, EnvironmentKind, Override, OverrideTarget, Source, Vault,
};
use crate::store::tables::{USER_NAMES, USERS, VAULT_KEYS, VAULT_NAMES, VAULTS, VAULTS_BY_OWNER};
use crate::store::{Batch, Span, StoreError, VaultSeal, View};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What became of one environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrival {
    /// `owner/repo`.
    pub repository: RepoName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Whether the repository had no vault before.
    pub new_vault: bool,
    /// Whether the vault had no such environment before.
    pub new_environment: bool,
    /// Keys that were not there.
    pub taken: Vec<SecretName>,
    /// Keys that had another value, which is kept as a version.
    pub changed: Vec<SecretName>,
    /// Keys that had that value.
    pub same: Vec<SecretName>,
    /// Keys that cannot be taken, and why; the empty key stands for the whole environment.
    pub refused: Vec<(String, String)>,
    /// What is otherwise than where it came from.
    pub notes: Vec<String>,
}

/// How a planned import ends: it is refused, so that nothing is written.
enum Halt {
    Failed(Error),
    Planned(Box<Arrival>),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Services {
    /// Puts an environment in, making vault and environment if need be. With `dry_run`
    /// everything is found out and nothing written.
    ///
    /// # Errors
    /// If the store fails. What cannot be taken is told in the answer.
    pub async fn import(&self, parcel: Parcel, dry_run: bool) -> Result<Arrival> {
        let mut arrival = Arrival {
            repository: parcel.repository.clone(),
            environment: parcel.environment.clone(),
            new_vault: false,
            new_environment: false,
            taken: Vec::new(),
            changed: Vec::new(),
            same: Vec::new(),
            refused: Vec::new(),
            notes: Vec::new(),
        };
        let blank = arrival.clone();
        let services = self.clone();
        let outcome = self
            .store()
            .write(move |view, batch| {
                let arrival = services.put_in(view, batch, parcel, blank)?;
                if dry_run { Err(Halt::Planned(Box::new(arrival))) } else { Ok(arrival) }
            })
            .await;
        match outcome {
            Ok(arrival) => Ok(arrival),
            Err(Halt::Planned(arrival)) => Ok(*arrival),
            Err(Halt::Failed(error)) => match error.kind {
                ErrorKind::Internal | ErrorKind::Unavailable => Err(error),
                _ => {
                    arrival.refused.push((String::new(), error.detail));
                    Ok(arrival)
                }
            },
        }
    }

    fn put_in(
        &self,
        view: View<'_>,
        batch: &mut Batch<'_>,
        parcel: Parcel,
        mut arrival: Arrival,
    ) -> Result<Arrival> {
        let now = self.now();
        let Parcel { repository, source, environment, kind, overrides, secrets } = parcel;
        let secrets = self.sort_out(secrets, &mut arrival);
        let (mut vault, seal) = match self.find_home(view, &repository, source)? {
            Some(vault) => {
                let seal = view.vault_seal(vault.id)?;
                (vault, seal.ok_or_else(|| Error::internal("a living vault has no keys"))?)
            }
            None => {
                arrival.new_vault = true;
                self.new_home(view, batch, &repository, source, now)?
            }
        };
        let there = vault.living().find(|info| info.name == environment).cloned();
        let info = match there {
            Some(info) => {
                note_differences(&info, kind, &overrides, &mut arrival);
                info
            }
            None => {
                let info = new_room(view, &vault, &environment, kind, overrides, now, &mut arrival)?;
                vault.environments.push(info.clone());
                vault.updated_at = now;
                batch.put(&VAULTS, vault.id, &vault)?;
                batch.audit(operator_entry(now, Action::EnvironmentCreated).on(&vault).within(&environment));
                info
            }
        };
        let right = CanWrite::of_operator(&vault, &info);
        let mut edit = Edit::sealing(view, seal, &right, vault, Author::OPERATOR, self.settings(), now)?;
        for (name, value) in secrets {
            match edit.set(&name, value) {
                SetOutcome::Created => arrival.taken.push(name),
                SetOutcome::Updated => arrival.changed.push(name),
                SetOutcome::Unchanged => arrival.same.push(name),
            }
        }
        let (vault, counts) = edit.finish(batch)?;
        let note = operator_entry(now, Action::EnvironmentImported).on(&vault).within(&environment);
        batch.audit(note.naming(arrival.taken.iter().chain(&arrival.changed)).counting(counts));
        Ok(arrival)
    }

    /// The pairs that can be taken; why the others cannot is noted.
    fn sort_out(
        &self,
        pairs: BTreeMap<String, Value>,
        arrival: &mut Arrival,
    ) -> BTreeMap<SecretName, SecretText> {
        let mut good = BTreeMap::new();
        for (key, Value(value)) in pairs {
            match (SecretName::parse(&key), self.value_problem(&value)) {
                (Ok(name), None) => {
                    good.insert(name, value);
                }
                (Err(problem), _) => arrival.refused.push((key, problem.to_string())),
                (_, Some(problem)) => arrival.refused.push((key, format!("its value {problem}"))),
            }
        }
        good
    }

    /// The living vault of the repository.
    fn find_home(&self, view: View<'_>, repo: &RepoName, source: Option<Home>) -> Result<Option<Vault>> {
        match source {
            Some(Home::GitHub(number)) => Ok(forge_vault(view, number)?),
            Some(Home::Local) => Ok(find_vault(view, repo)?),
            None if !self.settings().forge.connected => Ok(find_vault(view, repo)?),
            None => {
                let mut found = Vec::new();
                view.scan(&VAULTS, &Span::all(), |_, vault| {
                    if vault.deleted.is_none() && vault.repo.folded() == repo.folded() {
                        found.push(vault);
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
                // A name may have gone over from one repository to another.
                if found.len() > 1 {
                    return Err(Error::conflict(
                        "there are several vaults of that name, and a file does not tell which is meant",
                    ));
                }
                Ok(found.pop())
            }
        }
    }

    /// A new vault and its keys. From an archive it gets the environments that come; to a
    /// plain file's, those that every new vault gets.
    fn new_home(
        &self,
        view: View<'_>,
        batch: &mut Batch<'_>,
        repo: &RepoName,
        source: Option<Home>,
        now: Timestamp,
    ) -> Result<(Vault, VaultSeal)> {
        let connected = self.settings().forge.connected;
        let source_here = match source {
            Some(Home::GitHub(_)) if !connected => {
                return Err(Error::conflict(
                    "GitHub decides who may read it, and this server is not connected with GitHub; \
                     set `identity.github.enabled`",
                ));
            }
            Some(Home::GitHub(_)) if !self.settings().forge.allows(repo) => {
                return Err(Error::conflict(format!(
                    "this server makes no vaults for repositories of `{}`; add it to \
                     `identity.github.allowed_owners`",
                    repo.owner()
                )));
            }
            Some(Home::GitHub(repository_id)) => Source::GitHub { repository_id },
            None if connected => {
                return Err(Error::conflict(
                    "it has no vault, and a file does not tell which repository at GitHub it is; make the \
                     vault first",
                ));
            }
            Some(Home::Local) | None => {
                let owner = if connected { None } else { owner_of(view, repo)? };
                Source::Local { owner }
            }
        };
        let defaults = if source.is_none() { self.settings().default_environments.as_slice() } else { &[] };
        let vault = Vault {
            id: VaultId::new(now),
            source: source_here,
            repo: repo.clone(),
            private: true,
            avatar_url: None,
            environments: defaults.iter().map(|name| new_environment(name.clone(), now)).collect(),
            created_at: now,
            created_by: None,
            updated_at: now,
            deleted: None,
        };
        let seal = VaultSeal::generate(vault.id);
        batch.put(&VAULTS, vault.id, &vault)?;
        batch.put(&VAULT_KEYS, vault.id, seal.record())?;
        batch.put(&VAULT_NAMES, vault_lookup(view, &vault), &vault.id)?;
        if let Source::Local { owner: Some(owner) } = vault.source {
            batch.index(&VAULTS_BY_OWNER, (owner, vault.id));
        }
        batch.audit(operator_entry(now, Action::VaultCreated).on(&vault));
        Ok((vault, seal))
    }
}

/// The account whose namespace the repository is in.
fn owner_of(view: View<'_>, repo: &RepoName) -> Result<Option<UserId>, StoreError> {
    match AccountName::parse(&repo.owner().to_ascii_lowercase()) {
        Ok(name) => view.find(&USER_NAMES, account_lookup(view, &name)),
        Err(_) => Ok(None),
    }
}

/// An environment that is there keeps its rules: an import never lets anybody in.
fn note_differences(
    info: &EnvironmentInfo,
    kind: Option<EnvironmentKind>,
    overrides: &[Exception],
    arrival: &mut Arrival,
) {
    if kind.is_some_and(|kind| kind != info.kind) {
        let kept = format!("{:?}", info.kind).to_ascii_lowercase();
        arrival.notes.push(format!("it stays `{kept}`, as it is here"));
    }
    if !overrides.is_empty() || !info.overrides.is_empty() {
        arrival.notes.push("its permission overrides stay as they are here".to_owned());
    }
}

fn new_room(
    view: View<'_>,
    vault: &Vault,
    name: &EnvironmentName,
    kind: Option<EnvironmentKind>,
    overrides: Vec<Exception>,
    now: Timestamp,
    arrival: &mut Arrival,
) -> Result<EnvironmentInfo> {
    if vault.living().count() >= ENVIRONMENTS_PER_VAULT {
        return Err(Error::conflict(format!("a vault has at most {ENVIRONMENTS_PER_VAULT} environments")));
    }
    arrival.new_environment = true;
    let mut info = new_environment(name.clone(), now);
    info.kind = kind.unwrap_or(info.kind);
    for Exception { target, can_read, can_write } in overrides {
        let found = match &target {
            Target::Role(role) => Some(OverrideTarget::Role(*role)),
            person => find_person(view, person)?.map(OverrideTarget::User),
        };
        let known = found.filter(|target| {
            (can_read || !can_write)
                && info.overrides.len() < OVERRIDES_PER_ENVIRONMENT
                && info.overrides.iter().all(|rule| rule.target != *target)
        });
        match known {
            Some(target) => {
                let id = OverrideId::new(now);
                info.overrides.push(Override { id, target, can_read, can_write, created_at: now });
            }
            None => arrival.refused.push((
                format!("permission override for {}", spelt(&target)),
                "nobody of that name is known here; sign in once or make the account, then set it".to_owned(),
            )),
        }
    }
    Ok(info)
}

fn find_person(view: View<'_>, person: &Target) -> Result<Option<UserId>, StoreError> {
    let number = match person {
        Target::Role(_) => return Ok(None),
        Target::Account(name) => {
            let Ok(name) = AccountName::parse(name) else { return Ok(None) };
            return view.find(&USER_NAMES, account_lookup(view, &name));
        }
        Target::GitHubUser(number) => *number,
    };
    let mut found = None;
    view.scan(&USERS, &Span::all(), |id, user| {
        if matches!(user.account, Account::GitHub { id, .. } if id == number) {
            found = Some(id);
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn spelt(target: &Target) -> String {
    match target {
        Target::Role(role) => format!("role `{role}`"),
        Target::Account(name) => format!("account `{name}`"),
        Target::GitHubUser(number) => format!("GitHub user number {number}"),
    }
}
