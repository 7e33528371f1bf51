//! Push: an environment becomes exactly the given set, in one step.
//!
//! Two shipped clients get a courtesy:
//!
//! - `keyway-mcp` pushes a single pair when it means "set", so from it a push never deletes.
//! - `keyway-cli` and `keyway-mcp` read with a reader that does not unescape, merge, and
//!   push back. From them, a value that is what their reader makes of our text for the
//!   present value counts as unchanged; else a round trip would garble it.

use super::activity::{Counts, entry};
use super::contents::{Edit, SetOutcome};
use super::gate::Change;
use super::secrets::named_in_body;
use super::{Actor, Error, ErrorKind, FieldError, Result, Services, dotenv};
use crate::base::ids::RevisionId;
use crate::base::limits::SECRETS_PER_ENVIRONMENT;
use crate::base::{Agent, EnvironmentName, RepoName, SecretName, SecretText};
use crate::store::records::Action;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Most bad keys one refusal names.
const FAULTS_NAMED: usize = 100;

/// What is pushed.
pub struct Push {
    /// To which repository's vault.
    pub repo: RepoName,
    /// To which environment.
    pub environment: EnvironmentName,
    /// Keys and values, each key once.
    pub secrets: Vec<(String, SecretText)>,
    /// Only if the environment is still in one of these states.
    pub if_match: Option<Vec<RevisionId>>,
}

/// What a push did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PushStats {
    /// New keys.
    pub created: u32,
    /// Keys with a new value.
    pub updated: u32,
    /// Keys that went to the trash.
    pub deleted: u32,
    /// Keys that stayed as they were.
    pub unchanged: u32,
}

/// The answer to a push.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Pushed {
    /// Always true; failures are errors.
    pub success: bool,
    /// For people.
    pub message: String,
    /// What was done.
    pub stats: PushStats,
}

impl Services {
    /// Makes the environment exactly the pushed set.
    ///
    /// # Errors
    /// Invalid, naming every bad key; not found; forbidden; precondition failed; too
    /// large. In all these cases nothing was written.
    pub async fn push(&self, actor: &Actor, push: Push) -> Result<Pushed> {
        let secrets = self.check_pairs(push.secrets)?;
        let Push { repo, environment, if_match, .. } = push;
        let apply = move |Change { view, batch, access, actor, now, settings }: Change<'_, '_>| {
            let info = named_in_body(&access, &environment)?.clone();
            let right = access.write(&info)?;
            let mut edit = Edit::begin(view, &right, access.vault, actor, settings, now)?;
            if if_match.is_some_and(|states| !states.contains(&edit.content().revision)) {
                return Err(Error::new(
                    ErrorKind::PreconditionFailed,
                    format!(
                        "environment `{environment}` was changed since you read it; pull, merge and push again"
                    ),
                ));
            }
            let (unchanged, touched) = merge(&mut edit, secrets, actor.origin.agent);
            let (vault, counts) = edit.finish(batch)?;
            let note = entry(actor, now, Action::SecretsPushed).on(&vault).within(&environment);
            batch.audit(note.naming(&touched).counting(counts));
            let Counts { created, updated, deleted, .. } = counts;
            Ok(PushStats { created, updated, deleted, unchanged })
        };
        let stats = self.change(actor, &repo, apply).await?;
        let message = format!(
            "{} created, {} updated, {} deleted, {} unchanged",
            stats.created, stats.updated, stats.deleted, stats.unchanged
        );
        Ok(Pushed { success: true, message, stats })
    }

    /// Every pair checked; all faults are named at once.
    fn check_pairs(&self, pairs: Vec<(String, SecretText)>) -> Result<BTreeMap<SecretName, SecretText>> {
        if pairs.len() > SECRETS_PER_ENVIRONMENT {
            let message = format!("has {} keys, a push takes at most {SECRETS_PER_ENVIRONMENT}", pairs.len());
            return Err(Error::invalid("secrets", message));
        }
        let mut faults = Vec::new();
        let mut checked = BTreeMap::new();
        for (key, value) in pairs {
            let fault = match SecretName::parse(&key) {
                Err(error) => Some(error.to_string()),
                Ok(name) => match self.value_problem(&value) {
                    Some(problem) => Some(format!("value {problem}")),
                    None => checked.insert(name, value).map(|_| "is there twice".to_owned()),
                },
            };
            if let Some(message) = fault {
                let shown: String = key.chars().take(256).collect();
                faults.push(FieldError { field: format!("secrets.{shown}"), message });
            }
        }
        faults.truncate(FAULTS_NAMED);
        if faults.is_empty() { Ok(checked) } else { Err(Error::invalid_fields(faults)) }
    }
}

/// Puts the pushed pairs into the environment. Returns how many stayed as they were, and
/// the names that did not.
fn merge(
    edit: &mut Edit<'_>,
    pushed: BTreeMap<SecretName, SecretText>,
    agent: Agent,
) -> (u32, Vec<SecretName>) {
    let (mut unchanged, mut touched) = (0, Vec::new());
    if agent != Agent::Mcp {
        let gone = edit.content().secrets.iter().map(|secret| &secret.name);
        touched.extend(gone.filter(|name| !pushed.contains_key(name)).cloned());
        edit.retain(|name| pushed.contains_key(name));
    }
    for (name, value) in pushed {
        let echo = agent != Agent::Other && is_naive_echo(edit, &name, &value);
        if echo || edit.set(&name, value) == SetOutcome::Unchanged {
            unchanged += 1;
        } else {
            touched.push(name);
        }
    }
    (unchanged, touched)
}

/// Whether `value` is what the naive reader makes of our text for the present value.
fn is_naive_echo(edit: &Edit<'_>, name: &SecretName, value: &SecretText) -> bool {
    let present = edit.named(name).map(|secret| &secret.value);
    present.is_some_and(|present| present != value && dotenv::naive_reading(present.expose()) == *value)
}
