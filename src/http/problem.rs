//! Failures as the client reads them: RFC 7807 problem details.
//!
//! A problem carries two stories. `detail` and `fields` go to the client, `cause`
//! goes to the log and nowhere else; [`Problem::render`] never sees it.

use super::pages;
use super::respond::{Response, json_response};
use super::router::FailurePage;
use crate::domain::{Error, ErrorKind, FieldError};
use hyper::header::{ALLOW, CONNECTION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// When to come back if nobody knows better, in seconds.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(5);

/// The kinds of failure clients can tell apart, each with its own `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// 400.
    BadRequest,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 409.
    Conflict,
    /// 412.
    PreconditionFailed,
    /// 413.
    PayloadTooLarge,
    /// 415.
    UnsupportedMediaType,
    /// 429.
    RateLimited,
    /// 500.
    InternalError,
    /// 502.
    UpstreamError,
    /// 503.
    ServiceUnavailable,
}

impl ProblemKind {
    /// All kinds, by status.
    pub const ALL: [Self; 13] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::RateLimited,
        Self::InternalError,
        Self::UpstreamError,
        Self::ServiceUnavailable,
    ];

    /// The status, the last part of the `type`, and the `title`.
    #[must_use]
    pub const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "Bad Request"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not Found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method Not Allowed")
            }
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Self::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition Failed")
            }
            Self::PayloadTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", "Payload Too Large")
            }
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported Media Type")
            }
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too Many Requests"),
            Self::InternalError => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "Internal Server Error")
            }
            Self::UpstreamError => (StatusCode::BAD_GATEWAY, "upstream-error", "Bad Gateway"),
            Self::ServiceUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "service-unavailable", "Service Unavailable")
            }
        }
    }
}

impl ProblemKind {
    /// When it is what a client gets, for the description of the API.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::BadRequest => {
                "The path, the query, a header or the body is wrong; `errors` names the fields."
            }
            Self::Unauthorized => "There is no credential, or not a good one.",
            Self::Forbidden => {
                "The credential is good, and not enough: the role is too low, the environment is closed, or the API \
                 key lacks the scope."
            }
            Self::NotFound => "It is not there, or not there for this caller.",
            Self::MethodNotAllowed => "The path does not take this method.",
            Self::Conflict => "It contradicts what is there already.",
            Self::PreconditionFailed => "Somebody else has written since.",
            Self::PayloadTooLarge => "The body, or what would come of it, is too large.",
            Self::UnsupportedMediaType => "The body is not of the type this takes, or is compressed.",
            Self::RateLimited => "Too many calls; `Retry-After` tells when to come back.",
            Self::InternalError => "The server failed; its log tells why, under the request's id.",
            Self::UpstreamError => "A service that had to be asked failed.",
            Self::ServiceUnavailable => {
                "Too busy, too late, or a service cannot be reached; come back later."
            }
        }
    }
}

/// A request that failed: what to tell the client and, apart from that, the log.
#[derive(Debug)]
pub struct Problem(Box<Story>);

// Boxed, so that every `Result` on the way does not carry its size.
#[derive(Debug)]
struct Story {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    allow: Option<HeaderValue>,
    close: bool,
}

