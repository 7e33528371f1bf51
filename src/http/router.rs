//! The route table: what is where, who may call it, and what it costs.
//!
//! Everything about a route that is not its handler is data, so that the pipeline
//! can enforce it for all routes alike, and documents and tests can be made from
//! the same table that serves.

use super::about::About;
use super::request::Ctx;
use super::respond::Answer;
use crate::base::{Role, Scope};
use futures_util::future::BoxFuture;
use hyper::Method;
use hyper::header::HeaderValue;
use std::collections::BTreeMap;

/// A handler, boxed so that all of them fit into one table.
pub type Handler = fn(Ctx) -> BoxFuture<'static, Answer>;

/// The methods routes are made for. HEAD is served by GET routes, OPTIONS by the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Reads.
    Get,
    /// Creates or does.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl Verb {
    /// The method's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Post),
            Method::PUT => Some(Self::Put),
            Method::PATCH => Some(Self::Patch),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    /// Whether a request with this method may change anything.
    #[must_use]
    pub fn mutates(self) -> bool {
        self != Self::Get
    }
}

/// What a caller has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    None,
    /// Nothing; but if a browser shows the session of somebody, that is who calls.
    Visitor,
    /// Any valid credential.
    Any,
    /// A valid credential; if it is an API key, one with this scope.
    Scoped(Scope),
}

/// Which rate limits a call is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitClass {
    /// The general one.
    General,
    /// The general one, and that for revealing values.
    Reveal,
    /// The general one, and that for entering device codes.
    DeviceVerify,
    /// None.
    Exempt,
}

/// What body a call may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// JSON of ordinary size.
    Standard,
    /// JSON as large as a push may be.
    Push,
    /// An HTML form of ordinary size.
    Form,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// The path from the root, with `{name}` for parameters.
    pub path: &'static str,
    /// What a caller has to show.
    pub auth: Auth,
    /// The least role on the repository. The services see to it; here it is for documents and tests.
    pub role: Option<Role>,
    /// Which rate limits it is charged to.
    pub limit: LimitClass,
    /// What body it may have.
    pub body: BodyRule,
    /// What it says about itself.
    pub about: About,
    /// How it tells of failures; `None`: as the API does.
    pub failure_page: Option<FailurePage>,
    /// What it does.
    pub handler: Handler,
}

/// Writes a failure for people: an HTML page for a title and an explanation.
pub type FailurePage = fn(title: &str, detail: &str) -> String;

impl Route {
    /// A route that wants any valid credential and counts to the general rate limit.
    #[must_use]
    pub const fn new(verb: Verb, path: &'static str, about: About, handler: Handler) -> Self {
        let (auth, limit, body) = (Auth::Any, LimitClass::General, BodyRule::Standard);
        Self { verb, path, auth, role: None, limit, body, about, failure_page: None, handler }
    }

    /// Lets everybody in.
    #[must_use]
    pub const fn open(mut self) -> Self {
        self.auth = Auth::None;
        self
    }

    /// Is a page for people, whoever they are, and tells of failures as `failure_page` does.
    #[must_use]
    pub const fn page(mut self, failure_page: FailurePage) -> Self {
        self.auth = Auth::Visitor;
        self.body = BodyRule::Form;
        self.failure_page = Some(failure_page);
        self
    }

