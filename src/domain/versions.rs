//! Versions: the values a secret had before its present one. Every change of a value
//! keeps the old one, whichever call it comes from; see `contents`.

use super::activity::{Counts, entry};
use super::contents::{self, Edit};
use super::gate::Change;
use super::permissions::CanRead;
use super::secrets::{Author, Authors, ONE_READ, find_secret};
use super::vaults::rfc_3339;
use super::{Actor, Error, Result, Services};
use crate::base::ids::{SecretId, VersionId};
use crate::base::secret::exposed;
use crate::base::{RepoName, SecretName, SecretText, Timestamp};
use crate::store::records::{Action, Version};
use crate::store::tables::VERSIONS;
use crate::store::{Span, View};
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::ControlFlow;

/// A version as lists show it, without its value.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionSummary {
    /// The version's id.
    pub id: VersionId,
    /// The how-manieth value of the secret it was, from 1.
    pub version_number: u64,
    /// When the value was written.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: Option<Author>,
}

/// One old value, shown to somebody who asked for it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevealedVersion {
    /// The value.
    #[schemars(with = "SecretText")]
    #[serde(with = "exposed")]
    pub value: SecretText,
    /// The how-manieth value of the secret it was.
    pub version_number: u64,
}

/// The answer to restoring an old value.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredVersion {
    /// The secret's key.
    pub key: SecretName,
    /// The version whose value is the present one again.
    pub version_number: u64,
    /// For people.
    pub message: String,
}

impl Services {
    /// The kept old values of a secret, newest first.
    ///
    /// # Errors
    /// Not found, or forbidden.
    pub async fn list_versions(
        &self,
        actor: &Actor,
        repo: &RepoName,
        secret: SecretId,
    ) -> Result<Vec<VersionSummary>> {
        self.look(actor, repo, |view, access| {
            let (info, _) = find_secret(view, &access, secret)?;
            let mut authors = Authors::new(view);
            let versions = versions_of(view, &access.read(&info)?, secret)?.into_iter();
            let summary = |(number, version): (u64, Version)| {
                Ok(VersionSummary {
                    id: version.id,
                    version_number: number,
                    created_at: version.created_at,
                    created_by: authors.find(version.created_by)?,
                })
            };
            versions.map(summary).collect()
        })
        .await
    }

    /// Shows one old value.
    ///
    /// # Errors
    /// Not found, or forbidden.
    pub async fn reveal_version(
        &self,
        actor: &Actor,
        repo: &RepoName,
        secret: SecretId,
        version: VersionId,
    ) -> Result<RevealedVersion> {
        let look = self.look(actor, repo, |view, access| {
            let (info, secret) = find_secret(view, &access, secret)?;
            let (number, version) = find_version(view, &access.read(&info)?, secret.id, version)?;
            Ok((access.vault, info.name, secret.name, number, version.value))
        });
        let (vault, environment, key, version_number, value) = look.await?;
        let note = entry(actor, self.now(), Action::VersionRevealed).on(&vault).within(&environment);
        let note = note.naming([&key]).counting(ONE_READ).regarding(format!("version {version_number}"));
        self.audit_read(note).await?;
        Ok(RevealedVersion { value, version_number })
    }

    /// Makes an old value the present one; the present one becomes a version.
    ///
    /// # Errors
    /// Not found, or forbidden.
    pub async fn restore_version(
        &self,
        actor: &Actor,
        repo: &RepoName,
        secret: SecretId,
        version: VersionId,
    ) -> Result<RestoredVersion> {
        self.change(actor, repo, move |Change { view, batch, access, actor, now, settings }| {
            let (info, secret) = find_secret(view, &access, secret)?;
            let right = access.write(&info)?;
            let (number, version) = find_version(view, right.read(), secret.id, version)?;
            let mut edit = Edit::begin(view, &right, access.vault, actor, settings, now)?;
            edit.change(secret.id, None, Some(version.value))?;
            let (vault, counts) = edit.finish(batch)?;
            let key = secret.name;
            let message = if counts == Counts::default() {
                format!("`{key}` has the value of version {number} already")
            } else {
                let note = entry(actor, now, Action::VersionRestored).on(&vault).within(&info.name);
                let note = note.naming([&key]).counting(counts);
                batch.audit(note.regarding(format!("version {number}")));
                format!("`{key}` has the value of version {number} again")
            };
            Ok(RestoredVersion { key, version_number: number, message })
        })
        .await
    }
}

/// The kept old values of a secret with their numbers, newest first.
fn versions_of(view: View<'_>, right: &CanRead, secret: SecretId) -> Result<Vec<(u64, Version)>> {
    let seal = contents::seal(view, right)?;
    let mut versions = Vec::new();
    let span = Span::under((right.vault(), secret)).newest_first();
    view.scan_in(&seal, &VERSIONS, &span, |(_, _, number), version| {
        versions.push((number, version));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(versions)
}

fn find_version(
    view: View<'_>,
    right: &CanRead,
    secret: SecretId,
    version: VersionId,
) -> Result<(u64, Version)> {
    let versions = versions_of(view, right, secret)?;
    versions.into_iter().find(|(_, kept)| kept.id == version).ok_or_else(no_version)
}

fn no_version() -> Error {
    Error::not_found("no such version of this secret; older ones may no longer be kept")
}
