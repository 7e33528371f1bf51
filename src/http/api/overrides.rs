//! Permissions: what the caller may do in each environment, and the exceptions to the
//! role table.

use crate::base::ids::{OverrideId, UserId};
use crate::base::{EnvironmentName, Role, Scope};
use crate::domain::overrides::{EffectivePermissions, OverrideSummary, OverrideTarget};
use crate::domain::permissions::Rights;
use crate::http::about::About;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Handler, Route, Verb};
use schemars::JsonSchema;
use serde::Deserialize;

const EFFECTIVE: &str = "/v1/vaults/{owner}/{repo}/permissions/effective";
const ALL: &str = "/v1/vaults/{owner}/{repo}/permissions/overrides";
const ONE: &str = "/v1/vaults/{owner}/{repo}/permissions/overrides/{id}";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, EFFECTIVE, SHOW, |ctx| Box::pin(effective(ctx)))
        .scope(Scope::ReadSecrets)
        .role(Role::Read),
    manage(Verb::Get, ALL, LIST, |ctx| Box::pin(list(ctx))),
    manage(Verb::Post, ALL, CREATE, |ctx| Box::pin(create(ctx))),
    manage(Verb::Put, ONE, CHANGE, |ctx| Box::pin(change(ctx))),
    manage(Verb::Delete, ONE, DELETE, |ctx| Box::pin(delete(ctx))),
];

const fn manage(verb: Verb, path: &'static str, about: About, handler: Handler) -> Route {
    Route::new(verb, path, about, handler).scope(Scope::WriteSecrets).role(Role::Admin)
}

const SHOW: About = About::data::<EffectivePermissions>("Show what the caller may do in each environment");

const LIST: About = About::list::<OverrideSummary>("List the exceptions to the role table")
    .details("Oldest first.")
    .leads(&[("id", "/data/0/id")]);

const CREATE: About = About::created::<OverrideSummary>("Make an exception to the role table")
    .details(
        "For one environment and either exactly one role or one user. User goes before role, role before the \
         environment's type, and that before the role table. Writing without reading is no right.",
    )
    .takes::<NewOverride>()
    .leads(&[("id", "/data/id")])
    .refuses(&[ProblemKind::Conflict]);

const CHANGE: About = About::data::<OverrideSummary>("Change what an exception allows")
    .details("Whom and what it is for cannot change; what is sent of that must be as it is.")
    .takes::<Changes>()
    .refuses(&[ProblemKind::Conflict]);

const DELETE: About = About::nothing("Drop an exception")
    .details("409 if nobody would be left who may manage the environment.")
    .refuses(&[ProblemKind::Conflict]);

async fn effective(ctx: Ctx) -> Answer {
    let effective = ctx.services().effective_permissions(ctx.actor()?, &ctx.repo()?).await?;
    ctx.ok(&effective)
}

async fn list(ctx: Ctx) -> Answer {
    let overrides = ctx.services().list_overrides(ctx.actor()?, &ctx.repo()?, ctx.page()?).await?;
    ctx.list(&overrides)
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TargetType {
    Role,
    User,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend(
    "oneOf" = [
        {
            "required": ["targetRole"],
            "properties": {
                "targetType": { "const": "role" },
                "targetRole": { "type": "string" },
                "targetUserId": { "type": "null" },
            },
        },
        {
            "required": ["targetUserId"],
            "properties": {
                "targetType": { "const": "user" },
                "targetUserId": { "type": "string" },
                "targetRole": { "type": "null" },
            },
        },
    ],
    "anyOf" = [{ "properties": { "canRead": { "const": true } } }, { "properties": { "canWrite": { "const": false } } }],
))]
struct NewOverride {
    environment: EnvironmentName,
    target_type: TargetType,
    target_role: Option<Role>,
    #[schemars(with = "Option<UserId>")]
    target_user_id: Option<String>,
    can_read: bool,
    can_write: bool,
}

async fn create(mut ctx: Ctx) -> Answer {
    let wanted: NewOverride = ctx.json().await?;
    let target = target(wanted.target_type, wanted.target_role, wanted.target_user_id.as_deref())?;
    let rights = Rights { can_read: wanted.can_read, can_write: wanted.can_write };
    let repo = ctx.repo()?;
    let created =
        ctx.services().create_override(ctx.actor()?, &repo, wanted.environment, target, rights).await?;
    ctx.created(&created)
}

/// Exactly the one target that the type names.
fn target(kind: TargetType, role: Option<Role>, user: Option<&str>) -> Result<OverrideTarget, Problem> {
    let surplus = |field: &str| Problem::field(field, "must be left out for this `targetType`");
    match (kind, role, user) {
        (TargetType::Role, Some(_), Some(_)) => Err(surplus("targetUserId")),
        (TargetType::User, Some(_), Some(_)) => Err(surplus("targetRole")),
        (TargetType::Role, Some(role), None) => Ok(OverrideTarget::Role(role)),
        (TargetType::Role, None, _) => {
            Err(Problem::field("targetRole", "is required for `targetType` `role`"))
        }
        (TargetType::User, _, None) => {
            Err(Problem::field("targetUserId", "is required for `targetType` `user`"))
        }
        (TargetType::User, None, Some(id)) => UserId::parse(id)
            .map(OverrideTarget::User)
            .ok_or_else(|| Problem::field("targetUserId", "must be the id of a user")),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(
    rename = "OverrideChanges",
    extend("anyOf" = [
        { "properties": { "canRead": { "const": true } } },
        { "properties": { "canWrite": { "const": false } } },
    ]),
)]
struct Changes {
    environment: Option<EnvironmentName>,
    target_type: Option<TargetType>,
    target_role: Option<Role>,
    #[schemars(with = "Option<UserId>")]
    target_user_id: Option<String>,
    can_read: bool,
    can_write: bool,
}

impl Changes {
    /// Whether what else the client sent is as it is. An override's target is what it
    /// is; silently keeping another than the client sent would be worse than refusing.
    fn fits(&self, present: &OverrideSummary) -> crate::domain::Result<()> {
        let kind = if present.target_role.is_some() { TargetType::Role } else { TargetType::User };
        let user = present.target_user_id.map(|id| id.to_string());
        let other = [
            ("environment", self.environment.as_ref().is_some_and(|sent| *sent != present.environment)),
            ("targetType", self.target_type.is_some_and(|sent| sent != kind)),
            ("targetRole", self.target_role.is_some() && self.target_role != present.target_role),
            ("targetUserId", self.target_user_id.is_some() && self.target_user_id != user),
        ];
        match other.into_iter().find(|(_, differs)| *differs) {
            Some((field, _)) => Err(crate::domain::Error::invalid(
                field,
                "cannot be changed; delete this override and make another",
            )),
            None => Ok(()),
        }
    }
}

async fn change(mut ctx: Ctx) -> Answer {
    let (repo, id) = (ctx.repo()?, override_id(&ctx)?);
    let wanted: Changes = ctx.json().await?;
    let rights = Rights { can_read: wanted.can_read, can_write: wanted.can_write };
    let same = move |present: &OverrideSummary| wanted.fits(present);
    let changed = ctx.services().change_override(ctx.actor()?, &repo, id, rights, same).await?;
    ctx.ok(&changed)
}

async fn delete(ctx: Ctx) -> Answer {
    let (repo, id) = (ctx.repo()?, override_id(&ctx)?);
    ctx.services().delete_override(ctx.actor()?, &repo, id).await?;
    ctx.no_content()
}

fn override_id(ctx: &Ctx) -> Result<OverrideId, Problem> {
    ctx.id("id", "override", OverrideId::parse)
}
