//! The description of the API, for programs; people read it at `/docs`.

use crate::http::about::About;
use crate::http::request::Ctx;
use crate::http::respond::{Answer, json_text};
use crate::http::router::{Route, Verb};
use serde_json::{Map, Value};

pub(super) const ROUTES: &[Route] =
    &[Route::new(Verb::Get, "/v1/openapi.json", SHOW, |ctx| Box::pin(show(ctx))).open()];

const SHOW: About = About::bare::<Map<String, Value>>("Describe this API")
    .details("This document: OpenAPI 3.1. The same for people is at `/docs`.");

async fn show(ctx: Ctx) -> Answer {
    Ok(json_text(ctx.front.description().text.clone()))
}
