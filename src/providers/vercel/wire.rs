//! What Vercel's API says and is told, as far as it is used here.

use crate::base::SecretText;
use crate::base::secret::exposed;
use crate::domain::ports::provider::{Place, ProviderError};
use crate::providers::api::{Outcome, repo_of};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub(super) struct UserReply {
    pub(super) user: User,
}

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) username: Option<String>,
    pub(super) email: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct TeamReply {
    pub(super) id: String,
    pub(super) slug: Option<String>,
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ProjectsReply {
    pub(super) projects: Vec<ProjectReply>,
    #[serde(default)]
    pub(super) pagination: Option<Pagination>,
}

#[derive(Deserialize)]
pub(super) struct Pagination {
    pub(super) next: Option<Next>,
}

/// A timestamp or a continuation token; it goes back as it came.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Next {
    Number(u64),
    Token(String),
}

impl Next {
    pub(super) fn text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Token(token) => token,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProjectReply {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) account_id: Option<String>,
    pub(super) framework: Option<String>,
    pub(super) link: Option<Link>,
    #[serde(default)]
    pub(super) custom_environments: Vec<CustomEnvironment>,
}

#[derive(Deserialize)]
pub(super) struct CustomEnvironment {
    pub(super) id: String,
    pub(super) slug: String,
}

#[derive(Deserialize)]
pub(super) struct CustomEnvironmentsReply {
    pub(super) environments: Vec<CustomEnvironment>,
}

/// The repository a project is built from, as each forge is described.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Link {
    pub(super) org: Option<String>,
    pub(super) repo: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) slug: Option<String>,
    pub(super) project_url: Option<String>,
}

impl Link {
    pub(super) fn repository(&self) -> Option<String> {
        let joined = |owner: &Option<String>, name: &Option<String>| {
            let (owner, name) = (owner.as_ref()?, name.as_ref()?);
            Some(if name.contains('/') { name.clone() } else { format!("{owner}/{name}") })
        };
        joined(&self.org, &self.repo)
            .or_else(|| joined(&self.owner, &self.slug))
            .or_else(|| repo_of(self.project_url.as_ref()?))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum EnvReply {
    Listed {
        envs: Vec<Env>,
        #[serde(default)]
        pagination: Option<Pagination>,
    },
    Single(Box<Env>),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    pub(super) fn all(self) -> Vec<T> {
        match self {
            Self::Many(all) => all,
            Self::One(one) => vec![one],
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Env {
    pub(super) id: Option<String>,
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: SecretText,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) target: Option<OneOrMany<String>>,
    #[serde(default)]
    pub(super) custom_environment_ids: Vec<String>,
    pub(super) git_branch: Option<String>,
    pub(super) configuration_id: Option<String>,
    #[serde(default)]
    pub(super) system: Option<bool>,
    pub(super) visibility: Option<String>,
    pub(super) decrypted: Option<bool>,
    pub(super) comment: Option<String>,
    pub(super) created_at: Option<u64>,
    pub(super) updated_at: Option<u64>,
}

impl Env {
    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.kind.as_str(), "sensitive" | "secret") || self.visibility.as_deref() == Some("secret")
    }

    pub(super) fn is_owned_by_others(&self) -> bool {
        self.system == Some(true) || self.kind == "system" || self.configuration_id.is_some()
    }

    /// Moves with every change of the record.
    pub(super) fn marker(&self) -> Option<String> {
        Some(format!("{}:{}", self.id.as_ref()?, self.updated_at.or(self.created_at)?))
    }
}

/// What changing a variable takes to know.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) targets: Vec<String>,
    pub(super) custom: Vec<String>,
    pub(super) comment: Option<String>,
}

/// A target, or a custom environment by its id.
#[derive(Clone, Copy)]
pub(super) enum Spot<'a> {
    Target(&'a str),
    Custom(&'a str),
}

impl<'a> Spot<'a> {
    pub(super) fn of(place: &'a Place) -> Self {
        match place.route.strip_prefix("custom:") {
            Some(id) => Self::Custom(id),
            None => Self::Target(&place.route),
        }
    }

    pub(super) fn is_in(self, record: &Record) -> bool {
        match self {
            Self::Target(target) => record.targets.iter().any(|one| one == target),
            Self::Custom(id) => record.custom.iter().any(|one| one == id),
        }
    }

    /// The record without this spot.
    pub(super) fn taken_from(self, record: &Record) -> Record {
        let mut rest = record.clone();
        match self {
            Self::Target(target) => rest.targets.retain(|one| one != target),
            Self::Custom(id) => rest.custom.retain(|one| one != id),
        }
        rest
    }
}

impl Record {
    pub(super) fn is_shared(&self) -> bool {
        self.targets.len() + self.custom.len() > 1
    }

    pub(super) fn read(text: &SecretText) -> Outcome<Self> {
        serde_json::from_str(text.expose())
            .map_err(|_| ProviderError::Failed("a record is not ours".to_owned()))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewEnv<'a> {
    pub(super) key: &'a str,
    #[serde(with = "exposed")]
    pub(super) value: SecretText,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) target: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) custom_environment_ids: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reach<'a> {
    pub(super) target: &'a [String],
    pub(super) custom_environment_ids: &'a [String],
}

#[derive(Deserialize)]
pub(super) struct Created {
    #[serde(default)]
    pub(super) created: Option<OneOrMany<Env>>,
    #[serde(default)]
    pub(super) failed: Vec<Refused>,
}

#[derive(Deserialize)]
pub(super) struct Refused {
    pub(super) error: RefusedError,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefusedError {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) key: Option<String>,
    pub(super) env_var_key: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Ids<'a> {
    pub(super) ids: Vec<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct Deleted {
    pub(super) ids: Vec<String>,
}
