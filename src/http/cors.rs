//! Browsers of other origins (the CORS protocol of the Fetch standard). Only origins
//! the operator listed get an answer their pages may read; the list is exact, there
//! is no `*`, and a listed origin may use its visitor's credentials.

use super::respond::{Response, empty};
use super::router::Place;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HeaderValue, ORIGIN, VARY,
};
use hyper::{HeaderMap, StatusCode};

const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, If-Match, If-None-Match, X-Request-ID");
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "ETag, Location, Retry-After, X-GitHub-SSO, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, \
     X-Request-ID",
);
/// How long a browser may remember a preflight, in seconds.
const MAX_AGE_SECS: HeaderValue = HeaderValue::from_static("600");

/// The request's origin, if it is one of those listed.
pub(super) fn allowed_origin(headers: &HeaderMap, allowed: &[String]) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    allowed.iter().any(|listed| listed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// The answer to OPTIONS: what can be done here, for browsers in their own words too.
/// [`decorate`] says whether the origin may do it.
pub(super) fn options(headers: &HeaderMap, place: &Place) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let answers = response.headers_mut();
    if headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        answers.insert(ACCESS_CONTROL_ALLOW_METHODS, place.allow());
        answers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        answers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS);
    }
    answers.insert(ALLOW, place.allow());
    response
}

/// Adds to any answer what the browser needs to hand it to a page of `origin`.
pub(super) fn decorate(headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else {
        // Without an origin these are meaningless, and nothing is told to strangers.
        headers.remove(ACCESS_CONTROL_ALLOW_METHODS);
        headers.remove(ACCESS_CONTROL_ALLOW_HEADERS);
        headers.remove(ACCESS_CONTROL_MAX_AGE);
        return;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Option<HeaderValue> {
        let headers = HeaderMap::from_iter([(ORIGIN, text.parse().unwrap())]);
        allowed_origin(&headers, &["https://app.example.com".to_owned(), "http://localhost:3000".to_owned()])
    }

    #[test]
    fn origins_match_exactly() {
        assert!(origin("https://app.example.com").is_some());
        assert!(origin("http://localhost:3000").is_some());
        for other in [
            "null",
            "*",
            "http://app.example.com",
            "https://app.example.com:443",
            "https://app.example.com.evil.example",
            "https://evil-app.example.com",
            "https://APP.example.com",
        ] {
            assert!(origin(other).is_none(), "{other}");
        }
        assert!(allowed_origin(&HeaderMap::new(), &[String::new()]).is_none());
    }

    #[test]
    fn strangers_learn_nothing_and_caches_keep_answers_apart() {
        let mut headers = HeaderMap::from_iter([(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS)]);
        decorate(&mut headers, None);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers[VARY], "Origin");
    }
}
