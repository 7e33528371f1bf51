//! Letting a device in: enter the code it shows, see what it is, say yes or no.
//!
//! Looking a code up counts against the limit on guesses. Who has typed a good one
//! carries a proof of that to the next step, so that nothing is counted twice and
//! there is no other way to try codes.

use super::layout::{document, failure};
use super::login::{Next, ways};
use super::visit::{TOKEN, Visit};
use crate::base::Timestamp;
use crate::domain::devices::DeviceRequest;
use crate::http::{About, Answer, Ctx, LimitClass, Outcome, Param, ProblemKind, Route, Verb};
use maud::{Markup, html};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/device", ENTER, |ctx| Box::pin(enter(ctx))).page(failure),
    Route::new(Verb::Post, "/device", LOOK_UP, |ctx| Box::pin(look_up(ctx)))
        .page(failure)
        .limit(LimitClass::DeviceVerify),
    Route::new(Verb::Post, "/device/decision", DECIDE, |ctx| Box::pin(decide(ctx))).page(failure),
];

const CODE: Param = Param::required::<str>("user_code", "The code the device shows.");
const SEEN: Param = Param::required::<str>("seen", "Proves that this browser has typed that code.");

const ENTER: About = About::page("The page to enter a device's code").query(&[
    Param::optional::<str>("user_code", "The code, to be confirmed."),
    Param::optional::<str>("seen", "Proves that this browser has typed that code."),
]);
const LOOK_UP: About =
    About::page("Show what asks to be let in").form(&[TOKEN, CODE]).refuses(&[ProblemKind::Forbidden]);
const DECIDE: About = About::page("Let a device in, or do not")
    .form(&[TOKEN, CODE, SEEN, Param::required::<str>("decision", "`approve` or `deny`.")])
    .also(&[(303, "Nobody is signed in; on to `/device`.")])
    .refuses(&[
        ProblemKind::Unauthorized,
        ProblemKind::Forbidden,
        ProblemKind::NotFound,
        ProblemKind::Conflict,
    ]);

/// Longest text that is shown again as a code.
const TYPED_CHARS_MAX: usize = 20;

async fn enter(ctx: Ctx) -> Answer {
    let visit = Visit::of(&ctx);
    let typed = ctx.query("user_code")?.unwrap_or_default();
    let seen = ctx.query("seen")?.unwrap_or_default();
    if let Some(code) = visit.proven(&typed, &seen) {
        return match ctx.services().device_request(code)? {
            Some(request) => confirm(&ctx, &visit, &request),
            None => not_good(&ctx, &visit),
        };
    }
    let content = entry_form(&visit, &typed);
    visit.answer(ctx.html(Outcome::Fine, document("Let a device in", &content)))
}

fn entry_form(visit: &Visit<'_>, typed: &str) -> Markup {
    let typed: String = typed.chars().take(TYPED_CHARS_MAX).collect();
    html! {
        p { "A command line or another device shows you a code. Enter it here, or check that it is the same." }
        form method="post" action="/device" {
            (visit.form_field("device"))
            label for="user_code" { "Code" }
            p.hint #user_code_form { "Four letters and four digits, such as WDJB-3947" }
            input.code id="user_code" name="user_code" type="text" value=(typed) autocomplete="off"
                autocapitalize="characters" spellcheck="false" aria-describedby="user_code_form" maxlength="20"
                required;
            button type="submit" { "Continue" }
        }
    }
}

async fn look_up(ctx: Ctx) -> Answer {
    let (visit, fields) = (Visit::of(&ctx), ctx.form());
    visit.check(&fields, "device")?;
    match ctx.services().device_request(fields.text("user_code"))? {
        Some(request) => confirm(&ctx, &visit, &request),
        None => not_good(&ctx, &visit),
    }
}

fn not_good(ctx: &Ctx, visit: &Visit<'_>) -> Answer {
    let content = html! {
        p.bad role="alert" {
            "That code is not good. It may be mistyped, have been used, or have expired: start again on the device for a new one."
        }
        (entry_form(visit, ""))
    };
    visit.answer(ctx.html(Outcome::Mistake, document("Let a device in", &content)))
}

/// What asks to be let in; whoever is not signed in does that first.
fn confirm(ctx: &Ctx, visit: &Visit<'_>, request: &DeviceRequest) -> Answer {
    let code = request.user_code.as_str();
    let content = html! {
        dl {
            dt { "Code" } dd { strong { (code) } }
            dt { "Client" } dd { bdi { (if request.user_agent.is_empty() { "does not say" } else { &request.user_agent }) } }
            @if let Some(repository) = &request.repository {
                dt { "Repository" } dd { (repository) }
            }
            dt { "Address" } dd { (request.address.to_canonical()) }
            dt { "Asked at" } dd { (moment(request.created_at)) }
        }
        @if let Some(actor) = ctx.visitor() {
            p {
                "It will be able to do everything that you, " strong { (actor.username()) } ", can do. "
                "Approve only if you started this yourself."
            }
            form method="post" action="/device/decision" {
                (visit.form_field("decision"))
                input type="hidden" name="user_code" value=(code);
                input type="hidden" name="seen" value=(visit.seen(code));
                button type="submit" name="decision" value="approve" { "Approve" }
                button.second type="submit" name="decision" value="deny" { "Deny" }
            }
        } @else {
            h2 { "Sign in to decide" }
            (ways(ctx, visit, &Next(Some(code)), ""))
        }
    };
    visit.answer(ctx.html(Outcome::Fine, document("Is this you?", &content)))
}

/// A time as people read it, to the second. Their time zone is not known here.
fn moment(time: Timestamp) -> Markup {
    let exact = time.to_string();
    let shown = exact.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ");
    html! { time datetime=(exact) { (shown) " UTC" } }
}

async fn decide(ctx: Ctx) -> Answer {
    let (visit, fields) = (Visit::of(&ctx), ctx.form());
    visit.check(&fields, "decision")?;
    let Some(code) = visit.proven(fields.text("user_code"), fields.text("seen")) else {
        return not_good(&ctx, &visit);
    };
    let Some(actor) = ctx.visitor() else { return visit.answer(ctx.see_other("/device")) };
    let approve = match fields.text("decision") {
        "approve" => true,
        "deny" => false,
        _ => return not_good(&ctx, &visit),
    };
    if !ctx.services().decide_device(actor, code, approve).await? {
        return not_good(&ctx, &visit);
    }
    let (title, content) = if approve {
        let content = html! {
            p.good role="status" { "The device is signed in as " strong { (actor.username()) } "." }
            p { "You can close this page." }
        };
        ("Approved", content)
    } else {
        let content = html! {
            p.good role="status" { "The device was turned away." }
            p { "You can close this page. If you did not start this yourself, somebody else may have tried to get in as you." }
        };
        ("Denied", content)
    };
    visit.answer(ctx.html(Outcome::Fine, document(title, &content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_second() {
        let shown = moment(Timestamp::from_millis(1_800_000_000_217)).into_string();
        assert_eq!(shown, r#"<time datetime="2027-01-15T08:00:00.217Z">2027-01-15 08:00:00 UTC</time>"#);
    }
}
