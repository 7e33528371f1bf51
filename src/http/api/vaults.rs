//! Vaults.

use crate::base::{RepoName, Role, Scope};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};
use serde::Deserialize;

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/v1/vaults", |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets).role(Role::Read),
    Route::new(Verb::Post, "/v1/vaults", |ctx| Box::pin(create(ctx)))
        .scope(Scope::WriteSecrets)
        .role(Role::Admin),
    Route::new(Verb::Get, "/v1/vaults/{owner}/{repo}", |ctx| Box::pin(show(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read),
    Route::new(Verb::Delete, "/v1/vaults/{owner}/{repo}", |ctx| Box::pin(delete(ctx)))
        .scope(Scope::DeleteSecrets)
        .role(Role::Admin),
];

async fn list(ctx: Ctx) -> Answer {
    let vaults = ctx.services().list_vaults(ctx.actor()?, ctx.page()?).await?;
    ctx.list(&vaults)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewVault {
    repo_full_name: RepoName,
}

async fn create(ctx: Ctx) -> Answer {
    let wanted: NewVault = ctx.json()?;
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
