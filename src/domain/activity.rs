//! The audit log: what is noted about every action. Names and counts, never values.

use super::{Actor, Origin, ReadAudit, Result, Services};
use crate::base::{Agent, EnvironmentName, Platform, RepoName, SecretName, Timestamp};
use crate::store::records::{Action, CredentialKind, Entry, EntryActor, User, Vault};

/// Most names one entry lists; the counts are always whole.
const NAMES_LISTED: usize = 100;

/// How many secrets an action touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) created: u32,
    pub(super) updated: u32,
    pub(super) deleted: u32,
    pub(super) read: u32,
}

/// An entry about what `actor` did; the rest is filled in by the methods below.
pub(super) fn entry(actor: &Actor, now: Timestamp, action: Action) -> Entry {
    let who = EntryActor { user: actor.user_id(), username: actor.user.username().to_owned() };
    Entry {
        actor: Some(who),
        credential: actor.credential_kind(),
        credential_id: Some(actor.credential_tag()),
        address: Some(actor.origin.address),
        platform: actor.platform(),
        user_agent: actor.origin.user_agent.clone(),
        request: Some(actor.origin.request_id),
        ..Entry::of_machine(now, action)
    }
}

/// An entry about `user` signing in or out.
pub(super) fn sign_in_entry(user: &User, origin: &Origin, now: Timestamp, action: Action) -> Entry {
    let platform = match origin.agent {
        Agent::Cli => Platform::Cli,
        Agent::Mcp => Platform::Mcp,
        Agent::Other => Platform::Web,
    };
    Entry {
        actor: Some(EntryActor { user: user.id, username: user.username().to_owned() }),
        credential: CredentialKind::SignIn,
        address: Some(origin.address),
        platform,
        user_agent: origin.user_agent.clone(),
        request: Some(origin.request_id),
        ..operator_entry(now, action)
    }
}

/// An entry about what the machine's own administrator did.
pub(super) fn operator_entry(now: Timestamp, action: Action) -> Entry {
    Entry::of_machine(now, action)
}

impl Entry {
    pub(super) fn on(mut self, vault: &Vault) -> Self {
        self.vault = Some(vault.id);
        self.repo = Some(vault.repo.clone());
        self
    }

    pub(super) fn about_repo(mut self, repo: &RepoName) -> Self {
        self.repo = Some(repo.clone());
        self
    }

    pub(super) fn within(mut self, environment: &EnvironmentName) -> Self {
        self.environment = Some(environment.clone());
        self
    }

    pub(super) fn naming<'n>(mut self, names: impl IntoIterator<Item = &'n SecretName>) -> Self {
        self.names = names.into_iter().take(NAMES_LISTED).cloned().collect();
        self
    }

    pub(super) fn regarding(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    pub(super) fn counting(mut self, counts: Counts) -> Self {
        self.counts = [counts.created, counts.updated, counts.deleted, counts.read];
        self
    }
}

impl Services {
    /// Notes that values were read; returns when they may leave.
    pub(super) async fn audit_read(&self, entry: Entry) -> Result<()> {
        match self.settings().read_audit {
            ReadAudit::Relaxed if !self.store().is_pressed() => Ok(self.store().audit_soon(entry)?),
            // Readers who outrun the writer wait with it, instead of being turned away.
            ReadAudit::Relaxed | ReadAudit::Durable => Ok(self.store().audit_read(entry).await?),
        }
    }
}
