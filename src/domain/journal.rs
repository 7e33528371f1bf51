//! Activity: the audit log as people see it, filtered and in pages.
//!
//! The entries of a vault, and those of a user, are counted through. So a page without
//! filters, and the number of all entries, cost the same however long the log is. With
//! a filter the log is searched from the newest matching moment on, and the number of
//! entries is known only as far as the search went: `total` is then the number found up
//! to the end of the page, and one more if there is more.

use super::secrets::Authors;
use super::vaults::rfc_3339;
use super::{Actor, Error, Result, Services};
use crate::base::ids::{EntryId, UserId, VaultId};
use crate::base::{EnvironmentName, Page, Paged, Platform, RepoName, SecretName, Timestamp};
pub use crate::store::records::Action;
use crate::store::records::{CredentialKind, Entry};
use crate::store::{AuditLog, Journal, StoreError, View};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub struct ActivityFilter {
    /// Only this action.
    action: Option<Action>,
    /// Only by the user with this login or id.
    actor: Option<String>,
    /// Not before.
    from: Option<Timestamp>,
    /// Not after.
    to: Option<Timestamp>,
    /// Only what was done with this credential.
    credential: Option<[u8; 16]>,
}

impl ActivityFilter {
    /// Entries with this action, by the user with this login or id, not before `from`
    /// and not after `to`; whatever is not given does not matter.
    #[must_use]
    pub const fn new(
        action: Option<Action>,
        actor: Option<String>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Self {
        Self { action, actor, from, to, credential: None }
    }

    fn is_empty(&self) -> bool {
        let by_time = self.from.is_some() || self.to.is_some();
        !by_time && self.action.is_none() && self.actor.is_none() && self.credential.is_none()
    }

    fn wants(&self, entry: &Entry) -> bool {
        let by = |wanted: &String| {
            let actor = entry.actor.as_ref();
            actor.is_some_and(|actor| {
                actor.username.eq_ignore_ascii_case(wanted) || UserId::parse(wanted) == Some(actor.user)
            })
        };
        self.action.is_none_or(|action| entry.action == action)
            && self.actor.as_ref().is_none_or(by)
            && self.credential.is_none_or(|id| entry.credential_id == Some(id))
            && self.from.is_none_or(|from| entry.at >= from)
            && self.to.is_none_or(|to| entry.at <= to)
    }
}

/// An entry as people see it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// The entry's id.
    pub id: EntryId,
    /// What was done.
    #[schemars(with = "Action")]
    pub action: &'static str,
    /// In which vault.
    pub vault_id: Option<VaultId>,
    /// Of which repository.
    pub repo_full_name: Option<RepoName>,
    /// Who did it; `null` for the machine's own administrator.
    pub actor: Option<ActivityActor>,
    /// With what kind of client.
    #[schemars(with = "Platform")]
    pub platform: &'static str,
    /// Names and counts.
    pub metadata: Metadata,
    /// From which address.
    pub ip: Option<String>,
    /// How the client named itself.
    pub user_agent: String,
    /// When.
    #[serde(serialize_with = "rfc_3339")]
    pub timestamp: Timestamp,
    /// The same.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: Timestamp,
}

/// Who did something.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivityActor {
    /// The user.
    pub id: UserId,
    /// The login at that time.
    pub username: String,
    /// The picture the user has now.
    pub avatar_url: Option<String>,
}

/// What an entry tells beyond who, what and where.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// In which environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Which secrets, by key; the first 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<SecretName>,
    /// Whom or what else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Secrets that were created.
    #[serde(skip_serializing_if = "is_zero")]
    pub created: u32,
    /// Secrets that were changed.
    #[serde(skip_serializing_if = "is_zero")]
    pub updated: u32,
    /// Secrets that were deleted.
    #[serde(skip_serializing_if = "is_zero")]
    pub deleted: u32,
    /// Secrets whose values were read.
    #[serde(skip_serializing_if = "is_zero")]
    pub read: u32,
    /// With what kind of credential.
    pub credential: CredentialKind,
    /// Which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<String>,
    /// In which request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Clocks are set back now and then. A search by time looks this much further than asked.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60 * 60);
impl Services {
    /// What happened, newest first: in the vault of `repo`, or what the actor did. An API
    /// key that is limited to repositories or environments sees of the latter only what
    /// was done with it.
    ///
    /// # Errors
    /// Not found, or forbidden below `admin` of the repository.
    pub async fn activity(
        &self,
        actor: &Actor,
        repo: Option<&RepoName>,
        mut filter: ActivityFilter,
        page: Page,
    ) -> Result<Paged<Activity>> {
        match repo {
            Some(repo) => {
                let look = move |view: View<'_>, access: super::permissions::Access<'_>| {
                    let journal = Journal::Vault(access.manage()?.vault());
                    Ok(entries(view, journal, &filter, page)?)
                };
                self.look_long(actor, repo, look).await
            }
            None => {
                filter.credential = actor.is_confined().then(|| actor.credential_tag());
                let (services, journal) = (self.clone(), Journal::User(actor.user_id()));
                let read = move || services.store().read_log(|view| entries(view, journal, &filter, page));
                Ok(tokio::task::spawn_blocking(read).await.map_err(Error::internal)??)
            }
        }
    }
}

