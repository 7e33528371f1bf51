//! Vaults.

use crate::base::{RepoName, Role, Scope};
use crate::domain::vaults::{CreatedVault, VaultSummary};
use crate::http::about::About;
use crate::http::problem::ProblemKind;
use crate::http::request::Ctx;
use crate::http::respond::{Answer, WITHHELD};
use crate::http::router::{Route, Verb};
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/v1/vaults", LIST, |ctx| Box::pin(list(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read),
    Route::new(Verb::Post, "/v1/vaults", CREATE, |ctx| Box::pin(create(ctx)))
        .scope(Scope::WriteSecrets)
        .role(Role::Admin),
    Route::new(Verb::Get, "/v1/vaults/{owner}/{repo}", SHOW, |ctx| Box::pin(show(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read),
    Route::new(Verb::Delete, "/v1/vaults/{owner}/{repo}", DELETE, |ctx| Box::pin(delete(ctx)))
        .scope(Scope::DeleteSecrets)
        .role(Role::Admin),
];

const LIST: About = About::list::<VaultSummary>("List the vaults in reach")
    .details("By `repoFullName`.")
    .answers_with(&[WITHHELD])
    .leads(&[("owner", "/data/0/repoOwner"), ("repo", "/data/0/repoName")]);

const CREATE: About = About::created::<CreatedVault>("Make a repository's vault")
    .details("With the environments of `vaults.default_environments`.")
    .takes::<NewVault>()
    .answers_with(&[("Location", "Where the vault is.")])
    .refuses(&[ProblemKind::Conflict]);

const SHOW: About = About::data::<VaultSummary>("Show a vault");

const DELETE: About = About::nothing("Put a vault into the trash");

async fn list(ctx: Ctx) -> Answer {
    let vaults = ctx.services().list_vaults(ctx.actor()?, ctx.page()?).await?;
    ctx.list_in_reach(&vaults)
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NewVault {
    repo_full_name: RepoName,
}

async fn create(mut ctx: Ctx) -> Answer {
    let wanted: NewVault = ctx.json().await?;
    let created = ctx.services().create_vault(ctx.actor()?, wanted.repo_full_name).await?;
    ctx.created_at(&format!("/v1/vaults/{}", created.repo_full_name), &created)
}

async fn show(ctx: Ctx) -> Answer {
    let vault = ctx.services().vault(ctx.actor()?, &ctx.repo()?).await?;
    ctx.ok(&vault)
}

async fn delete(ctx: Ctx) -> Answer {
    ctx.services().delete_vault(ctx.actor()?, &ctx.repo()?).await?;
    ctx.no_content()
}
