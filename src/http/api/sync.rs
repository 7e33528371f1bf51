//! Comparing and synchronising a vault's environment with a project at a service.

use super::texts::{ServiceEnvironment, ServiceName};
use crate::base::ids::ConnectionId;
use crate::base::{EnvironmentName, Role, Scope};
use crate::domain::integrations::{
    Diff, Direction, LinkSummary, Linked, Preview, SyncPlace, SyncRequest, SyncResult, SyncStatus,
};
use crate::http::about::{About, Param};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Handler, Route, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The environment on either side when a client names none.
const DEFAULT_ENVIRONMENT: &str = "production";

pub(super) const ROUTES: &[Route] = &[
    look("/v1/integrations/vaults/{owner}/{repo}/sync/status", STATUS, |ctx| Box::pin(status(ctx))),
    look("/v1/integrations/vaults/{owner}/{repo}/sync/diff", DIFF, |ctx| Box::pin(diff(ctx))),
    look("/v1/integrations/vaults/{owner}/{repo}/sync/preview", PREVIEW, |ctx| Box::pin(preview(ctx))),
    look("/v1/integrations/vaults/{owner}/{repo}/sync/links", LINKS, |ctx| Box::pin(links(ctx))),
    act("/v1/integrations/vaults/{owner}/{repo}/sync/link", LINK, |ctx| Box::pin(link(ctx))),
    act("/v1/integrations/vaults/{owner}/{repo}/sync", SYNC, |ctx| Box::pin(sync(ctx))),
];

const fn look(path: &'static str, about: About, handler: Handler) -> Route {
    Route::new(Verb::Get, path, about, handler).scope(Scope::ReadSecrets).role(Role::Read)
}

const fn act(path: &'static str, about: About, handler: Handler) -> Route {
    Route::new(Verb::Post, path, about, handler).scope(Scope::WriteSecrets).role(Role::Write)
}

/// What a service that was asked can do to a call.
const FAILURES: &[ProblemKind] = &[ProblemKind::Conflict, ProblemKind::UpstreamError];

const CONNECTION: Param =
    Param::required::<ConnectionId>("connectionId", "The caller's account at the service.");
const PROJECT: Param = Param::required::<ServiceName>("projectId", "The project there.");
const SERVICE: Param =
    Param::optional::<ServiceName>("serviceId", "The service within the project, where there are such.");
const OURS: Param =
    Param::optional::<EnvironmentName>("keywayEnvironment", "The vault's environment.").default("production");
const THEIRS: Param =
    Param::optional::<ServiceEnvironment>("providerEnvironment", "The service's environment.")
        .default("production");

const STATUS: About = About::data::<SyncStatus>("Tell how things stand before a synchronisation")
    .query(&[
        CONNECTION,
        PROJECT,
        SERVICE,
        Param::optional::<EnvironmentName>("environment", "The vault's environment.").default("production"),
        Param::optional::<EnvironmentName>("keywayEnvironment", "The same, if `environment` is not given."),
        THEIRS,
    ])
    .refuses(FAILURES);

const DIFF: About = About::data::<Diff>("Compare both sides")
    .query(&[CONNECTION, PROJECT, SERVICE, OURS, THEIRS])
    .refuses(FAILURES);

const PREVIEW: About = About::data::<Preview>("Tell what a synchronisation would do")
    .query(&[
        CONNECTION,
        PROJECT,
        SERVICE,
        OURS,
        THEIRS,
        Param::optional::<Way>("direction", "Where values go: to the service, or from it.").default("push"),
        Param::optional::<bool>("allowDelete", "Whether what is only there where they go is removed.")
            .default("false"),
    ])
    .refuses(FAILURES);

const LINKS: About = About::data::<Links>("List the caller's links of a vault with projects")
    .refuses(&[ProblemKind::UpstreamError]);

const LINK: About =
    About::data::<OneLink>("Link an environment with a project").takes::<Place>().refuses(FAILURES);

const SYNC: About = About::data::<SyncResult>("Synchronise")
    .details(
        "200 once a write was tried, however it went; `success` says that. What does not fit into the request's time \
         is `partial`, and a repeat continues.",
    )
    .takes::<Syncing>()
    .refuses(FAILURES);

async fn status(ctx: Ctx) -> Answer {
    // This one call names the environment as all others of the API do.
    let name = if ctx.query("environment")?.is_some() { "environment" } else { "keywayEnvironment" };
    let place = queried_place(&ctx, name)?;
    let status = ctx.services().sync_status(ctx.actor()?, &ctx.repo()?, &place).await?;
    ctx.ok(&status)
}

