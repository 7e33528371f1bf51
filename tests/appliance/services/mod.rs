//! The services that secrets are synchronised with, played. Each keeps the state that the real one would, answers
//! as the real one does, its oddities included, and holds every request to the service's own API description
//! (`describe`). What goes wrong is arranged by the test: the next requests that match meet a [`Fault`].

mod consent;
mod describe;
mod fly;
mod netlify;
mod railway;
mod vercel;

use crate::harness::PATIENCE;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tiny_http::{Header, Request, Response, Server};

/// The token that every service takes.
pub(crate) const TOKEN: &str = "provider-token-hunter2";

pub(crate) use consent::{CLIENT, Consent};
pub(crate) use netlify::Netlify;
pub(crate) use vercel::Vercel;

/// What a request meets instead of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, with a body of the service's kind.
    Status(u16),
    /// 429, with this `Retry-After`.
    TooMany(Option<u64>),
    /// 200 with a page.
    Html,
    /// Nothing, until [`Service::release`].
    Silence,
    /// The token stops being good, from this request on.
    Revoked,
    /// Refused with this status, in words that quote the whole body.
    Quoted(u16),
    /// Done as asked, but answered with 500.
    DoneButFailed,
}

/// A request, as the players see it.
pub(crate) struct Ask {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Ask {
    /// The path's segments, decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        let decode = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        self.path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }
}

/// A status and a body; no body: none.
pub(crate) type Said = (u16, Option<Value>);

pub(crate) fn said(body: Value) -> Said {
    (200, Some(body))
}

/// One service's state and manners.
pub(crate) trait Model: Send {
    /// Its name in our API.
    fn name(&self) -> &'static str;
    /// What our setting has to lead to.
    fn base(&self) -> &'static str;
    /// Answers.
    fn answer(&mut self, ask: &Ask) -> Said;
    /// How it says that something went wrong.
    fn problem(&self, status: u16, words: &str) -> Said;
    /// Whether the request writes.
    fn writes(&self, ask: &Ask) -> bool {
        ask.method != "GET"
    }
    /// Makes a variable in the production place of the project.
    fn put(&mut self, project: &str, name: &str, value: &str);
    /// The same, with a value that is told to nobody.
    fn seal(&mut self, project: &str, name: &str, value: &str);
    /// Makes that place empty.
    fn clear(&mut self, project: &str);
    /// What is in that place.
    fn values(&self, project: &str) -> BTreeMap<String, String>;
    /// Makes that many projects.
    fn populate(&mut self, projects: usize);
    /// For the test to look inside.
    fn any(&mut self) -> &mut dyn std::any::Any;
}

struct Inner {
    model: Box<dyn Model>,
    checks: describe::Description,
    /// The fault, whether only writes meet it, and how many pass first.
    faults: Vec<(Fault, bool, usize)>,
    revoked: bool,
    consent: Consent,
    /// Where people who say yes on the page itself are sent back to.
    callback: String,
    asked: Vec<String>,
    writes: usize,
    complaints: Vec<String>,
    /// Requests that are not answered yet.
    held: Vec<(Request, Ask)>,
}

/// A service that is being played.
pub(crate) struct Service {
    server: Arc<Server>,
    inner: Arc<Mutex<Inner>>,
    worker: Option<JoinHandle<()>>,
    pub(crate) name: &'static str,
}

impl Service {
    fn start(model: Box<dyn Model>, checks: describe::Description) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a port is free"));
        let name = model.name();
        let inner = Arc::new(Mutex::new(Inner {
            model,
            checks,
            faults: Vec::new(),
            revoked: false,
            consent: Consent::of(name),
            callback: String::new(),
            asked: Vec::new(),
            writes: 0,
            complaints: Vec::new(),
            held: Vec::new(),
        }));
        let (doors, inside) = (Arc::clone(&server), Arc::clone(&inner));
        let worker = std::thread::spawn(move || {
            while let Ok(request) = doors.recv() {
                serve(&inside, request);
            }
        });
        Self { server, inner, worker: Some(worker), name }
    }

    pub(crate) fn vercel() -> Self {
        Self::start(Box::new(Vercel::new()), describe::Description::openapi("vercel.openapi.json", ""))
    }

    pub(crate) fn netlify() -> Self {
        Self::start(
            Box::new(Netlify::new()),
            describe::Description::openapi("netlify.swagger.json", "/api/v1"),
        )
    }

