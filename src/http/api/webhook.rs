//! Events from the forge. What they say is not believed without a good signature, and
//! all that follows from one is that roles are asked for anew.

use crate::http::about::{About, Param};
use crate::http::problem::ProblemKind;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{LimitClass, Route, Verb};

pub(super) const ROUTES: &[Route] =
    // Events come from few addresses, in bursts, and are sent once.
    &[Route::new(Verb::Post, "/v1/github/webhook", RECEIVE, |ctx| Box::pin(receive(ctx)))
            .open()
            .limit(LimitClass::Exempt)];

const RECEIVE: About = About::nothing("Take an event from GitHub")
    .details("Roles are asked for anew after it. 404 unless a webhook secret is configured.")
    .takes::<serde_json::Value>()
    .headers(&[
        Param::required::<str>("X-GitHub-Event", "What happened."),
        Param::required::<str>(
            "X-Hub-Signature-256",
            "`sha256=` and the HMAC of the body under the webhook secret.",
        ),
    ])
    .refuses(&[ProblemKind::Unauthorized, ProblemKind::Forbidden, ProblemKind::NotFound]);

async fn receive(ctx: Ctx) -> Answer {
    let event = ctx.header("x-github-event").unwrap_or_default();
    let signature = ctx.header("x-hub-signature-256").unwrap_or_default();
    ctx.services().forge_event(event, signature, ctx.body())?;
    ctx.no_content()
}
