//! What a handler gets: the request, read into types on demand. Behind these
//! methods nothing is a raw string any more.

use super::body::ReadBody;
use super::front::Front;
use super::problem::{Problem, ProblemKind};
use super::router::Route;
use super::settings::HttpSettings;
use super::{json, respond};
use crate::base::names::RepoPart;
use crate::base::{EnvironmentName, NameError, OwnerName, Page, RepoName, Timestamp, ids::RequestId};
use crate::domain::{Actor, FieldError, Origin, Services};
use hyper::header::{AsHeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use hyper::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;

/// Largest body that is read as JSON where the request is, in bytes: the work of a tenth of a
/// millisecond. Reading the largest takes tens, in which a whole processor would serve
/// nobody else.
const READ_HERE_BYTES: usize = 32 << 10;

/// A request's id, and how it is written: the client's own spelling if it sent one.
#[derive(Clone, Debug)]
pub(super) struct RequestTag {
    pub(super) id: RequestId,
    text: HeaderValue,
}

impl RequestTag {
    /// The client's own id if it is a UUID; else a fresh one.
    pub(super) fn of(headers: &HeaderMap, fresh: impl FnOnce() -> RequestId) -> Self {
        let own = headers.get("x-request-id");
        if let Some((text, id)) = own.and_then(|text| Some((text, RequestId::parse(text.to_str().ok()?)?))) {
            return Self { id, text: text.clone() };
        }
        let id = fresh();
        // A UUID has nothing that a header could not hold.
        let text = HeaderValue::try_from(id.to_string()).unwrap_or_else(|_| HeaderValue::from_static("-"));
        Self { id, text }
    }

    pub(super) fn as_str(&self) -> &str {
        self.text.to_str().unwrap_or_default()
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.text.clone()
    }
}

impl fmt::Display for RequestTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One request, past the pipeline.
pub struct Ctx {
    pub(super) front: Arc<Front>,
    pub(super) tag: RequestTag,
    pub(super) route: &'static Route,
    pub(super) params: Vec<String>,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) caller: Caller,
    pub(super) body: ReadBody,
}

/// Who calls.
pub(super) enum Caller {
    /// Somebody, on a route that lets everybody in.
    Anybody(Origin),
    /// Somebody recognised.
    Known(Box<Actor>),
}

