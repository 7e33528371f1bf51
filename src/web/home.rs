//! The appliance's own page: who is signed in, what there is to do, and signing out.

use super::layout::{document, failure, style};
use super::visit::{TOKEN, Visit};
use crate::domain::integrations::ConnectionSummary;
use crate::http::{About, Answer, Ctx, Outcome, ProblemKind, Route, Verb};
use maud::{Markup, html};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/", HOME, |ctx| Box::pin(home(ctx))).page(failure),
    Route::new(Verb::Post, "/logout", SIGN_OUT, |ctx| Box::pin(sign_out(ctx))).page(failure),
    Route::new(Verb::Get, "/assets/style.css", STYLE, |ctx| Box::pin(style(ctx))).page(failure),
];

const HOME: About =
    About::page("The page of whoever is signed in").also(&[(303, "Nobody is; on to `/login`.")]);
const SIGN_OUT: About = About::page("Sign out").form(&[TOKEN]).refuses(&[ProblemKind::Forbidden]);
const STYLE: About = About::document("The style sheet of the pages", "text/css");

async fn home(ctx: Ctx) -> Answer {
    let visit = Visit::of(&ctx);
    let Some(actor) = ctx.visitor() else { return visit.answer(ctx.see_other("/login")) };
    let connections = ctx.services().list_connections(actor).await?;
    let content = html! {
        p { "Signed in as " strong { (actor.username()) } "." }
        h2 { "Command line" }
        p {
            "Run " code { "keyway login" } " there and follow the link it shows, or "
            a href="/device" { "enter its code" } "."
        }
        (services(&ctx, &connections))
        h2 { "Programs" }
        p { "What they can do here is in the " a href="/docs" { "reference of the API" } "." }
        form method="post" action="/logout" {
            (visit.form_field("logout"))
            button.second type="submit" { "Sign out" }
        }
    };
    visit.answer(ctx.html(Outcome::Fine, document("Signed in", &content)))
}

/// The services that secrets can be synchronised with, and the way to connect them.
fn services(ctx: &Ctx, connections: &[ConnectionSummary]) -> Markup {
    let enabled = ctx.services().list_integrations().into_iter().filter(|service| service.configured);
    let enabled: Vec<_> = enabled.collect();
    let connected = |name: &str| connections.iter().filter(|one| one.provider == name).count();
    html! {
        @if !enabled.is_empty() {
            h2 { "Services" }
            p { "Your secrets can be synchronised with them, once your account there is connected." }
            ul {
                @for service in &enabled {
                    li {
                        a href={ "/v1/integrations/" (service.name) "/authorize" } {
                            "Connect " (service.display_name)
                        }
                        @match connected(service.name) {
                            0 => {}
                            1 => " (one account is connected)",
                            number => { " (" (number) " accounts are connected)" }
                        }
                    }
                }
            }
        }
    }
}

async fn sign_out(ctx: Ctx) -> Answer {
    let visit = Visit::of(&ctx);
    visit.check(&ctx.form(), "logout")?;
    if let Some(token) = ctx.session_token() {
        ctx.services().sign_out(&token, ctx.origin().clone()).await?;
    }
    let content = html! {
        p.good role="status" { "You are signed out." }
        p { a href="/login" { "Sign in again" } }
    };
    ctx.without_session(visit.answer(ctx.html(Outcome::Fine, document("Signed out", &content))))
}
