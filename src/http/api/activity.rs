//! Activity: the audit log as people see it.

use crate::base::{RepoName, Scope, Timestamp};
use crate::domain::journal::{Action, Activity, ActivityFilter};
use crate::http::about::{About, Param};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};

/// With `repo` it takes the role `admin` there; the caller's own entries take none.
pub(super) const ROUTES: &[Route] =
    &[Route::new(Verb::Get, "/v1/activity", LIST, |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets)];

const LIST: About = About::list::<Activity>("List who did what")
    .details("Newest first, names and counts, never values. Without `repo`: what the caller did; with it: role `admin`.")
    .query(&[
        Param::optional::<RepoName>("repo", "Only what was done in this repository."),
        Param::optional::<Action>("action", "Only this."),
        Param::optional::<str>("actor", "Only what this user did, by id or login."),
        Param::optional::<Timestamp>("from", "Not what was before."),
        Param::optional::<Timestamp>("to", "Not what came after."),
    ])
    .refuses(&[ProblemKind::NotFound]);

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
