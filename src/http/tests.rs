//! The room as a whole, over real sockets, with a few routes of its own.

use super::about::{About, Param};
use super::front::Front;
use super::request::{Caller, Ctx, RequestTag};
use super::respond::Response;
use super::router::{Auth, BodyRule, LimitClass, Route, Verb};
use super::settings::{HttpSettings, RateLimits};
use super::{Drained, Listener, serve};
use crate::base::meter::Meters;
use crate::base::{AccountName, Agent, Quota, Scope, SystemClock, ids::RequestId};
use crate::domain::api_keys::NewApiKey;
use crate::domain::{Origin, Services};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

/// The JSON in a response made by this room.
pub(super) fn body_of(response: &Response) -> Value {
    let bytes = response.body().clone().collect().now_or_never().unwrap().unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

/// A request for `uri`, past the pipeline.
pub(super) fn ctx(uri: &str) -> Ctx {
    let request_id = RequestId::from_bytes([7; 16]);
    let address = IpAddr::from([127, 0, 0, 1]);
    let origin = Origin { request_id, address, user_agent: String::new(), agent: Agent::Other };
    Ctx {
        front: front(|_| {}),
        tag: RequestTag::of(&HeaderMap::new(), || request_id),
        route: &ASKED,
        params: Vec::new(),
        uri: uri.parse().unwrap(),
        headers: HeaderMap::new(),
        caller: Caller::Anybody(origin),
        body: super::body::ReadBody::default(),
    }
}

/// A route that takes what the tests of requests ask for.
static ASKED: Route = Route::new(Verb::Get, "/x", QUERIED, |_| Box::pin(std::future::pending()));
const QUERIED: About = About::list::<Value>("Is asked").query(&[
    Param::optional::<str>("repo", ""),
    Param::optional::<str>("environment", ""),
    Param::optional::<str>("dup", ""),
    Param::optional::<str>("flag", ""),
    Param::optional::<str>("other", ""),
]);

/// Opened by a test when the slow handlers may go on.
static GATE: Semaphore = Semaphore::const_new(0);
/// Opened by a slow handler when it has started, and when it has ended.
static STARTED: Semaphore = Semaphore::const_new(0);
static ENDED: Semaphore = Semaphore::const_new(0);

const NOTHING: About = About::nothing("Does nothing");
const TEXT: About = About::data::<str>("Answers a text");
const ANYTHING: About = About::data::<Value>("Answers anything");
const ECHO: About = ANYTHING.takes::<Value>();

const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/v1/open", TEXT, |ctx| Box::pin(async move { ctx.ok("open") })).open(),
    Route::new(Verb::Get, "/v1/things/{name}", TEXT, |ctx| {
        Box::pin(async move { ctx.ok(ctx.param("name")?) })
    })
    .open(),
    Route::new(Verb::Get, "/v1/panic", TEXT, |ctx| {
        Box::pin(async move { panic!("hunter2 {}", ctx.request_id()) })
    })
    .open(),
    Route::new(Verb::Post, "/v1/panic", TEXT, |ctx| {
        Box::pin(async move { panic!("hunter2 {}", ctx.request_id()) })
    })
    .open(),
    Route::new(Verb::Post, "/v1/echo", ECHO, |ctx| Box::pin(echo(ctx))).open(),
    Route::new(Verb::Delete, "/v1/echo", NOTHING, |ctx| Box::pin(async move { ctx.no_content() })).open(),
    Route::new(Verb::Post, "/v1/slow", NOTHING, |ctx| Box::pin(slow(ctx))).open().body(BodyRule::Push),
    Route::new(Verb::Get, "/v1/stuck", NOTHING, |_| Box::pin(std::future::pending())).open(),
    Route::new(Verb::Get, "/v1/stuck/loudly", NOTHING, |_| Box::pin(stuck())).open(),
    Route::new(Verb::Get, "/v1/mine", ANYTHING, |ctx| Box::pin(mine(ctx))).scope(Scope::ReadSecrets),
    Route::new(Verb::Post, "/v1/mine", ANYTHING, |ctx| Box::pin(mine(ctx))).scope(Scope::WriteSecrets),
    Route::new(Verb::Get, "/v1/free", NOTHING, |ctx| Box::pin(async move { ctx.no_content() }))
        .open()
        .limit(LimitClass::Exempt),
];

async fn echo(mut ctx: Ctx) -> super::Answer {
    let sent: Value = ctx.json().await?;
    ctx.ok(&sent)
}

