//! From the service into the vault: one change of the environment like any other, with
//! versions, trash and a revision, and in the same step as the note of it.

use super::links::{LinkKey, memories, used_link};
use super::plan::{Direction, Plan, Seen};
use super::sides::{Theirs, VaultSide, without_keys};
use super::sync::{KeyFailure, Purpose, Scene, SyncRequest, SyncResult, permitted};
use crate::base::{RepoName, SecretName};
use crate::domain::activity::{Counts, entry};
use crate::domain::contents::Edit;
use crate::domain::gate::Change;
use crate::domain::{Actor, Error, ErrorKind, Result, Services};
use crate::store::records::{Action, Memory};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often the comparison is repeated because somebody wrote to the environment.
const ATTEMPTS: u32 = 4;

/// What is to become of the environment.
struct Pulling {
    request: SyncRequest,
    scene: Arc<Scene>,
    mine: VaultSide,
    theirs: Theirs,
    plan: Plan,
    memories: Vec<Memory>,
}

impl Services {
    pub(super) async fn sync_pull(
        &self,
        actor: &Actor,
        repo: &RepoName,
        request: &SyncRequest,
        scene: Scene,
    ) -> Result<SyncResult> {
        let scene = Arc::new(scene);
        for _ in 0..ATTEMPTS {
            let purpose = Purpose::Sync(Direction::Pull);
            let mine = self.vault_side(actor, repo, &request.place, purpose, &scene).await?;
            let theirs = mine.face(&scene.access, &scene.place, Direction::Pull).await?;
            let plan = mine.with(&theirs, |sides| sides.plan(Direction::Pull, request.allow_delete));
            let memories = memories(&mine, &theirs, &BTreeMap::new());
            let (unreached, skipped) = (plan.unreached.clone(), plan.skip.len());
            let reached = skipped + plan.create.len() + plan.update.len() + plan.delete.len();
            let (request, scene) = (request.clone(), Arc::clone(&scene));
            let profile = scene.access.profile();
            let pulling = Pulling { request, scene, mine, theirs, plan, memories };
            let Some(counts) = self.change(actor, repo, move |change| pulling.apply(change)).await? else {
                continue;
            };
            if reached == 0 && !unreached.is_empty() {
                let detail = format!(
                    "{} did not tell its values in the time of one request; try again",
                    profile.title
                );
                return Err(Error::new(ErrorKind::Unavailable, detail));
            }
            return Ok(SyncResult::new(counts, skipped, failures(unreached), profile.title));
        }
        Err(Error::conflict("the environment is being changed by others at this moment; synchronise again"))
    }
}

fn failures(unreached: BTreeSet<String>) -> Vec<KeyFailure> {
    let reason = "its value could not be read in the time of one request; synchronise again";
    unreached.into_iter().map(|key| KeyFailure { key, reason: reason.to_owned() }).collect()
}

impl Pulling {
    /// `None`: the environment is not any more what was compared.
    fn apply(
        self,
        Change { view, batch, access, actor, now, settings }: Change<'_, '_>,
    ) -> Result<Option<Counts>> {
        let info = permitted(&access, &self.request.place, Purpose::Sync(Direction::Pull))?.clone();
        let right = access.write(&info)?;
        let mut edit = Edit::begin(view, &right, access.vault, actor, settings, now)?;
        if edit.content().revision != self.mine.revision || info.id != self.mine.environment {
            return Ok(None);
        }
        if !self.plan.delete.is_empty() {
            edit.retain(|name| !self.plan.delete.contains(name.as_str()));
        }
        for name in self.plan.create.iter().chain(&self.plan.update) {
            if let (Ok(name), Some(Seen::Value(value))) =
                (SecretName::parse(name), self.theirs.seen.get(name))
            {
                edit.set(&name, value.clone());
            }
        }
        let (vault, counts) = edit.finish(batch)?;
        let seal = view.vault_seal(vault.id)?.ok_or_else(without_keys)?;
        let Scene { access, place } = &*self.scene;
        let key = LinkKey::new(view.keyring(), vault.id, info.id, access.profile().name, place);
        let complete = self.plan.unreached.is_empty();
        key.put(batch, &seal, &used_link(self.mine.link, access, place, now, complete, self.memories))?;
        let touched = self.plan.create.iter().chain(&self.plan.update).chain(&self.plan.delete);
        let touched: Vec<SecretName> = touched.filter_map(|name| SecretName::parse(name).ok()).collect();
        let note = entry(actor, now, Action::SecretsSynced).on(&vault).within(&info.name);
        let note = note.regarding(format!("pull from {}", self.scene.described()));
        batch.audit(note.naming(&touched).counting(counts));
        Ok(Some(counts))
    }
}
