//! Whole environments: push and pull, and the look at one key by name.

use super::texts::SecretValues;
use crate::base::ids::RevisionId;
use crate::base::{EnvironmentName, RepoName, Role, Scope, SecretName, SecretText};
use crate::domain::pull::{Pulled, Window};
use crate::domain::push::{Push, Pushed};
use crate::domain::secrets::ViewedSecret;
use crate::http::about::{About, Param};
use crate::http::json::Members;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{BodyRule, Route, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::num::NonZeroU64;

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Post, "/v1/secrets/push", PUSH, |ctx| Box::pin(push(ctx)))
        .scope(Scope::WriteSecrets)
        .role(Role::Write)
        .body(BodyRule::Push),
    Route::new(Verb::Get, "/v1/secrets/pull", PULL, |ctx| Box::pin(pull(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read),
    Route::new(Verb::Get, "/v1/secrets/view", VIEW, |ctx| Box::pin(view(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read),
];

const REPO: Param = Param::required::<RepoName>("repo", "The repository.");
const ENVIRONMENT: Param = Param::required::<EnvironmentName>("environment", "The environment.");
/// Not the type that reads it, but what it may say.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum Format {
    Env,
    Json,
}

const PUSH: About = About::data::<Pushed>("Make an environment exactly this set of secrets")
    .details(
        "In one step: keys that are not in it go to the trash, unchanged ones are not written. At most 1 000 keys, \
         each a POSIX name, each value up to 65 536 bytes, all together up to `secrets.environment_limit_bytes`. \
         From a `User-Agent` that starts with `keyway-mcp/` it only adds and changes.",
    )
    .takes::<Pushing>()
    .headers(&[Param::optional::<str>(
        "If-Match",
        "The `ETag` of a pull: 412 if somebody else has written since.",
    )])
    .refuses(&[ProblemKind::Conflict, ProblemKind::PreconditionFailed]);

const PULL: About = About::data::<Content<'_>>("Fetch all secrets of an environment")
    .details(
        "As the text of an `.env` file, sorted by key, one line for each; with `format=json` as an object, exactly. \
         An environment without secrets is `\"\"`.",
    )
    .or::<Exact<'_>>()
    .also(&[(304, "What `If-None-Match` names is still what is there.")])
    .query(&[
        REPO,
        ENVIRONMENT,
        Param::optional::<Format>("format", "In which form.").default("env"),
        Param::optional::<NonZeroU64>("limit", "At most so many secrets, from 1."),
        Param::optional::<usize>("offset", "Without the first so many.").default("0"),
    ])
    .headers(&[Param::optional::<str>("If-None-Match", "The `ETag` of an earlier pull.")])
    .answers_with(&[("ETag", "Names the state the environment is in.")]);

const VIEW: About = About::data::<ViewedSecret>("Fetch one secret by its key").query(&[
    REPO,
    ENVIRONMENT,
    Param::required::<SecretName>("key", "Its key."),
]);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Push")]
struct Pushing {
    /// The repository.
    repo_full_name: RepoName,
    /// The environment.
    environment: EnvironmentName,
    /// All its secrets, each key once.
    #[schemars(with = "SecretValues")]
    secrets: Members<SecretText>,
}

async fn push(mut ctx: Ctx) -> Answer {
    let Pushing { repo_full_name: repo, environment, secrets } = ctx.json().await?;
    // A tag that is not one of ours names no state the environment can be in.
    let if_match = ctx.if_match().map(|tags| tags.iter().filter_map(|tag| RevisionId::parse(tag)).collect());
    let push = Push { repo, environment, secrets: secrets.0, if_match };
    let pushed = ctx.services().push(ctx.actor()?, push).await?;
    ctx.ok(&pushed)
}

#[derive(Serialize, JsonSchema)]
struct Content<'a> {
    /// The text of an `.env` file.
    #[schemars(example = "DATABASE_URL=postgres://db.internal/app\n")]
    content: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Pairs")]
struct Exact<'a> {
    /// Each key with its value.
    #[schemars(with = "Members<SecretText>")]
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
