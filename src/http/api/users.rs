//! The caller.

use crate::domain::users::{PlanUsage, Profile};
use crate::http::about::About;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/v1/users/me", ME, |ctx| Box::pin(me(ctx))),
    Route::new(Verb::Get, "/v1/users/me/usage", USAGE, |ctx| Box::pin(usage(ctx))),
];

const ME: About = About::data::<Profile>("Show the caller");
const USAGE: About = About::data::<PlanUsage>("Show what the caller uses").details("Nothing is metered.");

async fn me(ctx: Ctx) -> Answer {
    ctx.ok(&ctx.services().profile(ctx.actor()?))
}

async fn usage(ctx: Ctx) -> Answer {
    let usage = ctx.services().plan_usage(ctx.actor()?).await?;
    ctx.ok(&usage)
}
