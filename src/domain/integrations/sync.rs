//! Comparing and synchronising an environment with a place at a service: what is asked,
//! who may ask it, and what is answered. The work is in `push` and `pull`.

use super::access::{Access, require_scope, require_unconfined};
use super::plan::{Diff, Direction, Plan};
use super::sides::VaultSide;
use crate::base::ids::ConnectionId;
use crate::base::{EnvironmentName, RepoName, Role, Scope};
use crate::domain::activity::{Counts, entry};
use crate::domain::permissions::Access as VaultAccess;
use crate::domain::ports::provider::Place;
use crate::domain::{Actor, Error, ErrorKind, Result, Services};
use crate::store::records::{Action, EnvironmentInfo};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// Longest id or name of something at a service that is taken, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// An environment here and a place there.
#[derive(Clone, Debug)]
pub struct SyncPlace {
    /// The connection to use.
    pub connection: ConnectionId,
    /// The project there.
    pub project: String,
    /// The part of the project.
    pub service: Option<String>,
    /// The environment here.
    pub environment: EnvironmentName,
    /// The environment there.
    pub provider_environment: String,
}

/// What is to be synchronised, and how.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// What with what.
    pub place: SyncPlace,
    /// Which way.
    pub direction: Direction,
    /// Whether what is only there where the values go is removed.
    pub allow_delete: bool,
}

/// How things stand before a synchronisation.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// Whether none has come to its end so far.
    pub is_first_sync: bool,
    /// Whether the environment has no secrets.
    pub vault_is_empty: bool,
    /// Whether the service has variables there.
    pub provider_has_secrets: bool,
    /// How many.
    pub provider_secret_count: usize,
}

/// What a synchronisation would do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Made where the values go.
    pub to_create: Vec<String>,
    /// Overwritten.
    pub to_update: Vec<String>,
    /// Removed.
    pub to_delete: Vec<String>,
    /// Left as they are.
    pub to_skip: Vec<String>,
}

/// How a synchronisation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Synced {
    /// Everything was done.
    Success,
    /// Something was done and something was not.
    Partial,
    /// Nothing was done.
    Error,
}

/// What a synchronisation did.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncResult {
    /// How it ended.
    pub status: Synced,
    /// Whether everything was done.
    pub success: bool,
    /// How many were made.
    pub created: u32,
    /// How many were overwritten.
    pub updated: u32,
    /// How many were removed.
    pub deleted: u32,
    /// How many were left as they are.
    pub skipped: usize,
    /// Which could not be done.
    pub failed_keys: Vec<String>,
    /// Why, for people; `null` after a success.
    pub error: Option<String>,
    /// Why, one by one.
    pub failures: Vec<KeyFailure>,
    /// The counts once more, as some clients look for them.
    pub stats: SyncStats,
}

/// One name that could not be done.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct KeyFailure {
    /// The name.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// The counts of a synchronisation.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct SyncStats {
    /// Made.
    pub created: u32,
    /// Overwritten.
    pub updated: u32,
    /// Removed.
    pub deleted: u32,
}

/// What somebody is about to do; it decides what they must be allowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Compare.
    Compare,
    /// Link.
    Link,
    /// Synchronise.
    Sync(Direction),
}

/// The environment, if the actor may do that to it.
pub(super) fn permitted<'a>(
    access: &'a VaultAccess<'_>,
    wanted: &SyncPlace,
    purpose: Purpose,
) -> Result<&'a EnvironmentInfo> {
    let found = access.environment(&wanted.environment);
    let info = match purpose {
        Purpose::Compare => found?,
        // Named in a body: that it does not exist is a mistake in the body.
        _ => found
            .map_err(|error| Error::invalid("keywayEnvironment", format!("is wrong: {}", error.detail)))?,
    };
    if purpose != Purpose::Compare && access.role < Role::Write {
        return Err(Error::forbidden(format!(
            "synchronising needs the role `write` on `{}`, yours is `{}`",
            access.vault.repo, access.role
        )));
    }
    if purpose == Purpose::Sync(Direction::Pull) {
        access.write(info)?;
    }
    access.read(info)?;
    Ok(info)
}

/// Somebody's way to a place.
pub(super) struct Scene {
    pub(super) access: Access,
    pub(super) place: Place,
}

