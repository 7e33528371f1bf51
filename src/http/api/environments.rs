//! Environments of a vault.

use crate::base::{EnvironmentName, Role, Scope};
use crate::domain::environments::{
    EnvironmentCreated, EnvironmentDeleted, EnvironmentKind, EnvironmentRenamed, EnvironmentTypeChanged,
};
use crate::http::about::About;
use crate::http::problem::ProblemKind;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Handler, Route, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const ALL: &str = "/v1/vaults/{owner}/{repo}/environments";
const ONE: &str = "/v1/vaults/{owner}/{repo}/environments/{name}";
const TYPE: &str = "/v1/vaults/{owner}/{repo}/environments/{name}/type";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, ALL, LIST, |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets).role(Role::Read),
    change(Verb::Post, ALL, CREATE, |ctx| Box::pin(create(ctx))),
    change(Verb::Patch, ONE, RENAME, |ctx| Box::pin(rename(ctx))),
    Route::new(Verb::Delete, ONE, DELETE, |ctx| Box::pin(delete(ctx)))
        .scope(Scope::DeleteSecrets)
        .role(Role::Admin),
    change(Verb::Patch, TYPE, SET_TYPE, |ctx| Box::pin(set_type(ctx))),
];

const fn change(verb: Verb, path: &'static str, about: About, handler: Handler) -> Route {
    Route::new(verb, path, about, handler).scope(Scope::WriteSecrets).role(Role::Admin)
}

const LIST: About = About::data::<Environments>("List the environments of a vault")
    .details("Oldest first.")
    .leads(&[("name", "/data/environments/0")]);

const CREATE: About = About::created::<EnvironmentCreated>("Make an environment")
    .takes::<NewEnvironment>()
    .leads(&[("name", "/data/environment")])
    .refuses(&[ProblemKind::Conflict]);

const RENAME: About = About::data::<EnvironmentRenamed>("Rename an environment")
    .takes::<NewName>()
    .refuses(&[ProblemKind::Conflict]);

const DELETE: About = About::data::<EnvironmentDeleted>("Put an environment into the trash")
    .details("The last one of a vault cannot be deleted: 403.");

const SET_TYPE: About = About::data::<EnvironmentTypeChanged>("Say how closely an environment is guarded")
    .details(
        "`development` and `standard`: whoever has a role reads, from `write` on they write. `protected`: reading \
         takes `write`, and writing takes `admin`.",
    )
    .takes::<NewType>();

#[derive(Serialize, JsonSchema)]
struct Environments {
    environments: Vec<EnvironmentName>,
}

async fn list(ctx: Ctx) -> Answer {
    let environments = ctx.services().environments(ctx.actor()?, &ctx.repo()?).await?;
    ctx.ok(&Environments { environments })
}

#[derive(Deserialize, JsonSchema)]
struct NewEnvironment {
    name: EnvironmentName,
}

async fn create(mut ctx: Ctx) -> Answer {
    let wanted: NewEnvironment = ctx.json().await?;
    let created = ctx.services().create_environment(ctx.actor()?, &ctx.repo()?, wanted.name).await?;
    ctx.created(&created)
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NewName {
    new_name: EnvironmentName,
}

async fn rename(mut ctx: Ctx) -> Answer {
    let (repo, name) = (ctx.repo()?, ctx.environment()?);
    let wanted: NewName = ctx.json().await?;
    let renamed = ctx.services().rename_environment(ctx.actor()?, &repo, name, wanted.new_name).await?;
    ctx.ok(&renamed)
}

async fn delete(ctx: Ctx) -> Answer {
    let (repo, name) = (ctx.repo()?, ctx.environment()?);
    let deleted = ctx.services().delete_environment(ctx.actor()?, &repo, name).await?;
    ctx.ok(&deleted)
}

#[derive(Deserialize, JsonSchema)]
struct NewType {
    #[serde(rename = "type")]
    kind: EnvironmentKind,
}

async fn set_type(mut ctx: Ctx) -> Answer {
    let (repo, name) = (ctx.repo()?, ctx.environment()?);
    let wanted: NewType = ctx.json().await?;
    let changed = ctx.services().set_environment_type(ctx.actor()?, &repo, name, wanted.kind).await?;
    ctx.ok(&changed)
}