async fn diff(ctx: Ctx) -> Answer {
    let place = queried_place(&ctx, "keywayEnvironment")?;
    let diff = ctx.services().sync_diff(ctx.actor()?, &ctx.repo()?, &place).await?;
    ctx.ok(&diff)
}

async fn preview(ctx: Ctx) -> Answer {
    let place = queried_place(&ctx, "keywayEnvironment")?;
    let direction = match ctx.query("direction")?.as_deref() {
        None | Some("push") => Direction::Push,
        Some("pull") => Direction::Pull,
        Some(_) => return Err(Problem::field("direction", "must be `push` or `pull`")),
    };
    let allow_delete = match ctx.query("allowDelete")?.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::field("allowDelete", "must be `true` or `false`")),
    };
    let request = SyncRequest { place, direction, allow_delete };
    let preview = ctx.services().sync_preview(ctx.actor()?, &ctx.repo()?, &request).await?;
    ctx.ok(&preview)
}

/// Where: an environment here and its place at a service.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SyncPlace")]
struct Place {
    #[schemars(with = "ConnectionId")]
    connection_id: String,
    #[schemars(with = "ServiceName")]
    project_id: String,
    #[schemars(with = "Option<ServiceName>")]
    service_id: Option<String>,
    keyway_environment: Option<EnvironmentName>,
    #[schemars(with = "Option<ServiceEnvironment>")]
    provider_environment: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SyncDirection")]
enum Way {
    #[default]
    Push,
    Pull,
}

/// What goes where.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Sync")]
struct Syncing {
    #[serde(flatten)]
    place: Place,
    direction: Option<Way>,
    allow_delete: Option<bool>,
}

async fn sync(mut ctx: Ctx) -> Answer {
    let wanted: Syncing = ctx.json().await?;
    let direction = match wanted.direction.unwrap_or_default() {
        Way::Push => Direction::Push,
        Way::Pull => Direction::Pull,
    };
    let allow_delete = wanted.allow_delete.unwrap_or_default();
    let request = SyncRequest { place: wanted.place.named()?, direction, allow_delete };
    let result = ctx.services().sync(ctx.actor()?, &ctx.repo()?, &request).await?;
    ctx.ok(&result)
}

#[derive(Serialize, JsonSchema)]
struct OneLink {
    link: Linked,
}

async fn link(mut ctx: Ctx) -> Answer {
    let place = ctx.json::<Place>().await?.named()?;
    let link = ctx.services().link_project(ctx.actor()?, &ctx.repo()?, place).await?;
    ctx.ok(&OneLink { link })
}

#[derive(Serialize, JsonSchema)]
struct Links {
    links: Vec<LinkSummary>,
}

async fn links(ctx: Ctx) -> Answer {
    let links = ctx.services().list_links(ctx.actor()?, &ctx.repo()?).await?;
    ctx.ok(&Links { links })
}

impl Place {
    fn named(self) -> Result<SyncPlace, Problem> {
        let environment = match self.keyway_environment {
            Some(environment) => environment,
            None => default_environment()?,
        };
        Ok(SyncPlace {
            connection: connection_id(&self.connection_id)?,
            project: self.project_id,
            service: self.service_id,
            environment,
            provider_environment: self.provider_environment.unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
        })
    }
}

/// The place in the query; `environment` is the parameter that names the vault's.
fn queried_place(ctx: &Ctx, environment: &str) -> Result<SyncPlace, Problem> {
    let required = |name: &str| ctx.query(name)?.ok_or_else(|| Problem::field(name, "is required"));
    let environment = match ctx.query(environment)? {
        Some(name) => EnvironmentName::parse(&name)
            .map_err(|_| crate::domain::Error::not_found("there is no environment of that name"))?,
        None => default_environment()?,
    };
    Ok(SyncPlace {
        connection: connection_id(&required("connectionId")?)?,
        project: required("projectId")?,
        service: ctx.query("serviceId")?.filter(|service| !service.is_empty()),
        environment,
        provider_environment: ctx
            .query("providerEnvironment")?
            .unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
    })
}

fn default_environment() -> Result<EnvironmentName, Problem> {
    EnvironmentName::parse(DEFAULT_ENVIRONMENT).map_err(Problem::internal)
}

/// What is no id names no connection.
fn connection_id(text: &str) -> Result<ConnectionId, Problem> {
    let found = ConnectionId::parse(text);
    found.ok_or_else(|| crate::domain::Error::not_found("no such connection").into())
}
