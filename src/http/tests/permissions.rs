//! Role × environment type × override × route. The routes come from the table that
//! serves: one without a rule here fails the test. What is expected is worked out here
//! from the rules as they are documented, apart from the code that is tested.

use super::*;
use crate::base::Role;
use crate::domain::operator::AccountSummary;
use std::collections::BTreeSet;

/// What a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Any role on the repository.
    Role,
    /// Reading the environment.
    Read,
    /// Writing the environment.
    Write,
    /// Carrying values of the environment elsewhere: the role write, and reading it.
    PushOut,
    /// Taking values from elsewhere into it: the role write, and writing it.
    PullIn,
    /// The role admin.
    Admin,
}

/// Resources that belong to no vault; their own tests look after them.
const ELSEWHERE: &[&str] = &[
    "/health",
    "/v1/health",
    "/ready",
    "/v1/openapi.json",
    "/v1/users/",
    "/v1/api-keys",
    "/v1/github/",
    "/v1/auth/",
    "/v1/integrations/connections",
    "/v1/integrations/providers/",
    "/v1/integrations/{provider}/",
];

/// Lists over all vaults: everybody gets an answer, with what they may see.
pub(super) const LISTS: &[&str] = &["GET /v1/vaults", "GET /v1/trash/vaults"];

/// An environment and a place at the service that is played, for the calls that name them.
const STATUS: &str = "?connectionId=<connection>&projectId=p1&environment=staging";
const PLACE: &str = "?connectionId=<connection>&projectId=p1&keywayEnvironment=staging";
const PUSH: &str = r#"{"connectionId":"<connection>","projectId":"p1","keywayEnvironment":"staging"}"#;
const PULL: &str =
    r#"{"connectionId":"<connection>","projectId":"p1","keywayEnvironment":"staging","direction":"pull"}"#;

/// Every call about a vault and a connection, made before the others.
const SYNC_RULES: &[(&str, Need, &str, &str, u16)] = &[
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/status", Need::Read, STATUS, "", 200),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/diff", Need::Read, PLACE, "", 200),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/preview", Need::Read, PLACE, "", 200),
    ("POST /v1/integrations/vaults/{owner}/{repo}/sync/link", Need::PushOut, "", PUSH, 200),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/links", Need::Role, "", "", 200),
    ("POST /v1/integrations/vaults/{owner}/{repo}/sync", Need::PushOut, "", PUSH, 200),
    ("POST /v1/integrations/vaults/{owner}/{repo}/sync", Need::PullIn, "", PULL, 200),
];

