//! Answers: the `data`/`meta` envelope and the few other shapes the API has.

use super::problem::Problem;
use super::request::Ctx;
use crate::base::Paged;
use crate::domain::vaults::InReach;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use serde::Serialize;

/// What a list leaves out, in the words of the forge's own header.
const X_GITHUB_SSO: &str = "x-github-sso";
pub(super) const WITHHELD: (&str, &str) = (
    "X-GitHub-SSO",
    "There if GitHub left repositories out: `partial-results; organizations=` and the numbers of the \
     organisations that want the token to be authorised for their single sign-on first.",
);

/// The body of every answer: whole and in memory.
pub type Body = Full<Bytes>;
/// An answer on its way out.
pub type Response = hyper::Response<Body>;
/// What a handler comes back with.
pub type Answer = Result<Response, Problem>;

#[derive(Serialize)]
struct Envelope<'a, T: ?Sized> {
    data: &'a T,
    meta: Meta<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<Pagination>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    total: u64,
    limit: u64,
    offset: u64,
    has_more: bool,
}

/// Answers in the API's own form.
impl Ctx {
    /// 200 with `data`.
    ///
    /// # Errors
    /// If `data` cannot be written as JSON.
    pub fn ok<T: Serialize + ?Sized>(&self, data: &T) -> Answer {
        self.route.check_answer::<T>()?;
        self.envelope(StatusCode::OK, data, None)
    }

    /// 200 with `data`, whose members also stand at the top: where shipped clients and
    /// the published description look for them in different places.
    ///
    /// # Errors
    /// If `data` cannot be written as JSON.
    pub fn ok_twice<T: Serialize>(&self, data: &T) -> Answer {
        self.route.check_answer::<T>()?;
        #[derive(Serialize)]
        struct Twice<'a, T> {
            #[serde(flatten)]
            top: &'a T,
            #[serde(flatten)]
            envelope: Envelope<'a, T>,
        }
        let meta = Meta { request_id: self.request_id(), pagination: None };
        let both = Twice { top: data, envelope: Envelope { data, meta } };
        Ok(json_response(StatusCode::OK, "application/json", &both))
    }

    /// 200 with one page of a list.
    ///
    /// # Errors
    /// If an item cannot be written as JSON.
    pub fn list<T: Serialize>(&self, paged: &Paged<T>) -> Answer {
        self.route.check_answer::<T>()?;
        let pagination = Pagination {
            total: paged.total,
            limit: paged.page.limit(),
            offset: paged.page.offset(),
            has_more: paged.has_more(),
        };
        self.envelope(StatusCode::OK, &paged.items, Some(pagination))
    }

    /// 200 with one page of what is in reach, and whether anything was left out.
    ///
    /// # Errors
    /// If an item cannot be written as JSON.
    pub fn list_in_reach<T: Serialize>(&self, seen: &InReach<Paged<T>>) -> Answer {
        let mut response = self.list(&seen.list)?;
        if !seen.withheld_by.is_empty() {
            let numbers: Vec<String> = seen.withheld_by.iter().map(u64::to_string).collect();
            let told = format!("partial-results; organizations={}", numbers.join(","));
            let told = HeaderValue::try_from(told).map_err(Problem::internal)?;
            response.headers_mut().insert(HeaderName::from_static(X_GITHUB_SSO), told);
        }
        Ok(response)
    }

    /// 201 with `data`.
    ///
    /// # Errors
    /// If `data` cannot be written as JSON.
    pub fn created<T: Serialize + ?Sized>(&self, data: &T) -> Answer {
        self.route.check_answer::<T>()?;
        self.envelope(StatusCode::CREATED, data, None)
    }

    /// 201 with `data`, which from now on is to be found at `path`.
    ///
    /// # Errors
    /// If `data` cannot be written as JSON, or `path` as a header.
    pub fn created_at<T: Serialize + ?Sized>(&self, path: &str, data: &T) -> Answer {
        let mut response = self.created(data)?;
        let location = format!("{}{path}", self.settings().public_url);
        let location = HeaderValue::try_from(location).map_err(Problem::internal)?;
        response.headers_mut().insert(LOCATION, location);
        Ok(response)
    }

    /// 200 with `data` and its `ETag`.
    ///
    /// # Errors
    /// If `data` cannot be written as JSON, or `tag` as a header.
    pub fn tagged<T: Serialize + ?Sized>(&self, tag: &str, data: &T) -> Answer {
        let mut response = self.ok(data)?;
        response.headers_mut().insert(ETAG, entity_tag(tag)?);
        Ok(response)
    }

    /// 304: the client's copy, known by `tag`, is still good.
    ///
    /// # Errors
    /// If `tag` cannot be written as a header.
    pub fn not_modified(&self, tag: &str) -> Answer {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        response.headers_mut().insert(ETAG, entity_tag(tag)?);
        Ok(response)
    }

    /// 204.
    ///
    /// # Errors
    /// Never; the type is that of its neighbours.
    pub fn no_content(&self) -> Answer {
        Ok(empty(StatusCode::NO_CONTENT))
    }

    fn envelope<T: Serialize + ?Sized>(
        &self,
        status: StatusCode,
        data: &T,
        pagination: Option<Pagination>,
    ) -> Answer {
        let meta = Meta { request_id: self.request_id(), pagination };
        // Grown by doubling, an environment's text would be moved five times.
        let mut body = Vec::with_capacity(4_096);
        serde_json::to_writer(&mut body, &Envelope { data, meta }).map_err(Problem::internal)?;
        Ok(with_body(status, "application/json", body))
    }
}

/// A bare JSON document, for the few answers without an envelope.
pub(super) fn json_response<T: Serialize>(status: StatusCode, kind: &'static str, document: &T) -> Response {
    // Only our own flat structures come here, and those can always be written.
    with_body(status, kind, serde_json::to_vec(document).unwrap_or_default())
}

/// A JSON document that is written already.
pub(super) fn json_text(text: Bytes) -> Response {
    let mut response = Response::new(Body::new(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Writes a field as its text.
pub(super) fn as_text<T: std::fmt::Display, S: serde::Serializer>(
    value: &T,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// No body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response
}

fn with_body(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn entity_tag(tag: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(format!("\"{tag}\"")).map_err(Problem::internal)
}

/// Whether `header`, an `If-Match` or `If-None-Match`, names `tag`. The comparison is
/// the weak one (RFC 9110 §8.8.3.2): proxies that compress make a strong tag weak.
pub(super) fn names_tag(header: &str, tag: &str) -> bool {
    header.trim() == "*" || tags(header).any(|candidate| candidate == tag)
}

/// The opaque tags in an `If-Match` or `If-None-Match` header.
pub(super) fn tags(header: &str) -> impl Iterator<Item = &str> {
    // A tag of ours holds no comma, so cutting a foreign one apart harms nobody.
    header.split(',').filter_map(|entry| {
        let entry = entry.trim();
        entry.strip_prefix("W/").unwrap_or(entry).strip_prefix('"')?.strip_suffix('"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_in_lists_weak_and_strong() {
        for header in ["\"a\"", "W/\"a\"", "\"b\", W/\"a\"", "*", " \"a\" ,\"b\""] {
            assert!(names_tag(header, "a"), "{header}");
        }
        for header in ["", "a", "\"b\"", "\"a", "\"aa\""] {
            assert!(!names_tag(header, "a"), "{header}");
        }
    }
}