    pub(crate) fn railway() -> Self {
        Self::start(
            Box::new(railway::Railway::new()),
            describe::Description::graphql("railway.schema.graphql"),
        )
    }

    pub(crate) fn fly() -> Self {
        Self::start(Box::new(fly::Fly::new()), describe::Description::openapi("fly.openapi.json", "/v1"))
    }

    /// One of each.
    pub(crate) fn all() -> [Self; 4] {
        [Self::vercel(), Self::netlify(), Self::railway(), Self::fly()]
    }

    /// The settings of an appliance that uses it.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let own = |name: &str, value: String| {
            (format!("KEYWAYD_INTEGRATIONS__{}__{name}", self.name.to_uppercase()), value)
        };
        let base = self.inner().model.base();
        let url = format!("http://{}{base}", self.server.server_addr());
        vec![own("ENABLED", "true".to_owned()), own("API_URL", url)]
    }

    /// The same, with an app registered at the service.
    pub(crate) fn settings_with_app(&self) -> Vec<(String, String)> {
        let own = |name: &str, value: &str| {
            (format!("KEYWAYD_INTEGRATIONS__{}__{name}", self.name.to_uppercase()), value.to_owned())
        };
        let page = self.page();
        let app = [own("CLIENT_ID", CLIENT.0), own("CLIENT_SECRET", CLIENT.1), own("AUTHORIZE_URL", &page)];
        self.settings().into_iter().chain(app).collect()
    }

    /// The page where people are asked for consent.
    pub(crate) fn page(&self) -> String {
        format!("http://{}{}", self.server.server_addr(), consent::PAGE)
    }

    /// Somebody opens `url` and says yes: where their browser is sent back to, at the appliance of `origin`.
    pub(crate) fn agree(&self, url: &str, origin: &str) -> String {
        let query = url.strip_prefix(&self.page()).and_then(|rest| rest.strip_prefix('?')).expect(url);
        let callback = format!("{origin}/v1/integrations/{}/callback", self.name);
        self.inner().consent.agree(query, &callback)
    }

    /// Whoever opens the page says yes at once, and goes back to the appliance of `origin`.
    pub(crate) fn everybody_agrees(&self, origin: &str) {
        self.inner().callback = format!("{origin}/v1/integrations/{}/callback", self.name);
    }

    /// Does something to the state of consent.
    pub(crate) fn consent<T>(&self, act: impl FnOnce(&mut Consent) -> T) -> T {
        act(&mut self.inner().consent)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the state, by the service's own kind.
    pub(crate) fn with<M: 'static, T>(&self, act: impl FnOnce(&mut M) -> T) -> T {
        act(self.inner().model.any().downcast_mut().expect("the test knows which service it plays"))
    }

    pub(crate) fn put(&self, project: &str, name: &str, value: &str) {
        self.inner().model.put(project, name, value);
    }

    pub(crate) fn seal(&self, project: &str, name: &str, value: &str) {
        self.inner().model.seal(project, name, value);
    }

    pub(crate) fn clear(&self, project: &str) {
        self.inner().model.clear(project);
    }

    pub(crate) fn values(&self, project: &str) -> BTreeMap<String, String> {
        self.inner().model.values(project)
    }

    pub(crate) fn populate(&self, projects: usize) {
        self.inner().model.populate(projects);
    }

    /// The write after the next `after` ones meets `fault`.
    pub(crate) fn spoil_write(&self, after: usize, fault: Fault) {
        self.inner().faults.push((fault, true, after));
    }

    /// The request after the next `after` ones meets `fault`.
    pub(crate) fn spoil(&self, after: usize, fault: Fault) {
        self.inner().faults.push((fault, false, after));
    }

    /// Waits until a request is waiting for [`Service::release`].
    pub(crate) fn await_held(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.inner().held.is_empty() {
            assert!(Instant::now() < deadline, "{}: nothing was asked that is held", self.name);
            std::thread::yield_now();
        }
    }

    /// Answers what has been kept waiting.
    pub(crate) fn release(&self) {
        let mut inner = self.inner();
        for (request, ask) in std::mem::take(&mut inner.held) {
            let (status, body) = inner.model.answer(&ask);
            let _ = request.respond(response(status, body));
        }
    }

    pub(crate) fn accept_again(&self) {
        let mut inner = self.inner();
        inner.revoked = false;
        inner.faults.clear();
    }

    /// How many writes it was asked for so far.
    pub(crate) fn writes(&self) -> usize {
        self.inner().writes
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.inner().asked.clone()
    }

    /// Nothing was asked that the description does not know.
    pub(crate) fn assert_described(&self) {
        let complaints = self.inner().complaints.clone();
        assert!(complaints.is_empty(), "{}: {complaints:#?}", self.name);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
        if !std::thread::panicking() {
            self.assert_described();
        }
    }
}

