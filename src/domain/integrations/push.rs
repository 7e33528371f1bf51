//! From the vault to the service. The service takes what it takes: each name is
//! reported as done or not, and a repeated push does the rest.

use super::access::Access;
use super::failure::{explain, reason};
use super::links::{Learnt, LinkKey, memories, used_link};
use super::plan::{Direction, Plan};
use super::sides::{Theirs, VaultSide};
use super::sync::{KeyFailure, Purpose, Scene, SyncRequest, SyncResult};
use crate::base::{RepoName, SecretName, SecretText};
use crate::domain::activity::{Counts, entry};
use crate::domain::ports::provider::{ProviderError, Removal, Setting, Variable, Written};
use crate::domain::{Actor, Result, Services};
use crate::store::records::{Action, Memory};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a listing is believed: what was compared longer ago is looked at again
/// before it is overwritten.
const BELIEVED: Duration = Duration::from_secs(3);

/// One name to be written.
#[derive(Clone)]
enum Step {
    Set(Setting),
    Remove(Removal),
}

impl Step {
    fn name(&self) -> &str {
        match self {
            Self::Set(setting) => &setting.name,
            Self::Remove(removal) => &removal.name,
        }
    }

    const fn removes(&self) -> bool {
        matches!(self, Self::Remove(_))
    }
}

/// A push under way.
struct Run<'a> {
    scene: &'a Scene,
    plan: &'a Plan,
    portions: VecDeque<Vec<Step>>,
    done: BTreeMap<String, Option<String>>,
    failed: BTreeMap<String, ProviderError>,
    /// Changed by somebody else since it was compared.
    moved: BTreeSet<String>,
    total: usize,
}

impl Services {
    pub(super) async fn sync_push(
        &self,
        actor: &Actor,
        repo: &RepoName,
        request: &SyncRequest,
        scene: &Scene,
    ) -> Result<SyncResult> {
        let purpose = Purpose::Sync(Direction::Push);
        let mine = self.vault_side(actor, repo, &request.place, purpose, scene).await?;
        let mut theirs = mine.face(&scene.access, &scene.place, Direction::Push).await?;
        let plan = mine.with(&theirs, |sides| sides.plan(Direction::Push, request.allow_delete));
        let mut run = Run::begin(scene, &plan, &mine, &theirs);
        if run.total > 0 {
            self.note_start(actor, &mine, scene, &plan).await?;
            run.carry_out(&mut theirs).await;
        }
        if let Some(error) = run.never_began() {
            let Access { session, .. } = &scene.access;
            let hidden: Vec<&SecretText> = mine.secrets.values().chain([&session.token]).collect();
            return Err(explain(scene.access.profile(), error, &hidden));
        }
        let counts = run.counts();
        let failures = run.failures(&mine);
        let memories = memories(&mine, &theirs, &run.learnt(&mine));
        let written: Vec<SecretName> =
            run.done.keys().filter_map(|name| SecretName::parse(name).ok()).collect();
        self.note_push(actor, &mine, scene, memories, failures.is_empty(), (&written, counts)).await;
        Ok(SyncResult::new(counts, plan.skip.len(), failures, scene.access.profile().title))
    }

    /// Values are about to leave: that stands in the log before they do.
    async fn note_start(&self, actor: &Actor, mine: &VaultSide, scene: &Scene, plan: &Plan) -> Result<()> {
        let sent: Vec<SecretName> =
            plan.create.iter().chain(&plan.update).filter_map(|name| SecretName::parse(name).ok()).collect();
        let read = u32::try_from(sent.len()).unwrap_or(u32::MAX);
        let note =
            entry(actor, self.now(), Action::SyncStarted).on(&mine.vault).within(&mine.environment_name);
        let note = note.regarding(scene.described()).naming(&sent);
        self.audit_read(note.counting(Counts { read, ..Counts::default() })).await
    }

