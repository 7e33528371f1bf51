//! Revisions: the states an environment went through.

use crate::base::ids::RevisionId;
use crate::base::{Role, Scope};
use crate::domain::revisions::{RestoredRevision, RevisionSummary};
use crate::http::about::About;
use crate::http::problem::ProblemKind;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};

const ALL: &str = "/v1/vaults/{owner}/{repo}/environments/{name}/revisions";
const RESTORE: &str = "/v1/vaults/{owner}/{repo}/environments/{name}/revisions/{id}/restore";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, ALL, LIST, |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets).role(Role::Read),
    Route::new(Verb::Post, RESTORE, GO_BACK, |ctx| Box::pin(restore(ctx)))
        .scope(Scope::WriteSecrets)
        .role(Role::Write),
];

const LIST: About = About::list::<RevisionSummary>("List the states an environment went through")
    .details("Newest first. The id of a state is the `ETag` a pull of it had.")
    .leads(&[("id", "/data/0/id")]);

const GO_BACK: About = About::data::<RestoredRevision>("Take an environment back to a state it had")
    .details("In one step, which makes a new state of its own.")
    .refuses(&[ProblemKind::Conflict, ProblemKind::PayloadTooLarge]);

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
