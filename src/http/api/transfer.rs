//! Whole environments: push and pull, and the look at one key by name.

use crate::base::ids::RevisionId;
use crate::base::{EnvironmentName, RepoName, Role, Scope, SecretName, SecretText};
use crate::domain::pull::{Pulled, Window};
use crate::domain::push::Push;
use crate::http::json::Members;
use crate::http::problem::Problem;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{BodyRule, Route, Verb};
use serde::{Deserialize, Serialize, Serializer};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Post, "/v1/secrets/push", |ctx| Box::pin(push(ctx)))
        .scope(Scope::WriteSecrets)
        .role(Role::Write)
        .body(BodyRule::Push),
    Route::new(Verb::Get, "/v1/secrets/pull", |ctx| Box::pin(pull(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read),
    Route::new(Verb::Get, "/v1/secrets/view", |ctx| Box::pin(view(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pushing {
    repo_full_name: RepoName,
    environment: EnvironmentName,
    secrets: Members<SecretText>,
}

async fn push(ctx: Ctx) -> Answer {
    let Pushing { repo_full_name: repo, environment, secrets } = ctx.json()?;
    // A tag that is not one of ours names no state the environment can be in.
    let if_match = ctx.if_match().map(|tags| tags.iter().filter_map(|tag| RevisionId::parse(tag)).collect());
    let push = Push { repo, environment, secrets: secrets.0, if_match };
    let pushed = ctx.services().push(ctx.actor()?, push).await?;
    ctx.ok(&pushed)
}

#[derive(Serialize)]
struct Content<'a> {
    content: &'a str,
}

#[derive(Serialize)]
struct Exact<'a> {
    #[serde(serialize_with = "pairs")]
    secrets: &'a Pulled<'a>,
}

async fn pull(ctx: Ctx) -> Answer {
    let repo = ctx.required_query("repo", RepoName::parse)?;
    let (environment, as_json) = (environment(&ctx)?, as_json(&ctx)?);
    let window =
        Window { limit: number(&ctx, "limit", 1)?, offset: number(&ctx, "offset", 0)?.unwrap_or_default() };
    let write = |pulled: Pulled<'_>| {
        let tag = pulled.revision.to_string();
        if ctx.has_current(&tag) {
            ctx.not_modified(&tag)
        } else if as_json {
            ctx.tagged(&tag, &Exact { secrets: &pulled })
        } else {
            ctx.tagged(&tag, &Content { content: pulled.env_text().expose() })
        }
    };
    ctx.services().pull(ctx.actor()?, &repo, &environment, window, write).await?
}

async fn view(ctx: Ctx) -> Answer {
    let repo = ctx.required_query("repo", RepoName::parse)?;
    let (environment, key) = (environment(&ctx)?, ctx.required_query("key", SecretName::parse)?);
    let viewed = ctx.services().view_secret(ctx.actor()?, &repo, &environment, &key).await?;
    ctx.ok(&viewed)
}

fn environment(ctx: &Ctx) -> Result<EnvironmentName, Problem> {
    ctx.query_environment()?.ok_or_else(|| Problem::field("environment", "is required"))
}

fn as_json(ctx: &Ctx) -> Result<bool, Problem> {
    match ctx.query("format")?.as_deref() {
        None | Some("env") => Ok(false),
        Some("json") => Ok(true),
        Some(_) => Err(Problem::field("format", "must be `env` or `json`")),
    }
}

/// Unlike for lists there is no most and no default: whoever names none gets everything.
fn number(ctx: &Ctx, name: &str, least: usize) -> Result<Option<usize>, Problem> {
    let Some(text) = ctx.query(name)? else { return Ok(None) };
    let number = text.parse().ok().filter(|number| *number >= least);
    number.map(Some).ok_or_else(|| Problem::field(name, format!("must be a number from {least}")))
}

fn pairs<S: Serializer>(pulled: &Pulled<'_>, target: S) -> Result<S::Ok, S::Error> {
    target.collect_map(pulled.pairs())
}
