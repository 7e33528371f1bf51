//! Single secrets: listing, making, changing, deleting, and showing one value.

use super::activity::{Counts, entry};
use super::contents::{self, Edit};
use super::gate::Change;
use super::permissions::Access;
use super::vaults::rfc_3339;
use super::{Actor, Error, Result, Services};
use crate::base::ids::{SecretId, UserId};
use crate::base::secret::exposed;
use crate::base::{EnvironmentName, Page, Paged, RepoName, SecretName, SecretText, Timestamp};
use crate::store::records::{Action, EnvironmentInfo, Secret};
use crate::store::tables::USERS;
use crate::store::{StoreError, View};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;

/// Who wrote a value.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// The login.
    pub username: String,
    /// The picture.
    pub avatar_url: Option<String>,
}

/// A secret as lists show it, without its value.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSummary {
    /// The secret's id.
    pub id: SecretId,
    /// Its key.
    pub key: SecretName,
    /// The environment it is in.
    pub environment: EnvironmentName,
    /// When it was made.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: Timestamp,
    /// When its value was written.
    #[serde(serialize_with = "rfc_3339")]
    pub updated_at: Timestamp,
    /// By whom.
    pub last_modified_by: Option<Author>,
}

/// One value, shown to somebody who asked for it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RevealedSecret {
    /// The value.
    #[schemars(with = "SecretText")]
    #[serde(with = "exposed")]
    pub value: SecretText,
    /// Enough of it to recognise it.
    #[schemars(with = "SecretText")]
    #[serde(with = "exposed")]
    pub preview: SecretText,
}

/// One value, found by its key.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ViewedSecret {
    /// The key.
    pub key: SecretName,
    /// The value.
    #[schemars(with = "SecretText")]
    #[serde(with = "exposed")]
    pub value: SecretText,
    /// The environment.
    pub environment: EnvironmentName,
}

impl Services {
    /// The secrets of one environment, or of all that the actor may read, by
    /// environment and key.
    ///
    /// # Errors
    /// Not found, or forbidden when a named environment may not be read.
    pub async fn list_secrets(
        &self,
        actor: &Actor,
        repo: &RepoName,
        environment: Option<&EnvironmentName>,
        page: Page,
    ) -> Result<Paged<SecretSummary>> {
        self.look(actor, repo, |view, access| {
            let mut environments: Vec<&EnvironmentInfo> = match environment {
                Some(name) => vec![access.environment(name)?],
                None => access.vault.living().filter(|info| access.rights(info).can_read).collect(),
            };
            environments.sort_by(|a, b| a.name.cmp(&b.name));
            let mut all = Vec::new();
            for info in environments {
                let content = contents::load(view, &access.read(info)?)?;
                all.extend(content.secrets.into_iter().map(|secret| (info.name.clone(), secret)));
            }
            let mut authors = Authors::new(view);
            let paged = page.cut(all);
            let (total, page) = (paged.total, paged.page);
            let items = paged.items.iter().map(|(name, secret)| authors.summary(name, secret));
            Ok(Paged { items: items.collect::<Result<_, _>>()?, total, page })
        })
        .await
    }

    /// Makes one secret.
    ///
    /// # Errors
    /// Not found, forbidden, invalid, or conflict when the key exists.
    pub async fn create_secret(
        &self,
        actor: &Actor,
        repo: &RepoName,
        environment: EnvironmentName,
        key: SecretName,
        value: SecretText,
    ) -> Result<SecretSummary> {
        self.check_value("value", &value)?;
        self.change(actor, repo, move |Change { view, batch, access, actor, now, settings }| {
            let info = named_in_body(&access, &environment)?.clone();
            let right = access.write(&info)?;
            let mut edit = Edit::begin(view, &right, access.vault, actor, settings, now)?;
            if edit.named(&key).is_some() {
                return Err(Error::conflict(format!(
                    "a secret with the key `{key}` exists already in environment `{environment}`"
                )));
            }
            edit.set(&key, value);
            let made =
                edit.named(&key).cloned().ok_or_else(|| Error::internal("a created secret is missing"))?;
            let (vault, counts) = edit.finish(batch)?;
            let note = entry(actor, now, Action::SecretCreated).on(&vault).within(&environment);
            batch.audit(note.naming([&key]).counting(counts));
            Ok(Authors::new(view).summary(&environment, &made)?)
        })
        .await
    }

