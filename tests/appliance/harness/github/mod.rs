//! GitHub, played: enough of its API and of its sign-in to be asked who somebody is and what they may do. It keeps
//! state, as the real one does, and counts what it is asked.
//!
//! Its answers are made from GitHub's own API description where `KEYWAYD_API_DESCRIPTIONS` leads to it: every
//! member that it calls required is there, with a value of the described type, and what a test sets must be a
//! member it knows. Without the description the answers have just the members that are read.

mod api;
mod description;
mod door;

use super::PATIENCE;
use api::fields;
use description::Description;
use door::Door;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tiny_http::{Header, Request, Response, Server};

/// The app's client id and secret.
pub(crate) const CLIENT: (&str, &str) = ("Iv1.keyway", "app-secret-4711");

/// How it answers the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    /// 500.
    Failing,
    /// Something that is no JSON.
    Garbage,
    /// Less than it announced.
    Truncated,
    /// Nothing: the connection closes.
    Silent,
    /// To another host.
    RedirectsAway,
    /// 403 with the primary limit's headers.
    Limited,
    /// 403 with `Retry-After`, as for a secondary limit.
    Slowed,
    /// 403 with the header of SAML single sign-on.
    SingleSignOn,
    /// 403 with these words and nothing else.
    Refusing(&'static str),
    /// As it should, after two seconds.
    Slow,
    /// More than anybody would read.
    Endless,
}

impl Mood {
    /// All in which there is no answer to be had.
    pub(crate) const BROKEN: [Self; 6] =
        [Self::Failing, Self::Garbage, Self::Truncated, Self::Silent, Self::RedirectsAway, Self::Endless];
}

/// A repository and who may do what there.
struct Repo {
    id: u64,
    name: String,
    private: bool,
    archived: bool,
    /// By login: `read`, `triage`, `write`, `maintain`, `admin`.
    roles: HashMap<String, &'static str>,
}

struct Token {
    login: String,
    /// The only repositories it reaches; empty: all.
    only: Vec<u64>,
    /// Whether our app was given it.
    ours: bool,
}

struct State {
    users: HashMap<String, u64>,
    tokens: HashMap<String, Token>,
    repos: Vec<Repo>,
    former: HashMap<String, u64>,
    codes: HashMap<String, (String, String)>,
    refreshes: HashMap<String, String>,
    asked: Vec<String>,
    mood: Mood,
    sign_in_mood: Mood,
    /// Answers wait until it ends.
    held: bool,
    /// Answers that nothing has changed.
    unchanged: u32,
    /// Organisations whose repositories are left out of lists: their numbers, and names.
    withheld: Vec<(u64, String)>,
    /// Where the app is installed: its number there, and the owner.
    installed: Vec<(u64, String)>,
    expires_in: Option<u64>,
    token_error: Option<&'static str>,
    issued: u32,
    /// Who sits in front of the browser, and agrees to everything.
    visitor: Option<String>,
}

/// What its threads share.
struct Inside {
    url: String,
    door: Door,
    description: Description,
    state: Mutex<State>,
    /// Told when it is asked something, and when it answers again.
    changed: Condvar,
}

/// The fake.
pub(crate) struct GitHub {
    server: Arc<Server>,
    inside: Arc<Inside>,
    worker: Option<JoinHandle<()>>,
    pub(crate) url: String,
}

