//! Plain HTTP beside HTTPS: a browser that comes here is sent on to `public_url`,
//! wherever it thought it was. A request that already carries a credential or a body is
//! not: it has crossed the network readable, and sending it on would hide that for good.

use super::pipeline::REQUEST_ID;
use super::problem::{Problem, ProblemKind};
use super::request::RequestTag;
use super::respond::{Response, empty};
use super::settings::HttpSettings;
use crate::base::ids::RequestId;
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONNECTION, COOKIE, HeaderValue, LOCATION};
use hyper::{Method, Request, StatusCode, Uri, Version};

/// Answers one request; `fresh_id` is for those that bring none of their own.
pub(super) fn answer<B: Body>(
    settings: &HttpSettings,
    request: &Request<B>,
    fresh_id: impl FnOnce() -> RequestId,
) -> Response {
    let tag = RequestTag::of(request.headers(), fresh_id);
    let mut response = match refusal(settings, request) {
        Some(problem) => problem.render(&settings.errors_base_url, request.uri().path(), tag.as_str()),
        None => onwards(settings, request.uri()),
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, tag.header());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What comes next on this connection should not come.
    if request.version() < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn refusal<B: Body>(settings: &HttpSettings, request: &Request<B>) -> Option<Problem> {
    let (headers, url) = (request.headers(), &settings.public_url);
    let detail = if headers.contains_key(AUTHORIZATION) || headers.contains_key(COOKIE) {
        format!("everybody on the way could read this credential, sent by plain HTTP; replace it, use {url}")
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        format!("plain HTTP is only for being sent on; use {url}")
    } else {
        return None;
    };
    Some(Problem::new(ProblemKind::Forbidden, detail))
}

fn onwards(settings: &HttpSettings, uri: &Uri) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path } else { "/" };
    let Ok(place) = HeaderValue::try_from(format!("{}{path}", settings.public_url)) else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let mut response = empty(StatusCode::PERMANENT_REDIRECT);
    response.headers_mut().insert(LOCATION, place);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::body_of;

    fn ask(method: &str, target: &str, header: Option<(&str, &str)>) -> Response {
        let mut request = Request::builder().method(method).uri(target);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(http_body_util::Empty::<hyper::body::Bytes>::new()).unwrap();
        let settings = HttpSettings::new("https://secrets.example.org");
        answer(&settings, &request, || RequestId::from_bytes([7; 16]))
    }

    #[test]
    fn readers_are_sent_on_to_the_public_address_and_nowhere_else() {
        for (target, place) in [
            ("/", "https://secrets.example.org/"),
            ("/device?code=a%20b", "https://secrets.example.org/device?code=a%20b"),
            ("//evil.example/x", "https://secrets.example.org//evil.example/x"),
            ("http://evil.example/x", "https://secrets.example.org/x"),
            ("*", "https://secrets.example.org/"),
        ] {
            for method in ["GET", "HEAD"] {
                let response = ask(method, target, None);
                assert_eq!(response.status(), 308, "{target}");
                assert_eq!(response.headers()[LOCATION], place);
                assert_eq!(response.headers()[CONNECTION], "close");
                assert!(response.headers().contains_key("x-request-id"));
            }
        }
    }

    #[test]
    fn what_has_crossed_the_network_readable_is_told_so() {
        for (method, header, words) in [
            ("GET", Some(("Authorization", "Bearer x")), "replace it"),
            ("GET", Some(("Cookie", "keyway_session=x")), "replace it"),
            ("POST", None, "being sent on"),
        ] {
            let response = ask(method, "/v1/secrets/push", header);
            assert_eq!(response.status(), 403);
            assert!(!response.headers().contains_key(LOCATION));
            let body = body_of(&response);
            assert!(body["detail"].as_str().unwrap().contains(words), "{body}");
            assert_eq!(body["instance"], "/v1/secrets/push");
        }
    }
}
