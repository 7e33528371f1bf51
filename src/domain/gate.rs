//! The ways into a vault: [`Services::look`] reads it, [`Services::change`] alters it.
//! Both find out what the actor is on the repository, which may mean asking the forge,
//! open the vault only to somebody with a role on it, and note a refusal in the audit
//! log. Every service that deals with one vault goes through one of them, or their
//! variants for long looks and for vaults in the trash.

use super::activity::entry;
use super::auth::remember;
use super::permissions::{Access, forge_vault};
use super::roles::Standing;
use super::{Actor, Error, ErrorKind, Result, Services, Settings};
use crate::base::ids::VaultId;
use crate::base::{RepoName, Timestamp};
use crate::store::records::{Action, Entry, Source, Vault};
use crate::store::tables::VAULTS;
use crate::store::{Batch, StoreError, View};

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

/// A failure, and on which vault it happened if that is known: then it stands in the
/// activity that the vault's admins see.
struct Failed {
    error: Error,
    vault: Option<Box<Place>>,
}

type Place = (VaultId, RepoName);

impl Failed {
    fn on(place: Place) -> impl FnOnce(Error) -> Self {
        move |error| Self { error, vault: Some(Box::new(place)) }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, vault: None }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

fn place(vault: &Vault) -> Place {
    (vault.id, vault.repo.clone())
}

impl Services {
    /// Reads from the vault of `repo`.
    ///
    /// # Errors
    /// Not found, when there is no vault or the actor has no role on it; unavailable, when
    /// the forge cannot be asked; what `look` fails with.
    pub(super) async fn look<T>(
        &self,
        actor: &Actor,
        repo: &RepoName,
        look: impl FnOnce(View<'_>, Access<'_>) -> Result<T>,
    ) -> Result<T> {
        let standing = self.standing_noted(actor, repo).await?;
        let mut is_news = false;
        let outcome = self.store().read(|view| {
            let mut access = Access::of(view, actor, repo, &standing)?;
            // What is answered is what the forge says now, even before it is written.
            is_news = standing.tell(&mut access.vault) || actor.unsaved;
            let place = place(&access.vault);
            look(view, access).map_err(Failed::on(place))
        });
        if is_news {
            self.learn(actor, standing).await;
        }
        self.heard(actor, outcome)
    }

    /// Reads much from the vault of `repo`, its audit log included, on a thread that may take
    /// its time.
    ///
    /// # Errors
    /// As [`Services::look`].
    pub(super) async fn look_long<T: Send + 'static>(
        &self,
        actor: &Actor,
        repo: &RepoName,
        look: impl FnOnce(View<'_>, Access<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let standing = self.standing_noted(actor, repo).await?;
        let (services, caller, wanted) = (self.clone(), actor.clone(), repo.clone());
        let outcome = tokio::task::spawn_blocking(move || {
            services.store().read_log(|view| {
                let access = Access::of(view, &caller, &wanted, &standing)?;
                let place = place(&access.vault);
                look(view, access).map_err(Failed::on(place))
            })
        });
        self.heard(actor, outcome.await.map_err(Error::internal)?)
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
        let (standing, wanted) = (self.standing_noted(actor, repo).await?, repo.clone());
        self.change_that(
            actor,
            move |view, batch, actor| {
                let mut access = Access::of(view, actor, &wanted, &standing)?;
                note_news(view, batch, actor, &mut access.vault, &standing)?;
                Ok(access)
            },
            change,
        )
        .await
    }

    /// Changes a vault in the trash, as [`Services::change`] does a living one.
    ///
    /// # Errors
    /// Not found, when there is none of that id or the actor has no role on it; what
    /// `change` fails with.
    pub(super) async fn change_deleted<T: Send + 'static>(
        &self,
        actor: &Actor,
        vault: VaultId,
        change: impl FnOnce(Change<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let standing = self.standing_on_deleted(actor, vault).await?;
        self.change_that(
            actor,
            move |view, _, actor| Access::of_deleted(view, actor, vault, &standing),
            change,
        )
        .await
    }

    async fn change_that<T: Send + 'static>(
        &self,
        actor: &Actor,
        enter: impl for<'a> FnOnce(View<'_>, &mut Batch<'_>, &'a Actor) -> Result<Access<'a>> + Send + 'static,
        change: impl FnOnce(Change<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (services, caller) = (self.clone(), actor.clone());
        let outcome = self
            .store()
            .write(move |view, batch| {
                let access = enter(view, batch, &caller)?;
                let place = place(&access.vault);
                let (now, settings) = (services.now(), services.settings());
                change(Change { view, batch, access, actor: &caller, now, settings })
                    .map_err(Failed::on(place))
            })
            .await;
        self.heard(actor, outcome)
    }

    /// The actor's part in `repo`; that the forge refuses to say is noted.
    pub(super) async fn standing_noted(&self, actor: &Actor, repo: &RepoName) -> Result<Standing> {
        let standing = self.standing(actor, repo).await;
        self.note_refusal(actor, repo, standing)
    }

    /// The actor's part in the repository of a vault in the trash.
    async fn standing_on_deleted(&self, actor: &Actor, vault: VaultId) -> Result<Standing> {
        let found = self.store().read(|view| view.find(&VAULTS, vault))?;
        match found {
            Some(Vault { source: Source::GitHub { .. }, repo, .. }) => {
                self.standing_noted(actor, &repo).await
            }
            // Nobody is asked about what is not there.
            _ => Ok(self.standing_here()),
        }
    }

    /// Writes what the forge says of the actor and of the repository, after a read: the
    /// read itself does not depend on it.
    async fn learn(&self, actor: &Actor, standing: Standing) {
        let actor = actor.clone();
        let outcome: Result<()> = self
            .store()
            .write(move |view, batch| {
                let Standing::Forge(Some(repository)) = &standing else { return Ok(()) };
                match forge_vault(view, repository.id)? {
                    Some(mut vault) => Ok(note_news(view, batch, &actor, &mut vault, &standing)?),
                    None => Ok(()),
                }
            })
            .await;
        if let Err(error) = outcome {
            tracing::warn!(%error, "what a repository or user is called now was not written");
        }
    }

    /// Notes it when the actor was refused something on a vault, and hands the outcome on.
    fn heard<T>(&self, actor: &Actor, outcome: Result<T, Failed>) -> Result<T> {
        outcome.map_err(|Failed { error, vault }| {
            if let (ErrorKind::Forbidden, Some(place)) = (error.kind, vault) {
                let (vault, repo) = *place;
                let entry = entry(actor, self.now(), Action::AccessDenied);
                let entry = Entry { vault: Some(vault), ..entry.about_repo(&repo) };
                self.audit_refusal(entry.regarding(error.detail.clone()));
            }
            error
        })
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

/// Writes the actor down if they are new, and what the repository is called now.
fn note_news(
    view: View<'_>,
    batch: &mut Batch<'_>,
    actor: &Actor,
    vault: &mut Vault,
    standing: &Standing,
) -> Result<(), StoreError> {
    remember(view, batch, actor)?;
    if standing.tell(vault) {
        batch.put(&VAULTS, vault.id, vault)?;
    }
    Ok(())
}
