//! GitHub, played: enough of its API and of its sign-in to be asked who somebody is and what they may do. It keeps
//! state, as the real one does, and counts what it is asked.
//!
//! Its answers are made from GitHub's own API description where `KEYWAYD_API_DESCRIPTIONS` leads to it: every
//! member that it calls required is there, with a value of the described type, and what a test sets must be a
//! member it knows. Without the description the answers have just the members that are read.

use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tiny_http::{Header, Method, Request, Response, Server};

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
}

/// A repository and who may do what there.
struct Repo {
    id: u64,
    name: String,
    private: bool,
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
    expires_in: Option<u64>,
    token_error: Option<&'static str>,
    issued: u32,
    /// Who sits in front of the browser, and agrees to everything.
    visitor: Option<String>,
}

/// The fake.
pub(crate) struct GitHub {
    server: Arc<Server>,
    state: Arc<Mutex<State>>,
    worker: Option<JoinHandle<()>>,
    pub(crate) url: String,
}

impl GitHub {
    pub(crate) fn start() -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a port is free"));
        let url = format!("http://{}", server.server_addr());
        let state = Arc::new(Mutex::new(State {
            users: HashMap::new(),
            tokens: HashMap::new(),
            repos: Vec::new(),
            former: HashMap::new(),
            codes: HashMap::new(),
            refreshes: HashMap::new(),
            asked: Vec::new(),
            mood: Mood::Fine,
            expires_in: None,
            token_error: None,
            issued: 0,
            visitor: None,
        }));
        let description = Description::find();
        let (doors, inside, own) = (Arc::clone(&server), Arc::clone(&state), url.clone());
        let worker = std::thread::spawn(move || {
            while let Ok(request) = doors.recv() {
                answer(&own, &inside, &description, request);
            }
        });
        Self { server, state, worker: Some(worker), url }
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn user(&self, login: &str, id: u64) {
        self.state().users.insert(login.to_owned(), id);
    }