/// Every call on a vault, in an order in which all succeed for somebody who may do
/// everything. `<…>` stands for what the fixture made.
pub(super) const RULES: &[(&str, Need, &str, &str, u16)] = &[
    ("GET /v1/vaults/{owner}/{repo}", Need::Role, "", "", 200),
    ("GET /v1/vaults/{owner}/{repo}/environments", Need::Role, "", "", 200),
    ("GET /v1/vaults/{owner}/{repo}/permissions/effective", Need::Role, "", "", 200),
    ("GET /v1/vaults/{owner}/{repo}/secrets", Need::Read, "?environment=staging", "", 200),
    ("GET /v1/vaults/{owner}/{repo}/secrets/{id}/value", Need::Read, "<A>", "", 200),
    ("GET /v1/vaults/{owner}/{repo}/secrets/{id}/versions", Need::Read, "<A>", "", 200),
    (
        "GET /v1/vaults/{owner}/{repo}/secrets/{id}/versions/{version}/value",
        Need::Read,
        "<A>,<version>",
        "",
        200,
    ),
    ("GET /v1/vaults/{owner}/{repo}/environments/{name}/revisions", Need::Read, "staging", "", 200),
    ("GET /v1/vaults/{owner}/{repo}/trash", Need::Role, "", "", 200),
    ("GET /v1/secrets/pull", Need::Read, "?repo=<repo>&environment=staging", "", 200),
    ("GET /v1/secrets/view", Need::Read, "?repo=<repo>&environment=staging&key=A", "", 200),
    ("PATCH /v1/vaults/{owner}/{repo}/secrets/{id}", Need::Write, "<A>", r#"{"value":"new"}"#, 200),
    (
        "POST /v1/vaults/{owner}/{repo}/secrets/{id}/versions/{version}/restore",
        Need::Write,
        "<A>,<version>",
        "",
        200,
    ),
    (
        "POST /v1/vaults/{owner}/{repo}/environments/{name}/revisions/{id}/restore",
        Need::Write,
        "staging,<revision>",
        "",
        200,
    ),
    ("POST /v1/vaults/{owner}/{repo}/trash/{id}/restore", Need::Write, "<gone>", "", 200),
    (
        "POST /v1/vaults/{owner}/{repo}/secrets",
        Need::Write,
        "",
        r#"{"key":"NEW","value":"1","environment":"staging"}"#,
        201,
    ),
    ("DELETE /v1/vaults/{owner}/{repo}/secrets/{id}", Need::Write, "<A>", "", 204),
    (
        "POST /v1/secrets/push",
        Need::Write,
        "",
        r#"{"repoFullName":"<repo>","environment":"staging","secrets":{"X":"1"}}"#,
        200,
    ),
    ("GET /v1/activity", Need::Admin, "?repo=<repo>", "", 200),
    ("GET /v1/vaults/{owner}/{repo}/permissions/overrides", Need::Admin, "", "", 200),
    (
        "POST /v1/vaults/{owner}/{repo}/permissions/overrides",
        Need::Admin,
        "",
        r#"{"environment":"local","targetType":"role","targetRole":"write","canRead":true,"canWrite":false}"#,
        201,
    ),
    (
        "PUT /v1/vaults/{owner}/{repo}/permissions/overrides/{id}",
        Need::Admin,
        "<override>",
        r#"{"canRead":true,"canWrite":true}"#,
        200,
    ),
    ("DELETE /v1/vaults/{owner}/{repo}/permissions/overrides/{id}", Need::Admin, "<override>", "", 204),
    ("DELETE /v1/vaults/{owner}/{repo}/trash/{id}", Need::Admin, "<purged>", "", 204),
    ("DELETE /v1/vaults/{owner}/{repo}/trash", Need::Admin, "", "", 200),
    ("GET /v1/vaults/{owner}/{repo}/trash/environments", Need::Admin, "", "", 200),
    ("POST /v1/vaults/{owner}/{repo}/trash/environments/{id}/restore", Need::Admin, "<spare>", "", 200),
    ("DELETE /v1/vaults/{owner}/{repo}/trash/environments/{id}", Need::Admin, "<surplus>", "", 204),
    ("POST /v1/vaults/{owner}/{repo}/environments", Need::Admin, "", r#"{"name":"preview"}"#, 201),
    (
        "PATCH /v1/vaults/{owner}/{repo}/environments/{name}",
        Need::Admin,
        "production",
        r#"{"newName":"live"}"#,
        200,
    ),
    (
        "PATCH /v1/vaults/{owner}/{repo}/environments/{name}/type",
        Need::Admin,
        "local",
        r#"{"type":"protected"}"#,
        200,
    ),
    ("DELETE /v1/vaults/{owner}/{repo}/environments/{name}", Need::Admin, "local", "", 200),
    ("DELETE /v1/vaults/{owner}/{repo}", Need::Admin, "", "", 204),
    ("POST /v1/trash/vaults/{id}/restore", Need::Admin, "<vault>", "", 200),
    ("DELETE /v1/trash/vaults/{id}", Need::Admin, "<vault>", "", 204),
    ("POST /v1/vaults", Need::Admin, "", r#"{"repoFullName":"<repo>"}"#, 201),
];

#[test]
fn every_route_has_a_rule() {
    let routes = super::super::routes().iter().copied().flatten();
    let served: BTreeSet<String> = routes
        .filter(|route| !ELSEWHERE.iter().any(|start| route.path.starts_with(start)))
        .map(|route| format!("{} {}", route.verb.as_str(), route.path))
        // The services there are, for everybody.
        .filter(|call| !LISTS.contains(&call.as_str()) && call != "GET /v1/integrations")
        .collect();
    let ruled: BTreeSet<String> = SYNC_RULES.iter().chain(RULES).map(|rule| rule.0.to_owned()).collect();
    assert_eq!(served, ruled);
}

#[test]
fn the_table_of_routes_says_the_roles_of_the_rules() {
    for route in super::super::routes().iter().copied().flatten() {
        let call = format!("{} {}", route.verb.as_str(), route.path);
        let Some((_, need, ..)) = SYNC_RULES.iter().chain(RULES).find(|rule| rule.0 == call) else {
            continue;
        };
        let least = match need {
            Need::Role | Need::Read => Some(Role::Read),
            Need::Write | Need::PushOut | Need::PullIn => Some(Role::Write),
            // One's own activity takes no role.
            Need::Admin if call == "GET /v1/activity" => None,
            Need::Admin => Some(Role::Admin),
        };
        assert_eq!(route.role, least, "{call}");
    }
}

/// An override: whom it is for, and what it allows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    User(bool, bool),
    Role(bool, bool),
    OtherRole(bool, bool),
}

const OVERRIDES: &[&[Rule]] = &[
    &[],
    &[Rule::User(false, false)],
    &[Rule::User(true, false)],
    &[Rule::User(true, true)],
    &[Rule::Role(false, false)],
    &[Rule::Role(true, false)],
    &[Rule::Role(true, true)],
    &[Rule::OtherRole(false, false)],
    &[Rule::OtherRole(true, true)],
    &[Rule::User(false, false), Rule::Role(true, true)],
    &[Rule::User(true, true), Rule::Role(false, false)],
];

/// What the documents say: user beats role beats environment type beats the role table.
fn rights(role: Role, kind: &str, rules: &[Rule]) -> (bool, bool) {
    for rule in rules {
        if let Rule::User(can_read, can_write) = rule {
            return (*can_read, *can_write);
        }
    }
    for rule in rules {
        if let Rule::Role(can_read, can_write) = rule {
            return (*can_read, *can_write);
        }
    }
    if kind == "protected" { (role >= Role::Write, role >= Role::Admin) } else { (true, role >= Role::Write) }
}

/// The account that calls, and the vault it calls upon.
pub(super) struct Fixture<'s> {
    server: &'s Server,
    services: &'s Services,
    carol: &'s str,
    /// Her connection to the service that is played.
    connection: &'s str,
    repo: String,
    pub(super) made: Vec<(&'static str, String)>,
}

impl<'s> Fixture<'s> {
    pub(super) fn new(server: &'s Server, services: &'s Services, carol: &'s str, repo: &str) -> Self {
        Self { server, services, carol, connection: "", repo: repo.to_owned(), made: Vec::new() }
    }

    /// By the administrator, who may do everything.
    async fn prepare(&self, call: &str, body: Value) -> Value {
        let body = (!body.is_null()).then_some(body);
        let line = self.filled(call);
        let reply = self.server.call(&line, "", body).await;
        assert!(reply.status() < 300, "{line}: {}", reply.0);
        if reply.status() == 204 { Value::Null } else { reply.json()["data"].clone() }
    }

    pub(super) async fn make(
        &mut self,
        kind: &str,
        rules: &[Rule],
        role: Option<Role>,
        carol_id: &str,
        alice_id: &str,
    ) {
        let vault = self.prepare("POST /v1/vaults", json!({"repoFullName": self.repo})).await;
        self.made = vec![
            ("<vault>", vault["vaultId"].as_str().unwrap().to_owned()),
            ("<connection>", self.connection.to_owned()),
        ];
        for secrets in [json!({"A": "1", "B": "1", "C": "1"}), json!({"A": "2"})] {
            let push = json!({"repoFullName": self.repo, "environment": "staging", "secrets": secrets});
            self.prepare("POST /v1/secrets/push", push).await;
        }
        for name in ["spare", "surplus"] {
            self.prepare("POST /v1/vaults/<repo>/environments", json!({"name": name})).await;
            self.prepare(&format!("DELETE /v1/vaults/<repo>/environments/{name}"), Value::Null).await;
        }
        self.prepare("PATCH /v1/vaults/<repo>/environments/staging/type", json!({"type": kind})).await;
        let post = "POST /v1/vaults/<repo>/permissions/overrides";
        let over = |environment: &str, target: Value, can_read: bool, can_write: bool| {
            let mut over = json!({"environment": environment, "canRead": can_read, "canWrite": can_write});
            over.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
            over
        };
        let user = |id: &str| json!({"targetType": "user", "targetUserId": id});
        let for_role = |role: Role| json!({"targetType": "role", "targetRole": role});
        // Whatever else is made, one admin keeps access.
        self.prepare(post, over("staging", user(alice_id), true, true)).await;
        let spare = self.prepare(post, over("local", for_role(Role::Triage), false, false)).await;
        for rule in rules {
            let role = role.unwrap_or(Role::Read);
            let other = if role == Role::Triage { Role::Maintain } else { Role::Triage };
            let rule = match *rule {
                Rule::User(can_read, can_write) => over("staging", user(carol_id), can_read, can_write),
                Rule::Role(can_read, can_write) => over("staging", for_role(role), can_read, can_write),
                Rule::OtherRole(can_read, can_write) => over("staging", for_role(other), can_read, can_write),
            };
            self.prepare(post, rule).await;
        }
        let id_of = |list: &Value, member: &str, name: &str| {
            let found = list.as_array().unwrap().iter().find(|item| item[member] == name);
            found.unwrap_or_else(|| panic!("{name} in {list}"))["id"].as_str().unwrap().to_owned()
        };
        let secrets = self.prepare("GET /v1/vaults/<repo>/secrets", Value::Null).await;
        let trash = self.prepare("GET /v1/vaults/<repo>/trash", Value::Null).await;
        let environments = self.prepare("GET /v1/vaults/<repo>/trash/environments", Value::Null).await;
        let revisions =
            self.prepare("GET /v1/vaults/<repo>/environments/staging/revisions", Value::Null).await;
        self.made.extend([
            ("<A>", id_of(&secrets, "key", "A")),
            ("<gone>", id_of(&trash, "key", "B")),
            ("<purged>", id_of(&trash, "key", "C")),
            ("<spare>", id_of(&environments, "environment", "spare")),
            ("<surplus>", id_of(&environments, "environment", "surplus")),
            ("<override>", spare["id"].as_str().unwrap().to_owned()),
            ("<revision>", revisions[0]["id"].as_str().unwrap().to_owned()),
        ]);
        let versions = self.prepare("GET /v1/vaults/<repo>/secrets/<A>/versions", Value::Null).await;
        self.made.push(("<version>", versions["versions"][0]["id"].as_str().unwrap().to_owned()));
    }

    fn filled(&self, text: &str) -> String {
        let text = text.replace("<repo>", &self.repo);
        self.made.iter().fold(text, |text, (mark, id)| text.replace(mark, id))
    }

    /// The request line and body of a rule's call.
    pub(super) fn request(&self, call: &str, place: &str, body: &str) -> (String, String) {
        let (query, parameters) = if place.starts_with('?') { (place, "") } else { ("", place) };
        let mut line = call.replace("{owner}/{repo}", &self.repo);
        for parameter in parameters.split(',').filter(|parameter| !parameter.is_empty()) {
            let (start, end) = (line.find('{').unwrap(), line.find('}').unwrap());
            line.replace_range(start..=end, parameter);
        }
        (self.filled(&(line + query)), self.filled(body))
    }

    async fn ask(&self, line: &str, body: &str) -> Reply {
        let (token, length) = (self.carol, body.len());
        let head =
            format!("{line} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        self.server.ask(&format!("{head}Content-Length: {length}\r\n\r\n{body}")).await
    }

    /// Makes every call and compares.
    async fn check(&self, role: Option<Role>, (can_read, can_write): (bool, bool), case: &str) {
        for &(call, need, place, body, success) in SYNC_RULES.iter().chain(RULES) {
            match call {
                // It can be in the trash only if it is put there, by the administrator at the latest.
                "POST /v1/trash/vaults/{id}/restore" | "DELETE /v1/trash/vaults/{id}" => {
                    self.server.call(&self.filled("DELETE /v1/vaults/<repo>"), "", None).await;
                }
                "POST /v1/vaults" if role != Some(Role::Admin) => continue,
                _ => {}
            }
            let (line, body) = self.request(call, place, body);
            let reply = self.ask(&line, &body).await;
            let expected = match (role, need) {
                (None, _) => 404,
                (Some(_), Need::Role) => success,
                (Some(_), Need::Read) if can_read => success,
                (Some(_), Need::Write) if can_write => success,
                (Some(role), Need::PushOut) if role >= Role::Write && can_read => success,
                (Some(role), Need::PullIn) if role >= Role::Write && can_write => success,
                (Some(Role::Admin), Need::Admin) => success,
                (Some(_), _) => 403,
            };
            assert_eq!(reply.status(), expected, "{case}: {line}\n{}", reply.0);
            if call == "GET /v1/vaults/{owner}/{repo}/trash" && expected == 200 {
                let shown = reply.json()["data"].as_array().unwrap().len();
                assert_eq!(shown, if can_read { 2 } else { 0 }, "{case}: {line}");
            }
            if call == "GET /v1/vaults/{owner}/{repo}/permissions/effective" && expected == 200 {
                let effective = reply.json()["data"]["permissions"]["staging"].clone();
                assert_eq!(effective, json!({"canRead": can_read, "canWrite": can_write}), "{case}: {line}");
            }
        }
    }

    async fn lists(&self, role: Option<Role>, case: &str) {
        let listed = self.ask("GET /v1/vaults?limit=100", "").await.json();
        let shown = listed["data"].as_array().unwrap().iter().any(|vault| vault["repoFullName"] == self.repo);
        assert_eq!(shown, role.is_some(), "{case}");
    }
}

#[tokio::test]
async fn every_call_takes_exactly_the_rights_it_should() {
    let services = play::services();
    let server = Server::of(front_of(HttpSettings::new("https://keyway.example"), services.clone())).await;
    let account = AccountName::parse("carol").unwrap();
    let token = add(&services, &account, &Scope::ALL).await;
    let accounts: Vec<AccountSummary> = services.accounts().await.unwrap();
    assert_eq!(accounts.len(), 2);
    let (_, alice) = server.data("GET /v1/users/me", None).await;
    let me = server.ask(&format!("GET /v1/users/me HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
    let (alice, carol_id) =
        (alice["id"].as_str().unwrap(), me.json()["data"]["id"].as_str().unwrap().to_owned());
    let connection = connect(&server, &token).await;
    let mut number = 0;
    for role in [None].into_iter().chain(Role::ALL.map(Some)) {
        for kind in ["standard", "development", "protected"] {
            for rules in OVERRIDES {
                number += 1;
                let repo = format!("acme/case-{number}");
                let case = format!("{role:?}, {kind}, {rules:?}");
                let mut fixture = Fixture::new(&server, &services, &token, &repo);
                fixture.connection = &connection;
                fixture.make(kind, rules, role, &carol_id, alice).await;
                if let Some(role) = role {
                    let name = crate::base::RepoName::parse(&fixture.repo).unwrap();
                    fixture.services.grant_role(name, account.clone(), role).await.unwrap();
                }
                fixture.lists(role, &case).await;
                let rights = role.map_or((false, false), |role| rights(role, kind, rules));
                fixture.check(role, rights, &case).await;
            }
        }
    }
}

/// Adds an account, with a key that may do `scopes`.
async fn add(services: &Services, name: &AccountName, scopes: &[Scope]) -> String {
    services.add_account(name.clone(), false, None).await.unwrap();
    key(services, name, scopes).await
}

/// Connects the account of `token` with the service that is played.
async fn connect(server: &Server, token: &str) -> String {
    let body = r#"{"token":"good"}"#;
    assert_eq!(server.ask_as(token, "POST /v1/integrations/play/connect", body).await.status(), 200);
    let all = server.ask_as(token, "GET /v1/integrations/connections", "").await.json();
    all["data"]["connections"][0]["id"].as_str().unwrap().to_owned()
}

/// Calls about connections: which, with which body, the scope they take, and the answer
/// to somebody else than the owner.
const CONNECTIONS: &[(&str, &str, Scope, u16)] = &[
    ("GET /v1/integrations/connections", "", Scope::ReadSecrets, 200),
    ("GET /v1/integrations/connections/{id}/projects", "", Scope::ReadSecrets, 404),
    ("GET /v1/integrations/providers/{provider}/all-projects", "", Scope::ReadSecrets, 200),
    ("POST /v1/integrations/{provider}/connect", r#"{"token":"good"}"#, Scope::WriteSecrets, 200),
    ("DELETE /v1/integrations/connections/{id}", "", Scope::DeleteSecrets, 404),
];

#[test]
fn every_route_about_connections_has_a_rule() {
    let routes = super::super::routes().iter().copied().flatten();
    let about = |path: &str| path.starts_with("/v1/integrations/") && !path.contains("/vaults/");
    let served: BTreeSet<String> = routes
        .filter(|route| about(route.path))
        .map(|route| format!("{} {}", route.verb.as_str(), route.path))
        .collect();
    let ruled: BTreeSet<String> = CONNECTIONS.iter().map(|rule| rule.0.to_owned()).collect();
    assert_eq!(served, ruled);
}

#[tokio::test]
async fn a_connection_is_there_for_its_owner_alone() {
    let services = play::services();
    let server = Server::of(front_of(HttpSettings::new("https://keyway.example"), services.clone())).await;
    let (carol, dave) = (AccountName::parse("carol").unwrap(), AccountName::parse("dave").unwrap());
    let token = add(&services, &carol, &Scope::ALL).await;
    let other = add(&services, &dave, &Scope::ALL).await;
    let connection = connect(&server, &token).await;
    for &(call, body, scope, to_others) in CONNECTIONS {
        let line = call.replace("{id}", &connection).replace("{provider}", "play");
        assert_eq!(server.ask_as("", &line, body).await.status(), 401, "{line}");
        let reply = server.ask_as(&other, &line, body).await;
        assert_eq!(reply.status(), to_others, "{line}");
        assert!(!reply.0.contains(&connection) || to_others == 404, "{line}: {}", reply.0);
        let rest: Vec<Scope> = Scope::ALL.into_iter().filter(|one| *one != scope).collect();
        let lacking = key(&services, &carol, &rest).await;
        assert_eq!(server.ask_as(&lacking, &line, body).await.status(), 403, "{line}");
        let enough = key(&services, &carol, &[scope]).await;
        let status = server.ask_as(&enough, &line, body).await.status();
        assert_eq!(status, if call.starts_with("DELETE") { 204 } else { 200 }, "{line}");
    }
    // What was connected by others is not theirs to use on vaults of their own either.
    let mine = connect(&server, &token).await;
    let vault = r#"{"repoFullName":"dave/app"}"#;
    assert_eq!(server.ask_as(&other, "POST /v1/vaults", vault).await.status(), 201);
    let sync = format!(r#"{{"connectionId":"{mine}","projectId":"p1","keywayEnvironment":"staging"}}"#);
    let line = "POST /v1/integrations/vaults/dave/app/sync";
    assert_eq!(server.ask_as(&other, line, &sync).await.status(), 404);
}
