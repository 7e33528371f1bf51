//! Secrets one by one.

use crate::base::ids::SecretId;
use crate::base::{EnvironmentName, Role, Scope, SecretName, SecretText};
use crate::http::problem::Problem;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{LimitClass, Route, Verb};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

const ALL: &str = "/v1/vaults/{owner}/{repo}/secrets";
const ONE: &str = "/v1/vaults/{owner}/{repo}/secrets/{id}";
const VALUE: &str = "/v1/vaults/{owner}/{repo}/secrets/{id}/value";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, ALL, |ctx| Box::pin(list(ctx))).scope(Scope::ReadSecrets).role(Role::Read),
    Route::new(Verb::Post, ALL, |ctx| Box::pin(create(ctx))).scope(Scope::WriteSecrets).role(Role::Write),
    Route::new(Verb::Patch, ONE, |ctx| Box::pin(update(ctx))).scope(Scope::WriteSecrets).role(Role::Write),
    Route::new(Verb::Delete, ONE, |ctx| Box::pin(delete(ctx))).scope(Scope::DeleteSecrets).role(Role::Write),
    Route::new(Verb::Get, VALUE, |ctx| Box::pin(reveal(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read)
        .limit(LimitClass::Reveal),
];

async fn list(ctx: Ctx) -> Answer {
    let (repo, environment) = (ctx.repo()?, ctx.query_environment()?);
    let secrets = ctx.services().list_secrets(ctx.actor()?, &repo, environment.as_ref(), ctx.page()?).await?;
    ctx.list(&secrets)
}

#[derive(Deserialize)]
struct NewSecret {
    #[serde(deserialize_with = "strict_name")]
    key: SecretName,
    value: SecretText,
    environment: EnvironmentName,
}

async fn create(ctx: Ctx) -> Answer {
    let NewSecret { key, value, environment } = ctx.json()?;
    let created = ctx.services().create_secret(ctx.actor()?, &ctx.repo()?, environment, key, value).await?;
    ctx.created(&created)
}

#[derive(Deserialize)]
struct Changes {
    #[serde(default, deserialize_with = "optional_strict_name")]
    name: Option<SecretName>,
    value: Option<SecretText>,
}

async fn update(ctx: Ctx) -> Answer {
    let (repo, id) = (ctx.repo()?, secret_id(&ctx)?);
    let Changes { name, value } = ctx.json()?;
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