    /// Notes what was done. It was done whether or not this can be written, so a failure
    /// here is for the log: the client has to hear of the push itself.
    async fn note_push(
        &self,
        actor: &Actor,
        mine: &VaultSide,
        scene: &Scene,
        memories: Vec<Memory>,
        complete: bool,
        (names, counts): (&[SecretName], Counts),
    ) {
        let now = self.now();
        let (vault, environment, provider) = (mine.vault_id(), mine.environment, scene.access.profile().name);
        let key = LinkKey::new(&self.store().keyring(), vault, environment, provider, &scene.place);
        let link = used_link(mine.link.clone(), &scene.access, &scene.place, now, complete, memories);
        let note = entry(actor, now, Action::SecretsSynced).on(&mine.vault).within(&mine.environment_name);
        let note = note.regarding(format!("push to {}", scene.described())).naming(names).counting(counts);
        let outcome: Result<()> = self
            .store()
            .write(move |view, batch| {
                if let Some(seal) = view.vault_seal(vault)? {
                    key.put(batch, &seal, &link)?;
                }
                batch.audit(note);
                Ok(())
            })
            .await;
        if let Err(error) = outcome {
            tracing::error!(%error, "a synchronisation is not noted in the audit log");
        }
    }
}

impl<'a> Run<'a> {
    fn begin(scene: &'a Scene, plan: &'a Plan, mine: &VaultSide, theirs: &Theirs) -> Self {
        let known: HashMap<&str, &Variable> =
            theirs.listing.variables.iter().map(|variable| (variable.name.as_str(), variable)).collect();
        let here = |name: &str| known.get(name).map(|variable| variable.record.clone());
        let record = |name: &str| here(name).or_else(|| theirs.listing.elsewhere.get(name).cloned());
        let value =
            |name: &String| SecretName::parse(name).ok().and_then(|name| mine.secrets.get(&name).cloned());
        // A new name appears before an old one goes: a renamed variable is never missing.
        let set = plan.create.iter().chain(&plan.update).filter_map(|name| {
            let value = value(name)?;
            Some(Step::Set(Setting { name: name.clone(), value, record: record(name) }))
        });
        let remove = plan
            .delete
            .iter()
            .filter_map(|name| Some(Step::Remove(Removal { name: name.clone(), record: here(name)? })));
        let (set, remove): (Vec<Step>, Vec<Step>) = (set.collect(), remove.collect());
        let total = set.len() + remove.len();
        let batch = scene.access.profile().batch.max(1);
        let portions = set.chunks(batch).chain(remove.chunks(batch)).map(<[Step]>::to_vec).collect();
        Self {
            scene,
            plan,
            portions,
            done: BTreeMap::new(),
            failed: BTreeMap::new(),
            moved: BTreeSet::new(),
            total,
        }
    }

    /// Writes portion by portion, until all is written or there is no point in going on.
    async fn carry_out(&mut self, theirs: &mut Theirs) {
        while let Some(mut portion) = self.portions.pop_front() {
            if let Err(error) = self.look_again(&mut portion, theirs).await {
                self.give_up(portion, &error);
                return;
            }
            if portion.is_empty() {
                continue;
            }
            let outcome = self.write(&portion).await;
            match outcome {
                Ok(results) => {
                    let stop = results
                        .iter()
                        .find_map(|result| result.as_ref().err().filter(|e| is_final(e)).cloned());
                    for (step, result) in portion.iter().zip(results) {
                        self.note(step, result);
                    }
                    if let Some(error) = stop {
                        self.give_up(Vec::new(), &error);
                        return;
                    }
                }
                // One bad name fails a portion: the halves tell which it is.
                Err(ProviderError::Rejected(_)) if portion.len() > 1 => {
                    let rest = portion.split_off(portion.len() / 2);
                    self.portions.push_front(rest);
                    self.portions.push_front(portion);
                }
                Err(error) if is_final(&error) => {
                    self.give_up(portion, &error);
                    return;
                }
                Err(error) => {
                    for step in &portion {
                        self.note(step, Err(error.clone()));
                    }
                }
            }
            let (provider, project) = (self.scene.access.profile().name, &self.scene.place.project);
            tracing::info!(
                provider,
                project,
                done = self.done.len(),
                failed = self.failed.len(),
                total = self.total,
                "synchronising"
            );
        }
    }

    async fn write(&self, portion: &[Step]) -> Result<Vec<Written>, ProviderError> {
        let Scene { access, place } = self.scene;
        if portion.first().is_some_and(Step::removes) {
            let removals = portion.iter().filter_map(|step| match step {
                Step::Remove(removal) => Some(removal.clone()),
                Step::Set(_) => None,
            });
            access.provider.remove(&access.session, place, &removals.collect::<Vec<_>>()).await
        } else {
            let settings = portion.iter().filter_map(|step| match step {
                Step::Set(setting) => Some(setting.clone()),
                Step::Remove(_) => None,
            });
            access.provider.set(&access.session, place, &settings.collect::<Vec<_>>()).await
        }
    }