fn serve(inner: &Mutex<Inner>, mut request: Request) {
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let (method, path) = (request.method().to_string(), path.to_owned());
    let mut text = String::new();
    let _ = request.as_reader().read_to_string(&mut text);
    if let Some((status, location, body)) = inner.consents(&path, request.url(), &text) {
        drop(inner);
        let mut response = response(status, Some(body));
        if let Some(location) = location {
            response.add_header(header("Location", &location));
        }
        let _ = request.respond(response);
        return;
    }
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    let ask = Ask { method, path, query, body };
    let line = format!("{} {}", ask.method, ask.path);
    if let Some(complaint) = inner.checks.complaint(&ask) {
        inner.complaints.push(format!("{line}: {complaint}"));
    }
    inner.asked.push(line);
    let writes = inner.model.writes(&ask);
    if writes {
        inner.writes += 1;
    }
    let fault = inner.fault(writes);
    if matches!(fault, Some(Fault::Revoked)) {
        inner.revoked = true;
    }
    let authorised = inner.accepts(&request) && !inner.revoked;
    let (status, body) = match &fault {
        Some(Fault::Silence) => {
            inner.held.push((request, ask));
            return;
        }
        Some(Fault::Html) => {
            drop(inner);
            let page = Response::from_string("<html><body>Be right back</body></html>");
            let _ = request.respond(page.with_header(header("Content-Type", "text/html")));
            return;
        }
        Some(Fault::Status(status)) => inner.model.problem(*status, "something is wrong"),
        Some(Fault::Quoted(status)) => inner.model.problem(*status, &format!("cannot take {text}")),
        Some(Fault::TooMany(_)) => inner.model.problem(429, "slow down"),
        _ if !authorised => inner.model.problem(401, "Not Authorized"),
        Some(Fault::DoneButFailed) => {
            inner.model.answer(&ask);
            inner.model.problem(500, "lost the answer")
        }
        _ => inner.model.answer(&ask),
    };
    drop(inner);
    let mut response = response(status, body);
    if let Some(Fault::TooMany(Some(wait))) = fault {
        response.add_header(header("Retry-After", &wait.to_string()));
    }
    let _ = request.respond(response);
}

impl Inner {
    /// The answer to what is about consent: status, where to, and body.
    fn consents(&mut self, path: &str, url: &str, body: &str) -> Option<(u16, Option<String>, Value)> {
        match path {
            "/oauth/token" | "/v2/oauth/access_token" => {
                self.asked.push(format!("POST {path}"));
                let (status, answer) = self.consent.exchange(body);
                Some((status, None, answer))
            }
            consent::PAGE => {
                let query = url.split_once('?').map_or("", |(_, query)| query);
                let back = self.consent.agree(query, &self.callback);
                Some((302, Some(back), Value::Null))
            }
            _ => None,
        }
    }

    fn accepts(&self, request: &Request) -> bool {
        request.headers().iter().filter(|header| header.field.equiv("Authorization")).any(|header| {
            let value = header.value.as_str();
            let shown = value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("FlyV1 "));
            shown.is_some_and(|shown| shown == TOKEN || self.consent.knows(shown))
        })
    }

    /// The fault that this request meets, if any.
    fn fault(&mut self, writes: bool) -> Option<Fault> {
        let mut found = None;
        for (at, (fault, only_writes, after)) in self.faults.iter_mut().enumerate() {
            if *only_writes && !writes {
                continue;
            }
            if *after == 0 {
                found = Some((at, fault.clone()));
                break;
            }
            *after -= 1;
        }
        found.map(|(at, fault)| {
            self.faults.remove(at);
            fault
        })
    }
}

fn response(status: u16, body: Option<Value>) -> Response<std::io::Cursor<Vec<u8>>> {
    let text = body.map(|body| body.to_string()).unwrap_or_default();
    let response = Response::from_string(text).with_status_code(status);
    response.with_header(header("Content-Type", "application/json"))
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name.as_bytes(), value.as_bytes()).expect("a header")
}

/// `{"error": {"code", "message"}}` and the like, for services that say it this way.
pub(crate) fn coded(status: u16, words: &str) -> Said {
    (status, Some(json!({ "error": { "code": "bad", "message": words } })))
}
