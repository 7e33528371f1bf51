//! The life of one request, in the order the room's page tells. Whatever happens on
//! the way, a panic or a deadline included, ends in [`Visit::finish`], so every answer
//! has the same headers and every request its access line.

use super::address::{self, Peer};
use super::auth::{self, Shown};
use super::body::{self, ReadBody};
use super::cors;
use super::front::Front;
use super::limits::{Client, Standing};
use super::problem::{Problem, ProblemKind};
use super::request::{Caller, Ctx, RequestTag, decode_segment};
use super::respond::{Answer, Body, Response};
use super::router::{Auth, Found, LimitClass, Route};
use crate::base::ids::RequestId;
use crate::domain::{Actor, ErrorKind, Origin};
use crate::telemetry::{Access, redact};
use futures_util::FutureExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST,
    HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Uri, Version};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One year (RFC 6797). Other hosts below this one's name are not ours to speak for.
const HSTS: &str = "max-age=31536000";

/// Answers one request from `peer`.
pub(super) async fn answer(front: &Arc<Front>, peer: Peer, request: Request<Incoming>) -> Response {
    let (head, body) = request.into_parts();
    let mut visit = Visit::begin(front, peer, &head, body);
    let work = tokio::time::timeout(front.settings.timeouts.request, visit.run(head));
    let answer = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_deadline)) => Err(Problem::new(
            ProblemKind::ServiceUnavailable,
            "the request took too long; a change may still be carried out, look before you repeat it",
        )),
        Err(_panic) => Err(Problem::internal("a handler panicked")),
    };
    let answer = visit.described(answer);
    visit.finish(answer)
}

/// What is known of a request from its first to its last moment.
struct Visit<'a> {
    front: &'a Arc<Front>,
    tag: RequestTag,
    address: IpAddr,
    uri: Uri,
    version: Version,
    is_head: bool,
    awaits_continue: bool,
    web_origin: Option<HeaderValue>,
    is_chunked: bool,
    standing: Option<Standing>,
    access: Access<'a, RequestTag>,
    /// Once it is found.
    route: Option<&'static Route>,
    /// Whether a token is shown in a header: then it is a program, and reads no pages.
    is_program: bool,
    /// Until it is read.
    body: Option<Incoming>,
}

impl<'a> Visit<'a> {
    fn begin(front: &'a Arc<Front>, peer: Peer, head: &Parts, body: Incoming) -> Self {
        let settings = &front.settings;
        let tag = RequestTag::of(&head.headers, || RequestId::new(front.clock.now()));
        let address = address::of_client(peer, &head.headers, &settings.trusted_proxies);
        Self {
            front,
            address,
            uri: head.uri.clone(),
            version: head.version,
            is_head: head.method == Method::HEAD,
            awaits_continue: body::awaits_continue(&head.headers),
            web_origin: cors::allowed_origin(&head.headers, &settings.allowed_origins),
            is_chunked: head.headers.contains_key(TRANSFER_ENCODING),
            standing: None,
            access: Access::begin(&front.requests, tag.clone(), address, head.method.as_str()),
            tag,
            route: None,
            is_program: head.headers.contains_key(AUTHORIZATION),
            body: Some(body),
        }
    }

    async fn run(&mut self, head: Parts) -> Answer {
        check_head(&head)?;
        let front = self.front;
        let (route, params) = match front.table.find(&head.method, head.uri.path()) {
            Found::Route(route, params) => {
                let params = params.iter().map(|(_, raw)| decode_segment(raw));
                (route, params.collect::<Result<Vec<_>, _>>())
            }
            Found::OtherMethods(place) if head.method == Method::OPTIONS => {
                return Ok(cors::options(&head.headers, place));
            }
            Found::OtherMethods(place) => {
                self.charge(LimitClass::General, None)?;
                let detail = "this path does not take this method; `Allow` lists those it does";
                return Err(Problem::new(ProblemKind::MethodNotAllowed, detail).allow(place.allow()));
            }
            Found::Nothing => {
                self.charge(LimitClass::General, None)?;
                return Err(Problem::new(ProblemKind::NotFound, "there is nothing at this path"));
            }
        };
        self.access.route(route.path);
        self.route = Some(route);
        let caller = self.admit(route, &head.headers).await?;
        let body = if route.verb.mutates() {
            self.read_body(route, matches!(caller, Caller::Known(_)), &head.headers).await?
        } else {
            ReadBody::default()
        };
        let ctx = Ctx {
            front: Arc::clone(front),
            tag: self.tag.clone(),
            route,
            params: params?,
            uri: head.uri,
            headers: head.headers,
            caller,
            body,
        };
        if route.verb.mutates() { run_detached(ctx).await } else { (route.handler)(ctx).await }
    }

