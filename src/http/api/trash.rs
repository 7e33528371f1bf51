//! The trash: deleted secrets, environments and vaults.

use crate::base::ids::{EnvironmentId, SecretId, VaultId};
use crate::base::{Role, Scope};
use crate::domain::trash::{
    EmptiedTrash, RestoredEnvironment, RestoredSecret, RestoredVault, TrashedEnvironment,
    TrashedSecretSummary, TrashedVault,
};
use crate::http::about::About;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::request::Ctx;
use crate::http::respond::{Answer, WITHHELD};
use crate::http::router::{Handler, Route, Verb};

const SECRETS: &str = "/v1/vaults/{owner}/{repo}/trash";
const SECRET: &str = "/v1/vaults/{owner}/{repo}/trash/{id}";
const RESTORE_SECRET: &str = "/v1/vaults/{owner}/{repo}/trash/{id}/restore";
const ENVIRONMENTS: &str = "/v1/vaults/{owner}/{repo}/trash/environments";
const ENVIRONMENT: &str = "/v1/vaults/{owner}/{repo}/trash/environments/{id}";
const RESTORE_ENVIRONMENT: &str = "/v1/vaults/{owner}/{repo}/trash/environments/{id}/restore";
const VAULTS: &str = "/v1/trash/vaults";
const VAULT: &str = "/v1/trash/vaults/{id}";
const RESTORE_VAULT: &str = "/v1/trash/vaults/{id}/restore";

pub(super) const ROUTES: &[Route] = &[
    list(SECRETS, LIST_SECRETS, Role::Read, |ctx| Box::pin(secrets(ctx))),
    restore(RESTORE_SECRET, BACK_SECRET, Role::Write, |ctx| Box::pin(restore_secret(ctx))),
    purge(SECRET, PURGE_SECRET, |ctx| Box::pin(purge_secret(ctx))),
    purge(SECRETS, EMPTY, |ctx| Box::pin(empty(ctx))),
    list(ENVIRONMENTS, LIST_ENVIRONMENTS, Role::Admin, |ctx| Box::pin(environments(ctx))),
    restore(RESTORE_ENVIRONMENT, BACK_ENVIRONMENT, Role::Admin, |ctx| Box::pin(restore_environment(ctx))),
    purge(ENVIRONMENT, PURGE_ENVIRONMENT, |ctx| Box::pin(purge_environment(ctx))),
    list(VAULTS, LIST_VAULTS, Role::Admin, |ctx| Box::pin(vaults(ctx))),
    restore(RESTORE_VAULT, BACK_VAULT, Role::Admin, |ctx| Box::pin(restore_vault(ctx))),
    purge(VAULT, PURGE_VAULT, |ctx| Box::pin(purge_vault(ctx))),
];

const fn list(path: &'static str, about: About, role: Role, handler: Handler) -> Route {
    Route::new(Verb::Get, path, about, handler).scope(Scope::ReadSecrets).role(role)
}

const fn restore(path: &'static str, about: About, role: Role, handler: Handler) -> Route {
    Route::new(Verb::Post, path, about, handler).scope(Scope::WriteSecrets).role(role)
}

const fn purge(path: &'static str, about: About, handler: Handler) -> Route {
    Route::new(Verb::Delete, path, about, handler).scope(Scope::DeleteSecrets).role(Role::Admin)
}

const LIST_SECRETS: About = About::list::<TrashedSecretSummary>("List the deleted secrets of a vault")
    .details("Latest first; only of environments the caller may read.")
    .leads(&[("id", "/data/0/id")]);
const BACK_SECRET: About =
    About::data::<RestoredSecret>("Restore a deleted secret").refuses(&[ProblemKind::Conflict]);
const PURGE_SECRET: About = About::nothing("Destroy a deleted secret");
const EMPTY: About = About::data::<EmptiedTrash>("Destroy all deleted secrets of a vault");

const LIST_ENVIRONMENTS: About =
    About::list::<TrashedEnvironment>("List the deleted environments of a vault")
        .details("Latest first.")
        .leads(&[("id", "/data/0/id")]);
const BACK_ENVIRONMENT: About =
    About::data::<RestoredEnvironment>("Restore a deleted environment").refuses(&[ProblemKind::Conflict]);
const PURGE_ENVIRONMENT: About = About::nothing("Destroy a deleted environment");

const LIST_VAULTS: About = About::list::<TrashedVault>("List deleted vaults")
    .details("Latest first.")
    .answers_with(&[WITHHELD])
    .leads(&[("id", "/data/0/id")]);
const BACK_VAULT: About =
    About::data::<RestoredVault>("Restore a deleted vault").refuses(&[ProblemKind::Conflict]);
const PURGE_VAULT: About = About::nothing("Destroy a deleted vault");

async fn secrets(ctx: Ctx) -> Answer {
    let trashed = ctx.services().list_trash(ctx.actor()?, &ctx.repo()?, ctx.page()?).await?;
    ctx.list(&trashed)
}

async fn restore_secret(ctx: Ctx) -> Answer {
    let (repo, id) = (ctx.repo()?, ctx.id("id", "secret", SecretId::parse)?);
    let restored = ctx.services().restore_secret(ctx.actor()?, &repo, id).await?;
    ctx.ok(&restored)
}

async fn purge_secret(ctx: Ctx) -> Answer {
    let (repo, id) = (ctx.repo()?, ctx.id("id", "secret", SecretId::parse)?);
    ctx.services().purge_secret(ctx.actor()?, &repo, id).await?;
    ctx.no_content()
}

async fn empty(ctx: Ctx) -> Answer {
    let emptied = ctx.services().empty_trash(ctx.actor()?, &ctx.repo()?).await?;
    ctx.ok(&emptied)
}

async fn environments(ctx: Ctx) -> Answer {
    let trashed = ctx.services().list_trashed_environments(ctx.actor()?, &ctx.repo()?, ctx.page()?).await?;
    ctx.list(&trashed)
}

async fn restore_environment(ctx: Ctx) -> Answer {
    let (repo, id) = (ctx.repo()?, environment_id(&ctx)?);
    let restored = ctx.services().restore_environment(ctx.actor()?, &repo, id).await?;
    ctx.ok(&restored)
}

async fn purge_environment(ctx: Ctx) -> Answer {
    let (repo, id) = (ctx.repo()?, environment_id(&ctx)?);
    ctx.services().purge_environment(ctx.actor()?, &repo, id).await?;
    ctx.no_content()
}

async fn vaults(ctx: Ctx) -> Answer {
    let trashed = ctx.services().list_trashed_vaults(ctx.actor()?, ctx.page()?).await?;
    ctx.list_in_reach(&trashed)
}

async fn restore_vault(ctx: Ctx) -> Answer {
    let restored = ctx.services().restore_vault(ctx.actor()?, vault_id(&ctx)?).await?;
    ctx.ok(&restored)
}

async fn purge_vault(ctx: Ctx) -> Answer {
    ctx.services().purge_vault(ctx.actor()?, vault_id(&ctx)?).await?;
    ctx.no_content()
}

fn environment_id(ctx: &Ctx) -> Result<EnvironmentId, Problem> {
    ctx.id("id", "environment", EnvironmentId::parse)
}

fn vault_id(ctx: &Ctx) -> Result<VaultId, Problem> {
    ctx.id("id", "vault", VaultId::parse)
}
