//! Links: which environment is synchronised with which place, when that was last done,
//! and what the place held then. Values are remembered as keyed hashes only, each with
//! the service's own mark of that state: when the mark moves, the memory is void.
//!
//! A link belongs to the vault and is found by the place itself, not by the connection:
//! it outlives the connection and is taken up again by the next one.

use super::access::Access;
use super::plan::Seen;
use super::sides::{Theirs, VaultSide};
use super::sync::SyncPlace;
use crate::base::ids::{EnvironmentId, LinkId, VaultId};
use crate::base::{EnvironmentName, RepoName, SecretName, SecretText, Timestamp};
use crate::crypto::Keyring;
use crate::domain::activity::entry;
use crate::domain::gate::Change;
use crate::domain::ports::provider::{Held, Place};
use crate::domain::vaults::rfc_3339;
use crate::domain::{Actor, Result, Services};
use crate::store::records::{Action, Link, Memory};
use crate::store::tables::{CONNECTIONS, LINKS, Lookup};
use crate::store::{Batch, Span, StoreError, VaultSeal, View};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// A link, to whoever made it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Linked {
    /// The link's id.
    pub id: LinkId,
    /// The project at the service.
    pub project_id: String,
    /// What it is called.
    pub project_name: String,
    /// The environment here.
    pub keyway_environment: EnvironmentName,
    /// The environment there.
    pub provider_environment: String,
    /// When a synchronisation last came to its end.
    #[serde(serialize_with = "optional_rfc_3339")]
    pub last_synced_at: Option<Timestamp>,
    /// Whether it was not linked before.
    pub is_new: bool,
}

/// A link in the list of a vault's links.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkSummary {
    /// The link's id.
    pub id: LinkId,
    /// The service.
    pub provider: String,
    /// The project there.
    pub project_id: String,
    /// What it is called.
    pub project_name: String,
    /// The part of the project.
    pub service_id: Option<String>,
    /// The environment here.
    pub keyway_environment: EnvironmentName,
    /// The environment there.
    pub provider_environment: String,
    /// When a synchronisation last came to its end.
    #[serde(serialize_with = "optional_rfc_3339")]
    pub last_synced_at: Option<Timestamp>,
    /// Since when.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: Timestamp,
    /// Whether the connection it was last used with still exists.
    pub connected: bool,
}

#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn optional_rfc_3339<S: serde::Serializer>(time: &Option<Timestamp>, target: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc_3339(time, target),
        None => target.serialize_none(),
    }
}

/// Where a link is kept.
#[derive(Clone, Copy)]
pub(super) struct LinkKey {
    vault: VaultId,
    environment: EnvironmentId,
    place: Lookup,
}

impl LinkKey {
    pub(super) fn new(
        keyring: &Keyring,
        vault: VaultId,
        environment: EnvironmentId,
        provider: &str,
        place: &Place,
    ) -> Self {
        let service = place.service.as_deref();
        let parts = [provider, &place.project, service.unwrap_or_default(), &place.environment];
        let place = keyring.index.lookup("integration place", &parts.map(str::as_bytes));
        Self { vault, environment, place }
    }

    const fn table_key(self) -> (VaultId, EnvironmentId, Lookup) {
        (self.vault, self.environment, self.place)
    }

    pub(super) fn find(self, view: View<'_>, seal: &VaultSeal) -> Result<Option<Link>, StoreError> {
        view.find_in(seal, &LINKS, self.table_key())
    }

    pub(super) fn put(self, batch: &mut Batch<'_>, seal: &VaultSeal, link: &Link) -> Result<(), StoreError> {
        batch.put_in(seal, &LINKS, self.table_key(), link)
    }
}

/// The keyed hash of a value at its place in a vault.
pub(super) fn value_digest(
    keyring: &Keyring,
    vault: VaultId,
    environment: EnvironmentId,
    name: &SecretName,
    value: &SecretText,
) -> [u8; 32] {
    let parts =
        [vault.as_bytes(), environment.as_bytes(), name.as_str().as_bytes(), value.expose().as_bytes()];
    let parts: [&[u8]; 4] = [parts[0], parts[1], parts[2], parts[3]];
    keyring.index.lookup("integration value", &parts)
}

/// A link as it is when it is made.
pub(super) fn new_link(access: &Access, place: &Place, now: Timestamp) -> Link {
    Link {
        id: LinkId::new(now),
        connection: access.connection.id,
        user: access.connection.user,
        provider: access.profile().name.to_owned(),
        project: place.project.clone(),
        project_name: place.project_name.clone(),
        service: place.service.clone(),
        provider_environment: place.environment.clone(),
        created_at: now,
        synced_at: None,
        memories: Vec::new(),
    }
}

/// A link after a synchronisation over `access`.
pub(super) fn used_link(
    found: Option<Link>,
    access: &Access,
    place: &Place,
    now: Timestamp,
    complete: bool,
    memories: Vec<Memory>,
) -> Link {
    let link = found.unwrap_or_else(|| new_link(access, place, now));
    Link {
        connection: access.connection.id,
        user: access.connection.user,
        project_name: place.project_name.clone(),
        synced_at: if complete { Some(now) } else { link.synced_at },
        memories,
        ..link
    }
}