    /// Holds an answer to what its route says of itself, in debug builds.
    fn described(&self, answer: Answer) -> Answer {
        let Some(route) = self.route else { return answer };
        let status = match &answer {
            Ok(response) => response.status(),
            Err(problem) => problem.kind().parts().0,
        };
        route.check_status(status.as_u16())?;
        answer
    }

    /// Recognises the caller, charges the call, and compares scopes.
    async fn admit(&mut self, route: &Route, headers: &HeaderMap) -> Result<Caller, Problem> {
        let origin = auth::origin(self.tag.id, self.address, headers);
        match route.auth {
            Auth::None => {
                self.charge(route.limit, None)?;
                return Ok(Caller::Anybody(origin));
            }
            Auth::Visitor => return self.admit_visitor(route, headers, origin).await,
            Auth::Any | Auth::Scoped(_) => {}
        }
        let shown = match auth::shown(headers) {
            Ok(shown) => shown,
            Err(refusal) => {
                self.charge(LimitClass::General, None)?;
                return Err(refusal);
            }
        };
        let actor = self.recognise(&shown, origin).await?;
        if shown.by_cookie && route.verb.mutates() {
            let settings = &self.front.settings;
            auth::check_web_origin(headers, &settings.public_url, &settings.allowed_origins)?;
        }
        self.charge(route.limit, Some(actor.credential_tag()))?;
        if let Err(refusal) = auth::check_scope(route.auth, &actor) {
            let call = format!("no scope for `{} {}`", route.verb.as_str(), route.path);
            self.front.services.note_missing_scope(&actor, &call);
            return Err(refusal);
        }
        Ok(Caller::Known(Box::new(actor)))
    }

    /// Whose credential that is. If it is nobody's, the address pays.
    async fn recognise(&mut self, shown: &Shown, origin: Origin) -> Result<Actor, Problem> {
        let (front, address) = (self.front, self.address);
        // Anybody can make up tokens that have to be asked about elsewhere, and what that costs is spent
        // when the answer comes: so it is paid for beforehand, and given back for a good one.
        let is_prepaid = !shown.by_cookie && front.services.is_of_a_stranger(&shown.text);
        if is_prepaid {
            self.charge(LimitClass::General, None)?;
        }
        match front.services.authenticate(&shown.text, shown.by_cookie, origin).await {
            Ok(actor) => {
                if let (true, Some(limits)) = (is_prepaid, &front.limits) {
                    limits.give_back(address);
                }
                Ok(actor)
            }
            Err(refusal) => {
                // A service that cannot be asked about somebody it knew is no failed credential.
                if !is_prepaid && refusal.kind == ErrorKind::Unauthorized {
                    self.charge(LimitClass::General, None)?;
                }
                Err(refusal.into())
            }
        }
    }