impl GitHub {
    pub(crate) fn start() -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a port is free"));
        let door = Door::to(server.server_addr().to_ip().expect("it listens on an address"));
        let url = format!("http://{}", door.address);
        let state = Mutex::new(State {
            users: HashMap::new(),
            tokens: HashMap::new(),
            repos: Vec::new(),
            former: HashMap::new(),
            codes: HashMap::new(),
            refreshes: HashMap::new(),
            asked: Vec::new(),
            mood: Mood::Fine,
            sign_in_mood: Mood::Fine,
            held: false,
            unchanged: 0,
            withheld: Vec::new(),
            installed: Vec::new(),
            expires_in: None,
            token_error: None,
            issued: 0,
            visitor: None,
        });
        let (description, changed) = (Description::find(), Condvar::new());
        let inside = Arc::new(Inside { url: url.clone(), door, description, state, changed });
        let (doors, shared) = (Arc::clone(&server), Arc::clone(&inside));
        let worker = std::thread::spawn(move || {
            while let Ok(request) = doors.recv() {
                let inside = Arc::clone(&shared);
                std::thread::spawn(move || answer(&inside, request));
            }
        });
        Self { server, inside, worker: Some(worker), url }
    }

    /// The settings of an appliance that asks this GitHub.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let own = |name: &str, value: &str| (format!("KEYWAYD_IDENTITY__GITHUB__{name}"), value.to_owned());
        vec![
            own("ENABLED", "true"),
            own("URL", &self.url),
            own("API_URL", &format!("{}/api/v3", self.url)),
            own("CLIENT_ID", CLIENT.0),
            own("CLIENT_SECRET", CLIENT.1),
            own("ALLOWED_OWNERS", "acme"),
            own("WEBHOOK_SECRET", "hook-secret"),
        ]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inside.state()
    }

    pub(crate) fn user(&self, login: &str, id: u64) {
        self.state().users.insert(login.to_owned(), id);
    }

    pub(crate) fn repo(&self, id: u64, name: &str, private: bool, roles: &[(&str, &'static str)]) {
        let roles = roles.iter().map(|(login, role)| ((*login).to_owned(), *role)).collect();
        self.state().repos.push(Repo { id, name: name.to_owned(), private, archived: false, roles });
    }

    /// A token of `login` that reaches what `login` does.
    pub(crate) fn token(&self, text: &str, login: &str) {
        self.token_for(text, login, &[]);
    }

    /// A token of `login` for the repositories `only`.
    pub(crate) fn token_for(&self, text: &str, login: &str, only: &[u64]) {
        let token = Token { login: login.to_owned(), only: only.to_vec(), ours: false };
        self.state().tokens.insert(text.to_owned(), token);
    }

    pub(crate) fn revoke_all_of(&self, login: &str) {
        let mut state = self.state();
        state.tokens.retain(|_, token| token.login != login);
        state.refreshes.retain(|_, owner| owner != login);
    }

    pub(crate) fn archive(&self, repo: u64) {
        let mut state = self.state();
        state.repos.iter_mut().find(|one| one.id == repo).expect("the repository exists").archived = true;
    }

    /// Installs the app where the repositories of `owner` are.
    pub(crate) fn install(&self, id: u64, owner: &str) {
        self.state().installed.push((id, owner.to_owned()));
    }

    /// From now on `owner`, the organisation of that number, wants every token to be authorised for its single
    /// sign-on, which none is: its repositories are missing in lists.
    pub(crate) fn withhold(&self, id: u64, owner: &str) {
        self.state().withheld.push((id, format!("{owner}/")));
    }

    pub(crate) fn set_role(&self, repo: u64, login: &str, role: Option<&'static str>) {
        let mut state = self.state();
        let repo = state.repos.iter_mut().find(|one| one.id == repo).expect("the repository exists");
        match role {
            Some(role) => repo.roles.insert(login.to_owned(), role),
            None => repo.roles.remove(login),
        };
    }

    pub(crate) fn rename(&self, id: u64, name: &str) {
        let mut state = self.state();
        let repo = state.repos.iter_mut().find(|one| one.id == id).expect("the repository exists");
        let old = std::mem::replace(&mut repo.name, name.to_owned());
        state.former.insert(old.to_lowercase(), id);
    }

    /// How it answers the API from now on.
    pub(crate) fn mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// How it issues tokens from now on.
    pub(crate) fn sign_in_mood(&self, mood: Mood) {
        self.state().sign_in_mood = mood;
    }

    /// Keeps its answers to itself until the end of `meanwhile`, which begins when something was asked.
    pub(crate) fn hold<T>(&self, ask: impl FnOnce() -> T + Send, meanwhile: impl FnOnce()) -> T
    where
        T: Send,
    {
        self.state().held = true;
        self.asked();
        std::thread::scope(|scope| {
            let asking = scope.spawn(ask);
            let is_quiet = |state: &mut State| state.asked.is_empty();
            let asked = self.inside.changed.wait_timeout_while(self.state(), PATIENCE, is_quiet);
            assert!(!asked.expect("nobody panics with the lock").1.timed_out(), "it is not asked");
            meanwhile();
            self.state().held = false;
            self.inside.changed.notify_all();
            asking.join().expect("whoever asks gets an answer")
        })
    }

    /// Waits until it is asked for `path`: all it was asked since the last look.
    pub(crate) fn asked_until(&self, path: &str) -> Vec<String> {
        let is_missing = |state: &mut State| !state.asked.iter().any(|question| question.ends_with(path));
        let asked = self.inside.changed.wait_timeout_while(self.state(), PATIENCE, is_missing);
        let (mut state, waited) = asked.expect("nobody panics with the lock");
        assert!(!waited.timed_out(), "it is not asked for `{path}`: {:?}", state.asked);
        std::mem::take(&mut state.asked)
    }

    /// How often it said since the last look that nothing had changed.
    pub(crate) fn unchanged(&self) -> u32 {
        std::mem::take(&mut self.state().unchanged)
    }

    /// From now on tokens end after this time, and come with one to renew them.
    pub(crate) fn tokens_expire_in(&self, secs: u64) {
        self.state().expires_in = Some(secs);
    }

    /// The next exchange fails so, with status 200.
    pub(crate) fn refuse_exchange(&self, error: &'static str) {
        self.state().token_error = Some(error);
    }

    /// What it was asked since the last look, as `METHOD path`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    /// From now on a browser that comes to sign in is `login`, and agrees; `None`: refuses.
    pub(crate) fn browsers_are(&self, login: Option<&str>) {
        self.state().visitor = login.map(str::to_owned);
    }

    /// Agrees, as `login`, to what `authorize_url` asks for: where the browser is sent back to.
    pub(crate) fn consent(&self, authorize_url: &str, login: &str) -> String {
        let query = authorize_url.split_once('?').expect("it has a query").1;
        let fields = fields(query);
        assert!(
            authorize_url.starts_with(&format!("{}/login/oauth/authorize?", self.url)),
            "{authorize_url}"
        );
        assert_eq!(fields["client_id"], CLIENT.0);
        assert_eq!(fields["code_challenge_method"], "S256");
        assert!(fields["state"].len() >= 32);
        agree(&mut self.state(), &fields, login)
    }
}

/// Where the browser of `login`, who agreed, is sent back to.
fn agree(state: &mut State, fields: &HashMap<String, String>, login: &str) -> String {
    state.issued += 1;
    let code = format!("code-{}", state.issued);
    state.codes.insert(code.clone(), (login.to_owned(), fields["code_challenge"].clone()));
    format!("{}?code={code}&state={}", fields["redirect_uri"], fields["state"])
}

impl Inside {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.state().held = false;
        self.inside.changed.notify_all();
        self.server.unblock();
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// What goes back.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply { status, headers: Vec::new(), body: body.to_string() }
}

fn answer(inside: &Inside, mut request: Request) {
    let mut body = String::new();
    let _ = request.as_reader().read_to_string(&mut body);
    let (method, url) = (request.method().clone(), request.url().to_owned());
    let peer = *request.remote_addr().expect("it came by TCP");
    let header = |name: &str| {
        let found = request.headers().iter().find(|one| one.field.to_string().eq_ignore_ascii_case(name));
        found.map(|one| one.value.to_string()).unwrap_or_default()
    };
    let (authorization, known) = (header("authorization"), header("if-none-match"));
    assert!(!header("user-agent").is_empty(), "GitHub refuses requests without a User-Agent");
    let mut state = inside.state();
    state.asked.push(format!("{method} {url}"));
    inside.changed.notify_all();
    let held = inside.changed.wait_timeout_while(state, PATIENCE, |state| state.held);
    state = held.unwrap_or_else(PoisonError::into_inner).0;
    let mood = match url.split('?').next() {
        Some("/login/oauth/access_token") => state.sign_in_mood,
        Some(path) if path.starts_with("/api/v3/") => state.mood,
        _ => Mood::Fine,
    };
    if mood == Mood::Slow {
        drop(state);
        std::thread::sleep(Duration::from_secs(2));
        state = inside.state();
    }
    let made = match mood {
        Mood::Fine | Mood::Slow => {
            let made = api::route(inside, &mut state, &method, &url, &authorization, &body);
            unless_known(&mut state, made, &authorization, &known)
        }
        Mood::Silent => return inside.door.hang_up(peer),
        Mood::Truncated => {
            inside.door.cut(peer);
            return truncated(request);
        }
        other => in_mood(&inside.url, other),
    };
    drop(state);
    let mut response = Response::from_string(made.body).with_status_code(made.status);
    for (name, value) in made.headers {
        response.add_header(Header::from_bytes(name, value).expect("headers are plain"));
    }
    let _ = request.respond(response);
}

/// `made` with a validator, which is the token's own; or only that it is what is `known` already.
fn unless_known(state: &mut State, mut made: Reply, authorization: &str, known: &str) -> Reply {
    if made.status != 200 || authorization.is_empty() {
        return made;
    }
    let tag = std::hash::BuildHasher::hash_one(
        &std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default(),
        (authorization, &made.body),
    );
    let tag = format!("W/\"{tag:x}\"");
    if tag == known {
        state.unchanged += 1;
        return Reply { status: 304, headers: vec![("ETag", tag)], body: String::new() };
    }
    made.headers.push(("ETag", tag));
    made
}

/// What it answers in a mood in which it looks at nothing.
fn in_mood(own: &str, mood: Mood) -> Reply {
    match mood {
        Mood::Failing => reply(500, &json!({"message": "Server Error"})),
        Mood::Garbage => Reply { body: "<html>unicorn</html>".to_owned(), ..reply(200, &Value::Null) },
        Mood::Endless => Reply { body: "9".repeat(9 << 20), ..reply(200, &Value::Null) },
        Mood::RedirectsAway => Reply {
            headers: vec![("Location", format!("{}/stolen", own.replace("127.0.0.1", "localhost")))],
            ..reply(301, &json!({"message": "Moved Permanently"}))
        },
        Mood::Limited => Reply {
            headers: vec![
                ("X-RateLimit-Remaining", "0".to_owned()),
                ("X-RateLimit-Reset", "32503680000".to_owned()),
            ],
            ..reply(403, &json!({"message": "API rate limit exceeded"}))
        },
        Mood::Slowed => Reply {
            headers: vec![("Retry-After", "17".to_owned())],
            ..reply(403, &json!({"message": "You have exceeded a secondary rate limit"}))
        },
        Mood::Refusing(words) => reply(403, &json!({ "message": words })),
        _ => Reply {
            headers: vec![(
                "X-GitHub-SSO",
                "required; url=https://github.example/orgs/acme/sso?a=1".to_owned(),
            )],
            ..reply(403, &json!({"message": "Resource protected by organization SAML enforcement."}))
        },
    }
}

/// Announces more than it sends.
fn truncated(request: Request) {
    let mut writer = request.into_writer();
    let _ = writer.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: application/json\r\n\r\n{\"id\":",
    );
    let _ = writer.flush();
}
