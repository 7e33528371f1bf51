//! Connecting a service with a browser: the page that asks whose account here is to be
//! connected, the way to the service and back, and the form for a token where nobody is
//! sent anywhere.
//!
//! A command line opens the first page with its token in the address, the one place
//! where a token may stand in one. The page does nothing by itself: whoever sees it has
//! to press the button, so that nobody is made to connect their account there with that
//! of somebody else here.

use super::layout::{document, failure, onward, refusal, sentence};
use super::visit::{TOKEN, Visit};
use crate::base::SecretText;
use crate::domain::integrations::{Connected, WayToConnect};
use crate::domain::{Actor, Error, ErrorKind};
use crate::http::{About, Answer, Ctx, Form, Outcome, Param, Problem, ProblemKind, Route, Verb};
use maud::{Markup, html};

const AUTHORIZE: &str = "/v1/integrations/{provider}/authorize";
const CALLBACK: &str = "/v1/integrations/{provider}/callback";
/// The name of the form, for its token.
const FORM: &str = "connect";

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, AUTHORIZE, START, |ctx| Box::pin(start(ctx))).page(failure),
    Route::new(Verb::Post, AUTHORIZE, CONFIRM, |ctx| Box::pin(confirmed(ctx))).page(failure),
    Route::new(Verb::Get, CALLBACK, COME_BACK, |ctx| Box::pin(come_back(ctx))).page(failure),
];

const START: About = About::page("Begin to connect an account at a service")
    .details(
        "Asks whose account here is to be connected, and for a token where the service asks nobody for \
         consent. With `Authorization: Bearer` and a service that does, it sends on to the service at once.",
    )
    .also(&[(302, "On to the service.")])
    .query(&[
        Param::optional::<str>("token", "The credential, for a command line that opens a browser."),
        Param::optional::<str>(
            "redirect_uri",
            "Where to go afterwards; its origin is in `server.redirect_origins`.",
        ),
    ])
    .refuses(&[ProblemKind::Unauthorized, ProblemKind::Forbidden, ProblemKind::Conflict]);
const CONFIRM: About = About::page("Go on to the service, or connect with a token")
    .form(&[
        TOKEN,
        Param::optional::<str>("ticket", "The credential that the page was opened with, sealed."),
        Param::optional::<str>("redirect_uri", "Where to go afterwards."),
        Param::optional::<str>("token", "The service's token, where it asks nobody for consent."),
        Param::optional::<str>("team", "The team the token is to act for."),
    ])
    .refuses(&[
        ProblemKind::Unauthorized,
        ProblemKind::Forbidden,
        ProblemKind::Conflict,
        ProblemKind::UpstreamError,
    ]);
const COME_BACK: About = About::page("End connecting an account at a service")
    .details("The service sends browsers here.")
    .also(&[(302, "On to where connecting was begun for.")])
    .query(&[
        Param::optional::<str>("state", "As given to the service."),
        Param::optional::<str>("code", "The service's code."),
        Param::optional::<str>("error", "Why there is none."),
    ])
    .refuses(&[ProblemKind::Forbidden, ProblemKind::Conflict, ProblemKind::UpstreamError]);

/// What the form has to bring back besides what is typed.
struct Hidden<'a> {
    /// The credential the page was opened with, sealed; empty: a session in the browser.
    ticket: &'a str,
    /// Where to go afterwards; empty: nowhere.
    redirect_uri: &'a str,
}

async fn start(ctx: Ctx) -> Answer {
    let visit = Visit::of(&ctx);
    let redirect_uri = ctx.query("redirect_uri")?;
    if let Some(uri) = &redirect_uri {
        ctx.services().check_redirect(uri)?;
    }
    let header = ctx.bearer()?;
    let is_program = header.is_some();
    let credential = header.or(ctx.query("token")?.map(SecretText::new));
    let recognised = match &credential {
        Some(credential) => Some(ctx.recognise(credential).await?),
        None => None,
    };
    let Some(actor) = recognised.as_ref().or(ctx.visitor()) else {
        let detail = "this needs a credential; send `Authorization: Bearer <token>`, or sign in first";
        return Err(Problem::new(ProblemKind::Unauthorized, detail));
    };
    let way = way(&ctx, actor)?;
    if is_program && way.asks_consent {
        let url = ctx.services().begin_connecting(actor, way.name, visit.browser(), redirect_uri).await?;
        return visit.answer(ctx.found(&url));
    }
    let sealed = |credential: &SecretText| ctx.services().seal_ticket(credential, visit.browser(), way.name);
    let ticket = credential.as_ref().map(sealed).unwrap_or_default();
    let hidden = Hidden { ticket: &ticket, redirect_uri: redirect_uri.as_deref().unwrap_or_default() };
    show(&ctx, &visit, actor, way, &hidden, None)
}

