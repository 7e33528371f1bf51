//! Credentials and sessions: who a token stands for, signing out, and the second half
//! of signing in from another web site.

use super::device::Session;
use crate::base::{SecretText, Timestamp};
use crate::http::about::About;
use crate::http::problem::ProblemKind;
use crate::http::request::Ctx;
use crate::http::respond::{Answer, as_text};
use crate::http::router::{Route, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Post, "/v1/auth/token/validate", VALIDATE, |ctx| Box::pin(validate(ctx))),
    Route::new(Verb::Post, "/v1/auth/token/exchange", EXCHANGE, |ctx| Box::pin(exchange(ctx))).open(),
    Route::new(Verb::Post, "/v1/auth/logout", LOGOUT, |ctx| Box::pin(logout(ctx))).open(),
];

const VALIDATE: About = About::data::<Validated<'_>>("Tell whose the credential is");

const EXCHANGE: About =
    About::data::<Session<'_>>("Exchange the one-time code of a browser's sign-in for a session")
        .details("The code that `GET /v1/auth/github/start` ended with is good once, for a minute.")
        .takes::<Exchange>()
        .refuses(&[ProblemKind::Unauthorized]);

const LOGOUT: About = About::data::<LoggedOut>("End the session that is shown")
    .details(
        "Whatever is shown, or nothing, the answer is the same; only a session of ours ends. Personal access tokens \
         and API keys stay as they are.",
    )
    .answers_with(&[("Set-Cookie", "Takes the session's cookie back.")])
    .refuses(&[ProblemKind::Forbidden]);

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Validated<'a> {
    username: &'a str,
    login: &'a str,
    github_id: Option<u64>,
    plan: &'static str,
    #[serde(serialize_with = "as_text")]
    created_at: Timestamp,
}

async fn validate(ctx: Ctx) -> Answer {
    let profile = ctx.services().profile(ctx.actor()?);
    ctx.ok(&Validated {
        username: &profile.username,
        login: &profile.username,
        github_id: profile.github_id,
        plan: profile.plan,
        created_at: profile.created_at,
    })
}

#[derive(Deserialize, JsonSchema)]
struct Exchange {
    code: SecretText,
}

async fn exchange(mut ctx: Ctx) -> Answer {
    let wanted: Exchange = ctx.json().await?;
    let session = ctx.services().redeem_sign_in_code(&wanted.code, ctx.origin().clone()).await?;
    ctx.ok(&Session {
        keyway_token: &session.token,
        github_login: &session.username,
        expires_at: session.expires_at,
    })
}

#[derive(Serialize, JsonSchema)]
struct LoggedOut {
    success: bool,
    message: &'static str,
}

/// Ends what was shown if it is a session, and says so whatever was shown: somebody
/// whose session is gone already is signed out as well.
async fn logout(ctx: Ctx) -> Answer {
    if let Some(token) = ctx.shown_credential()? {
        ctx.services().sign_out(&token, ctx.origin().clone()).await?;
    }
    let done = ctx.ok(&LoggedOut { success: true, message: "Logged out successfully" });
    ctx.without_session(done)
}
