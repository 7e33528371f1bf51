//! The caller.

use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/v1/users/me", |ctx| Box::pin(me(ctx))),
    Route::new(Verb::Get, "/v1/users/me/usage", |ctx| Box::pin(usage(ctx))),
];

async fn me(ctx: Ctx) -> Answer {
    ctx.ok(&ctx.services().profile(ctx.actor()?))
}

async fn usage(ctx: Ctx) -> Answer {
    let usage = ctx.services().plan_usage(ctx.actor()?).await?;
    ctx.ok(&usage)
}
