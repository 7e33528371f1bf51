//! The two ways into a vault: [`Services::look`] reads it, [`Services::change`] alters
//! it. Both find out what the actor is on the repository, open the vault only to
//! somebody with a role on it, and note a refusal in the audit log. Every service that
//! deals with one vault goes through one of them.

use super::activity::entry;
use super::permissions::Access;
use super::{Actor, Error, ErrorKind, Result, Services, Settings};
use crate::base::{RepoName, Timestamp};
use crate::store::records::{Action, Entry};
use crate::store::{Batch, View};

/// A change to a vault in the making. What is put into `batch` is written in one step
/// if the whole change succeeds, and not at all if it fails.
pub(super) struct Change<'a, 'b> {
    /// The state before the change.
    pub(super) view: View<'a>,
    /// What is to be written.
    pub(super) batch: &'a mut Batch<'b>,
    /// What the actor may do.
    pub(super) access: Access<'a>,
    /// Who does it.
    pub(super) actor: &'a Actor,
    /// When.
    pub(super) now: Timestamp,
    /// The operator's rules.
    pub(super) settings: &'a Settings,
}

impl Services {
    /// Reads from the vault of `repo`.
    ///
    /// # Errors
    /// Not found, when there is no vault or the actor has no role on it; what `look` fails with.
    pub(super) async fn look<T>(
        &self,
        actor: &Actor,
        repo: &RepoName,
        look: impl FnOnce(View<'_>, Access<'_>) -> Result<T>,
    ) -> Result<T> {
        let outcome = self.store().read(|view| look(view, Access::of(view, actor, repo)?));
        self.note_refusal(actor, repo, outcome)
    }

    /// Changes the vault of `repo` in the writer, where the actor's rights are judged
    /// on the very state that is changed.
    ///
    /// # Errors
    /// Not found, when there is no vault or the actor has no role on it; what `change` fails with.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        actor: &Actor,
        repo: &RepoName,
        change: impl FnOnce(Change<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (services, caller, wanted) = (self.clone(), actor.clone(), repo.clone());
        let outcome = self
            .store()
            .write(move |view, batch| {
                let access = Access::of(view, &caller, &wanted)?;
                let (now, settings) = (services.now(), services.settings());
                change(Change { view, batch, access, actor: &caller, now, settings })
            })
            .await;
        self.note_refusal(actor, repo, outcome)
    }

    /// Notes it when `outcome` is that the actor was refused something, and hands it on.
    pub(super) fn note_refusal<T>(&self, actor: &Actor, repo: &RepoName, outcome: Result<T>) -> Result<T> {
        if let Err(Error { kind: ErrorKind::Forbidden, detail, .. }) = &outcome {
            let entry = entry(actor, self.now(), Action::AccessDenied);
            self.audit_refusal(entry.about_repo(repo).regarding(detail.clone()));
        }
        outcome
    }

    /// Notes a refusal. It must not become a way to slow the writer down, so nobody
    /// waits for it, and under overload it is only logged.
    pub(super) fn audit_refusal(&self, entry: Entry) {
        if let Err(error) = self.store().audit_soon(entry) {
            tracing::warn!(%error, "a refusal is missing from the audit log");
        }
    }
}
