//! Secrets one by one.

use super::texts::{SecretValue, StrictKey};
use crate::base::ids::SecretId;
use crate::base::{EnvironmentName, Role, Scope, SecretName, SecretText};
use crate::domain::secrets::{RevealedSecret, SecretSummary};
use crate::http::about::{About, Param};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{LimitClass, Route, Verb};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

const ALL: &str = "/v1/vaults/{owner}/{repo}/secrets";
const ONE: &str = "/v1/vaults/{owner}/{repo}/secrets/{id}";
const VALUE: &str = "/v1/vaults/{owner}/{repo}/secrets/{id}/value";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, ALL, LIST, |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets).role(Role::Read),
    Route::new(Verb::Post, ALL, CREATE, |ctx| Box::pin(create(ctx)))
        .scope(Scope::WriteSecrets)
        .role(Role::Write),
    Route::new(Verb::Patch, ONE, UPDATE, |ctx| Box::pin(update(ctx)))
        .scope(Scope::WriteSecrets)
        .role(Role::Write),
    Route::new(Verb::Delete, ONE, DELETE, |ctx| Box::pin(delete(ctx)))
        .scope(Scope::DeleteSecrets)
        .role(Role::Write),
    Route::new(Verb::Get, VALUE, REVEAL, |ctx| Box::pin(reveal(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read)
        .limit(LimitClass::Reveal),
];

const LIST: About = About::list::<SecretSummary>("List the secrets of a vault, without their values")
    .details("By environment, then key; only of environments the caller may read.")
    .query(&[Param::optional::<EnvironmentName>("environment", "Only those of this environment.")])
    .leads(&[("id", "/data/0/id")]);

const CREATE: About = About::created::<SecretSummary>("Make a secret")
    .takes::<NewSecret>()
    .leads(&[("id", "/data/id")])
    .refuses(&[ProblemKind::Conflict]);

const UPDATE: About = About::data::<SecretSummary>("Rename a secret, or give it another value")
    .details("One of `name` and `value`, or both. The old value is kept as a version.")
    .takes::<Changes>()
    .refuses(&[ProblemKind::Conflict]);

const DELETE: About = About::nothing("Put a secret into the trash");

const REVEAL: About = About::data::<RevealedSecret>("Show a secret's value");

async fn list(ctx: Ctx) -> Answer {
    let (repo, environment) = (ctx.repo()?, ctx.query_environment()?);
    let secrets = ctx.services().list_secrets(ctx.actor()?, &repo, environment.as_ref(), ctx.page()?).await?;
    ctx.list(&secrets)
}

#[derive(Deserialize, JsonSchema)]
struct NewSecret {
    /// Its key, in upper case.
    #[schemars(with = "StrictKey")]
    #[serde(deserialize_with = "strict_name")]
    key: SecretName,
    /// Up to 65 536 bytes of UTF-8, without NUL.
    #[schemars(with = "SecretValue")]
    value: SecretText,
    /// Where it belongs.
    environment: EnvironmentName,
}

async fn create(mut ctx: Ctx) -> Answer {
    let NewSecret { key, value, environment } = ctx.json().await?;
    let created = ctx.services().create_secret(ctx.actor()?, &ctx.repo()?, environment, key, value).await?;
    ctx.created(&created)
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SecretChanges", extend("anyOf" = [
    { "required": ["name"], "properties": { "name": { "type": "string" } } },
    { "required": ["value"], "properties": { "value": { "type": "string" } } },
]))]
struct Changes {
    /// Its new key, in upper case.
    #[schemars(with = "Option<StrictKey>")]
    #[serde(default, deserialize_with = "optional_strict_name")]
    name: Option<SecretName>,
    /// Its new value; an empty one is one.
    #[schemars(with = "Option<SecretValue>")]
    value: Option<SecretText>,
}

async fn update(mut ctx: Ctx) -> Answer {
    let (repo, id) = (ctx.repo()?, secret_id(&ctx)?);
    let Changes { name, value } = ctx.json().await?;
    if name.is_none() && value.is_none() {
        return Err(Problem::bad_request("nothing to change; send `name`, `value` or both"));
    }
    let updated = ctx.services().update_secret(ctx.actor()?, &repo, id, name, value).await?;
    ctx.ok(&updated)
}

async fn delete(ctx: Ctx) -> Answer {
    let (repo, id) = (ctx.repo()?, secret_id(&ctx)?);
    ctx.services().delete_secret(ctx.actor()?, &repo, id).await?;
    ctx.no_content()
}

async fn reveal(ctx: Ctx) -> Answer {
    let (repo, id) = (ctx.repo()?, secret_id(&ctx)?);
    let revealed = ctx.services().reveal_secret(ctx.actor()?, &repo, id).await?;
    ctx.ok(&revealed)
}

fn secret_id(ctx: &Ctx) -> Result<SecretId, Problem> {
    ctx.id("id", "secret", SecretId::parse)
}

/// A key that is given by hand is held to the customary form.
fn strict_name<'de, D: Deserializer<'de>>(source: D) -> Result<SecretName, D::Error> {
    SecretName::parse_strict(&String::deserialize(source)?).map_err(D::Error::custom)
}

fn optional_strict_name<'de, D: Deserializer<'de>>(source: D) -> Result<Option<SecretName>, D::Error> {
    let name = Option::<String>::deserialize(source)?;
    name.map(|name| SecretName::parse_strict(&name).map_err(D::Error::custom)).transpose()
}
