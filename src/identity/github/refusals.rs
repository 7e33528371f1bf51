//! What GitHub's refusals mean. Its documentation: "Rate limits for the REST API",
//! "Troubleshooting the REST API", "Authenticating with SAML single sign-on".

use crate::domain::ports::ForgeError;
use crate::outbound::{CallError, Reply};
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long to leave GitHub alone when it says "too many" and not for how long.
const SOME_TIME: Duration = Duration::from_secs(60);
/// Longest time it is believed to want that.
const LONGEST: Duration = Duration::from_secs(3_600);

/// What GitHub says, in lower case, when it is the token that may not: it lacks a permission; the
/// organisation does not take tokens of its kind or lifetime, or has not approved the app; the account, the
/// app's installation or the repository was shut.
const NOT_FOR_THIS_TOKEN: [&str; 5] = [
    "resource not accessible by",
    "forbids access via",
    "oauth app access restrictions",
    "suspended",
    "repository access blocked",
];
/// Most characters of a refusal that the log is told.
const TOLD_CHARS_MAX: usize = 200;

/// `reply`, if it is an answer and no refusal.
pub(super) fn or_error(reply: Reply) -> Result<Reply, ForgeError> {
    match reply.status {
        200..=299 => Ok(reply),
        401 => Err(ForgeError::BadToken),
        403 | 429 => Err(refusal(&reply)),
        404 => Err(ForgeError::Refused("GitHub does not show this to the token".to_owned())),
        status => {
            let retry_after =
                number(&reply, "retry-after").map(|secs| Duration::from_secs(secs).min(LONGEST));
            Err(ForgeError::Unavailable { retry_after, cause: format!("it answered {status}") })
        }
    }
}

/// What GitHub answered when it was asked for a repository; `None`: it is not there, or not for
/// this token. For that, a 403 has to be one that is known to mean it: the person may well have a
/// role, and whoever is told "not there" makes something new in its place.
pub(super) fn or_none(reply: Reply) -> Result<Option<Reply>, ForgeError> {
    match reply.status {
        // 404: not there, or not for this token; 451: taken down.
        404 | 410 | 451 => Ok(None),
        403 | 429 => match refusal(&reply) {
            ForgeError::Refused(_) if told_by(&reply).is_some_and(|told| is_about_the_token(&told)) => {
                Ok(None)
            }
            ForgeError::Refused(_) => Err(unknown(&reply)),
            known => Err(known),
        },
        _ => or_error(reply).map(Some),
    }
}

/// GitHub could not be reached.
pub(super) fn unavailable(error: &CallError) -> ForgeError {
    ForgeError::Unavailable { retry_after: None, cause: error.to_string() }
}

/// The organisations that a list leaves out until the token is authorised for their
/// single sign-on.
pub(super) fn withheld_by(reply: &Reply) -> Vec<u64> {
    let told = reply.header("x-github-sso").unwrap_or_default();
    let Some(rest) = told.strip_prefix("partial-results") else { return Vec::new() };
    let list = rest.split(';').find_map(|part| part.trim().strip_prefix("organizations="));
    list.unwrap_or_default().split(',').filter_map(|number| number.trim().parse().ok()).collect()
}

fn refusal(reply: &Reply) -> ForgeError {
    if let Some(wait) = limit(reply) {
        let cause = "its limit of requests is reached".to_owned();
        return ForgeError::Unavailable {
            retry_after: Some(wait.clamp(Duration::from_secs(1), LONGEST)),
            cause,
        };
    }
    if let Some(header) = reply.header("x-github-sso")
        && header.starts_with("required")
    {
        let place = header.split(';').find_map(|part| part.trim().strip_prefix("url="));
        return ForgeError::SingleSignOn(place.filter(|url| url.starts_with("https://")).map(str::to_owned));
    }
    ForgeError::Refused("GitHub refuses this to the token".to_owned())
}

/// How long to wait, if the refusal is one of too many requests.
fn limit(reply: &Reply) -> Option<Duration> {
    let number = |name| number(reply, name);
    if let Some(wait) = number("retry-after") {
        return Some(Duration::from_secs(wait));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        return Some(number("x-ratelimit-reset").map_or(SOME_TIME, until));
    }
    let told = String::from_utf8_lossy(reply.body()).to_ascii_lowercase();
    // The last one after several bad tokens, and to good ones as well.
    let signs = ["rate limit", "abuse detection", "number of login attempts exceeded"];
    let too_many = reply.status == 429 || signs.iter().any(|sign| told.contains(sign));
    too_many.then_some(SOME_TIME)
}

fn is_about_the_token(told: &str) -> bool {
    let told = told.to_ascii_lowercase();
    NOT_FOR_THIS_TOKEN.iter().any(|sign| told.contains(sign))
}

/// A refusal that may mean anything.
fn unknown(reply: &Reply) -> ForgeError {
    let told = told_by(reply).unwrap_or_default();
    let told: String = told.chars().filter(|letter| !letter.is_control()).take(TOLD_CHARS_MAX).collect();
    let cause = format!("it answered {} and said `{told}`", reply.status);
    ForgeError::Unavailable { retry_after: None, cause }
}

/// What GitHub says in its answer, for people.
fn told_by(reply: &Reply) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        message: String,
    }
    serde_json::from_slice::<Body>(reply.body()).ok().map(|body| body.message)
}

fn number(reply: &Reply, header: &str) -> Option<u64> {
    reply.header(header)?.trim().parse().ok()
}

/// How long until a moment that GitHub names by its own clock.
#[expect(
    clippy::disallowed_methods,
    reason = "GitHub names a moment, and only the wall clock knows how far it is"
)]
fn until(reset: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(reset).saturating_sub(now)
}
