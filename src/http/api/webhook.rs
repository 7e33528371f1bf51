//! Events from the forge. What they say is not believed without a good signature, and
//! all that follows from one is that roles are asked for anew.

use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{Route, Verb};

pub(super) const ROUTES: &[Route] =
    &[Route::new(Verb::Post, "/v1/github/webhook", |ctx| Box::pin(receive(ctx))).open()];

async fn receive(ctx: Ctx) -> Answer {
    let event = ctx.header("x-github-event").unwrap_or_default();
    let signature = ctx.header("x-hub-signature-256").unwrap_or_default();
    ctx.services().forge_event(event, signature, ctx.body())?;
    ctx.no_content()
}
