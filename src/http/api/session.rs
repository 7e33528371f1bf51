//! Credentials and sessions: who a token stands for, signing out, and the second half
//! of signing in from another web site.

use super::device::Session;
use crate::base::{SecretText, Timestamp};
use crate::http::request::Ctx;
use crate::http::respond::{Answer, as_text};
use crate::http::router::{Route, Verb};
use serde::{Deserialize, Serialize};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Post, "/v1/auth/token/validate", |ctx| Box::pin(validate(ctx))),
    Route::new(Verb::Post, "/v1/auth/token/exchange", |ctx| Box::pin(exchange(ctx))).open(),
    Route::new(Verb::Post, "/v1/auth/logout", |ctx| Box::pin(logout(ctx))).open(),
];

#[derive(Serialize)]
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

#[derive(Deserialize)]
struct Exchange {
    code: SecretText,
}

async fn exchange(ctx: Ctx) -> Answer {
    let wanted: Exchange = ctx.json()?;
    let session = ctx.services().redeem_sign_in_code(&wanted.code, ctx.origin().clone()).await?;
    ctx.ok(&Session {
        keyway_token: &session.token,
        github_login: &session.username,
        expires_at: session.expires_at,
    })
}

#[derive(Serialize)]
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
