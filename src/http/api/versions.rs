//! Versions: the values a secret had before.

use crate::base::ids::{SecretId, VersionId};
use crate::base::{Role, Scope};
use crate::domain::versions::{RestoredVersion, RevealedVersion, VersionSummary};
use crate::http::about::About;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{LimitClass, Route, Verb};
use schemars::JsonSchema;
use serde::Serialize;

const ALL: &str = "/v1/vaults/{owner}/{repo}/secrets/{id}/versions";
const VALUE: &str = "/v1/vaults/{owner}/{repo}/secrets/{id}/versions/{version}/value";
const RESTORE: &str = "/v1/vaults/{owner}/{repo}/secrets/{id}/versions/{version}/restore";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, ALL, LIST, |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets).role(Role::Read),
    Route::new(Verb::Get, VALUE, REVEAL, |ctx| Box::pin(reveal(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read)
        .limit(LimitClass::Reveal),
    Route::new(Verb::Post, RESTORE, GO_BACK, |ctx| Box::pin(restore(ctx)))
        .scope(Scope::WriteSecrets)
        .role(Role::Write),
];

const LIST: About = About::data::<Versions>("List the values a secret had before")
    .details("Newest first.")
    .leads(&[("version", "/data/versions/0/id")]);

const REVEAL: About = About::data::<RevealedVersion>("Show a value a secret had before");

const GO_BACK: About = About::data::<RestoredVersion>("Give a secret a value it had before")
    .details("The present value is kept as a version.")
    .refuses(&[ProblemKind::PayloadTooLarge]);

#[derive(Serialize, JsonSchema)]
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