/// What a synchronisation learnt about one variable.
pub(super) enum Learnt {
    /// It holds this; the mark is the service's, if it told one.
    Holds(SecretText, Option<String>),
    /// It may hold anything.
    Nothing,
}

/// What is known of the place after a synchronisation: what was known before and still
/// stands, and what was learnt.
pub(super) fn memories(mine: &VaultSide, theirs: &Theirs, learnt: &BTreeMap<String, Learnt>) -> Vec<Memory> {
    let mut all = Vec::new();
    let mut remember = |name: &str, marker: &Option<String>, digest: &dyn Fn(&SecretName) -> [u8; 32]| {
        if let (Ok(name), Some(marker)) = (SecretName::parse(name), marker) {
            all.push(Memory { digest: digest(&name), name, marker: marker.clone() });
        }
    };
    for (name, learnt) in learnt {
        if let Learnt::Holds(value, marker) = learnt {
            remember(name, marker, &|name| mine.digest(name, value));
        }
    }
    for variable in theirs.listing.variables.iter().filter(|variable| !learnt.contains_key(&variable.name)) {
        match theirs.seen.get(&variable.name) {
            Some(Seen::Digest(digest)) => remember(&variable.name, &variable.marker, &|_| *digest),
            // What the listing itself tells needs no memory.
            Some(Seen::Value(value)) if variable.held == Held::OnRequest => {
                remember(&variable.name, &variable.marker, &|name| mine.digest(name, value));
            }
            _ => {}
        }
    }
    all
}

impl Services {
    /// Links an environment to a place, or finds them linked.
    ///
    /// # Errors
    /// Not found, forbidden, conflict, invalid, upstream, unavailable.
    pub async fn link_project(&self, actor: &Actor, repo: &RepoName, wanted: SyncPlace) -> Result<Linked> {
        let scene = self.scene(actor, repo, &wanted, super::sync::Purpose::Link).await?;
        self.change(actor, repo, move |Change { view, batch, access, actor, now, .. }| {
            let info = super::sync::permitted(&access, &wanted, super::sync::Purpose::Link)?.clone();
            let seal = view.vault_seal(access.vault.id)?.ok_or_else(super::sides::without_keys)?;
            let provider = scene.access.profile().name;
            let key = LinkKey::new(view.keyring(), access.vault.id, info.id, provider, &scene.place);
            let found = key.find(view, &seal)?;
            let is_new = found.is_none();
            let link = match found {
                Some(link) => {
                    let (memories, synced_at) = (link.memories.clone(), link.synced_at);
                    Link {
                        synced_at,
                        ..used_link(Some(link), &scene.access, &scene.place, now, false, memories)
                    }
                }
                None => new_link(&scene.access, &scene.place, now),
            };
            key.put(batch, &seal, &link)?;
            if is_new {
                let note = entry(actor, now, Action::IntegrationLinked).on(&access.vault).within(&info.name);
                batch.audit(note.regarding(scene.described()));
            }
            Ok(Linked {
                id: link.id,
                project_id: link.project,
                project_name: link.project_name,
                keyway_environment: info.name,
                provider_environment: link.provider_environment,
                last_synced_at: link.synced_at,
                is_new,
            })
        })
        .await
    }

    /// The links of every environment the actor may read, also those whose connection
    /// is gone, by environment and age.
    ///
    /// # Errors
    /// Not found.
    pub async fn list_links(&self, actor: &Actor, repo: &RepoName) -> Result<Vec<LinkSummary>> {
        self.look(actor, repo, |view, access| {
            let seal = view.vault_seal(access.vault.id)?.ok_or_else(super::sides::without_keys)?;
            let mut all = Vec::new();
            for info in access.vault.living().filter(|info| access.rights(info).can_read) {
                let mut links: Vec<Link> = Vec::new();
                let span = Span::under((access.vault.id, info.id));
                view.scan_in(&seal, &LINKS, &span, |_: (VaultId, EnvironmentId, Lookup), link| {
                    links.push(link);
                    Ok(ControlFlow::Continue(()))
                })?;
                links.sort_by_key(|link| link.id);
                for link in links {
                    let connected = view.find(&CONNECTIONS, (link.user, link.connection))?.is_some();
                    all.push(shown(link, &info.name, connected));
                }
            }
            Ok(all)
        })
        .await
    }
}

fn shown(link: Link, environment: &EnvironmentName, connected: bool) -> LinkSummary {
    LinkSummary {
        id: link.id,
        provider: link.provider,
        project_id: link.project,
        project_name: link.project_name,
        service_id: link.service,
        keyway_environment: environment.clone(),
        provider_environment: link.provider_environment,
        last_synced_at: link.synced_at,
        created_at: link.created_at,
        connected,
    }
}