impl Ctx {
    /// What answers requests.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.front.services
    }

    /// Whether the server takes no more connections.
    pub(super) fn is_stopping(&self) -> bool {
        self.front.shut.is_cancelled()
    }

    /// This room's settings.
    #[must_use]
    pub fn settings(&self) -> &HttpSettings {
        &self.front.settings
    }

    /// What the server's calls say about themselves: an OpenAPI document.
    #[must_use]
    pub fn description(&self) -> &serde_json::Value {
        &self.front.description().document
    }

    /// The request's id, as the client reads it.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.tag.as_str()
    }

    /// Who calls.
    ///
    /// # Errors
    /// On a route that asks for no credential (500: the table and the handler disagree).
    pub fn actor(&self) -> Result<&Actor, Problem> {
        match &self.caller {
            Caller::Known(actor) => Ok(actor),
            Caller::Anybody(_) => Err(Problem::internal("an open route asks who calls")),
        }
    }

    /// What the request tells about itself.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        match &self.caller {
            Caller::Known(actor) => actor.origin(),
            Caller::Anybody(origin) => origin,
        }
    }

    /// A header, if it is there and readable. Of several with one name, the first.
    #[must_use]
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the client has the version known by `tag` already.
    #[must_use]
    pub fn has_current(&self, tag: &str) -> bool {
        let mut lists = self.headers.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
        lists.any(|list| respond::names_tag(list, tag))
    }

    /// The tags one of which the client wants to find; `None` if any will do.
    #[must_use]
    pub fn if_match(&self) -> Option<Vec<&str>> {
        let lists = self.headers.get_all(IF_MATCH).iter().map(|list| list.to_str().unwrap_or_default());
        let lists: Vec<&str> = lists.collect();
        let any = lists.is_empty() || lists.iter().any(|list| list.trim() == "*");
        (!any).then(|| lists.into_iter().flat_map(respond::tags).collect())
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.front.clock.now()
    }

    /// The path parameter `name`, decoded.
    ///
    /// # Errors
    /// If the route has none of that name (500: the table and the handler disagree).
    pub fn param(&self, name: &str) -> Result<&str, Problem> {
        let at = self.route.params().position(|param| param == name);
        let value = at.and_then(|at| self.params.get(at));
        value
            .map(String::as_str)
            .ok_or_else(|| Problem::internal("a handler asks for a parameter its route lacks"))
    }

    /// The repository in the path.
    ///
    /// # Errors
    /// If a half breaks its grammar (400).
    pub fn repo(&self) -> Result<RepoName, Problem> {
        let owner = OwnerName::parse(self.param("owner")?).map_err(|error| Problem::field("owner", error))?;
        let repo = RepoPart::parse(self.param("repo")?).map_err(|error| Problem::field("repo", error))?;
        Ok(RepoName::new(owner, repo))
    }

    /// The environment in the path.
    ///
    /// # Errors
    /// If it is no environment's name (404: then there is no such environment either).
    pub fn environment(&self) -> Result<EnvironmentName, Problem> {
        EnvironmentName::parse(self.param("name")?).map_err(|_| not_found("environment"))
    }

    /// The id in the path under `name`, of a thing called `what`.
    ///
    /// # Errors
    /// If it is no id (404: then there is no such thing either).
    pub fn id<T>(&self, name: &str, what: &str, parse: fn(&str) -> Option<T>) -> Result<T, Problem> {
        parse(self.param(name)?).ok_or_else(|| not_found(what))
    }

    /// The query parameter `name`, if it was given. Parameters nobody asks for are ignored.
    ///
    /// # Errors
    /// If it was given twice (400).
    pub fn query(&self, name: &str) -> Result<Option<String>, Problem> {
        self.route.check_query(name)?;
        let query = self.uri.query().unwrap_or_default();
        // Most pairs can be told from the one that is wanted as they stand.
        let other = |pair: &&str| {
            let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
            key != name && !key.contains(['%', '+'])
        };
        let pairs = query.split('&').filter(|pair| !other(pair));
        let decoded = pairs.flat_map(|pair| form_urlencoded::parse(pair.as_bytes()));
        let mut values = decoded.filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.into_owned());
        match values.next() {
            None => Ok(value),
            Some(_) => Err(Problem::field(name, "must be given only once")),
        }
    }

    /// The environment in the query parameter `environment`, if it was given.
    ///
    /// # Errors
    /// If it was given twice (400), or is no environment's name (404: then there is none
    /// of that name).
    pub fn query_environment(&self) -> Result<Option<EnvironmentName>, Problem> {
        let name = self.query("environment")?;
        name.map(|name| EnvironmentName::parse(&name).map_err(|_| not_found("environment"))).transpose()
    }

    /// The query parameter `name` as a `T`, if it was given.
    ///
    /// # Errors
    /// If it was given twice, or is none (400).
    pub fn query_as<T>(
        &self,
        name: &str,
        parse: fn(&str) -> Result<T, NameError>,
    ) -> Result<Option<T>, Problem> {
        let value = self.query(name)?;
        value.map(|value| parse(&value).map_err(|error| Problem::field(name, error))).transpose()
    }

    /// The query parameter `name` as a `T`.
    ///
    /// # Errors
    /// If it is missing, was given twice, or is none (400).
    pub fn required_query<T>(
        &self,
        name: &str,
        parse: fn(&str) -> Result<T, NameError>,
    ) -> Result<T, Problem> {
        self.query_as(name, parse)?.ok_or_else(|| Problem::field(name, "is required"))
    }

    /// Which page of a list is wanted: `limit` 1 to 100, 25 if not given; `offset` from 0.
    ///
    /// # Errors
    /// If one of them is out of range or no number (400).
    pub fn page(&self) -> Result<Page, Problem> {
        let number = |name: &str| match self.query(name)? {
            Some(text) => Ok::<_, Problem>(Some(text.parse::<u64>().map_err(|_| name.to_owned()))),
            None => Ok(None),
        };
        let (limit, offset) = (number("limit")?.transpose(), number("offset")?.transpose());
        let mut fields = Vec::new();
        let mut wrong = |field: &str, message: &str| {
            fields.push(FieldError { field: field.to_owned(), message: message.to_owned() });
        };
        let page = Page::new(limit.as_ref().ok().copied().flatten(), offset.as_ref().ok().copied().flatten());
        if limit.is_err() || page.is_none() {
            wrong("limit", "must be a number from 1 to 100");
        }
        if offset.is_err() {
            wrong("offset", "must be a number from 0");
        }
        match page {
            Some(page) if fields.is_empty() => Ok(page),
            _ => Err(crate::domain::Error::invalid_fields(fields).into()),
        }
    }

    /// The body as a `T`. A large one is gone afterwards.
    ///
    /// # Errors
    /// If there is none, or it is not JSON, or not a `T` (400).
    pub async fn json<T: DeserializeOwned + Send + 'static>(&mut self) -> Result<T, Problem> {
        self.route.check_body::<T>()?;
        if self.body.bytes().len() <= READ_HERE_BYTES {
            return json::read(self.body.bytes());
        }
        let body = std::mem::take(&mut self.body);
        let read = self.front.aside.run(move || json::read(body.bytes()));
        read.await.map_err(Problem::internal)?
    }

    /// The body as it came.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.bytes()
    }
}