    pub(crate) fn repo(&self, id: u64, name: &str, private: bool, roles: &[(&str, &'static str)]) {
        let roles = roles.iter().map(|(login, role)| ((*login).to_owned(), *role)).collect();
        self.state().repos.push(Repo { id, name: name.to_owned(), private, roles });
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
        self.state().tokens.retain(|_, token| token.login != login);
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

    pub(crate) fn mood(&self, mood: Mood) {
        self.state().mood = mood;
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

impl Drop for GitHub {
    fn drop(&mut self) {
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

fn answer(own: &str, state: &Mutex<State>, description: &Description, mut request: Request) {
    let mut body = String::new();
    let _ = request.as_reader().read_to_string(&mut body);
    let (method, url) = (request.method().clone(), request.url().to_owned());
    let header = |name: &str| {
        let found = request.headers().iter().find(|one| one.field.to_string().eq_ignore_ascii_case(name));
        found.map(|one| one.value.to_string()).unwrap_or_default()
    };
    let authorization = header("authorization");
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.asked.push(format!("{method} {url}"));
    assert!(!header("user-agent").is_empty(), "GitHub refuses requests without a User-Agent");
    let mood = if url.starts_with("/api/v3/") { state.mood } else { Mood::Fine };
    let made = match mood {
        Mood::Fine => route(own, &mut state, description, &method, &url, &authorization, &body),
        Mood::Failing => reply(500, &json!({"message": "Server Error"})),
        Mood::Garbage => Reply { body: "<html>unicorn</html>".to_owned(), ..reply(200, &Value::Null) },
        Mood::Truncated => return truncated(request),
        Mood::Silent => return drop(request.into_writer()),
        Mood::RedirectsAway => Reply {
            headers: vec![("Location", "http://localhost:1/api/v3/user".to_owned())],
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
        Mood::SingleSignOn => Reply {
            headers: vec![(
                "X-GitHub-SSO",
                "required; url=https://github.example/orgs/acme/sso?a=1".to_owned(),
            )],
            ..reply(403, &json!({"message": "Resource protected by organization SAML enforcement."}))
        },
    };
    drop(state);
    let mut response = Response::from_string(made.body).with_status_code(made.status);
    for (name, value) in made.headers {
        response.add_header(Header::from_bytes(name, value).expect("headers are plain"));
    }
    let _ = request.respond(response);
}

/// Announces more than it sends.
fn truncated(request: Request) {
    let mut writer = request.into_writer();
    let _ = writer.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: application/json\r\n\r\n{\"id\":",
    );
    let _ = writer.flush();
}

fn route(
    own: &str,
    state: &mut State,
    description: &Description,
    method: &Method,
    url: &str,
    authorization: &str,
    body: &str,
) -> Reply {
    if let Some(query) = url.strip_prefix("/login/oauth/authorize?") {
        let fields = fields(query);
        let back = match state.visitor.clone() {
            Some(login) => agree(state, &fields, &login),
            None => format!("{}?error=access_denied&state={}", fields["redirect_uri"], fields["state"]),
        };
        return Reply { headers: vec![("Location", back)], ..reply(302, &Value::Null) };
    }
    if url == "/login/oauth/access_token" {
        return exchange(state, body);
    }
    let not_found =
        || reply(404, &json!({"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}));
    let Some(path) = url.strip_prefix("/api/v3") else { return not_found() };
    if *method == Method::Post && path == format!("/applications/{}/token", CLIENT.0) {
        let body: Value = serde_json::from_str(body).expect("JSON");
        let asked = body["access_token"].as_str().unwrap_or_default();
        let ours = state.tokens.get(asked).is_some_and(|token| token.ours);
        let known = json!({ "id": 1, "token": asked });
        return if ours { reply(200, &description.made("authorization", &known)) } else { not_found() };
    }
    let token = authorization.strip_prefix("Bearer ").and_then(|token| state.tokens.get(token));
    let Some(token) = token else { return reply(401, &json!({"message": "Bad credentials"})) };
    let (login, id) = (token.login.clone(), state.users[&token.login]);
    let sees = |repo: &Repo| {
        let within = token.only.is_empty() || token.only.contains(&repo.id);
        !repo.private || (within && repo.roles.contains_key(&login))
    };
    let parts: Vec<&str> =
        path.split('?').next().unwrap_or_default().trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["user"] => {
            let avatar = format!("{own}/avatars/{id}");
            reply(
                200,
                &description.made(
                    "private-user",
                    &json!({"id": id, "login": login, "avatar_url": avatar, "email": null}),
                ),
            )
        }
        ["user", "repos"] => {
            let page = fields(path.split_once('?').map_or("", |(_, query)| query))
                .get("page")
                .map_or(1, |page| page.parse().expect("a number"));
            let mine: Vec<_> =
                state.repos.iter().filter(|repo| repo.roles.contains_key(&login) && sees(repo)).collect();
            // Two on a page, whatever was asked for: paging is what the test is about.
            let shown: Vec<_> = mine
                .iter()
                .skip((page - 1) * 2)
                .take(2)
                .map(|repo| described(description, "repository", repo, &login))
                .collect();
            let mut list = reply(200, &Value::Array(shown));
            if mine.len() > page * 2 {
                list.headers.push((
                    "Link",
                    format!("<{own}/api/v3/user/repos?per_page=2&page={}>; rel=\"next\"", page + 1),
                ));
            }
            list
        }
        ["repos", owner, name] => {
            let wanted = format!("{owner}/{name}").to_lowercase();
            let found = state.repos.iter().find(|repo| repo.name.to_lowercase() == wanted);
            match (found, state.former.get(&wanted)) {
                (Some(repo), _) if sees(repo) => {
                    reply(200, &described(description, "full-repository", repo, &login))
                }
                (None, Some(id)) => Reply {
                    headers: vec![("Location", format!("{own}/api/v3/repositories/{id}"))],
                    ..reply(
                        301,
                        &json!({"message": "Moved Permanently", "url": format!("{own}/api/v3/repositories/{id}")}),
                    )
                },
                _ => not_found(),
            }
        }
        ["repositories", id] => {
            let found = state.repos.iter().find(|repo| repo.id.to_string() == *id && sees(repo));
            found.map_or_else(not_found, |repo| {
                reply(200, &described(description, "full-repository", repo, &login))
            })
        }
        _ => not_found(),
    }
}

fn described(description: &Description, schema: &str, repo: &Repo, login: &str) -> Value {
    let ranks = ["pull", "triage", "push", "maintain", "admin"];
    let rank = match repo.roles.get(login).copied() {
        None if repo.private => 0,
        None | Some("read") => 1,
        Some("triage") => 2,
        Some("write") => 3,
        Some("maintain") => 4,
        _ => 5,
    };
    let permissions: Map<String, Value> =
        ranks.iter().enumerate().map(|(at, name)| ((*name).to_owned(), json!(at < rank))).collect();
    let owner = repo.name.split('/').next().unwrap_or_default();
    let mut made = description.made(
        schema,
        &json!({"id": repo.id, "full_name": repo.name, "private": repo.private, "permissions": permissions}),
    );
    made["owner"]["login"] = json!(owner);
    made
}

/// The token endpoint; its errors come with status 200.
fn exchange(state: &mut State, body: &str) -> Reply {
    let fields = fields(body);
    let failed = |error: &str| {
        reply(
            200,
            &json!({"error": error, "error_description": "secret-looking text", "error_uri": "https://docs.github.com"}),
        )
    };
    if (fields["client_id"].as_str(), fields["client_secret"].as_str()) != CLIENT {
        return failed("incorrect_client_credentials");
    }
    if let Some(error) = state.token_error.take() {
        return failed(error);
    }
    let login = if fields.get("grant_type").map(String::as_str) == Some("refresh_token") {
        match state.refreshes.remove(&fields["refresh_token"]) {
            Some(login) => login,
            None => return failed("bad_refresh_token"),
        }
    } else {
        let Some((login, challenge)) = state.codes.remove(&fields["code"]) else {
            return failed("bad_verification_code");
        };
        assert_eq!(
            challenge_of(&fields["code_verifier"]),
            challenge,
            "the verifier belongs to the challenge"
        );
        login
    };
    state.issued += 1;
    let token = format!("ghu_issued{}", state.issued);
    state.tokens.insert(token.clone(), Token { login: login.clone(), only: Vec::new(), ours: true });
    let mut answer = json!({"access_token": token, "token_type": "bearer", "scope": ""});
    if let Some(secs) = state.expires_in {
        let refresh = format!("ghr_issued{}", state.issued);
        answer["expires_in"] = json!(secs);
        answer["refresh_token"] = json!(refresh);
        answer["refresh_token_expires_in"] = json!(15_811_200);
        state.refreshes.insert(refresh, login);
    }
    reply(200, &answer)
}

fn challenge_of(verifier: &str) -> String {
    keywayd::crypto::digest::pkce_challenge(&keywayd::base::SecretText::new(verifier.to_owned()))
}

/// The fields of a query or a form.
fn fields(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex: String =
                    [bytes.next(), bytes.next()].into_iter().flatten().map(char::from).collect();
                out.push(u8::from_str_radix(&hex, 16).expect("percent-encoding"));
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).expect("UTF-8")
}

/// GitHub's own description of its API, if it is here.
struct Description(Option<Value>);

impl Description {
    fn find() -> Self {
        #[expect(clippy::disallowed_methods, reason = "where the tests find what they are held to")]
        let directory = std::env::var_os("KEYWAYD_API_DESCRIPTIONS");
        let Some(directory) = directory else {
            super::skipped(
                "GitHub's answers are not held to its API description: `KEYWAYD_API_DESCRIPTIONS` is not set",
            );
            return Self(None);
        };
        let file = PathBuf::from(directory).join("github.openapi.json");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self(Some(serde_json::from_str(&text).expect("it is JSON")))
    }

    /// An object of the schema `name` with these members.
    fn made(&self, name: &str, members: &Value) -> Value {
        let mut made = match &self.0 {
            Some(all) => sample(all, &all["components"]["schemas"][name], 0),
            None => json!({"owner": {}}),
        };
        for (member, value) in members.as_object().expect("members") {
            if let Some(all) = &self.0 {
                let described = resolve(all, &all["components"]["schemas"][name]["properties"][member]);
                assert!(!described.is_null(), "GitHub's `{name}` has no `{member}`");
                assert!(fits(described, value), "`{name}.{member}` is described as {described}, not {value}");
            }
            made[member] = value.clone();
        }
        made
    }
}

fn resolve<'a>(all: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let path = reference.strip_prefix('#').expect("references stay in the file");
            resolve(all, all.pointer(path).unwrap_or(&Value::Null))
        }
        None => schema,
    }
}

fn fits(schema: &Value, value: &Value) -> bool {
    match (schema["type"].as_str(), value) {
        (_, Value::Null) => schema["nullable"] == true,
        (Some("integer"), value) => value.is_u64(),
        (Some("boolean"), value) => value.is_boolean(),
        (Some("string"), value) => value.is_string(),
        (Some("array"), value) => value.is_array(),
        (Some("object"), value) => value.is_object(),
        _ => true,
    }
}

/// Something of the described shape: every required member is there.
fn sample(all: &Value, schema: &Value, depth: usize) -> Value {
    let schema = resolve(all, schema);
    if depth > 8 || schema["nullable"] == true {
        return Value::Null;
    }
    for choice in ["allOf", "anyOf", "oneOf"] {
        if let Some(first) = schema[choice].get(0) {
            return sample(all, first, depth + 1);
        }
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("string") => json!("text"),
        _ => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let member = |name: &Value| {
                let name = name.as_str().unwrap_or_default();
                (name.to_owned(), sample(all, &schema["properties"][name], depth + 1))
            };
            Value::Object(required.iter().map(member).collect())
        }
    }
}
