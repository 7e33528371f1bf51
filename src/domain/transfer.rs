//! Moving to another appliance: environments as they travel in an archive, taken out
//! by [`Services::export`] and put in by [`Services::import`], for the machine's
//! administrator alone.
//!
//! What travels is what people read and the rules about it: repositories, environments
//! with their types and overrides, the present secrets. What does not: accounts, API
//! keys and sessions, which belong to one appliance; the audit log, whose chain holds
//! only where it was made; and old values and the trash, which nobody asked to live on.
//! A backup keeps all of that.

mod import;
#[cfg(test)]
mod tests;

use super::activity::{Counts, operator_entry};
use super::contents::load;
use super::permissions::CanRead;
use super::{Error, Result, Services};
use crate::base::ids::{EnvironmentId, VaultId};
use crate::base::secret::exposed;
use crate::base::{EnvironmentName, RepoName, Role, SecretName, SecretText};
use crate::store::records::{
    Account, Action, EnvironmentInfo, EnvironmentKind, Override, OverrideTarget, Source, Vault,
};
use crate::store::tables::{USERS, VAULTS};
use crate::store::{Span, StoreError, View};
pub use import::Arrival;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Most keys and values in one piece of an export, in bytes; one environment may exceed it.
const PIECE_BYTES: usize = 1 << 20;
/// Most environments in one piece.
const PIECE_ENVIRONMENTS: usize = 100;

/// One environment on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parcel {
    /// `owner/repo`.
    pub repository: RepoName,
    /// Who decides about roles on it; not known of a plain file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Home>,
    /// The environment.
    pub environment: EnvironmentName,
    /// How it is guarded; not known of a plain file.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<EnvironmentKind>,
    /// Exceptions to the role table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Exception>,
    /// Keys and values; whether they are valid is found out on arrival.
    pub secrets: BTreeMap<String, Value>,
}

/// Who decides about roles on a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Home {
    /// The appliance itself.
    Local,
    /// GitHub, where this is the repository's number.
    GitHub(u64),
}

/// An exception to the role table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exception {
    /// Whom it is for.
    #[serde(flatten)]
    pub target: Target,
    /// Whether they may read.
    pub can_read: bool,
    /// Whether they may write.
    pub can_write: bool,
}

/// Whom an exception is for, in terms that hold elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// Everybody with exactly this role.
    Role(Role),
    /// The account of this name.
    Account(String),
    /// The GitHub user of this number.
    GitHubUser(u64),
}

/// A value on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value(#[serde(with = "exposed")] pub SecretText);

/// How far an export is: the last environment that was taken out.
pub type Place = (VaultId, EnvironmentId);

/// Some environments.
#[derive(Debug, Serialize, Deserialize)]
pub struct Piece {
    /// Those behind the place that was named, each as it was at one moment.
    pub parcels: Vec<Parcel>,
    /// Where to go on; `None`: that is all.
    pub next: Option<Place>,
    /// How many environments there are; told with the first piece alone.
    pub total: u64,
}

impl Services {
    /// Takes environments out, those behind `after`; to be called with the place it told
    /// until there is none. That they were taken out is in the audit log before they are
    /// handed over.
    ///
    /// # Errors
    /// If the store fails or a record is damaged.
    pub async fn export(&self, after: Option<Place>) -> Result<Piece> {
        let services = self.clone();
        let walk = move || services.store().read(|view| Pieces { view, after }.cut());
        let (piece, notes) = tokio::task::spawn_blocking(walk).await.map_err(Error::internal)??;
        let services = self.clone();
        self.store()
            .write(move |_, batch| {
                for (vault, environment, names) in &notes {
                    let read = u32::try_from(names.len()).unwrap_or(u32::MAX);
                    let note = operator_entry(services.now(), Action::EnvironmentExported).on(vault);
                    let note = note.within(environment).naming(names);
                    batch.audit(note.counting(Counts { read, ..Counts::default() }));
                }
                Ok::<_, Error>(())
            })
            .await?;
        Ok(piece)
    }
}

