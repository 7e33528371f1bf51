//! Pull: a whole environment at once.

use super::activity::{Counts, entry};
use super::contents;
use super::permissions::Access;
use super::{Actor, Result, Services, dotenv};
use crate::base::ids::RevisionId;
use crate::base::{EnvironmentName, RepoName, SecretText};
use crate::store::View;
use crate::store::records::{Action, SecretSeen};

/// A part of the sorted list, for old scripts that read in pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Most secrets; all when not given.
    pub limit: Option<usize>,
    /// Secrets to leave out from the start.
    pub offset: usize,
}

impl Window {
    /// The part of `all` that is wanted.
    fn of<T>(self, all: &[T]) -> &[T] {
        let rest = all.get(self.offset..).unwrap_or_default();
        rest.get(..self.limit.unwrap_or(usize::MAX)).unwrap_or(rest)
    }
}

/// What is pulled, as it lies in the store: to be written in the form that is wanted.
pub struct Pulled<'a> {
    /// The environment's state.
    pub revision: RevisionId,
    secrets: &'a [SecretSeen<'a>],
}

impl<'a> Pulled<'a> {
    /// The secrets as `.env` text, sorted by key, one line each.
    #[must_use]
    pub fn env_text(&self) -> SecretText {
        dotenv::encode(self.pairs())
    }

    /// Keys and values, sorted by key.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.secrets.iter().map(|secret| (secret.name, secret.value))
    }
}

impl Services {
    /// What `write` makes of all secrets of an environment. The reading stands in the
    /// audit log before this returns (or within a second, if the operator chose so).
    ///
    /// # Errors
    /// Not found, or forbidden.
    pub async fn pull<T>(
        &self,
        actor: &Actor,
        repo: &RepoName,
        environment: &EnvironmentName,
        window: Window,
        mut write: impl FnMut(Pulled<'_>) -> T,
    ) -> Result<T> {
        let look = |view: View<'_>, access: Access<'_>| {
            let right = access.read(access.environment(environment)?)?;
            let written = contents::look(view, &right, |content| {
                let secrets = window.of(&content.secrets);
                (secrets.len(), write(Pulled { revision: content.revision, secrets }))
            })?;
            Ok((access.vault, written))
        };
        let (vault, (read, written)) = self.look(actor, repo, look).await?;
        let read = u32::try_from(read).unwrap_or(u32::MAX);
        let note = entry(actor, self.now(), Action::SecretsPulled).on(&vault).within(environment);
        self.audit_read(note.counting(Counts { read, ..Counts::default() })).await?;
        Ok(written)
    }
}
