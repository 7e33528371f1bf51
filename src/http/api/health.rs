//! Whether the server can serve, for load balancers and people. Outside the envelope,
//! without a credential and without a rate limit: probes are frequent and simple.

use crate::http::problem::Problem;
use crate::http::request::Ctx;
use crate::http::respond::{Answer, json_response};
use crate::http::router::{LimitClass, Route, Verb};
use hyper::StatusCode;
use serde::Serialize;

pub(super) const ROUTES: &[Route] = &[probe("/health"), probe("/v1/health")];

const fn probe(path: &'static str) -> Route {
    Route::new(Verb::Get, path, |ctx| Box::pin(health(ctx))).open().limit(LimitClass::Exempt)
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
}

async fn health(ctx: Ctx) -> Answer {
    ctx.services().health().map_err(Problem::from)?;
    let health = Health { status: "healthy", version: env!("CARGO_PKG_VERSION") };
    Ok(json_response(StatusCode::OK, "application/json", &health))
}
