//! Activity: the audit log as people see it.

use crate::base::{RepoName, Scope, Timestamp};
use crate::domain::journal::{Action, ActivityFilter};
use crate::http::problem::Problem;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};

/// With `repo` it takes the role `admin` there; the caller's own entries take none.
pub(super) const ROUTES: &[Route] =
    &[Route::new(Verb::Get, "/v1/activity", |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets)];

async fn list(ctx: Ctx) -> Answer {
    let repo = ctx.query_as("repo", RepoName::parse)?;
    let action =
        ctx.query("action")?.map(|name| Action::parse(&name).ok_or_else(unknown_action)).transpose()?;
    let (from, to) = (moment(&ctx, "from")?, moment(&ctx, "to")?);
    let filter = ActivityFilter::new(action, ctx.query("actor")?, from, to);
    let activity = ctx.services().activity(ctx.actor()?, repo.as_ref(), filter, ctx.page()?).await?;
    ctx.list(&activity)
}

fn unknown_action() -> Problem {
    let all: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
    Problem::field("action", format!("must be one of {}", all.join(", ")))
}

fn moment(ctx: &Ctx, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = ctx.query(name)? else { return Ok(None) };
    let moment = Timestamp::parse(&text);
    moment.map(Some).ok_or_else(|| Problem::field(name, "must be a time such as `2026-01-15T10:00:00Z`"))
}