/// What the audit log is told of one environment.
type Note = (Vault, EnvironmentName, Vec<SecretName>);

/// The walk through all living environments, by vault and then environment.
struct Pieces<'a> {
    view: View<'a>,
    after: Option<Place>,
}

impl Pieces<'_> {
    fn cut(self) -> Result<(Piece, Vec<Note>)> {
        let mut piece = Piece { parcels: Vec::new(), next: None, total: 0 };
        let mut due = Vec::new();
        let mut span = Span::all();
        if let Some((id, _)) = self.after {
            let vault = self.view.find(&VAULTS, id)?;
            vault.iter().for_each(|vault| self.add_due(vault, &mut due));
            span = span.after(id);
        }
        self.view.scan(&VAULTS, &span, |_, vault| {
            if due.len() <= PIECE_ENVIRONMENTS {
                self.add_due(&vault, &mut due);
            } else if self.after.is_some() {
                return Ok(ControlFlow::Break(()));
            }
            if vault.deleted.is_none() {
                piece.total += vault.living().count() as u64;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let (mut notes, mut bytes, mut last) = (Vec::new(), 0, None);
        for (vault, info) in due {
            if bytes >= PIECE_BYTES || notes.len() == PIECE_ENVIRONMENTS {
                piece.next = last;
                break;
            }
            let content = load(self.view, &CanRead::of_operator(&vault, &info))?;
            bytes += content.secrets.iter().map(|s| s.name.as_str().len() + s.value.len()).sum::<usize>();
            let names = content.secrets.iter().map(|secret| secret.name.clone()).collect();
            let secrets =
                content.secrets.into_iter().map(|secret| (secret.name.into(), Value(secret.value))).collect();
            piece.parcels.push(self.parcel(&vault, &info, secrets)?);
            last = Some((vault.id, info.id));
            notes.push((vault, info.name, names));
        }
        Ok((piece, notes))
    }

    /// Adds the living environments of `vault` behind the place where the walk is.
    fn add_due(&self, vault: &Vault, due: &mut Vec<(Vault, EnvironmentInfo)>) {
        if vault.deleted.is_some() {
            return;
        }
        let behind = |info: &&EnvironmentInfo| self.after.is_none_or(|after| (vault.id, info.id) > after);
        let mut living: Vec<_> = vault.living().filter(behind).collect();
        living.sort_by_key(|info| info.id);
        due.extend(living.into_iter().map(|info| (vault.clone(), info.clone())));
    }

    fn parcel(
        &self,
        vault: &Vault,
        info: &EnvironmentInfo,
        secrets: BTreeMap<String, Value>,
    ) -> Result<Parcel, StoreError> {
        let mut overrides = Vec::new();
        for rule in &info.overrides {
            overrides.extend(self.exception(rule)?);
        }
        Ok(Parcel {
            repository: vault.repo.clone(),
            source: Some(match vault.source {
                Source::Local { .. } => Home::Local,
                Source::GitHub { repository_id } => Home::GitHub(repository_id),
            }),
            environment: info.name.clone(),
            kind: Some(info.kind),
            overrides,
            secrets,
        })
    }

    /// The rule for people elsewhere; none for somebody who is gone.
    fn exception(&self, rule: &Override) -> Result<Option<Exception>, StoreError> {
        let target = match rule.target {
            OverrideTarget::Role(role) => Target::Role(role),
            OverrideTarget::User(user) => match self.view.find(&USERS, user)?.map(|user| user.account) {
                Some(Account::Local { name, .. }) => Target::Account(name.into()),
                Some(Account::GitHub { id, .. }) => Target::GitHubUser(id),
                None => return Ok(None),
            },
        };
        Ok(Some(Exception { target, can_read: rule.can_read, can_write: rule.can_write }))
    }
}