pub(super) fn not_found(what: &str) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("{what} not found"))
}

/// Undoes the percent-encoding of one path segment, once.
pub(super) fn decode_segment(segment: &str) -> Result<String, Problem> {
    let malformed = || Problem::bad_request("the path is not validly percent-encoded UTF-8");
    let mut rest = segment.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        match rest.get(at + 1..).unwrap_or_default() {
            [high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest = tail,
            _ => return Err(malformed()),
        }
    }
    let decoded = percent_decode_str(segment).decode_utf8().map_err(|_| malformed())?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::ctx;
    use super::*;

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(decode_segment("a%2Fb%20c").unwrap(), "a/b c");
        assert_eq!(decode_segment("%2520").unwrap(), "%20");
        for bad in ["%", "%2", "%zz", "a%F", "%ff", "%c3%28"] {
            assert_eq!(decode_segment(bad).unwrap_err().kind(), ProblemKind::BadRequest, "{bad}");
        }
    }

    #[test]
    fn a_client_s_own_id_is_kept_as_it_wrote_it_if_it_is_a_uuid() {
        let fresh = RequestId::from_bytes([7; 16]);
        let tag = |own: &str| {
            let headers = HeaderMap::from_iter([("x-request-id".parse().unwrap(), own.parse().unwrap())]);
            RequestTag::of(&headers, || fresh).to_string()
        };
        for own in ["550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000"] {
            assert_eq!(tag(own), own);
        }
        for other in ["", "1", "550e8400e29b41d4a716446655440000", "{550e8400-e29b-41d4-a716-446655440000}"] {
            assert_eq!(tag(other), fresh.to_string(), "{other}");
        }
    }

    #[test]
    fn queries_are_forms_and_a_parameter_counts_once() {
        let ctx = ctx("/x?repo=acme%2Fapp&environment=dev+1&dup=1&dup=2&flag");
        assert_eq!(ctx.query("repo").unwrap().as_deref(), Some("acme/app"));
        assert_eq!(ctx.query("environment").unwrap().as_deref(), Some("dev 1"));
        assert_eq!(ctx.query("flag").unwrap().as_deref(), Some(""));
        assert_eq!(ctx.query("other").unwrap(), None);
        assert_eq!(ctx.query("dup").unwrap_err().kind(), ProblemKind::BadRequest);
        assert!(ctx.required_query("repo", RepoName::parse).is_ok());
        assert!(ctx.required_query("environment", EnvironmentName::parse).is_err());
        assert!(ctx.required_query("other", RepoName::parse).is_err());
    }

    #[test]
    fn pages_have_bounds() {
        let page = |query: &str| {
            ctx(&format!("/x?{query}"))
                .page()
                .map(|page| (page.limit(), page.offset()))
                .map_err(|error| error.kind())
        };
        assert_eq!(page(""), Ok((25, 0)));
        assert_eq!(page("limit=1&offset=7"), Ok((1, 7)));
        assert_eq!(page("limit=100&offset=18446744073709551615"), Ok((100, u64::MAX)));
        for bad in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=x",
            "limit=",
            "offset=-1",
            "offset=x",
            "limit=1&limit=1",
        ] {
            assert_eq!(page(bad), Err(ProblemKind::BadRequest), "{bad}");
        }
    }
}
