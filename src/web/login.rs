//! Signing in: with an account of this appliance, at the forge, or either.

use super::layout::{document, failure, sentence};
use super::visit::{TOKEN, Visit};
use crate::domain::ErrorKind;
use crate::domain::sign_in::PasswordSignIn;
use crate::http::{About, Answer, Ctx, Outcome, Param, Problem, ProblemKind, Route, Verb};
use maud::{Markup, html};
use std::time::Duration;

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/login", SHOW, |ctx| Box::pin(show(ctx))).page(failure),
    Route::new(Verb::Post, "/login", SIGN_IN, |ctx| Box::pin(sign_in(ctx))).page(failure),
];

const SHOW: About =
    About::page("The page to sign in").also(&[(303, "Somebody is signed in already; on to `/`.")]);
const SIGN_IN: About = About::redirect("Sign in with an account of this server", 303)
    .form(&[
        TOKEN,
        Param::required::<str>("name", "The account."),
        Param::required::<str>("password", "Its password."),
        Param::optional::<str>("user_code", "A device's code, to go on to."),
        Param::optional::<str>("seen", "Proves that this browser has typed that code."),
    ])
    .refuses(&[ProblemKind::Unauthorized, ProblemKind::Forbidden]);

/// The mark of a browser in which somebody signed in.
const MARK: &str = "keyway_mark";
const MARK_FOR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Where to go afterwards: a device code that this browser has typed, or home.
pub(super) struct Next<'a>(pub(super) Option<&'a str>);

impl Next<'_> {
    pub(super) fn path(&self, visit: &Visit<'_>) -> String {
        match self.0 {
            Some(code) => format!("/device?user_code={code}&seen={}", visit.seen(code)),
            None => "/".to_owned(),
        }
    }
}

async fn show(ctx: Ctx) -> Answer {
    let visit = Visit::of(&ctx);
    if ctx.visitor().is_some() {
        return visit.answer(ctx.see_other("/"));
    }
    let content = ways(&ctx, &visit, &Next(None), "");
    visit.answer(ctx.html(Outcome::Fine, document("Sign in", &content)))
}

/// All ways to sign in. `name` is what was typed before.
pub(super) fn ways(ctx: &Ctx, visit: &Visit<'_>, next: &Next<'_>, name: &str) -> Markup {
    let forge = ctx.services().forge_title().filter(|(_, signs_in)| *signs_in).map(|(title, _)| title);
    let local = ctx.services().has_local_accounts();
    let code = next.0.unwrap_or_default();
    let seen = next.0.map(|code| visit.seen(code)).unwrap_or_default();
    html! {
        @if let Some(forge) = forge {
            @let there = if code.is_empty() {
                "/v1/auth/github/start".to_owned()
            } else {
                format!("/v1/auth/github/start?user_code={code}&seen={seen}")
            };
            a.button href=(there) { "Sign in with " (forge) }
        }
        @if forge.is_some() && local {
            p.or { "or with an account of this server" }
        }
        @if local {
            form method="post" action="/login" {
                (visit.form_field("login"))
                @if !code.is_empty() {
                    input type="hidden" name="user_code" value=(code);
                    input type="hidden" name="seen" value=(seen);
                }
                label for="name" { "Account" }
                input id="name" name="name" type="text" value=(name) autocomplete="username" autocapitalize="none"
                    spellcheck="false" required;
                label for="password" { "Password" }
                input id="password" name="password" type="password" autocomplete="current-password" required;
                button type="submit" { "Sign in" }
            }
        }
        @if forge.is_none() && !local {
            p { "Nobody can sign in with a browser here; use a personal access token." }
        }
    }
}

async fn sign_in(ctx: Ctx) -> Answer {
    let (visit, fields) = (Visit::of(&ctx), ctx.form());
    visit.check(&fields, "login")?;
    let name = fields.text("name").trim();
    let next = Next(visit.proven(fields.text("user_code"), fields.text("seen")));
    let form = PasswordSignIn {
        name: name.to_owned(),
        password: fields.secret("password"),
        mark: ctx.cookie(MARK).map(str::to_owned),
    };
    match ctx.services().sign_in(form, ctx.origin().clone()).await {
        Ok(session) => {
            let answer = visit.answer(ctx.see_other(&next.path(&visit)));
            let mark = ctx.services().browser_mark(&session.username);
            ctx.with_session(ctx.with_cookie(answer, MARK, &mark, Some(MARK_FOR)), &session)
        }
        Err(error) if error.kind == ErrorKind::Unauthorized => {
            let content = html! {
                p.bad role="alert" { (sentence(&error.detail)) }
                (ways(&ctx, &visit, &next, name))
            };
            visit.answer(ctx.html(Outcome::Unknown, document("Sign in", &content)))
        }
        Err(error) => Err(Problem::from(error)),
    }
}
