//! Versions: the values a secret had before.

use crate::base::ids::{SecretId, VersionId};
use crate::base::{Role, Scope};
use crate::domain::versions::VersionSummary;
use crate::http::problem::Problem;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{LimitClass, Route, Verb};
use serde::Serialize;

const ALL: &str = "/v1/vaults/{owner}/{repo}/secrets/{id}/versions";
const VALUE: &str = "/v1/vaults/{owner}/{repo}/secrets/{id}/versions/{version}/value";
const RESTORE: &str = "/v1/vaults/{owner}/{repo}/secrets/{id}/versions/{version}/restore";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, ALL, |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets).role(Role::Read),
    Route::new(Verb::Get, VALUE, |ctx| Box::pin(reveal(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read)
        .limit(LimitClass::Reveal),
    Route::new(Verb::Post, RESTORE, |ctx| Box::pin(restore(ctx)))
        .scope(Scope::WriteSecrets)
        .role(Role::Write),
];

#[derive(Serialize)]
struct Versions {
    versions: Vec<VersionSummary>,
}

async fn list(ctx: Ctx) -> Answer {
    let secret = ctx.id("id", "secret", SecretId::parse)?;
    let versions = ctx.services().list_versions(ctx.actor()?, &ctx.repo()?, secret).await?;
    ctx.ok(&Versions { versions })
}

async fn reveal(ctx: Ctx) -> Answer {
    let (repo, (secret, version)) = (ctx.repo()?, ids(&ctx)?);
    let revealed = ctx.services().reveal_version(ctx.actor()?, &repo, secret, version).await?;
    ctx.ok(&revealed)
}

async fn restore(ctx: Ctx) -> Answer {
    let (repo, (secret, version)) = (ctx.repo()?, ids(&ctx)?);
    let restored = ctx.services().restore_version(ctx.actor()?, &repo, secret, version).await?;
    ctx.ok(&restored)
}

fn ids(ctx: &Ctx) -> Result<(SecretId, VersionId), Problem> {
    Ok((ctx.id("id", "secret", SecretId::parse)?, ctx.id("version", "version", VersionId::parse)?))
}