    /// Renames a secret, gives it a new value, or both.
    ///
    /// # Errors
    /// Not found, forbidden, invalid, or conflict when the new key exists.
    pub async fn update_secret(
        &self,
        actor: &Actor,
        repo: &RepoName,
        id: SecretId,
        name: Option<SecretName>,
        value: Option<SecretText>,
    ) -> Result<SecretSummary> {
        if let Some(value) = &value {
            self.check_value("value", value)?;
        }
        self.edit_secret(actor, repo, id, Action::SecretUpdated, move |edit| edit.change(id, name, value))
            .await
    }

    /// Puts a secret into the trash.
    ///
    /// # Errors
    /// Not found, or forbidden.
    pub async fn delete_secret(&self, actor: &Actor, repo: &RepoName, id: SecretId) -> Result<()> {
        let remove = move |edit: &mut Edit<'_>| Ok(edit.remove(id).cloned());
        self.edit_secret(actor, repo, id, Action::SecretDeleted, remove).await.map(drop)
    }

    /// Shows one value.
    ///
    /// # Errors
    /// Not found, or forbidden.
    pub async fn reveal_secret(
        &self,
        actor: &Actor,
        repo: &RepoName,
        id: SecretId,
    ) -> Result<RevealedSecret> {
        let look = |view: View<'_>, access: Access<'_>| {
            let (info, secret) = find_secret(view, &access, id)?;
            access.read(&info)?;
            Ok((access.vault, info.name, secret))
        };
        let (vault, environment, secret) = self.look(actor, repo, look).await?;
        let note = entry(actor, self.now(), Action::SecretRevealed).on(&vault).within(&environment);
        self.audit_read(note.naming([&secret.name]).counting(ONE_READ)).await?;
        Ok(RevealedSecret { preview: preview(&secret.value), value: secret.value })
    }

    /// Shows the value of one key.
    ///
    /// # Errors
    /// Not found, or forbidden.
    pub async fn view_secret(
        &self,
        actor: &Actor,
        repo: &RepoName,
        environment: &EnvironmentName,
        key: &SecretName,
    ) -> Result<ViewedSecret> {
        let look = |view: View<'_>, access: Access<'_>| {
            let content = contents::load(view, &access.read(access.environment(environment)?)?)?;
            let secret = content.secrets.into_iter().find(|secret| secret.name == *key);
            let secret = secret.ok_or_else(|| {
                Error::not_found(format!("secret `{key}` does not exist in environment `{environment}`"))
            })?;
            Ok((access.vault, secret))
        };
        let (vault, secret) = self.look(actor, repo, look).await?;
        let note = entry(actor, self.now(), Action::SecretRevealed).on(&vault).within(environment);
        self.audit_read(note.naming([key]).counting(ONE_READ)).await?;
        Ok(ViewedSecret { key: secret.name, value: secret.value, environment: environment.clone() })
    }

    /// Checks the rules for values.
    pub(super) fn check_value(&self, field: &str, value: &SecretText) -> Result<()> {
        match self.value_problem(value) {
            Some(problem) => Err(Error::invalid(field, problem)),
            None => Ok(()),
        }
    }

    /// What is wrong with a value, if anything.
    pub(super) fn value_problem(&self, value: &SecretText) -> Option<String> {
        let limit = self.settings().value_limit_bytes;
        if value.len() > limit {
            Some(format!("must have at most {limit} bytes"))
        } else if value.expose().contains('\0') {
            Some("must not contain a NUL character".to_owned())
        } else {
            None
        }
    }

