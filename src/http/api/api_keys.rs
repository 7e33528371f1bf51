//! API keys of the caller.

use super::texts::{KeyName, Network};
use crate::base::ids::ApiKeyId;
use crate::base::{EnvironmentName, RepoName, Scope};
use crate::domain::api_keys::{ApiKeySummary, Label, MintedApiKey, NewApiKey};
use crate::http::about::About;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Handler, Route, Verb};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// Longest life of a key that has an end, in days: a century.
const DAYS_MAX: u64 = 36_500;

pub(super) const ROUTES: &[Route] = &[
    route(Verb::Post, "/v1/api-keys", MINT, |ctx| Box::pin(mint(ctx))),
    route(Verb::Get, "/v1/api-keys", LIST, |ctx| Box::pin(list(ctx))),
    route(Verb::Get, "/v1/api-keys/{id}", SHOW, |ctx| Box::pin(show(ctx))),
    route(Verb::Delete, "/v1/api-keys/{id}", REVOKE, |ctx| Box::pin(revoke(ctx))),
];

const fn route(verb: Verb, path: &'static str, about: About, handler: Handler) -> Route {
    Route::new(verb, path, about, handler).scope(Scope::AdminApiKeys)
}

const MINT: About = About::created::<MintedApiKey>("Make an API key")
    .details(
        "The token is shown this once. A key makes only keys that can do no more than itself. One made with a GitHub \
         token must name repositories, each of which that token has to see. 409: sign in with a browser once, \
         because a key acts through the credential that is kept from then.",
    )
    .takes::<Wanted>().leads(&[("id", "/data/id")])
    .answers_with(&[("Location", "Where the key is.")])
    .refuses(&[ProblemKind::NotFound, ProblemKind::Conflict]);

const LIST: About = About::data::<Keys>("List the caller's API keys")
    .details("Oldest first.")
    .leads(&[("id", "/data/keys/0/id")]);

const SHOW: About = About::data::<ApiKeySummary>("Show an API key");

const REVOKE: About = About::nothing("Revoke an API key").details("It is refused from then on.");

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NewApiKey")]
struct Wanted {
    /// What it is called in lists.
    #[schemars(with = "KeyName")]
    name: String,
    /// A label in its prefix.
    environment: Environment,
    /// What it may be used for.
    #[schemars(length(min = 1))]
    scopes: Vec<Scope>,
    /// In how many days it expires; never, if not given.
    #[schemars(range(min = 1, max = 36_500))]
    expires_in_days: Option<u64>,
    /// From where it may be used; from everywhere, if not given.
    #[schemars(with = "Option<Vec<Network>>", length(max = 100))]
    #[serde(default)]
    allowed_ips: Option<Vec<String>>,
    /// For which repositories; for all its owner reaches, if not given.
    #[schemars(length(min = 1, max = 100))]
    repositories: Option<Vec<RepoName>>,
    /// For which environments of theirs; for all, if not given.
    #[schemars(length(min = 1, max = 100))]
    environments: Option<Vec<EnvironmentName>>,
}

/// What the wire calls a key's environment is a label in its prefix.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "KeyEnvironment")]
enum Environment {
    Live,
    Test,
}

async fn mint(mut ctx: Ctx) -> Answer {
    let wanted: Wanted = ctx.json().await?;
    let expires_at = wanted.expires_in_days.map(life).transpose()?.map(|life| ctx.now().plus(life));
    let addresses = wanted.allowed_ips.unwrap_or_default();
    let wanted = NewApiKey {
        name: wanted.name,
        label: match wanted.environment {
            Environment::Live => Label::Live,
            Environment::Test => Label::Test,
        },
        scopes: wanted.scopes.into_iter().collect(),
        expires_at,
        allowed_ips: addresses.iter().enumerate().map(network).collect::<Result<_, _>>()?,
        repositories: wanted.repositories,
        environments: wanted.environments,
    };
    let minted = ctx.services().mint_api_key(ctx.actor()?, wanted).await?;
    ctx.created_at(&format!("/v1/api-keys/{}", minted.key.id), &minted)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKeys")]
struct Keys {
    keys: Vec<ApiKeySummary>,
}

async fn list(ctx: Ctx) -> Answer {
    let keys = ctx.services().list_api_keys(ctx.actor()?).await?;
    ctx.ok(&Keys { keys })
}

async fn show(ctx: Ctx) -> Answer {
    let key = ctx.services().api_key(ctx.actor()?, key_id(&ctx)?).await?;
    ctx.ok(&key)
}

async fn revoke(ctx: Ctx) -> Answer {
    ctx.services().revoke_api_key(ctx.actor()?, key_id(&ctx)?).await?;
    ctx.no_content()
}

fn key_id(ctx: &Ctx) -> Result<ApiKeyId, Problem> {
    ctx.id("id", "API key", ApiKeyId::parse)
}

fn life(days: u64) -> Result<Duration, Problem> {
    if (1..=DAYS_MAX).contains(&days) {
        Ok(Duration::from_secs(days * 24 * 60 * 60))
    } else {
        Err(Problem::field("expiresInDays", format!("must be 1 to {DAYS_MAX}")))
    }
}

/// A network in CIDR notation, or a single address.
fn network((index, text): (usize, &String)) -> Result<IpNet, Problem> {
    let single = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    text.parse::<IpNet>().map(|net| net.trunc()).or_else(|_| single()).map_err(|_| {
        let message = "must be an address or a network such as `192.0.2.0/24` or `2001:db8::/32`";
        Problem::field(format!("allowedIps[{index}]"), message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_single_addresses_of_both_families() {
        let read = |text: &str| network((3, &text.to_owned())).map(|net| net.to_string());
        for (given, meant) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
        ] {
            assert_eq!(read(given).unwrap(), meant);
        }
        for bad in ["", "example.com", "192.0.2.0/33", "192.0.2", "2001:db8::/129", "192.0.2.1 "] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lives_are_whole_days_within_a_century() {
        assert_eq!(life(1).unwrap(), Duration::from_secs(86_400));
        assert!(life(0).is_err() && life(DAYS_MAX + 1).is_err() && life(u64::MAX).is_err());
    }
}
