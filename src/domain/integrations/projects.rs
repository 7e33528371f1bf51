//! The projects that connections lead to.

use super::access::{Access, require_unconfined};
use super::connections::{ConnectionSummary, connections_of, summary};
use crate::base::RepoName;
use crate::base::ids::ConnectionId;
use crate::domain::ports::provider::Project;
use crate::domain::{Actor, Result, Services};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;

/// A project, as somebody chooses it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectSummary {
    /// Its id at the service.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The repository it is built from.
    pub linked_repo: Option<String>,
    /// What it is built with.
    pub framework: Option<String>,
    /// A part of it with variables of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
    /// What that part is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Its environments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// The connection that leads to it.
    pub connection_id: ConnectionId,
    /// The team it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// What the team is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team_name: Option<String>,
}

/// The projects of all connections to one service.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AllProjects {
    /// The projects.
    pub projects: Vec<ProjectSummary>,
    /// The connections.
    pub connections: Vec<ConnectionSummary>,
    /// Connections that could not be asked, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<BrokenConnection>,
}

/// A connection that could not be asked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokenConnection {
    /// Which.
    pub connection_id: ConnectionId,
    /// Why, and what to do.
    pub message: String,
}

impl Services {
    /// Every project of one connection: those built from `repo` first, then by name.
    ///
    /// # Errors
    /// Not found, conflict, upstream, unavailable.
    pub async fn list_projects(
        &self,
        actor: &Actor,
        id: ConnectionId,
        repo: Option<&RepoName>,
    ) -> Result<Vec<ProjectSummary>> {
        require_unconfined(actor, "see the projects of a connection")?;
        let access = self.access(actor, id).await?;
        let mut projects = projects_of(&access).await?;
        sort(&mut projects, repo);
        Ok(projects)
    }

    /// Every project of every connection to one service. A connection that fails does
    /// not keep the others' projects away.
    ///
    /// # Errors
    /// Not found or conflict, when the service is unknown or not enabled.
    pub async fn list_all_projects(
        &self,
        actor: &Actor,
        provider: &str,
        repo: Option<&RepoName>,
    ) -> Result<AllProjects> {
        let name = self.integrations().provider(provider)?.profile().name;
        require_unconfined(actor, "see the projects of connections")?;
        let until = self.integration_deadline();
        let mut connections = self.store().read(|view| connections_of(view, actor.user_id()))?;
        connections.retain(|connection| connection.provider == name);
        let asked = connections.iter().map(|connection| async move {
            let answer = match self.access_by(connection.clone(), until).await {
                Ok(access) => projects_of(&access).await,
                Err(error) => Err(error),
            };
            (connection.id, answer)
        });
        let (mut projects, mut errors) = (Vec::new(), Vec::new());
        for (connection_id, answer) in join_all(asked).await {
            match answer {
                Ok(found) => projects.extend(found),
                Err(error) => errors.push(BrokenConnection { connection_id, message: error.detail }),
            }
        }
        sort(&mut projects, repo);
        Ok(AllProjects { projects, connections: connections.iter().map(summary).collect(), errors })
    }
}

async fn projects_of(access: &Access) -> Result<Vec<ProjectSummary>> {
    let found = access.provider.projects(&access.session).await;
    let found = found.map_err(|error| access.explain(error))?;
    Ok(found.into_iter().map(|project| shown(project, access)).collect())
}

fn shown(project: Project, access: &Access) -> ProjectSummary {
    let connection = &access.connection;
    let (service_id, service_name) = project.service.unzip();
    let (team_id, team_name) = match project.team {
        Some((id, name)) => (Some(id), Some(name)),
        None => (connection.team.clone(), connection.team_name.clone()),
    };
    ProjectSummary {
        id: project.id,
        name: project.name,
        linked_repo: project.linked_repo,
        framework: project.framework,
        service_id,
        service_name,
        environments: project.environments,
        connection_id: connection.id,
        team_id,
        team_name,
    }
}

fn sort(projects: &mut [ProjectSummary], repo: Option<&RepoName>) {
    let is_linked = |project: &ProjectSummary| {
        let linked = project.linked_repo.as_deref().and_then(|name| RepoName::parse(name).ok());
        repo.is_some() && linked.as_ref() == repo
    };
    projects.sort_by_cached_key(|project| {
        (!is_linked(project), project.name.clone(), project.service_name.clone(), project.id.clone())
    });
}