async fn slow(ctx: Ctx) -> super::Answer {
    STARTED.add_permits(1);
    GATE.acquire().await.unwrap().forget();
    ENDED.add_permits(1);
    ctx.no_content()
}

async fn stuck() -> super::Answer {
    STARTED.add_permits(1);
    std::future::pending().await
}

async fn mine(ctx: Ctx) -> super::Answer {
    ctx.ok(&json!({"user": ctx.actor()?.user_id().to_string(), "address": ctx.origin().address}))
}

async fn passed(gate: &Semaphore) {
    gate.acquire().await.unwrap().forget();
}

fn front(change: impl FnOnce(&mut HttpSettings)) -> Arc<Front> {
    let mut settings = HttpSettings::new("https://keyway.example");
    change(&mut settings);
    front_of(settings, Services::in_memory())
}

fn front_of(settings: HttpSettings, services: Services) -> Arc<Front> {
    let routes = [&[ROUTES], super::routes()].concat();
    Arc::new(Front::new(settings, services, Arc::new(SystemClock), &routes, Meters::default()).unwrap())
}

/// A server of these routes and the API's on a port of its own. The account `alice`
/// is admin there.
struct Server {
    /// A credential of Alice's that may only read.
    reader: String,
    /// One that may do everything.
    everything: String,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Drained>,
}

impl Server {
    async fn start(change: impl FnOnce(&mut HttpSettings)) -> Self {
        Self::start_with_grace(Duration::from_secs(60), change).await
    }

    async fn start_with_grace(grace: Duration, change: impl FnOnce(&mut HttpSettings)) -> Self {
        Self::serving(front(change), grace, Listener::Plain).await
    }

    async fn of(front: Arc<Front>) -> Self {
        Self::serving(front, Duration::from_secs(60), Listener::Plain).await
    }

    async fn start_on(
        grace: Duration,
        change: impl FnOnce(&mut HttpSettings),
        kind: impl FnOnce(TcpListener) -> Listener,
    ) -> Self {
        Self::serving(front(change), grace, kind).await
    }

    async fn serving(front: Arc<Front>, grace: Duration, kind: impl FnOnce(TcpListener) -> Listener) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap_or_default() };
        let alice = AccountName::parse("alice").unwrap();
        front.services.add_account(alice.clone(), true, None).await.unwrap();
        let reader = key(&front.services, &alice, &[Scope::ReadSecrets]).await;
        let everything = key(&front.services, &alice, &Scope::ALL).await;
        let running = tokio::spawn(serve(vec![kind(listener)], front, shutdown, grace));
        Self { reader, everything, address, stop, running }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` with `Connection: close` and returns all that comes back.
    /// `<reader>` and `<everything>` stand for the credentials.
    async fn ask(&self, request: &str) -> Reply {
        let request = request.replace("<reader>", &self.reader).replace("<everything>", &self.everything);
        let request = request.replacen("\r\n", "\r\nHost: x\r\nConnection: close\r\n", 1);
        let mut socket = self.connect().await;
        socket.write_all(request.as_bytes()).await.unwrap();
        Reply::read(&mut socket).await
    }

    /// Sends a call with a body of JSON and the credential `token`, or none where that is empty.
    async fn ask_as(&self, token: &str, line: &str, body: &str) -> Reply {
        let shown =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let head = format!("{line} HTTP/1.1\r\n{shown}Content-Type: application/json\r\n");
        self.ask(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\r\n\r\n")).await
    }

    async fn post(&self, path: &str, kind: &str, body: &str) -> Reply {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }
}

/// A key of `name`'s that may do `scopes`.
async fn key(services: &Services, name: &AccountName, scopes: &[Scope]) -> String {
    mint(services, name, NewApiKey::unlimited("test", scopes.iter().copied().collect())).await
}

async fn mint(services: &Services, name: &AccountName, wanted: NewApiKey) -> String {
    services.mint_token(name, wanted).await.unwrap().token.expose().to_owned()
}

/// Everything a server sent until it closed the connection.
struct Reply(String);

impl Reply {
    async fn read(socket: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the answer takes nothing away from it.
        let _ = socket.read_to_end(&mut bytes).await;
        Self(String::from_utf8(bytes).unwrap())
    }

    fn status(&self) -> u16 {
        self.0.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let head = self.0.split("\r\n\r\n").next()?;
        head.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.0.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

mod answers;
mod api;
mod connections;
mod history;
mod isolation;
mod permissions;
mod play;
mod tls;
