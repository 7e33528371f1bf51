//! What the services have in common: JSON over HTTPS with a token, limits that are
//! waited for, and failures that are told apart without repeating what was sent.

use crate::base::SecretText;
use crate::domain::ports::provider::{ProviderError, Session, Written};
use crate::outbound::{self, Client, Method, Reply as Response};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use zeroize::Zeroizing;

/// A call that could not end in this time is not begun.
const LEAST_TIME: Duration = Duration::from_millis(200);
/// The wait after a 429 that names none.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);
/// Most calls of one request to one service that are under way.
const AT_ONCE: usize = 8;

/// What every call answers.
pub(super) type Outcome<T> = Result<T, ProviderError>;

/// One service's API.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    base: String,
}

/// One call in the making.
pub(super) struct Call {
    method: Method,
    path: String,
    query: String,
    headers: Vec<(&'static str, SecretText)>,
    body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
}

impl Call {
    /// A call of `path`, which is put together with [`segment`].
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: String::new(), headers: Vec::new(), body: None }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path)
    }

    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        let mut query = form_urlencoded::Serializer::new(self.query);
        self.query = query.append_pair(name, value).finish();
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, SecretText::new(value)));
        self
    }

    pub(super) fn bearer(self, token: &SecretText) -> Self {
        self.header("authorization", format!("Bearer {}", token.expose()))
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Outcome<Self> {
        let body = serde_json::to_vec(body);
        // serde's own words could quote what it was given.
        let body = body.map_err(|_| ProviderError::Failed("a request could not be written".to_owned()))?;
        self.body = Some(("application/json", Zeroizing::new(body)));
        Ok(self)
    }

    pub(super) fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body = Some(("application/x-www-form-urlencoded", Zeroizing::new(form.into_bytes())));
        self
    }
}

/// An answer with a status of success.
pub(super) struct Reply(Response);

impl Reply {
    /// The body as a `T`.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Outcome<T> {
        serde_json::from_slice(self.0.body())
            .map_err(|_| ProviderError::Failed("its answer is not what its API describes".to_owned()))
    }
}

impl Api {
    pub(super) fn new(client: Client, base: &str) -> Self {
        Self { client, base: base.trim_end_matches('/').to_owned() }
    }

    /// Makes a call in a session. An answer is JSON or nothing: a page with a status of
    /// success comes from something in between, and then nothing was done.
    pub(super) async fn call(&self, session: &Session, call: Call) -> Outcome<Reply> {
        let reply = judge(self.send(session.until, call).await?)?;
        if !reply.0.body().is_empty() {
            reply.json::<IgnoredAny>()?;
        }
        Ok(reply)
    }