fn entries(
    view: View<'_>,
    journal: Journal,
    filter: &ActivityFilter,
    page: Page,
) -> Result<Paged<Activity>, StoreError> {
    let log = view.audit();
    let Some((first, last)) = log.bounds(journal)? else {
        return Ok(Paged { items: Vec::new(), total: 0, page });
    };
    let (found, total) = if filter.is_empty() {
        let total = last - first + 1;
        let newest = last.checked_sub(page.offset()).filter(|newest| *newest >= first);
        let oldest = newest.map(|newest| first.max((newest + 1).saturating_sub(page.limit())));
        let ordinals = oldest.into_iter().flat_map(|oldest| (oldest..=newest.unwrap_or(oldest)).rev());
        let mut found = Vec::new();
        for ordinal in ordinals {
            found.extend(readable(log.at(journal, ordinal))?);
        }
        (found, total)
    } else {
        search(log, journal, (first, last), filter, page)?
    };
    let mut authors = Authors::new(view);
    let items = found.into_iter().map(|entry| shown(&mut authors, entry)).collect::<Result<_, _>>()?;
    Ok(Paged { items, total, page })
}

/// The matching entries of the page, and how many match as far as was searched.
fn search(
    log: AuditLog<'_>,
    journal: Journal,
    (first, last): (u64, u64),
    filter: &ActivityFilter,
    page: Page,
) -> Result<(Vec<Entry>, u64), StoreError> {
    let bound = |wanted: Option<Timestamp>, other: u64| match wanted {
        Some(moment) => first_since(log, journal, (first, last), moment),
        None => Ok(other),
    };
    let oldest = bound(filter.from.map(|from| from.minus(CLOCK_TOLERANCE)), first)?;
    let behind = bound(filter.to.map(|to| to.plus(CLOCK_TOLERANCE)), last + 1)?;
    let (mut found, mut matches) = (Vec::new(), 0);
    let end = page.offset().saturating_add(page.limit());
    for ordinal in (oldest..behind).rev() {
        let Some(entry) = readable(log.at(journal, ordinal))?.filter(|entry| filter.wants(entry)) else {
            continue;
        };
        matches += 1;
        if matches > end {
            break;
        }
        if matches > page.offset() {
            found.push(entry);
        }
    }
    Ok((found, matches))
}

/// The first ordinal whose entry is not older than `moment`, taking the log for sorted by time.
fn first_since(
    log: AuditLog<'_>,
    journal: Journal,
    (first, last): (u64, u64),
    moment: Timestamp,
) -> Result<u64, StoreError> {
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match readable(log.at(journal, middle))? {
            Some(entry) if entry.at >= moment => high = middle,
            _ => low = middle + 1,
        }
    }
    Ok(low)
}

/// A damaged entry must not hide all others; verifying the log tells of it.
fn readable(entry: Result<Option<Entry>, StoreError>) -> Result<Option<Entry>, StoreError> {
    match entry {
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::error!(%error, "left out of the activity; run `keywayd audit verify`");
            Ok(None)
        }
        other => other,
    }
}

pub(super) fn shown(authors: &mut Authors<'_>, entry: Entry) -> Result<Activity, StoreError> {
    let actor = match entry.actor {
        Some(actor) => Some(ActivityActor {
            id: actor.user,
            username: actor.username,
            avatar_url: authors.find(Some(actor.user))?.and_then(|author| author.avatar_url),
        }),
        None => None,
    };
    let [created, updated, deleted, read] = entry.counts;
    Ok(Activity {
        id: entry.id,
        action: entry.action.as_str(),
        vault_id: entry.vault,
        repo_full_name: entry.repo,
        actor,
        platform: Platform::as_str(entry.platform),
        metadata: Metadata {
            environment: entry.environment,
            keys: entry.names,
            subject: entry.subject,
            created,
            updated,
            deleted,
            read,
            credential: entry.credential,
            credential_id: entry.credential_id.map(|id| EntryId::from_bytes(id).to_string()),
            request_id: entry.request.map(|id| id.to_string()),
        },
        ip: entry.address.map(|address| address.to_string()),
        user_agent: entry.user_agent,
        timestamp: entry.at,
        created_at: entry.at,
    })
}
