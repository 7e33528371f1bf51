//! Services that secrets are synchronised with: connecting accounts and finding projects.

use crate::base::ids::ConnectionId;
use crate::base::{RepoName, Scope, SecretText};
use crate::domain::integrations::{
    AllProjects, Connected, ConnectionSummary, IntegrationSummary, ProjectSummary,
};
use crate::http::about::{About, Param};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const CONNECTION: &str = "/v1/integrations/connections/{id}";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/v1/integrations", LIST, |ctx| Box::pin(list(ctx))).open(),
    Route::new(Verb::Get, "/v1/integrations/connections", CONNECTIONS, |ctx| Box::pin(connections(ctx)))
        .scope(Scope::ReadSecrets),
    Route::new(Verb::Delete, CONNECTION, DISCONNECT, |ctx| Box::pin(disconnect(ctx)))
        .scope(Scope::DeleteSecrets),
    Route::new(Verb::Get, "/v1/integrations/connections/{id}/projects", PROJECTS, |ctx| {
        Box::pin(projects(ctx))
    })
    .scope(Scope::ReadSecrets),
    Route::new(Verb::Get, "/v1/integrations/providers/{provider}/all-projects", ALL_PROJECTS, |ctx| {
        Box::pin(all_projects(ctx))
    })
    .scope(Scope::ReadSecrets),
    Route::new(Verb::Post, "/v1/integrations/{provider}/connect", CONNECT, |ctx| Box::pin(connect(ctx)))
        .scope(Scope::WriteSecrets),
];

/// What a service that was asked can do to a call.
const FAILURES: &[ProblemKind] = &[ProblemKind::Conflict, ProblemKind::UpstreamError];
const REPO: Param =
    Param::optional::<RepoName>("repo", "Tells, of each project, whether this repository is linked with it.");

const LIST: About = About::data::<Providers>("List the services that secrets can be synchronised with");

const CONNECTIONS: About = About::data::<Connections>("List the caller's accounts at these services")
    .details("Oldest first.")
    .leads(&[("id", "/data/connections/0/id")]);

const DISCONNECT: About = About::nothing("Forget an account at a service");

const PROJECTS: About =
    About::data::<Projects>("List the projects of an account").query(&[REPO]).refuses(FAILURES);

const ALL_PROJECTS: About = About::data::<AllProjects>("List the projects of all accounts at a service")
    .details("An account that cannot be asked is named in `errors`, and the others are there all the same.")
    .query(&[REPO])
    .refuses(FAILURES);

const CONNECT: About = About::data::<Connected>("Connect an account at a service by its token")
    .details("The same account again renews it.")
    .takes::<Connecting>()
    .refuses(FAILURES);

#[derive(Serialize, JsonSchema)]
struct Providers {
    providers: Vec<IntegrationSummary>,
}

async fn list(ctx: Ctx) -> Answer {
    ctx.ok(&Providers { providers: ctx.services().list_integrations() })
}

#[derive(Serialize, JsonSchema)]
struct Connections {
    connections: Vec<ConnectionSummary>,
}

async fn connections(ctx: Ctx) -> Answer {
    let connections = ctx.services().list_connections(ctx.actor()?).await?;
    ctx.ok(&Connections { connections })
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Connecting {
    token: SecretText,
    team_id: Option<String>,
}

async fn connect(mut ctx: Ctx) -> Answer {
    let Connecting { token, team_id } = ctx.json().await?;
    let provider = ctx.param("provider")?;
    let connected = ctx.services().connect(ctx.actor()?, provider, token, team_id).await?;
    ctx.ok(&connected)
}

async fn disconnect(ctx: Ctx) -> Answer {
    ctx.services().delete_connection(ctx.actor()?, connection_id(&ctx)?).await?;
    ctx.no_content()
}

#[derive(Serialize, JsonSchema)]
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
