//! Whether the server can serve, for load balancers and people. Outside the envelope,
//! without a credential and without a rate limit: probes are frequent and simple.
//!
//! `/health` is for whoever would start the server anew, `/ready` for whoever sends it
//! clients: a server that stops, or that is too busy to write, is healthy.

use crate::base::ids::InstanceId;
use crate::http::about::About;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::request::Ctx;
use crate::http::respond::{Answer, json_response};
use crate::http::router::{LimitClass, Route, Verb};
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

pub(super) const ROUTES: &[Route] = &[health_at("/health"), health_at("/v1/health"), READY];

const fn health_at(path: &'static str) -> Route {
    let about = About::bare::<Health>("Whether the server can serve")
        .details("Without an envelope, a credential or a rate limit. 503 when the store cannot serve.");
    Route::new(Verb::Get, path, about, |ctx| Box::pin(health(ctx))).open().limit(LimitClass::Exempt)
}

const READY: Route = {
    let about = About::bare::<Health>("Whether the server takes reads and writes now").details(
        "Without an envelope, a credential or a rate limit. 503, with the reasons in `detail`, when the store cannot \
         serve, when more writes are waiting than it can take, and while the server stops.",
    );
    Route::new(Verb::Get, "/ready", about, |ctx| Box::pin(ready(ctx))).open().limit(LimitClass::Exempt)
};

#[derive(Serialize, JsonSchema)]
struct Health {
    status: &'static str,
    version: &'static str,
    /// Another one after each start, so that an operator can tell which server answers.
    instance: InstanceId,
}

async fn health(ctx: Ctx) -> Answer {
    ctx.services().health().map_err(Problem::from)?;
    well(&ctx, "healthy")
}

async fn ready(ctx: Ctx) -> Answer {
    let mut reasons = ctx.services().hindrances();
    if ctx.is_stopping() {
        reasons.push("the server is stopping".to_owned());
    }
    if reasons.is_empty() {
        return well(&ctx, "ready");
    }
    Err(Problem::new(ProblemKind::ServiceUnavailable, reasons.join("; ")))
}

fn well(ctx: &Ctx, status: &'static str) -> Answer {
    ctx.route.check_answer::<Health>()?;
    let instance = ctx.services().instance();
    let health = Health { status, version: env!("CARGO_PKG_VERSION"), instance };
    Ok(json_response(StatusCode::OK, "application/json", &health))
}
