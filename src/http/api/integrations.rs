//! Services that secrets are synchronised with: connecting accounts and finding projects.

use crate::base::ids::ConnectionId;
use crate::base::{RepoName, Scope, SecretText};
use crate::domain::integrations::{ConnectionSummary, IntegrationSummary, ProjectSummary};
use crate::http::problem::Problem;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};
use serde::{Deserialize, Serialize};

const CONNECTION: &str = "/v1/integrations/connections/{id}";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/v1/integrations", |ctx| Box::pin(list(ctx))).open(),
    Route::new(Verb::Get, "/v1/integrations/connections", |ctx| Box::pin(connections(ctx)))
        .scope(Scope::ReadSecrets),
    Route::new(Verb::Delete, CONNECTION, |ctx| Box::pin(disconnect(ctx))).scope(Scope::DeleteSecrets),
    Route::new(Verb::Get, "/v1/integrations/connections/{id}/projects", |ctx| Box::pin(projects(ctx)))
        .scope(Scope::ReadSecrets),
    Route::new(Verb::Get, "/v1/integrations/providers/{provider}/all-projects", |ctx| {
        Box::pin(all_projects(ctx))
    })
    .scope(Scope::ReadSecrets),
    Route::new(Verb::Post, "/v1/integrations/{provider}/connect", |ctx| Box::pin(connect(ctx)))
        .scope(Scope::WriteSecrets),
];

#[derive(Serialize)]
struct Providers {
    providers: Vec<IntegrationSummary>,
}

async fn list(ctx: Ctx) -> Answer {
    ctx.ok(&Providers { providers: ctx.services().list_integrations() })
}

#[derive(Serialize)]
struct Connections {
    connections: Vec<ConnectionSummary>,
}

async fn connections(ctx: Ctx) -> Answer {
    let connections = ctx.services().list_connections(ctx.actor()?).await?;
    ctx.ok(&Connections { connections })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connecting {
    token: SecretText,
    team_id: Option<String>,
}

async fn connect(ctx: Ctx) -> Answer {
    let Connecting { token, team_id } = ctx.json()?;
    let provider = ctx.param("provider")?;
    let connected = ctx.services().connect(ctx.actor()?, provider, token, team_id).await?;
    ctx.ok(&connected)
}

async fn disconnect(ctx: Ctx) -> Answer {
    ctx.services().delete_connection(ctx.actor()?, connection_id(&ctx)?).await?;
    ctx.no_content()
}

#[derive(Serialize)]
struct Projects {
    projects: Vec<ProjectSummary>,
}

async fn projects(ctx: Ctx) -> Answer {
    let (id, repo) = (connection_id(&ctx)?, ctx.query_as("repo", RepoName::parse)?);
    let projects = ctx.services().list_projects(ctx.actor()?, id, repo.as_ref()).await?;
    ctx.ok(&Projects { projects })
}

async fn all_projects(ctx: Ctx) -> Answer {
    let repo = ctx.query_as("repo", RepoName::parse)?;
    let provider = ctx.param("provider")?;
    let all = ctx.services().list_all_projects(ctx.actor()?, provider, repo.as_ref()).await?;
    ctx.ok(&all)
}

fn connection_id(ctx: &Ctx) -> Result<ConnectionId, Problem> {
    ctx.id("id", "connection", ConnectionId::parse)
}
