//! The device flow, as command lines see it.

use crate::base::secret::exposed;
use crate::base::{RepoName, SecretText, Timestamp};
use crate::domain::devices::PolledDevice;
use crate::http::about::About;
use crate::http::problem::ProblemKind;
use crate::http::request::Ctx;
use crate::http::respond::Answer;
use crate::http::router::{LimitClass, Route, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Verb::Post, "/v1/auth/device/start", START, |ctx| Box::pin(start(ctx))).open(),
    // Polling has a pace of its own and spends nothing else.
    Route::new(Verb::Post, "/v1/auth/device/poll", POLL, |ctx| Box::pin(poll(ctx)))
        .open()
        .limit(LimitClass::Exempt),
];

const START: About = About::twice::<Started<'_>>("Begin to sign a device in")
    .details(
        "The device flow of RFC 8628: show the person `userCode` and `verificationUri`, then poll every `interval` \
         seconds. Codes that are waiting are capped for each client address.",
    )
    .may_take::<Start>();

const POLL: About = About::twice::<Polled<'_>>("Ask whether a device has been let in")
    .details(
        "One poll for each `interval`, or 429. An approved code hands its token out once, and reads `expired` from \
         then on; so does a code that is unknown.",
    )
    .takes::<Poll>()
    .refuses(&[ProblemKind::RateLimited]);

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "DeviceStart")]
struct Start {
    #[serde(default)]
    repository: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeviceStarted")]
struct Started<'a> {
    #[schemars(with = "SecretText")]
    #[serde(with = "exposed")]
    device_code: &'a SecretText,
    #[schemars(with = "SecretText")]
    #[serde(with = "exposed")]
    user_code: &'a SecretText,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: u64,
    interval: u64,
}

async fn start(mut ctx: Ctx) -> Answer {
    let wanted = if ctx.body().is_empty() { Start { repository: None } } else { ctx.json().await? };
    // A hint for whoever decides, and no more: what is no repository is left out.
    let repository = wanted.repository.and_then(|name| RepoName::parse(&name).ok());
    let started = ctx.services().start_device(repository, ctx.origin()).await?;
    let page = format!("{}/device", ctx.settings().public_url);
    ctx.ok_twice(&Started {
        verification_uri_complete: format!("{page}?user_code={}", started.user_code.expose()),
        verification_uri: page,
        device_code: &started.device_code,
        user_code: &started.user_code,
        expires_in: started.expires_in.as_secs(),
        interval: started.interval.as_secs(),
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DevicePoll")]
struct Poll {
    device_code: SecretText,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DevicePolled")]
struct Polled<'a> {
    #[schemars(extend("enum" = ["pending", "approved", "denied", "expired"]))]
    status: &'static str,
    #[serde(flatten)]
    session: Option<Session<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NewSession")]
pub(super) struct Session<'a> {
    #[schemars(with = "SecretText")]
    #[serde(with = "exposed")]
    pub(super) keyway_token: &'a SecretText,
    pub(super) github_login: &'a str,
    #[serde(serialize_with = "crate::http::respond::as_text")]
    pub(super) expires_at: Timestamp,
}

async fn poll(mut ctx: Ctx) -> Answer {
    let wanted: Poll = ctx.json().await?;
    let polled = ctx.services().poll_device(&wanted.device_code, ctx.origin()).await?;
    let status = |status| Polled { status, session: None };
    ctx.ok_twice(&match &polled {
        PolledDevice::Pending => status("pending"),
        PolledDevice::Denied => status("denied"),
        PolledDevice::Expired => status("expired"),
        PolledDevice::Approved(signed_in) => Polled {
            status: "approved",
            session: Some(Session {
                keyway_token: &signed_in.token,
                github_login: &signed_in.username,
                expires_at: signed_in.expires_at,
            }),
        },
    })
}
