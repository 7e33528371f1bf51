//! The two sides of a comparison as they are now: the vault's environment, and the
//! service's variables as far as they can be read or are remembered.

use super::access::Access;
use super::links::{LinkKey, value_digest};
use super::plan::{Direction, Seen, Sides};
use crate::base::ids::{EnvironmentId, RevisionId, VaultId};
use crate::base::{EnvironmentName, SecretName, SecretText};
use crate::domain::permissions::{Access as VaultAccess, CanRead};
use crate::domain::ports::provider::{Held, Listing, Place, Provider, ProviderError, Session, Variable};
use crate::domain::{Error, Result, Services, contents};
use crate::store::View;
use crate::store::records::{Link, Vault};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// The vault's side.
pub(super) struct VaultSide {
    services: Services,
    pub(super) vault: Vault,
    pub(super) environment: EnvironmentId,
    pub(super) environment_name: EnvironmentName,
    pub(super) revision: RevisionId,
    pub(super) secrets: BTreeMap<SecretName, SecretText>,
    pub(super) link: Option<Link>,
}

/// The service's side.
pub(super) struct Theirs {
    provider: Arc<dyn Provider>,
    pub(super) listing: Listing,
    pub(super) seen: BTreeMap<String, Seen>,
    /// When the listing was taken.
    pub(super) taken: Instant,
}

pub(super) fn without_keys() -> Error {
    Error::internal("a living vault has no keys")
}

impl VaultSide {
    /// What `right` lets read, and what is known of `place`.
    pub(super) fn load(
        services: &Services,
        view: View<'_>,
        access: VaultAccess<'_>,
        right: &CanRead,
        environment_name: EnvironmentName,
        provider: &str,
        place: &Place,
    ) -> Result<Self> {
        let content = contents::load(view, right)?;
        let seal = view.vault_seal(right.vault())?.ok_or_else(without_keys)?;
        let key = LinkKey::new(view.keyring(), right.vault(), right.environment(), provider, place);
        Ok(Self {
            services: services.clone(),
            vault: access.vault,
            environment: right.environment(),
            environment_name,
            revision: content.revision,
            secrets: content.secrets.into_iter().map(|secret| (secret.name, secret.value)).collect(),
            link: key.find(view, &seal)?,
        })
    }

    pub(super) fn vault_id(&self) -> VaultId {
        self.vault.id
    }

    /// The keyed hash of a value in this environment.
    pub(super) fn digest(&self, name: &SecretName, value: &SecretText) -> [u8; 32] {
        value_digest(&self.services.store().keyring(), self.vault.id, self.environment, name, value)
    }

    /// Hands both sides to `compare`.
    pub(super) fn with<T>(&self, theirs: &Theirs, compare: impl FnOnce(&Sides<'_>) -> T) -> T {
        compare(&Sides {
            vault: &self.secrets,
            service: &theirs.seen,
            is_left_alone: &|name| {
                theirs.provider.is_reserved(name) || theirs.listing.left_alone.contains(name)
            },
            is_storable: &|value| self.services.value_problem(value).is_none(),
            digest: &|name, value| self.digest(name, value),
        })
    }

    /// Lists the service's side and reads of it what the comparison needs.
    pub(super) async fn face(&self, access: &Access, place: &Place, direction: Direction) -> Result<Theirs> {
        let taken = Instant::now();
        let listing = access.provider.list(&access.session, place).await;
        let listing = listing.map_err(|error| access.explain(error))?;
        let provider = Arc::clone(&access.provider);
        let mut theirs = Theirs { provider, seen: BTreeMap::new(), listing, taken };
        let mut asked: Vec<&Variable> = Vec::new();
        let memories = self.memories();
        for variable in &theirs.listing.variables {
            let memory = memories.get(variable.name.as_str()).copied();
            let known = memory.filter(|(_, marker)| Some(*marker) == variable.marker.as_deref());
            let known = known.map(|(digest, _)| Seen::Digest(digest));
            let seen = match (&variable.held, known) {
                (Held::Value(value), _) => Seen::Value(value.clone()),
                (Held::Sealed, known) => known.unwrap_or(Seen::Unknown),
                (Held::OnRequest, Some(known)) if self.suffices(&variable.name, &known, direction) => known,
                (Held::OnRequest, _) => {
                    asked.push(variable);
                    Seen::Unasked
                }
            };
            theirs.seen.insert(variable.name.clone(), seen);
        }
        if !asked.is_empty() {
            let session = self.reading_session(access, direction);
            let answers = access.provider.reveal(&session, place, &asked).await;
            for (variable, answer) in asked.iter().zip(answers) {
                let seen = match answer {
                    Ok(Some(value)) => Seen::Value(value),
                    Ok(None) | Err(ProviderError::Forbidden(_) | ProviderError::Rejected(_)) => Seen::Unknown,
                    Err(error @ ProviderError::BadToken) => return Err(access.explain(error)),
                    Err(_) => continue,
                };
                theirs.seen.insert(variable.name.clone(), seen);
            }
        }
        Ok(theirs)
    }

    fn memories(&self) -> HashMap<&str, ([u8; 32], &str)> {
        let all = self.link.iter().flat_map(|link| &link.memories);
        all.map(|memory| (memory.name.as_str(), (memory.digest, memory.marker.as_str()))).collect()
    }

    /// Whether knowing the hash is enough. To take a value over one has to have it.
    fn suffices(&self, name: &str, known: &Seen, direction: Direction) -> bool {
        if direction == Direction::Push {
            return true;
        }
        let Ok(name) = SecretName::parse(name) else { return true };
        let mine = self.secrets.get(&name);
        mine.is_some_and(|mine| *known == Seen::Digest(self.digest(&name, mine)))
    }

    /// Before a push only half of the time goes into reading: writing what is already
    /// there does no harm, and not coming to write at all does.
    #[expect(clippy::unused_self, reason = "it is a rule of this comparison")]
    fn reading_session(&self, access: &Access, direction: Direction) -> Session {
        let Session { token, scheme, team, until } = &access.session;
        let left = until.saturating_duration_since(Instant::now());
        let until = if direction == Direction::Push { *until - left / 2 } else { *until };
        Session { token: token.clone(), scheme: scheme.clone(), team: team.clone(), until }
    }
}
