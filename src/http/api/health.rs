//! Whether the server can serve, for load balancers and people. Outside the envelope,
//! without a credential and without a rate limit: probes are frequent and simple.

use crate::http::about::About;
use crate::http::problem::Problem;
use crate::http::request::Ctx;
use crate::http::respond::{Answer, json_response};
use crate::http::router::{LimitClass, Route, Verb};
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

pub(super) const ROUTES: &[Route] = &[probe("/health"), probe("/v1/health")];

const fn probe(path: &'static str) -> Route {
    let about = About::bare::<Health>("Whether the server can serve")
        .details("Without an envelope, a credential or a rate limit. 503 when the store cannot serve.");
    Route::new(Verb::Get, path, about, |ctx| Box::pin(health(ctx))).open().limit(LimitClass::Exempt)
}

#[derive(Serialize, JsonSchema)]
struct Health {
    status: &'static str,
    version: &'static str,
}

async fn health(ctx: Ctx) -> Answer {
    ctx.route.check_answer::<Health>()?;
    ctx.services().health().map_err(Problem::from)?;
    let health = Health { status: "healthy", version: env!("CARGO_PKG_VERSION") };
    Ok(json_response(StatusCode::OK, "application/json", &health))
}