    async fn edit_secret(
        &self,
        actor: &Actor,
        repo: &RepoName,
        id: SecretId,
        action: Action,
        act: impl FnOnce(&mut Edit<'_>) -> Result<Option<Secret>> + Send + 'static,
    ) -> Result<SecretSummary> {
        self.change(actor, repo, move |Change { view, batch, access, actor, now, settings }| {
            let (info, _) = find_secret(view, &access, id)?;
            let right = access.write(&info)?;
            let mut edit = Edit::begin(view, &right, access.vault, actor, settings, now)?;
            let secret = act(&mut edit)?.ok_or_else(no_secret)?;
            let (vault, counts) = edit.finish(batch)?;
            if counts != Counts::default() {
                let note = entry(actor, now, action).on(&vault).within(&info.name);
                batch.audit(note.naming([&secret.name]).counting(counts));
            }
            Ok(Authors::new(view).summary(&info.name, &secret)?)
        })
        .await
    }
}

pub(super) const ONE_READ: Counts = Counts { created: 0, updated: 0, deleted: 0, read: 1 };

/// An environment named in a body must exist: that it does not is a mistake in the body.
pub(super) fn named_in_body<'a>(
    access: &'a Access<'_>,
    name: &EnvironmentName,
) -> Result<&'a EnvironmentInfo> {
    access.environment(name).map_err(|_| {
        Error::invalid(
            "environment",
            format!("names an environment that `{}` does not have: `{name}`", access.vault.repo),
        )
    })
}

fn no_secret() -> Error {
    Error::not_found("no such secret in this vault")
}

/// The secret of that id and the environment it lives in. Environments that the actor
/// may not read are searched too: there the answer is a refusal, not `not found`.
pub(super) fn find_secret(
    view: View<'_>,
    access: &Access<'_>,
    id: SecretId,
) -> Result<(EnvironmentInfo, Secret)> {
    let seal = view.vault_seal(access.vault.id)?;
    for info in access.vault.living().filter(|info| info.secret_count > 0) {
        let key = (access.vault.id, info.id);
        let Some(seal) = &seal else { continue };
        let content = view.find_in(seal, &crate::store::tables::ENVIRONMENTS, key)?;
        let secret = content.and_then(|content| content.secrets.into_iter().find(|secret| secret.id == id));
        if let Some(secret) = secret {
            return Ok((info.clone(), secret));
        }
    }
    Err(no_secret())
}

/// ≤ 8 characters: nothing of them; 9 to 12: two at either end; longer: four.
fn preview(value: &SecretText) -> SecretText {
    let chars: Vec<char> = value.expose().chars().collect();
    let shown = match chars.len() {
        0..=8 => return SecretText::new("••••••••".to_owned()),
        9..=12 => 2,
        _ => 4,
    };
    let (head, tail) = (chars.iter().take(shown), chars.iter().skip(chars.len() - shown));
    SecretText::new(head.copied().chain("••••".chars()).chain(tail.copied()).collect())
}

/// Looks authors up once per list.
pub(super) struct Authors<'a> {
    view: View<'a>,
    known: HashMap<UserId, Option<Author>>,
}

impl<'a> Authors<'a> {
    pub(super) fn new(view: View<'a>) -> Self {
        Self { view, known: HashMap::new() }
    }

    pub(super) fn find(&mut self, id: Option<UserId>) -> Result<Option<Author>, StoreError> {
        let Some(id) = id else { return Ok(None) };
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let author = self
            .view
            .find(&USERS, id)?
            .map(|user| Author { username: user.username().to_owned(), avatar_url: user.avatar_url });
        self.known.insert(id, author.clone());
        Ok(author)
    }

    fn summary(
        &mut self,
        environment: &EnvironmentName,
        secret: &Secret,
    ) -> Result<SecretSummary, StoreError> {
        Ok(SecretSummary {
            id: secret.id,
            key: secret.name.clone(),
            environment: environment.clone(),
            created_at: secret.created_at,
            updated_at: secret.updated_at,
            last_modified_by: self.find(secret.updated_by)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_show_only_the_ends_of_long_values() {
        for (value, shown) in [
            ("", "••••••••"),
            ("12345678", "••••••••"),
            ("123456789", "12••••89"),
            ("123456789012", "12••••12"),
            ("1234567890123", "1234••••0123"),
            ("üüüüüüüüü", "üü••••üü"),
        ] {
            assert_eq!(preview(&SecretText::new(value.to_owned())).expose(), shown);
        }
    }
}
