//! Revisions: the states an environment went through.

use crate::base::ids::RevisionId;
use crate::base::{Role, Scope};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};

const ALL: &str = "/v1/vaults/{owner}/{repo}/environments/{name}/revisions";
const RESTORE: &str = "/v1/vaults/{owner}/{repo}/environments/{name}/revisions/{id}/restore";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, ALL, |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets).role(Role::Read),
    Route::new(Verb::Post, RESTORE, |ctx| Box::pin(restore(ctx)))
        .scope(Scope::WriteSecrets)
        .role(Role::Write),
];

async fn list(ctx: Ctx) -> Answer {
    let (repo, name) = (ctx.repo()?, ctx.environment()?);
    let revisions = ctx.services().list_revisions(ctx.actor()?, &repo, &name, ctx.page()?).await?;
    ctx.list(&revisions)
}

async fn restore(ctx: Ctx) -> Answer {
    let (repo, name) = (ctx.repo()?, ctx.environment()?);
    let revision = ctx.id("id", "revision", RevisionId::parse)?;
    let restored = ctx.services().restore_revision(ctx.actor()?, &repo, name, revision).await?;
    ctx.ok(&restored)
}
