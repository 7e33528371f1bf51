//! What clients ask about GitHub before they ask for secrets.

use crate::base::{OwnerName, RepoName, names::RepoPart};
use crate::http::about::{About, Param};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/v1/github/repo-ids", IDS, |ctx| Box::pin(repo_ids(ctx))).open(),
    Route::new(Verb::Post, "/v1/github/check-installation", CHECK, |ctx| Box::pin(check_installation(ctx))),
];

const IDS: About = About::data::<RepoIds>("Answer what command lines ask before they sign in")
    .details("Zeros, whatever the repository: nothing is told to whoever has not signed in.")
    .query(&[Param::required::<RepoName>("repo", "The repository.")]);

const CHECK: About =
    About::data::<Installed>("Tell whether the GitHub App is installed where a repository is")
        .details("Always true without an App.")
        .takes::<Repository>();

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RepoIds {
    owner_id: u64,
    repo_id: u64,
}

/// Zeros for every repository: the CLI asks before it has a credential, so nothing may
/// be told, and on `null` it would turn to GitHub itself.
async fn repo_ids(ctx: Ctx) -> Answer {
    ctx.required_query("repo", RepoName::parse)?;
    ctx.ok(&RepoIds { owner_id: 0, repo_id: 0 })
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Repository {
    repo_owner: OwnerName,
    repo_name: RepoPart,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Installation")]
struct Installed {
    installed: bool,
    install_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    installation_id: Option<u64>,
}

/// Without an app there is nothing to install, and so nothing is missing.
async fn check_installation(mut ctx: Ctx) -> Answer {
    let repository: Repository = ctx.json().await?;
    let name = RepoName::new(repository.repo_owner, repository.repo_name);
    let found = ctx.services().installation(ctx.actor()?, &name).await?;
    ctx.ok(&Installed {
        installed: found.installed,
        install_url: found.install_url.unwrap_or_else(|| ctx.settings().public_url.clone()),
        installation_id: found.id,
    })
}
