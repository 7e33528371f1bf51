//! Environments of a vault.

use crate::base::{EnvironmentName, Role, Scope};
use crate::domain::environments::EnvironmentKind;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Handler, Route, Verb};
use serde::{Deserialize, Serialize};

const ALL: &str = "/v1/vaults/{owner}/{repo}/environments";
const ONE: &str = "/v1/vaults/{owner}/{repo}/environments/{name}";
const TYPE: &str = "/v1/vaults/{owner}/{repo}/environments/{name}/type";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, ALL, |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets).role(Role::Read),
    change(Verb::Post, ALL, |ctx| Box::pin(create(ctx))),
    change(Verb::Patch, ONE, |ctx| Box::pin(rename(ctx))),
    Route::new(Verb::Delete, ONE, |ctx| Box::pin(delete(ctx))).scope(Scope::DeleteSecrets).role(Role::Admin),
    change(Verb::Patch, TYPE, |ctx| Box::pin(set_type(ctx))),
];

const fn change(verb: Verb, path: &'static str, handler: Handler) -> Route {
    Route::new(verb, path, handler).scope(Scope::WriteSecrets).role(Role::Admin)
}

#[derive(Serialize)]
struct Environments {
    environments: Vec<EnvironmentName>,
}

async fn list(ctx: Ctx) -> Answer {
    let environments = ctx.services().environments(ctx.actor()?, &ctx.repo()?).await?;
    ctx.ok(&Environments { environments })
}

#[derive(Deserialize)]
struct NewEnvironment {
    name: EnvironmentName,
}

async fn create(ctx: Ctx) -> Answer {
    let wanted: NewEnvironment = ctx.json()?;
    let created = ctx.services().create_environment(ctx.actor()?, &ctx.repo()?, wanted.name).await?;
    ctx.created(&created)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewName {
    new_name: EnvironmentName,
}

async fn rename(ctx: Ctx) -> Answer {
    let (repo, name) = (ctx.repo()?, ctx.environment()?);
    let wanted: NewName = ctx.json()?;
    let renamed = ctx.services().rename_environment(ctx.actor()?, &repo, name, wanted.new_name).await?;
    ctx.ok(&renamed)
}

async fn delete(ctx: Ctx) -> Answer {
    let (repo, name) = (ctx.repo()?, ctx.environment()?);
    let deleted = ctx.services().delete_environment(ctx.actor()?, &repo, name).await?;
    ctx.ok(&deleted)
}

#[derive(Deserialize)]
struct NewType {
    #[serde(rename = "type")]
    kind: EnvironmentKind,
}

async fn set_type(ctx: Ctx) -> Answer {
    let (repo, name) = (ctx.repo()?, ctx.environment()?);
    let wanted: NewType = ctx.json()?;
    let changed = ctx.services().set_environment_type(ctx.actor()?, &repo, name, wanted.kind).await?;
    ctx.ok(&changed)
}