/// How the service in the path is connected by `actor`.
fn way(ctx: &Ctx, actor: &Actor) -> Result<WayToConnect, Problem> {
    Ok(ctx.services().way_to_connect(actor, ctx.param("provider")?)?)
}

fn show(
    ctx: &Ctx,
    visit: &Visit<'_>,
    actor: &Actor,
    way: WayToConnect,
    hidden: &Hidden<'_>,
    complaint: Option<&str>,
) -> Answer {
    let WayToConnect { name, title, tokens_at, asks_consent } = way;
    let content = html! {
        @if let Some(complaint) = complaint {
            p.bad role="alert" { (sentence(complaint)) }
        }
        p {
            "An account at " (title) " is about to be connected with the Keyway account "
            strong { (actor.username()) } ". Go on only if that is you, and you started this yourself."
        }
        form method="post" action={ "/v1/integrations/" (name) "/authorize" } {
            (visit.form_field(FORM))
            input type="hidden" name="ticket" value=(hidden.ticket);
            input type="hidden" name="redirect_uri" value=(hidden.redirect_uri);
            @if asks_consent {
                button type="submit" { "Continue to " (title) }
            } @else {
                (token_fields(title, tokens_at))
                button type="submit" { "Connect " (title) }
            }
        }
        p.quiet { "You can then synchronise " (title) " with the vaults whose secrets you may write." }
    };
    let outcome = if complaint.is_some() { Outcome::Mistake } else { Outcome::Fine };
    visit.answer(ctx.private_html(outcome, document(&format!("Connect {title}"), &content)))
}

fn token_fields(title: &str, tokens_at: &str) -> Markup {
    html! {
        p { "Make a token at " code { (tokens_at) } " and paste it here. It is kept sealed, and shown to nobody." }
        label for="token" { "Token of " (title) }
        input id="token" name="token" type="password" autocomplete="off" spellcheck="false" required;
        label for="team" { "Team (its id, if the token is to act for one)" }
        input id="team" name="team" type="text" autocomplete="off" autocapitalize="none" spellcheck="false";
    }
}

async fn confirmed(ctx: Ctx) -> Answer {
    let (visit, fields) = (Visit::of(&ctx), ctx.form());
    visit.check_private(&fields, FORM)?;
    let recognised = credential(&ctx, &visit, &fields)?;
    let recognised = match &recognised {
        Some(credential) => Some(ctx.recognise(credential).await?),
        None => None,
    };
    let Some(actor) = recognised.as_ref().or(ctx.visitor()) else {
        return Err(Problem::new(ProblemKind::Unauthorized, "nobody is signed in here any more"));
    };
    let way = way(&ctx, actor)?;
    let redirect_uri = Some(fields.text("redirect_uri")).filter(|uri| !uri.is_empty()).map(str::to_owned);
    if way.asks_consent {
        let url = ctx.services().begin_connecting(actor, way.name, visit.browser(), redirect_uri).await?;
        let content = html! { p { "You are being sent to " (way.title) " to say yes there." } };
        let label = format!("Continue to {}", way.title);
        let page = onward(&format!("On to {}", way.title), &url, &label, &content);
        return visit.answer(ctx.private_html(Outcome::Fine, page));
    }
    if let Some(uri) = &redirect_uri {
        ctx.services().check_redirect(uri)?;
    }
    let team = Some(fields.text("team").to_owned());
    match ctx.services().connect(actor, way.name, fields.secret("token"), team).await {
        Ok(connected) => {
            visit.answer(done(&ctx, way.title, actor.username(), &connected, redirect_uri.as_deref()))
        }
        Err(error) if matches!(error.kind, ErrorKind::Invalid | ErrorKind::Conflict) => {
            let hidden = Hidden {
                ticket: fields.text("ticket"),
                redirect_uri: redirect_uri.as_deref().unwrap_or_default(),
            };
            show(&ctx, &visit, actor, way, &hidden, Some(&in_words(&error)))
        }
        Err(error) => Err(error.into()),
    }
}

