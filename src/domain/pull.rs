//! Pull: a whole environment at once.

use super::activity::{Counts, entry};
use super::contents;
use super::permissions::Access;
use super::{Actor, Result, Services, dotenv};
use crate::base::ids::RevisionId;
use crate::base::{EnvironmentName, RepoName, SecretText};
use crate::store::View;
use crate::store::records::{Action, Secret};

/// A part of the sorted list, for old scripts that read in pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Most secrets; all when not given.
    pub limit: Option<usize>,
    /// Secrets to leave out from the start.
    pub offset: usize,
}

/// What was pulled.
pub struct Pulled {
    /// The environment's state.
    pub revision: RevisionId,
    secrets: Vec<Secret>,
}

impl Pulled {
    /// The secrets as `.env` text, sorted by key, one line each.
    #[must_use]
    pub fn env_text(&self) -> SecretText {
        dotenv::encode(self.pairs().map(|(key, value)| (key, value.expose())))
    }

    /// Keys and values, sorted by key.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &SecretText)> {
        self.secrets.iter().map(|secret| (secret.name.as_str(), &secret.value))
    }
}

impl Services {
    /// All secrets of an environment. The reading stands in the audit log before this
    /// returns (or within a second, if the operator chose so).
    ///
    /// # Errors
    /// Not found, or forbidden.
    pub async fn pull(
        &self,
        actor: &Actor,
        repo: &RepoName,
        environment: &EnvironmentName,
        window: Window,
    ) -> Result<Pulled> {
        let look = |view: View<'_>, access: Access<'_>| {
            let content = contents::load(view, &access.read(access.environment(environment)?)?)?;
            Ok((access.vault, content))
        };
        let (vault, mut content) = self.look(actor, repo, look).await?;
        if window.offset > 0 || window.limit.is_some() {
            let secrets = content.secrets.into_iter().skip(window.offset);
            content.secrets = secrets.take(window.limit.unwrap_or(usize::MAX)).collect();
        }
        let read = u32::try_from(content.secrets.len()).unwrap_or(u32::MAX);
        let note = entry(actor, self.now(), Action::SecretsPulled).on(&vault).within(environment);
        self.audit_read(note.counting(Counts { read, ..Counts::default() })).await?;
        Ok(Pulled { revision: content.revision, secrets: content.secrets })
    }
}
