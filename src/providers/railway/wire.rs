//! What Railway's GraphQL is asked and answers, as far as it is used here.

use crate::base::SecretText;
use crate::domain::ports::provider::Place;
use serde::{Deserialize, Serialize, Serializer};

/// What is asked of every project.
pub(super) const PROJECT: &str = "fragment P on Project { id name deletedAt workspaceId \
    environments(first: 500) { edges { node { id name isEphemeral canAccess deletedAt } } } \
    services(first: 500) { edges { node { id name deletedAt \
      repoTriggers(first: 1) { edges { node { repository } } } } } } }";

#[derive(Serialize)]
pub(super) struct Question<'a, V> {
    pub(super) query: &'a str,
    pub(super) variables: V,
}

#[derive(Deserialize)]
pub(super) struct Answer<T> {
    pub(super) data: Option<T>,
    #[serde(default)]
    pub(super) errors: Vec<Fault>,
}

#[derive(Deserialize)]
pub(super) struct Fault {
    pub(super) message: String,
    #[serde(default)]
    pub(super) extensions: Extensions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Extensions {
    pub(super) code: Option<String>,
    pub(super) workspace_name: Option<String>,
}

/// Data with one member, whatever it is called.
#[derive(Deserialize)]
pub(super) struct Only<T> {
    #[serde(alias = "me", alias = "apiToken", alias = "projectToken", alias = "project", alias = "projects")]
    #[serde(alias = "environment", alias = "externalWorkspaces", alias = "variables")]
    #[serde(alias = "variableCollectionUpsert", alias = "variableDelete")]
    pub(super) only: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connection<T> {
    pub(super) edges: Vec<Edge<T>>,
    pub(super) page_info: Option<PageInfo>,
}

#[derive(Deserialize)]
pub(super) struct Edge<T> {
    pub(super) node: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageInfo {
    pub(super) has_next_page: bool,
    pub(super) end_cursor: Option<String>,
}

impl<T> Connection<T> {
    pub(super) fn nodes(self) -> impl Iterator<Item = T> {
        self.edges.into_iter().map(|edge| edge.node)
    }

    pub(super) fn next(&self) -> Option<String> {
        self.page_info.as_ref().filter(|info| info.has_next_page)?.end_cursor.clone()
    }
}

#[derive(Deserialize)]
pub(super) struct Me {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) username: Option<String>,
    pub(super) email: Option<String>,
    pub(super) workspaces: Vec<Workspace>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Workspace {
    pub(super) id: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct External {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) projects: Vec<ProjectNode>,
}

#[derive(Deserialize)]
pub(super) struct ApiToken {
    pub(super) workspaces: Vec<Workspace>,
}

#[derive(Deserialize)]
pub(super) struct ProjectToken {
    pub(super) project: ProjectNode,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProjectNode {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) deleted_at: Option<String>,
    pub(super) workspace_id: Option<String>,
    pub(super) environments: Connection<EnvironmentNode>,
    pub(super) services: Connection<ServiceNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnvironmentNode {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) is_ephemeral: bool,
    pub(super) can_access: bool,
    pub(super) deleted_at: Option<String>,
}

impl EnvironmentNode {
    pub(super) const fn is_usable(&self) -> bool {
        !self.is_ephemeral && self.can_access && self.deleted_at.is_none()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceNode {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) deleted_at: Option<String>,
    pub(super) repo_triggers: Connection<Trigger>,
}

#[derive(Deserialize)]
pub(super) struct Trigger {
    pub(super) repository: String,
}

#[derive(Deserialize)]
pub(super) struct EnvironmentVariables {
    pub(super) variables: Connection<Meta>,
}

/// What is known of a variable but its value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) service_id: Option<String>,
    pub(super) is_sealed: bool,
    pub(super) updated_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spot<'a> {
    pub(super) project_id: &'a str,
    pub(super) environment_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service_id: Option<&'a str>,
}

impl<'a> Spot<'a> {
    pub(super) fn of(place: &'a Place) -> Self {
        Self {
            project_id: &place.project,
            environment_id: &place.route,
            service_id: place.service.as_deref(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Input<T> {
    pub(super) input: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Upsert<'a> {
    #[serde(flatten)]
    pub(super) spot: Spot<'a>,
    #[serde(serialize_with = "as_map")]
    pub(super) variables: Vec<(&'a str, &'a SecretText)>,
    pub(super) replace: bool,
    pub(super) skip_deploys: bool,
}

#[derive(Serialize)]
pub(super) struct Delete<'a> {
    #[serde(flatten)]
    pub(super) spot: Spot<'a>,
    pub(super) name: &'a str,
}

fn as_map<S: Serializer>(values: &[(&str, &SecretText)], target: S) -> Result<S::Ok, S::Error> {
    target.collect_map(values.iter().map(|(name, value)| (name, value.expose())))
}

#[derive(Serialize)]
pub(super) struct Nothing {}

#[derive(Serialize)]
pub(super) struct ById<'a> {
    pub(super) id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct After<'a> {
    pub(super) id: &'a str,
    pub(super) after: Option<String>,
}