impl Scene {
    /// The place, for the audit log.
    pub(super) fn described(&self) -> String {
        let Place { project_name, environment, service, .. } = &self.place;
        let service = service.as_ref().map(|service| format!("/{service}")).unwrap_or_default();
        format!("{}: {project_name}{service} ({environment})", self.access.profile().name)
    }
}

impl Services {
    /// Checks that the actor may, and finds the place.
    pub(super) async fn scene(
        &self,
        actor: &Actor,
        repo: &RepoName,
        wanted: &SyncPlace,
        purpose: Purpose,
    ) -> Result<Scene> {
        check_names(wanted)?;
        self.look(actor, repo, |_, access| permitted(&access, wanted, purpose).map(drop)).await?;
        if purpose == Purpose::Link {
            require_unconfined(actor, "link an environment")?;
        }
        let access = self.access(actor, wanted.connection).await?;
        let SyncPlace { project, service, provider_environment, .. } = wanted;
        let found =
            access.provider.locate(&access.session, project, service.as_deref(), provider_environment);
        let place = found.await.map_err(|error| access.explain(error))?;
        Ok(Scene { access, place })
    }

    /// The vault's side, as far as the actor may see it now.
    pub(super) async fn vault_side(
        &self,
        actor: &Actor,
        repo: &RepoName,
        wanted: &SyncPlace,
        purpose: Purpose,
        scene: &Scene,
    ) -> Result<VaultSide> {
        self.look(actor, repo, |view, access| {
            let info = permitted(&access, wanted, purpose)?;
            let (right, name) = (access.read(info)?, info.name.clone());
            let provider = scene.access.profile().name;
            let side = VaultSide::load(self, view, access, &right, name, provider, &scene.place)?;
            if side.link.is_none() {
                require_unconfined(actor, "use a place that its environment is not linked with")?;
            }
            Ok(side)
        })
        .await
    }

    /// How an environment and a place stand to each other.
    ///
    /// # Errors
    /// Not found, forbidden, conflict, invalid, upstream, unavailable.
    pub async fn sync_status(
        &self,
        actor: &Actor,
        repo: &RepoName,
        wanted: &SyncPlace,
    ) -> Result<SyncStatus> {
        let scene = self.scene(actor, repo, wanted, Purpose::Compare).await?;
        let mine = self.vault_side(actor, repo, wanted, Purpose::Compare, &scene).await?;
        let listing = scene.access.provider.list(&scene.access.session, &scene.place).await;
        let listing = listing.map_err(|error| scene.access.explain(error))?;
        let count = listing.variables.len();
        Ok(SyncStatus {
            is_first_sync: mine.link.as_ref().is_none_or(|link| link.synced_at.is_none()),
            vault_is_empty: mine.secrets.is_empty(),
            provider_has_secrets: count > 0,
            provider_secret_count: count,
        })
    }

    /// The names on both sides, by whether their values agree.
    ///
    /// # Errors
    /// Not found, forbidden, conflict, invalid, upstream, unavailable.
    pub async fn sync_diff(&self, actor: &Actor, repo: &RepoName, wanted: &SyncPlace) -> Result<Diff> {
        let scene = self.scene(actor, repo, wanted, Purpose::Compare).await?;
        let mine = self.vault_side(actor, repo, wanted, Purpose::Compare, &scene).await?;
        let theirs = mine.face(&scene.access, &scene.place, Direction::Push).await?;
        let diff = mine.with(&theirs, |sides| sides.diff());
        self.note_comparison(actor, &mine, &scene).await?;
        Ok(diff)
    }

    /// What a synchronisation would do now.
    ///
    /// # Errors
    /// Not found, forbidden, conflict, invalid, upstream, unavailable.
    pub async fn sync_preview(
        &self,
        actor: &Actor,
        repo: &RepoName,
        request: &SyncRequest,
    ) -> Result<Preview> {
        let wanted = &request.place;
        let scene = self.scene(actor, repo, wanted, Purpose::Compare).await?;
        let mine = self.vault_side(actor, repo, wanted, Purpose::Compare, &scene).await?;
        let theirs = mine.face(&scene.access, &scene.place, request.direction).await?;
        let plan = mine.with(&theirs, |sides| sides.plan(request.direction, request.allow_delete));
        self.note_comparison(actor, &mine, &scene).await?;
        if !plan.unreached.is_empty() {
            let detail = format!(
                "{} of the values could not be read in the time of one request; try again",
                plan.unreached.len()
            );
            return Err(Error::new(ErrorKind::Unavailable, detail));
        }
        let Plan { create, update, delete, skip, .. } = plan;
        let list = |names: std::collections::BTreeSet<String>| names.into_iter().collect();
        Ok(Preview {
            to_create: list(create),
            to_update: list(update),
            to_delete: list(delete),
            to_skip: list(skip),
        })
    }

