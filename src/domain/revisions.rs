//! Revisions: the states an environment went through. Each change is one, whichever
//! call it comes from, and any that is remembered can be gone back to in one step.

use super::activity::{Counts, entry};
use super::contents::{self, Edit};
use super::gate::Change;
use super::permissions::CanRead;
use super::secrets::{Author, Authors};
use super::vaults::rfc_3339;
use super::{Actor, Error, Result, Services};
use crate::base::ids::RevisionId;
use crate::base::{EnvironmentName, Page, Paged, Platform, RepoName, Timestamp};
use crate::store::records::{Action, Revision};
use crate::store::tables::REVISIONS;
use crate::store::{Span, View};
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::ControlFlow;

/// A state as lists show it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionSummary {
    /// The state's id: the `ETag` of a pull.
    pub id: RevisionId,
    /// When it began.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: Option<Author>,
    /// With what kind of client.
    #[serde(serialize_with = "on_the_wire")]
    pub platform: Platform,
    /// Secrets that were new in it.
    pub created: u32,
    /// Secrets whose value or name changed.
    pub updated: u32,
    /// Secrets that were gone.
    pub deleted: u32,
}

/// The answer to going back.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RestoredRevision {
    /// The state the environment is in now: a new one, unless it was that already.
    pub id: RevisionId,
    /// The state it was taken back to.
    pub restored: RevisionId,
    /// For people.
    pub message: String,
    /// What it took.
    pub stats: RestoredStats,
}

/// What going back to a state took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RestoredStats {
    /// Secrets that came out of the trash.
    pub created: u32,
    /// Secrets that got another value or name.
    pub updated: u32,
    /// Secrets that went to the trash.
    pub deleted: u32,
}

fn on_the_wire<S: serde::Serializer>(platform: &Platform, target: S) -> Result<S::Ok, S::Error> {
    target.serialize_str(platform.as_str())
}

impl Services {
    /// The states of an environment that are remembered, newest first.
    ///
    /// # Errors
    /// Not found, or forbidden.
    pub async fn list_revisions(
        &self,
        actor: &Actor,
        repo: &RepoName,
        environment: &EnvironmentName,
        page: Page,
    ) -> Result<Paged<RevisionSummary>> {
        self.look(actor, repo, |view, access| {
            let right = access.read(access.environment(environment)?)?;
            let mut authors = Authors::new(view);
            let Paged { items, total, page } = page.cut(revisions_of(view, &right)?);
            let summary = |revision: Revision| {
                Ok(RevisionSummary {
                    id: revision.id,
                    created_at: revision.created_at,
                    created_by: authors.find(revision.created_by)?,
                    platform: revision.platform,
                    created: revision.created,
                    updated: revision.updated,
                    deleted: revision.deleted,
                })
            };
            let items = items.into_iter().map(summary).collect::<Result<_>>()?;
            Ok(Paged { items, total, page })
        })
        .await
    }

    /// Takes an environment back to a state it was in. That is a change like any other:
    /// what it overwrites is kept, what it removes is in the trash, and it is a revision
    /// itself.
    ///
    /// # Errors
    /// Not found; forbidden; conflict, naming the keys, when a value is no longer kept.
    pub async fn restore_revision(
        &self,
        actor: &Actor,
        repo: &RepoName,
        environment: EnvironmentName,
        revision: RevisionId,
    ) -> Result<RestoredRevision> {
        self.change(actor, repo, move |Change { view, batch, access, actor, now, settings }| {
            let right = access.write(access.environment(&environment)?)?;
            let state = revisions_of(view, right.read())?.into_iter().find(|state| state.id == revision);
            let state = state.ok_or_else(|| {
                Error::not_found("no such revision of this environment; older ones are no longer kept")
            })?;
            let mut edit = Edit::begin(view, &right, access.vault, actor, settings, now)?;
            let touched = edit.revert(view, &state)?;
            let (vault, content, counts) = edit.finish_with_state(batch)?;
            let Counts { created, updated, deleted, .. } = counts;
            let message = if counts == Counts::default() {
                format!("environment `{environment}` is in that state already")
            } else {
                let note = entry(actor, now, Action::RevisionRestored).on(&vault).within(&environment);
                let note = note.naming(&touched).counting(counts);
                batch.audit(note.regarding(format!("revision {revision}")));
                format!(
                    "environment `{environment}` is as it was at {}: {created} restored, {updated} changed, {deleted} deleted",
                    state.created_at
                )
            };
            let stats = RestoredStats { created, updated, deleted };
            Ok(RestoredRevision { id: content, restored: revision, message, stats })
        })
        .await
    }
}

/// The states of an environment that are remembered, newest first.
fn revisions_of(view: View<'_>, right: &CanRead) -> Result<Vec<Revision>> {
    let seal = contents::seal(view, right)?;
    let mut revisions = Vec::new();
    let span = Span::under((right.vault(), right.environment())).newest_first();
    view.scan_in(&seal, &REVISIONS, &span, |_, revision| {
        revisions.push(revision);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(revisions)
}