/// The credential that the page was opened with; `None`: with a session.
fn credential(ctx: &Ctx, visit: &Visit<'_>, fields: &Form) -> Result<Option<SecretText>, Problem> {
    let ticket = fields.text("ticket");
    if ticket.is_empty() {
        return Ok(None);
    }
    let opened = ctx.services().open_ticket(ticket, visit.browser(), ctx.param("provider")?);
    let detail = "this page is out of date; begin again where you came from";
    opened.map(Some).ok_or_else(|| Problem::new(ProblemKind::Forbidden, detail))
}

/// What is wrong with what was typed, by the names that people see.
fn in_words(error: &Error) -> String {
    match error.fields.first() {
        Some(field) if field.field == "teamId" => format!("the team {}", field.message),
        Some(field) => format!("the {} {}", field.field, field.message),
        None => error.detail.clone(),
    }
}

fn done(ctx: &Ctx, title: &str, username: &str, connected: &Connected, redirect_uri: Option<&str>) -> Answer {
    let there = &connected.user;
    let content = html! {
        p.good role="status" {
            strong { (there.username) } " at " (title)
            @if let Some(team) = &there.team_name { " (team " (team) ")" }
            " is connected with the Keyway account " strong { (username) } "."
        }
        @if redirect_uri.is_none() { (way_out(ctx)) }
    };
    let heading = format!("{title} is connected");
    let page = match redirect_uri {
        Some(uri) => onward(&heading, uri, "Continue", &content),
        None => document(&heading, &content),
    };
    ctx.private_html(Outcome::Fine, page)
}

async fn come_back(ctx: Ctx) -> Answer {
    let visit = Visit::of(&ctx);
    let state = ctx.query("state")?.unwrap_or_default();
    if let Some(error) = ctx.query("error")? {
        ctx.services().abandon_connecting(&state).await?;
        return visit.answer(not_connected(&ctx, Outcome::Forbidden, explain(&error)));
    }
    let code = SecretText::new(ctx.query("code")?.unwrap_or_default());
    let (provider, origin) = (ctx.param("provider")?, ctx.origin().clone());
    let consented = ctx.services().finish_connecting(provider, visit.browser(), &state, &code, origin).await;
    match consented {
        Ok(consented) => visit.answer(match &consented.redirect_uri {
            Some(uri) => ctx.found(uri),
            None => done(&ctx, consented.title, &consented.username, &consented.connected, None),
        }),
        Err(error) => {
            let outcome = match error.kind {
                ErrorKind::Invalid | ErrorKind::Conflict => Outcome::Mistake,
                ErrorKind::Forbidden => Outcome::Forbidden,
                _ => return Err(error.into()),
            };
            visit.answer(not_connected(&ctx, outcome, &error.detail))
        }
    }
}

fn not_connected(ctx: &Ctx, outcome: Outcome, detail: &str) -> Answer {
    refusal(ctx, outcome, "Not connected", detail, &way_out(ctx))
}

/// Whoever came from our own page goes back there; a command line's is done with.
fn way_out(ctx: &Ctx) -> Markup {
    html! {
        @if ctx.visitor().is_some() {
            p { a href="/" { "Go to the start page" } }
        } @else {
            p { "You can close this page." }
        }
    }
}

/// The service's error codes (RFC 6749 §4.1.2.1), in words. What else it sends along is
/// not repeated: anybody can write such an address.
fn explain(error: &str) -> &'static str {
    match error {
        "access_denied" => "access was not granted there, so nothing was connected",
        _ => "this did not work there; try again, or tell the operator of this server",
    }
}