    /// Synchronises. One project at a service is synchronised once at a time.
    ///
    /// # Errors
    /// If nothing was tried: not found, forbidden, conflict, invalid, too large,
    /// upstream, unavailable. Otherwise the result tells what was done and what was not.
    pub async fn sync(&self, actor: &Actor, repo: &RepoName, request: &SyncRequest) -> Result<SyncResult> {
        if request.direction == Direction::Push {
            // It carries values out of the vault.
            require_scope(actor, Scope::ReadSecrets)?;
        }
        let purpose = Purpose::Sync(request.direction);
        let scene = self.scene(actor, repo, &request.place, purpose).await?;
        let _turn = self.turn(&scene).await?;
        match request.direction {
            Direction::Push => self.sync_push(actor, repo, request, &scene).await,
            Direction::Pull => self.sync_pull(actor, repo, request, scene).await,
        }
    }

    /// Waits for other synchronisations of the same project.
    async fn turn(&self, scene: &Scene) -> Result<OwnedMutexGuard<()>> {
        let name = format!("{}/{}", scene.access.profile().name, scene.place.project);
        let lock = self.integrations().running.of(name);
        let until = tokio::time::Instant::from_std(scene.access.session.until);
        tokio::time::timeout_at(until, lock.lock_owned()).await.map_err(|_| Error {
            retry_after: Some(Duration::from_secs(5)),
            ..Error::new(
                ErrorKind::Unavailable,
                "another synchronisation of this project is running; try again",
            )
        })
    }

    async fn note_comparison(&self, actor: &Actor, mine: &VaultSide, scene: &Scene) -> Result<()> {
        let note = entry(actor, self.now(), Action::SecretsCompared).on(&mine.vault);
        let read = u32::try_from(mine.secrets.len()).unwrap_or(u32::MAX);
        let note = note.within(&mine.environment_name).regarding(scene.described());
        self.audit_read(note.counting(Counts { read, ..Counts::default() })).await
    }
}

impl SyncResult {
    /// The result of having done `counts` and failed at `failures`.
    pub(super) fn new(counts: Counts, skipped: usize, failures: Vec<KeyFailure>, title: &str) -> Self {
        let Counts { created, updated, deleted, .. } = counts;
        let status = match (failures.is_empty(), created + updated + deleted > 0) {
            (true, _) => Synced::Success,
            (false, true) => Synced::Partial,
            (false, false) => Synced::Error,
        };
        let error = failures.first().map(|first| {
            let more = failures.len() - 1;
            let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
            format!("{title}: `{}` was not synchronised ({}){rest}", first.key, first.reason)
        });
        Self {
            status,
            success: status == Synced::Success,
            created,
            updated,
            deleted,
            skipped,
            failed_keys: failures.iter().map(|failure| failure.key.clone()).collect(),
            error,
            failures,
            stats: SyncStats { created, updated, deleted },
        }
    }
}

/// What somebody names becomes part of paths and lookups; what no service would know is
/// not asked for.
fn check_names(wanted: &SyncPlace) -> Result<()> {
    let fields = [
        ("projectId", Some(&wanted.project)),
        ("serviceId", wanted.service.as_ref()),
        ("providerEnvironment", Some(&wanted.provider_environment)),
    ];
    for (field, value) in fields {
        let bad = |value: &&String| {
            value.is_empty() || value.len() > NAME_BYTES_MAX || value.chars().any(char::is_control)
        };
        if value.is_some_and(|value| bad(&value)) {
            return Err(Error::invalid(field, format!("must be 1 to {NAME_BYTES_MAX} bytes of text")));
        }
    }
    Ok(())
}