impl Problem {
    /// A failure of `kind`, explained by `detail`: the cause, then what to do.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        let story = Story {
            kind,
            detail,
            fields: Vec::new(),
            retry_after: None,
            cause: None,
            allow: None,
            close: false,
        };
        Self(Box::new(story))
    }

    /// The request is wrong as a whole (400).
    #[must_use]
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProblemKind::BadRequest, detail)
    }

    /// One field of the request is wrong (400).
    #[must_use]
    pub fn field(name: impl Into<String>, message: impl std::fmt::Display) -> Self {
        Error::invalid(name, message).into()
    }

    /// Our fault (500).
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::internal(cause).into()
    }

    pub(super) fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    pub(super) fn allow(mut self, methods: HeaderValue) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// What follows on the connection cannot be told from what is left of this request.
    pub(super) fn close(mut self) -> Self {
        self.0.close = true;
        self
    }

    /// What kind of failure.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    /// Whether the connection ends here.
    pub(super) const fn closes(&self) -> bool {
        self.0.close
    }

    /// What the log may read.
    pub(super) fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }

    /// The response: `instance` is the request's path without its query.
    pub(super) fn render(&self, base_url: &str, instance: &str, request_id: &str) -> Response {
        let (status, slug, title) = self.0.kind.parts();
        let body = Details {
            r#type: format!("{base_url}{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.0.detail,
            instance,
            request_id,
            errors: &self.0.fields,
        };
        let mut response = json_response(status, "application/problem+json", &body);
        if self.0.kind == ProblemKind::Unauthorized {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        self.decorate(response.headers_mut());
        response
    }

    /// The response for people: a page that `write` makes of the title and the explanation.
    pub(super) fn render_page(&self, write: FailurePage) -> Response {
        let (status, _, title) = self.0.kind.parts();
        let mut response = pages::html(status, write(title, &self.0.detail));
        self.decorate(response.headers_mut());
        response
    }

    fn decorate(&self, headers: &mut HeaderMap) {
        if let Some(wait) = self.wait() {
            headers.insert(RETRY_AFTER, whole_seconds(wait).into());
        }
        if let Some(methods) = &self.0.allow {
            headers.insert(ALLOW, methods.clone());
        }
        if self.0.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    fn wait(&self) -> Option<Duration> {
        let expected = matches!(self.0.kind, ProblemKind::RateLimited | ProblemKind::ServiceUnavailable);
        self.0.retry_after.or_else(|| expected.then_some(RETRY_AFTER_DEFAULT))
    }
}

/// Seconds, rounded up, and never zero: whoever comes back at once comes too early.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1_000).max(1).try_into().unwrap_or(u64::MAX)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Invalid => ProblemKind::BadRequest,
            ErrorKind::Unauthorized => ProblemKind::Unauthorized,
            ErrorKind::Forbidden => ProblemKind::Forbidden,
            ErrorKind::NotFound => ProblemKind::NotFound,
            ErrorKind::Conflict => ProblemKind::Conflict,
            ErrorKind::PreconditionFailed => ProblemKind::PreconditionFailed,
            ErrorKind::TooLarge => ProblemKind::PayloadTooLarge,
            ErrorKind::RateLimited => ProblemKind::RateLimited,
            ErrorKind::Upstream => ProblemKind::UpstreamError,
            ErrorKind::Unavailable => ProblemKind::ServiceUnavailable,
            ErrorKind::Internal => ProblemKind::InternalError,
        };
        let mut problem = Self::new(kind, error.detail);
        problem.0.fields = error.fields;
        problem.0.retry_after = error.retry_after;
        problem.0.cause = error.cause;
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

    fn rendered(problem: &Problem) -> (Response, Value) {
        let response = problem.render("https://keyway.sh/errors/", "/v1/vaults/owner/repo", ID);
        let body = super::super::tests::body_of(&response);
        (response, body)
    }

    #[test]
    fn the_page_s_example_comes_out_as_printed() {
        let problem = Problem::from(Error::not_found("Vault not found for repository owner/repo"));
        let (response, body) = rendered(&problem);
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let expected = json!({
            "type": "https://keyway.sh/errors/not-found",
            "title": "Not Found",
            "status": 404,
            "detail": "Vault not found for repository owner/repo",
            "instance": "/v1/vaults/owner/repo",
            "requestId": ID,
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn wrong_fields_are_listed() {
        let (_, body) = rendered(&Problem::field("limit", "must be 1 to 100"));
        assert_eq!(body["errors"], json!([{"field": "limit", "message": "must be 1 to 100"}]));
    }

    #[test]
    fn a_cause_stays_inside() {
        let problem = Problem::internal("disk on fire");
        let (response, body) = rendered(&problem);
        assert_eq!(response.status(), 500);
        assert!(!body.to_string().contains("fire"));
        assert_eq!(problem.cause().unwrap().to_string(), "disk on fire");
    }

    #[test]
    fn some_kinds_come_with_a_header() {
        let header = |kind, name: &str| {
            let (response, _) = rendered(&Problem::new(kind, "x"));
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header(ProblemKind::Unauthorized, "www-authenticate").as_deref(), Some("Bearer"));
        assert_eq!(header(ProblemKind::ServiceUnavailable, "retry-after").as_deref(), Some("5"));
        assert_eq!(header(ProblemKind::NotFound, "retry-after"), None);
        let brief = Problem::new(ProblemKind::RateLimited, "x").retry_after(Duration::from_millis(1_001));
        assert_eq!(rendered(&brief).0.headers()["retry-after"], "2");
    }
}
