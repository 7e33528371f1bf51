//! The appliance's own page: who is signed in, and signing out.

use super::layout::{document, failure, style};
use super::visit::{TOKEN, Visit};
use crate::http::{About, Answer, Ctx, Outcome, ProblemKind, Route, Verb};
use maud::html;

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
    let content = html! {
        p { "Signed in as " strong { (actor.username()) } "." }
        p.quiet {
            "To sign a command line in, run " code { "keyway login" } " there and follow the link it shows, or "
            a href="/device" { "enter its code" } "."
        }
        form method="post" action="/logout" {
            (visit.form_field("logout"))
            button.second type="submit" { "Sign out" }
        }
    };
    visit.answer(ctx.html(Outcome::Fine, document("Signed in", &content)))
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
