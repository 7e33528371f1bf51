//! Signing in at the forge: on the way there, and on the way back.

use super::layout::{failure, refusal};
use super::login::Next;
use super::visit::Visit;
use crate::base::SecretText;
use crate::domain::ErrorKind;
use crate::domain::forge_sign_in::Destination;
use crate::http::{About, Answer, Ctx, Outcome, Param, Problem, ProblemKind, Route, Verb};
use maud::html;

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/v1/auth/github/start", START, |ctx| Box::pin(start(ctx))).page(failure),
    Route::new(Verb::Get, "/v1/auth/callback", COME_BACK, |ctx| Box::pin(come_back(ctx))).page(failure),
];

const START: About = About::redirect("Begin to sign in at GitHub", 302)
    .details("Sends a browser there. What it comes back to is `redirect_uri`, or the server's own page.")
    .query(&[
        Param::optional::<str>(
            "redirect_uri",
            "Where to go afterwards; its origin is in `server.redirect_origins`.",
        ),
        Param::optional::<str>("state", "Given back to that address; up to 1 024 bytes."),
        Param::optional::<str>("user_code", "A device's code, to go on to."),
        Param::optional::<str>("seen", "Proves that this browser has typed that code."),
    ])
    .refuses(&[ProblemKind::NotFound, ProblemKind::Forbidden]);
const COME_BACK: About = About::redirect("End signing in at GitHub", 302)
    .details("GitHub sends browsers here. On to where signing in was begun for, with `code` and `state`.")
    .also(&[(303, "On to a page of this server.")])
    .query(&[
        Param::optional::<str>("state", "As given to GitHub."),
        Param::optional::<str>("code", "GitHub's code."),
        Param::optional::<str>("error", "Why there is none."),
    ])
    .refuses(&[ProblemKind::NotFound, ProblemKind::Forbidden, ProblemKind::UpstreamError]);

/// Longest `state` of another site that is given back to it.
const STATE_BYTES_MAX: usize = 1_024;

async fn start(ctx: Ctx) -> Answer {
    let visit = Visit::of(&ctx);
    let destination = match ctx.query("redirect_uri")? {
        Some(redirect_uri) => {
            let state = ctx.query("state")?;
            if state.as_ref().is_some_and(|state| state.len() > STATE_BYTES_MAX) {
                return Err(Problem::field("state", format!("must have at most {STATE_BYTES_MAX} bytes")));
            }
            Destination::Elsewhere { redirect_uri, state }
        }
        None => {
            let (typed, seen) =
                (ctx.query("user_code")?.unwrap_or_default(), ctx.query("seen")?.unwrap_or_default());
            Destination::Here { user_code: visit.proven(&typed, &seen).map(str::to_owned) }
        }
    };
    let url = ctx.services().begin_forge_sign_in(visit.browser(), destination, ctx.origin()).await?;
    visit.answer(ctx.found(&url))
}

async fn come_back(ctx: Ctx) -> Answer {
    let visit = Visit::of(&ctx);
    let state = ctx.query("state")?.unwrap_or_default();
    if let Some(error) = ctx.query("error")? {
        ctx.services().abandon_forge_sign_in(visit.browser(), &state).await?;
        return visit.answer(not_signed_in(&ctx, Outcome::Forbidden, explain(&error)));
    }
    let code = SecretText::new(ctx.query("code")?.unwrap_or_default());
    let origin = ctx.origin().clone();
    let signed_in = match ctx.services().finish_forge_sign_in(visit.browser(), &state, &code, origin).await {
        Ok(signed_in) => signed_in,
        Err(error) => {
            let outcome = match error.kind {
                ErrorKind::Invalid => Outcome::Mistake,
                ErrorKind::Forbidden | ErrorKind::Unauthorized => Outcome::Forbidden,
                _ => return Err(error.into()),
            };
            return visit.answer(not_signed_in(&ctx, outcome, &error.detail));
        }
    };
    let onward = match (signed_in.destination, signed_in.code) {
        (Destination::Elsewhere { redirect_uri, state }, Some(code)) => {
            ctx.found(&with_code(&redirect_uri, code.expose(), state.as_deref()))
        }
        (Destination::Here { user_code }, _) => ctx.see_other(&Next(user_code.as_deref()).path(&visit)),
        (Destination::Elsewhere { .. }, None) => ctx.see_other("/"),
    };
    ctx.with_session(visit.answer(onward), &signed_in.session)
}

fn not_signed_in(ctx: &Ctx, outcome: Outcome, detail: &str) -> Answer {
    let way = html! { p { a href="/login" { "Try again" } } };
    refusal(ctx, outcome, "Not signed in", detail, &way)
}

/// The forge's own error codes (RFC 6749 §4.1.2.1), in words. What else it sends along
/// is not repeated: anybody can write such an address.
fn explain(error: &str) -> &'static str {
    match error {
        "access_denied" => "access was not granted there, so nobody was signed in",
        "redirect_uri_mismatch" => {
            "the address to come back to is not the one registered for this server; its operator has to correct that"
        }
        "application_suspended" => {
            "the app of this server is suspended there; its operator has to look after it"
        }
        _ => "signing in did not work there; try again, or tell the operator of this server",
    }
}

/// `uri` with the one-time code and the site's own state.
fn with_code(uri: &str, code: &str, state: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("code", code);
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    let joint = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{joint}{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::with_code;

    #[test]
    fn the_code_is_added_to_whatever_query_there_is() {
        assert_eq!(with_code("https://a.example/cb", "c", None), "https://a.example/cb?code=c");
        assert_eq!(
            with_code("https://a.example/cb?x=1", "c", Some("a&b")),
            "https://a.example/cb?x=1&code=c&state=a%26b"
        );
    }
}