    /// A session that has ended is no session: then it is anybody. Pages guard their
    /// forms themselves.
    async fn admit_visitor(
        &mut self,
        route: &Route,
        headers: &HeaderMap,
        origin: Origin,
    ) -> Result<Caller, Problem> {
        if let Some(shown) = auth::session_cookie(headers) {
            match self.front.services.authenticate(&shown.text, true, origin.clone()).await {
                Ok(actor) => {
                    self.charge(route.limit, Some(actor.credential_tag()))?;
                    return Ok(Caller::Known(Box::new(actor)));
                }
                Err(refusal) if refusal.kind == ErrorKind::Unauthorized => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        self.charge(route.limit, None)?;
        Ok(Caller::Anybody(origin))
    }

    fn charge(&mut self, class: LimitClass, credential: Option<[u8; 16]>) -> Result<(), Problem> {
        let Some(limits) = &self.front.limits else { return Ok(()) };
        let client = credential.map_or_else(|| Client::at(self.address), Client::Credential);
        self.standing = limits.charge(class, client, self.address);
        self.standing.as_ref().map_or(Ok(()), Standing::verdict)
    }

    async fn read_body(
        &mut self,
        route: &Route,
        known: bool,
        headers: &HeaderMap,
    ) -> Result<ReadBody, Problem> {
        let Some(body) = &mut self.body else { return Ok(ReadBody::default()) };
        let read = body::read(self.front, route.body, known, headers, body).await?;
        self.body = None;
        Ok(read)
    }

    /// Makes the response out of `answer`, whatever it is.
    fn finish(mut self, answer: Answer) -> Response {
        let mut response = answer.unwrap_or_else(|problem| {
            self.log(&problem);
            if problem.closes() {
                self.body = None;
            }
            match self.route.and_then(|route| route.failure_page).filter(|_| !self.is_program) {
                Some(page) => problem.render_page(page),
                None => {
                    problem.render(&self.front.settings.errors_base_url, self.uri.path(), self.tag.as_str())
                }
            }
        });
        self.access.status(response.status().as_u16());
        if let Some(body) = self.body.take() {
            body::drain(self.awaits_continue, body);
        }
        self.decorate(response.headers_mut());
        // hyper would do this for HTTP/1.1, but not for HTTP/2.
        if self.is_head && !response.body().is_end_stream() {
            let length = response.body().size_hint().exact().unwrap_or_default();
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
            *response.body_mut() = Body::default();
        }
        response
    }

    fn decorate(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.tag.header());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Answers of the API are no pages; pages bring a policy of their own.
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if self.front.settings.hsts {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
        }
        if let Some(standing) = &self.standing {
            standing.decorate(headers);
        }
        if !self.front.settings.allowed_origins.is_empty() {
            cors::decorate(headers, self.web_origin.as_ref());
        }
        if self.version >= Version::HTTP_2 {
            headers.remove(CONNECTION);
        } else if self.is_chunked {
            // It may have had a `Content-Length` as well, which a proxy before us may have believed: what
            // follows on this connection is not to be trusted (RFC 9112 §6.1).
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    fn log(&self, problem: &Problem) {
        let request_id = self.tag.as_str();
        match (problem.kind(), problem.cause()) {
            (ProblemKind::InternalError, Some(cause)) => {
                tracing::error!(request_id, cause = %redact::chain(cause), "request failed");
            }
            (_, Some(cause)) => tracing::warn!(request_id, cause = %redact::chain(cause), "request failed"),
            (_, None) => {}
        }
    }
}

/// Runs a handler that may change something on a task of its own: a client that
/// leaves, or a deadline that passes, ends the waiting and not the work.
async fn run_detached(ctx: Ctx) -> Answer {
    let mutations = ctx.front.mutations.clone();
    let work = mutations.spawn((ctx.route.handler)(ctx));
    // The error's own text would quote the panic's message.
    work.await.unwrap_or_else(|_| Err(Problem::internal("a handler panicked")))
}

/// What makes a request ambiguous is refused: two readers would see two requests.
fn check_head(head: &Parts) -> Result<(), Problem> {
    for (name, refusal) in [
        (AUTHORIZATION, "the `Authorization` header must be given only once"),
        (CONTENT_TYPE, "the `Content-Type` header must be given only once"),
        (HOST, "the `Host` header must be given only once"),
    ] {
        if head.headers.get_all(name).iter().nth(1).is_some() {
            return Err(Problem::bad_request(refusal));
        }
    }
    // RFC 9112 §3.2.
    if head.version == Version::HTTP_11 && !head.headers.contains_key(HOST) {
        return Err(Problem::bad_request("the `Host` header is missing"));
    }
    Ok(())
}
