//! The page of numbers, at a door of its own: it is for the machine's operator, not for
//! clients of the API, and must be there when the API's places are all taken.

use super::front::Front;
use super::respond::{Body, Response};
use crate::base::meter::TEXT_FORMAT;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, StatusCode};

const PATH: &str = "/metrics";

/// Answers one request.
pub(super) fn answer(front: &Front, request: &Request<Incoming>) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, text) = match request.uri().path() {
        PATH if is_read => (StatusCode::OK, front.meters.text()),
        PATH => (StatusCode::METHOD_NOT_ALLOWED, "read it with GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "the numbers are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = if status == StatusCode::OK { TEXT_FORMAT } else { "text/plain; charset=utf-8" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