    /// Makes a call. Whoever is told to wait waits, as long as there is time. Any status
    /// but that is an answer.
    pub(super) async fn send(&self, until: Instant, call: Call) -> Outcome<Response> {
        let Call { method, path, query, headers, body } = call;
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{mark}{query}", self.base);
        loop {
            if until.saturating_duration_since(Instant::now()) < LEAST_TIME {
                return Err(ProviderError::OutOfTime);
            }
            let mut request = outbound::Call::new(method, url.clone()).until(until);
            request = request.header("accept", "application/json");
            for (name, value) in &headers {
                request = request.header(name, value.expose());
            }
            if let Some((kind, body)) = &body {
                request = request.body(kind, body.clone());
            }
            let response = self.client.send(request).await.map_err(|error| {
                tracing::warn!(%error, "a service did not answer");
                ProviderError::Failed(error.to_string())
            })?;
            if response.status != 429 {
                return Ok(response);
            }
            let wait = wait_of(|name| response.header(name)).unwrap_or(DEFAULT_WAIT);
            // However long a service says: the sum may be beyond all time.
            let then = wait.checked_add(LEAST_TIME).and_then(|wait| Instant::now().checked_add(wait));
            if then.is_none_or(|then| then >= until) {
                return Err(ProviderError::RateLimited(Some(wait)));
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// Tells success from failure by the status alone.
fn judge(response: Response) -> Outcome<Reply> {
    let words = || words_of(response.body()).unwrap_or_else(|| format!("status {}", response.status));
    Err(match response.status {
        200..=299 => return Ok(Reply(response)),
        401 => ProviderError::BadToken,
        // Vercel's way of saying so.
        403 if says_invalid_token(response.body()) => ProviderError::BadToken,
        403 => ProviderError::Forbidden(words()),
        404 => ProviderError::NotFound("it"),
        400 | 402 | 405..=499 => ProviderError::Rejected(words()),
        status => ProviderError::Failed(format!("it answered with status {status}")),
    })
}

fn says_invalid_token(body: &[u8]) -> bool {
    let answer: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    answer.is_some_and(|answer| answer.pointer("/error/invalidToken").is_some_and(|it_is| *it_is == true))
}

/// The service's own words for a failure, wherever it puts them.
fn words_of(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let places = ["/error/message", "/message", "/msg", "/error_description", "/error"];
    places.iter().find_map(|place| answer.pointer(place)?.as_str().map(str::to_owned))
}

/// How long the service wants to be left alone.
fn wait_of<'r>(text: impl Fn(&str) -> Option<&'r str>) -> Option<Duration> {
    let date = |text: &str| OffsetDateTime::parse(text, &Rfc2822).ok();
    if let Some(wait) = text("retry-after") {
        if let Ok(seconds) = wait.trim().parse() {
            return Some(Duration::from_secs(seconds));
        }
        // By the service's own clock; ours may differ.
        let length = date(wait)? - date(text("date")?)?;
        return Some(length.try_into().unwrap_or(Duration::ZERO));
    }
    let reset: i64 = text("x-ratelimit-reset")?.trim().parse().ok()?;
    let now = date(text("date")?)?.unix_timestamp();
    let seconds = u64::try_from(reset.checked_sub(now)?).unwrap_or_default();
    Some(Duration::from_secs(seconds.max(1)))
}

/// One segment of a path, whatever is in it.
pub(super) fn segment(text: &str) -> String {
    // Dots would be a way up.
    let encoded = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    encoded.replace("%2D", "-").replace("%5F", "_")
}

/// `owner/repo` of a repository's URL, or of a text that is that already.
pub(super) fn repo_of(text: &str) -> Option<String> {
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => text.rsplit_once(':').map_or(text, |(_, path)| path),
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (path.matches('/').count() >= 1).then(|| path.to_owned())
}

/// A failure of the kind `what` is missing, if it says that something is.
pub(super) fn missing(what: &'static str) -> impl Fn(ProviderError) -> ProviderError {
    move |error| match error {
        ProviderError::NotFound(_) => ProviderError::NotFound(what),
        other => other,
    }
}

/// Whether there is no point in calling any further.
const fn ends_all(error: &ProviderError) -> bool {
    matches!(error, ProviderError::BadToken | ProviderError::RateLimited(_) | ProviderError::OutOfTime)
}

/// Writes one by one, in order; after a failure that the rest would share, the rest is
/// not tried.
pub(super) async fn one_by_one<'a, T>(
    items: &'a [T],
    write: impl Fn(&'a T) -> BoxFuture<'a, Written>,
) -> Vec<Written> {
    let mut results: Vec<Written> = Vec::with_capacity(items.len());
    for item in items {
        let last = results.last().and_then(|last| last.as_ref().err());
        let result = match last.filter(|error| ends_all(error)).cloned() {
            Some(error) => Err(error),
            None => write(item).await,
        };
        results.push(result);
    }
    results
}

/// Makes calls side by side, a few at a time; the answers are in their order.
pub(super) async fn side_by_side<R>(calls: Vec<BoxFuture<'_, R>>) -> Vec<R> {
    stream::iter(calls).buffered(AT_ONCE).collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_stay_one_segment() {
        assert_eq!(segment("prj_a-1"), "prj_a-1");
        assert_eq!(segment("../x?y#z/é"), "%2E%2E%2Fx%3Fy%23z%2F%C3%A9");
    }

    #[test]
    fn repositories_are_found_in_urls_of_all_kinds() {
        for text in [
            "https://github.com/acme/app",
            "https://github.com/acme/app.git/",
            "git@github.com:acme/app.git",
            "acme/app",
        ] {
            assert_eq!(repo_of(text).as_deref(), Some("acme/app"), "{text}");
        }
        for text in ["", "acme", "https://github.com", "https://github.com/acme"] {
            assert_eq!(repo_of(text), None, "{text}");
        }
    }

    #[test]
    fn waits_are_seconds_dates_or_the_moment_of_reset() {
        let wait = |headers: &[(&'static str, &'static str)]| {
            let find =
                |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
            wait_of(find).map(|wait| wait.as_secs())
        };
        let date = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        assert_eq!(wait(&[("retry-after", "7")]), Some(7));
        assert_eq!(wait(&[date, ("retry-after", "Wed, 21 Oct 2026 07:28:09 GMT")]), Some(9));
        assert_eq!(wait(&[date, ("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT")]), Some(0));
        assert_eq!(wait(&[date, ("x-ratelimit-reset", "1792567683")]), Some(3));
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&[("retry-after", "soon")]), None);
    }
}