    /// Takes a new listing if the last one is old, and out of the portion what somebody
    /// else has changed since.
    async fn look_again(
        &mut self,
        portion: &mut Vec<Step>,
        theirs: &mut Theirs,
    ) -> Result<(), ProviderError> {
        if theirs.taken.elapsed() < BELIEVED {
            return Ok(());
        }
        let Scene { access, place } = self.scene;
        let taken = Instant::now();
        let listing = access.provider.list(&access.session, place).await?;
        let index = |variables: &[Variable]| -> HashMap<String, Variable> {
            variables.iter().map(|variable| (variable.name.clone(), variable.clone())).collect()
        };
        let (before, now) = (index(&theirs.listing.variables), index(&listing.variables));
        let pending = self.portions.iter().flatten().chain(portion.iter());
        let moved = pending.map(Step::name).filter(|name| before.get(*name) != now.get(*name));
        self.moved.extend(moved.map(str::to_owned));
        let moved = &self.moved;
        portion.retain(|step| !moved.contains(step.name()));
        for waiting in &mut self.portions {
            waiting.retain(|step| !moved.contains(step.name()));
        }
        theirs.taken = taken;
        Ok(())
    }

    fn note(&mut self, step: &Step, result: Written) {
        match result {
            Ok(marker) => {
                self.done.insert(step.name().to_owned(), marker);
            }
            Err(error) => {
                self.failed.insert(step.name().to_owned(), error);
            }
        }
    }

    /// Reports everything that is left as failed with `error`.
    fn give_up(&mut self, portion: Vec<Step>, error: &ProviderError) {
        let rest = portion.into_iter().chain(std::mem::take(&mut self.portions).into_iter().flatten());
        for step in rest {
            self.failed.insert(step.name().to_owned(), error.clone());
        }
    }

    /// The failure, if none of the writes can have been more than an attempt.
    fn never_began(&self) -> Option<ProviderError> {
        let turned_away =
            |error: &&ProviderError| is_final(error) || matches!(error, ProviderError::Forbidden(_));
        let idle = self.done.is_empty() && self.moved.is_empty() && !self.failed.is_empty();
        if idle && self.failed.values().all(|error| turned_away(&error)) {
            self.failed.values().next().cloned()
        } else {
            None
        }
    }

    fn counts(&self) -> Counts {
        let count = |names: &BTreeSet<String>| {
            u32::try_from(names.iter().filter(|name| self.done.contains_key(*name)).count())
                .unwrap_or(u32::MAX)
        };
        let Plan { create, update, delete, .. } = self.plan;
        Counts { created: count(create), updated: count(update), deleted: count(delete), read: 0 }
    }

    fn failures(&self, mine: &VaultSide) -> Vec<KeyFailure> {
        // Not only its own value: a service may quote the whole portion.
        let values: Vec<&SecretText> = mine.secrets.values().collect();
        let failed = self.failed.iter().map(|(name, error)| (name.clone(), reason(error, &values)));
        let title = self.scene.access.profile().title;
        let moved = self.moved.iter().map(|name| {
            (name.clone(), format!("it was changed at {title} meanwhile; look and synchronise again"))
        });
        let all: BTreeMap<String, String> = failed.chain(moved).collect();
        all.into_iter().map(|(key, reason)| KeyFailure { key, reason }).collect()
    }

    fn learnt(&self, mine: &VaultSide) -> BTreeMap<String, Learnt> {
        let mut learnt = BTreeMap::new();
        for (name, marker) in &self.done {
            let value = SecretName::parse(name).ok().and_then(|name| mine.secrets.get(&name).cloned());
            let what = match value {
                Some(value) if !self.plan.delete.contains(name) => Learnt::Holds(value, marker.clone()),
                _ => Learnt::Nothing,
            };
            learnt.insert(name.clone(), what);
        }
        for name in self.failed.keys().chain(&self.moved) {
            learnt.insert(name.clone(), Learnt::Nothing);
        }
        learnt
    }
}

/// Whether there is no point in writing anything further.
const fn is_final(error: &ProviderError) -> bool {
    matches!(error, ProviderError::BadToken | ProviderError::RateLimited(_) | ProviderError::OutOfTime)
}