    /// Lets in API keys with `scope` only, and other credentials as before.
    #[must_use]
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.auth = Auth::Scoped(scope);
        self
    }

    /// Says the least role.
    #[must_use]
    pub const fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// Charges other rate limits.
    #[must_use]
    pub const fn limit(mut self, limit: LimitClass) -> Self {
        self.limit = limit;
        self
    }

    /// Takes other bodies.
    #[must_use]
    pub const fn body(mut self, body: BodyRule) -> Self {
        self.body = body;
        self
    }

    /// The names of the path's parameters, in order.
    pub fn params(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// Why a set of routes makes no table: a mistake in the program, found at start.
#[derive(Debug, thiserror::Error)]
#[error("route `{verb} {path}`: {reason}", verb = .verb.as_str())]
pub struct TableError {
    verb: Verb,
    path: &'static str,
    reason: String,
}

/// All routes, ready for look-ups.
#[derive(Debug)]
pub(super) struct Table(matchit::Router<Place>);

/// What is at one path.
#[derive(Debug, Default)]
pub(super) struct Place {
    routes: Vec<&'static Route>,
    allow: String,
}

/// What the table has for a request.
pub(super) enum Found<'a, 'p> {
    /// A route, and the path's parameters as they stand in the path.
    Route(&'static Route, matchit::Params<'a, 'p>),
    /// Something, but not for this method.
    OtherMethods(&'a Place),
    /// Nothing.
    Nothing,
}

impl Table {
    pub(super) fn new(sets: &[&'static [Route]]) -> Result<Self, TableError> {
        let mut places: BTreeMap<&'static str, Place> = BTreeMap::new();
        for route in sets.iter().copied().flatten() {
            places.entry(route.path).or_default().add(route)?;
        }
        let mut tree = matchit::Router::new();
        for (path, mut place) in places {
            place.finish();
            let verb = place.routes.first().map_or(Verb::Get, |route| route.verb);
            tree.insert(path, place).map_err(|error| TableError { verb, path, reason: error.to_string() })?;
        }
        Ok(Self(tree))
    }

    /// Looks up `path` as it came, still percent-encoded: an encoded slash must not
    /// make a segment look like two.
    pub(super) fn find<'a, 'p>(&'a self, method: &Method, path: &'p str) -> Found<'a, 'p> {
        let Ok(hit) = self.0.at(path) else { return Found::Nothing };
        let route = Verb::of(method)
            .and_then(|verb| hit.value.routes.iter().copied().find(|route| route.verb == verb));
        match route {
            Some(route) => Found::Route(route, hit.params),
            None => Found::OtherMethods(hit.value),
        }
    }
}

impl Place {
    fn add(&mut self, route: &'static Route) -> Result<(), TableError> {
        if self.routes.iter().any(|other| other.verb == route.verb) {
            let reason = "is in the table twice".to_owned();
            return Err(TableError { verb: route.verb, path: route.path, reason });
        }
        self.routes.push(route);
        Ok(())
    }

    fn finish(&mut self) {
        self.routes.sort_by_key(|route| route.verb);
        let names = self.routes.iter().flat_map(|route| match route.verb {
            Verb::Get => ["GET", "HEAD"].as_slice(),
            Verb::Post => &["POST"],
            Verb::Put => &["PUT"],
            Verb::Patch => &["PATCH"],
            Verb::Delete => &["DELETE"],
        });
        self.allow = names.chain(&["OPTIONS"]).copied().collect::<Vec<_>>().join(", ");
    }

    /// The path's methods, for `Allow`.
    pub(super) fn allow(&self) -> HeaderValue {
        HeaderValue::from_str(&self.allow).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: About = About::nothing("Does nothing");

    const fn get(path: &'static str) -> Route {
        Route::new(Verb::Get, path, NOTHING, |ctx| Box::pin(async move { ctx.no_content() }))
    }

    const ROUTES: &[Route] = &[
        get("/v1/vaults"),
        Route::new(Verb::Post, "/v1/vaults", NOTHING, |ctx| Box::pin(async move { ctx.no_content() })),
        get("/v1/vaults/{owner}/{repo}"),
        get("/v1/vaults/{owner}/{repo}/secrets/{id}/value"),
    ];

    fn find(method: &Method, path: &str) -> Result<(&'static str, Vec<String>), Option<String>> {
        let table = Table::new(&[ROUTES]).unwrap();
        match table.find(method, path) {
            Found::Route(route, params) => {
                Ok((route.path, params.iter().map(|(_, value)| value.to_owned()).collect()))
            }
            Found::OtherMethods(place) => Err(Some(place.allow.clone())),
            Found::Nothing => Err(None),
        }
    }

    #[test]
    fn paths_are_found_with_their_parameters() {
        assert_eq!(find(&Method::GET, "/v1/vaults"), Ok(("/v1/vaults", vec![])));
        assert_eq!(find(&Method::HEAD, "/v1/vaults"), Ok(("/v1/vaults", vec![])));
        let (path, params) = find(&Method::GET, "/v1/vaults/a%2Fb/c").unwrap();
        assert_eq!(
            (path, params.as_slice()),
            ("/v1/vaults/{owner}/{repo}", &["a%2Fb".into(), "c".into()][..])
        );
        assert_eq!(ROUTES[3].params().collect::<Vec<_>>(), ["owner", "repo", "id"]);
    }

    #[test]
    fn near_misses_are_misses() {
        for path in [
            "/",
            "",
            "*",
            "/v1",
            "/v1/vaults/",
            "/v1//vaults",
            "/v1/vaults/a",
            "/v1/vaults/a/b/",
            "/V1/vaults",
        ] {
            assert_eq!(find(&Method::GET, path), Err(None), "{path}");
        }
    }

    #[test]
    fn other_methods_are_told_apart_from_nothing() {
        let allowed = Err(Some("GET, HEAD, POST, OPTIONS".to_owned()));
        assert_eq!(find(&Method::DELETE, "/v1/vaults"), allowed);
        assert_eq!(find(&Method::OPTIONS, "/v1/vaults"), allowed);
        assert_eq!(find(&Method::from_bytes(b"BREW").unwrap(), "/v1/vaults"), allowed);
    }

    #[test]
    fn a_route_cannot_be_in_the_table_twice() {
        const AGAIN: &[Route] = &[get("/v1/vaults")];
        let error = Table::new(&[ROUTES, AGAIN]).unwrap_err();
        assert_eq!(error.to_string(), "route `GET /v1/vaults`: is in the table twice");
    }
}
