//! Every route × every kind of stranger: the documented refusal, and the same for what
//! does not exist and for what is not theirs. The routes come from the table that
//! serves: one without a rule here fails the test.

use super::permissions::{Fixture, LISTS, RULES};
use super::*;
use crate::base::{EnvironmentName, RepoName, Role, Timestamp};
use crate::domain::sign_in::PasswordSignIn;
use std::collections::BTreeSet;

/// What a route that is not about one vault does with strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Everybody may call; without a credential it is answered so.
    Open(u16),
    /// Whoever shows a credential; it is about themselves.
    Own,
    /// Something that belongs to one user.
    Thing,
    /// A vault and a connection.
    Sync,
}

use Kind::{Open, Own, Sync, Thing};

const SYNC: &str = "?connectionId=<id>&projectId=p";
const SYNC_BODY: &str = r#"{"connectionId":"<id>","projectId":"p","providerEnvironment":"production"}"#;

/// Every route that has no rule of its own where rights on vaults are tested. `<id>`
/// stands for the id of something of Alice's, or of nothing.
const OTHERS: &[(&str, Kind, &str, &str)] = &[
    ("GET /health", Open(200), "", ""),
    ("GET /v1/health", Open(200), "", ""),
    ("GET /ready", Open(200), "", ""),
    ("GET /v1/openapi.json", Open(200), "", ""),
    ("POST /v1/auth/device/start", Open(200), "", ""),
    ("POST /v1/auth/device/poll", Open(200), "", r#"{"deviceCode":"<id>"}"#),
    ("POST /v1/auth/token/exchange", Open(401), "", r#"{"code":"<id>"}"#),
    ("POST /v1/auth/logout", Open(200), "", ""),
    ("POST /v1/auth/token/validate", Own, "", ""),
    ("GET /v1/users/me", Own, "", ""),
    ("GET /v1/users/me/usage", Own, "", ""),
    ("GET /v1/vaults", Own, "", ""),
    ("GET /v1/trash/vaults", Own, "", ""),
    ("GET /v1/api-keys", Own, "", ""),
    ("POST /v1/api-keys", Own, "", r#"{"name":"","environment":"test","scopes":["read:secrets"]}"#),
    ("GET /v1/api-keys/{id}", Thing, "<id>", ""),
    ("DELETE /v1/api-keys/{id}", Thing, "<id>", ""),
    ("GET /v1/github/repo-ids", Open(200), "?repo=acme/app", ""),
    ("POST /v1/github/check-installation", Own, "", r#"{"repoOwner":"acme","repoName":"app"}"#),
    ("POST /v1/github/webhook", Open(404), "", "{}"),
    ("GET /v1/integrations", Open(200), "", ""),
    ("GET /v1/integrations/connections", Own, "", ""),
    ("DELETE /v1/integrations/connections/{id}", Thing, "<id>", ""),
    ("GET /v1/integrations/connections/{id}/projects", Thing, "<id>", ""),
    ("GET /v1/integrations/providers/{provider}/all-projects", Own, "vercel", ""),
    ("POST /v1/integrations/{provider}/connect", Own, "vercel", r#"{"token":"x"}"#),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/status", Sync, SYNC, ""),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/links", Sync, "", ""),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/diff", Sync, SYNC, ""),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/preview", Sync, SYNC, ""),
    ("POST /v1/integrations/vaults/{owner}/{repo}/sync", Sync, "", SYNC_BODY),
    ("POST /v1/integrations/vaults/{owner}/{repo}/sync/link", Sync, "", SYNC_BODY),
];

fn routes() -> impl Iterator<Item = (String, &'static Route)> {
    let all = super::super::routes().iter().copied().flatten();
    all.map(|route| (format!("{} {}", route.verb.as_str(), route.path), route))
}

#[test]
fn every_route_has_a_rule_for_strangers() {
    let served: BTreeSet<String> = routes().map(|(call, _)| call).collect();
    let ruled: Vec<&str> = OTHERS.iter().map(|rule| rule.0).chain(RULES.iter().map(|rule| rule.0)).collect();
    assert_eq!(served, ruled.iter().map(|call| (*call).to_owned()).collect());
    assert_eq!(served.len(), ruled.len(), "one rule each");
    assert!(LISTS.iter().all(|list| OTHERS.iter().any(|rule| rule.0 == *list && rule.1 == Own)));
}

#[test]
fn only_what_is_meant_for_everybody_asks_for_no_credential() {
    for (call, route) in routes() {
        let meant = OTHERS.iter().any(|rule| rule.0 == call && matches!(rule.1, Open(_)));
        assert_eq!(route.auth == Auth::None, meant, "{call}");
    }
}

const THERE: &str = "acme/there";
const GHOST: &str = "acme/ghost";
const NOTHING: &str = "018f3a52-0000-7000-8000-000000000000";

/// Alice's appliance, with a vault, and the credentials of strangers.
struct World {
    server: Server,
    services: Services,
    /// A key and a vault in the trash, both Alice's.
    key: String,
    trashed: String,
    made: Vec<(&'static str, String)>,
}

fn unlimited() -> NewApiKey {
    NewApiKey::unlimited("stranger", Scope::ALL.into_iter().collect())
}

impl World {
    async fn new() -> Self {
        let front = front(|_| {});
        let services = front.services.clone();
        let server = Server::of(front).await;
        let (_, alice) = server.data("GET /v1/users/me", None).await;
        let id = alice["id"].as_str().unwrap().to_owned();
        let nobody = String::new();
        let mut fixture = Fixture::new(&server, &services, &nobody, THERE);
        fixture.make("standard", &[], None, &id, &id).await;
        let made = std::mem::take(&mut fixture.made);
        let (_, vault) = server.data("POST /v1/vaults", Some(json!({"repoFullName": "acme/gone"}))).await;
        assert_eq!(server.call("DELETE /v1/vaults/acme/gone", "", None).await.status(), 204);
        let (_, keys) = server.data("GET /v1/api-keys", None).await;
        let key = keys["keys"][0]["id"].as_str().unwrap().to_owned();
        let trashed = vault["vaultId"].as_str().unwrap().to_owned();
        Self { server, services, key, trashed, made }
    }

    async fn account(&self, name: &str) -> AccountName {
        let name = AccountName::parse(name).unwrap();
        let password = Some(crate::base::SecretText::new("correct horse".to_owned()));
        self.services.add_account(name.clone(), false, password).await.unwrap();
        name
    }

    async fn mint(&self, name: &AccountName, wanted: NewApiKey) -> String {
        mint(&self.services, name, wanted).await
    }

    /// A rule's call on what is there, and the same on what is not.
    fn calls(&self, (call, place, body): (&str, &str, &str)) -> [(String, String); 2] {
        let mut fixture = Fixture::new(&self.server, &self.services, "", THERE);
        fixture.made.clone_from(&self.made);
        // Vaults in the trash are known by their id alone.
        fixture.made.retain(|(mark, _)| *mark != "<vault>");
        let (line, body) = fixture.request(call, place, body);
        let fill = |text: &str, repo: &str, id: &str, vault: &str| {
            text.replace("<vault>", vault).replace("<id>", id).replace(THERE, repo)
        };
        [(THERE, self.key.as_str(), self.trashed.as_str()), (GHOST, NOTHING, NOTHING)]
            .map(|(repo, id, vault)| (fill(&line, repo, id, vault), fill(&body, repo, id, vault)))
    }

    /// The refusal of both calls, which must be the same but for the names in the request.
    async fn refusal(&self, calls: &[(String, String); 2], token: Option<&str>, who: &str) -> u16 {
        let mut answers = Vec::new();
        for (line, body) in calls {
            let reply = self.server.ask_as(token.unwrap_or_default(), line, body).await;
            answers.push((reply.status(), anonymous(&reply, line)));
        }
        assert_eq!(answers[0], answers[1], "{who}: {}", calls[0].0);
        answers[0].0
    }
}

/// The answer without what belongs to the request: its id, the time, and what was asked for.
fn anonymous(reply: &Reply, line: &str) -> String {
    let path = line.split([' ', '?']).nth(1).unwrap();
    let lines = reply.0.lines().filter(|line| {
        let lower = line.to_ascii_lowercase();
        !lower.starts_with("x-request-id:") && !lower.starts_with("date:")
    });
    let text = lines.collect::<Vec<_>>().join("\n").replace(path, "<path>").replace(GHOST, THERE);
    match text.split_once("\"requestId\":\"") {
        Some((head, tail)) => format!("{head}{}", tail.get(36..).unwrap_or_default()),
        None => text,
    }
}

fn rules() -> impl Iterator<Item = (&'static str, Option<Kind>, &'static str, &'static str)> {
    let vaults = RULES.iter().map(|&(call, _, place, body, _)| (call, None, place, body));
    vaults.chain(OTHERS.iter().map(|&(call, kind, place, body)| (call, Some(kind), place, body)))
}

/// Credentials that are none, or none any more.
async fn worthless(world: &World) -> Vec<(&'static str, Option<String>)> {
    let dave = world.account("dave").await;
    let mut all = vec![("no credential", None), ("nonsense", Some("hunter2".to_owned()))];
    all.push(("no such key", Some(format!("kw_live_{}", "x".repeat(40)))));
    let revoked = world.mint(&dave, unlimited()).await;
    let keys = world.server.ask_as(&revoked, "GET /v1/api-keys", "").await.json();
    let id = keys["data"]["keys"][0]["id"].as_str().unwrap().to_owned();
    let gone = world.server.ask_as(&revoked, &format!("DELETE /v1/api-keys/{id}"), "").await;
    assert_eq!(gone.status(), 204);
    all.push(("revoked", Some(revoked)));
    let soon = || crate::base::Clock::now(&SystemClock).plus(Duration::from_millis(50));
    let end: Timestamp = soon();
    let expired = world.mint(&dave, NewApiKey { expires_at: Some(end), ..unlimited() }).await;
    while crate::base::Clock::now(&SystemClock) <= end {
        tokio::task::yield_now().await;
    }
    all.push(("expired", Some(expired)));
    let elsewhere = vec!["203.0.113.0/24".parse().unwrap()];
    all.push((
        "wrong address",
        Some(world.mint(&dave, NewApiKey { allowed_ips: elsewhere, ..unlimited() }).await),
    ));
    let request_id = RequestId::from_bytes([7; 16]);
    let origin = || {
        let address = IpAddr::from([127, 0, 0, 1]);
        Origin { request_id, address, user_agent: String::new(), agent: Agent::Other }
    };
    let password = crate::base::SecretText::new("correct horse".to_owned());
    let form = PasswordSignIn { name: "dave".to_owned(), password, mark: None };
    let session = world.services.sign_in(form, origin()).await.unwrap().token;
    let text = session.expose().to_owned();
    assert_eq!(world.server.ask_as(&text, "GET /v1/users/me", "").await.status(), 200);
    world.services.sign_out(&session, origin()).await.unwrap();
    all.push(("signed out", Some(text.clone())));
    let (head, _) = text.rsplit_once('.').unwrap();
    all.push(("forged", Some(format!("{head}.{}", "A".repeat(43)))));
    let erin = world.account("erin").await;
    all.push(("disabled", Some(world.mint(&erin, unlimited()).await)));
    world.services.set_disabled(erin, true).await.unwrap();
    all
}

#[tokio::test]
async fn without_a_good_credential_nothing_is_told() {
    let world = World::new().await;
    for (who, token) in worthless(&world).await {
        for (call, kind, place, body) in rules() {
            let calls = world.calls((call, place, body));
            match kind {
                Some(Open(status)) => {
                    let (line, body) = &calls[0];
                    assert_eq!(
                        world.server.ask_as(token.as_deref().unwrap_or_default(), line, body).await.status(),
                        status,
                        "{who}: {call}"
                    );
                }
                _ => assert_eq!(world.refusal(&calls, token.as_deref(), who).await, 401, "{who}: {call}"),
            }
        }
    }
    world.is_untouched().await;
}

#[tokio::test]
async fn what_is_somebody_else_s_is_as_if_it_were_not_there() {
    let world = World::new().await;
    let carol = world.account("carol").await;
    let mut strangers = vec![("other user", world.mint(&carol, unlimited()).await)];
    // Alice's own key, for another of her repositories.
    world.server.data("POST /v1/vaults", Some(json!({"repoFullName": "acme/other"}))).await;
    let other = NewApiKey { repositories: Some(vec![RepoName::parse("acme/other").unwrap()]), ..unlimited() };
    let alice = AccountName::parse("alice").unwrap();
    strangers.push(("other repository", world.mint(&alice, other).await));
    for (who, token) in strangers {
        for (call, kind, place, body) in rules() {
            let calls = world.calls((call, place, body));
            match kind {
                // What it may not do at all, it need not ask for by name.
                None | Some(Thing)
                    if who == "other repository"
                        && (call == "POST /v1/vaults" || call.contains(" /v1/integrations/connections/")) =>
                {
                    assert_eq!(world.refusal(&calls, Some(&token), who).await, 403, "{who}: {call}");
                }
                None | Some(Sync) => {
                    assert_eq!(world.refusal(&calls, Some(&token), who).await, 404, "{who}: {call}")
                }
                // Alice's keys are Alice's, whichever of them asks.
                Some(Thing) if who == "other user" || !call.contains("api-keys") => {
                    assert_eq!(world.refusal(&calls, Some(&token), who).await, 404, "{who}: {call}");
                }
                Some(Own) => {
                    let (line, body) = &calls[0];
                    let answer = world.server.ask_as(&token, line, body).await.0;
                    assert!(
                        !answer.contains(THERE) && !answer.contains(&world.trashed),
                        "{who}: {call}: {answer}"
                    );
                    assert!(who == "other repository" || !answer.contains(&world.key), "{call}: {answer}");
                }
                Some(Open(_) | Thing) => {}
            }
        }
    }
    world.is_untouched().await;
}

#[tokio::test]
async fn a_missing_scope_is_refused_before_anything_is_looked_up() {
    let world = World::new().await;
    let alice = AccountName::parse("alice").unwrap();
    for (call, route) in routes() {
        let Auth::Scoped(scope) = route.auth else { continue };
        let scopes = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let token = world.mint(&alice, NewApiKey { scopes, ..unlimited() }).await;
        let (_, _, place, body) = rules().find(|rule| rule.0 == call).unwrap();
        let calls = world.calls((&call, place, body));
        assert_eq!(world.refusal(&calls, Some(&token), scope.as_str()).await, 403, "{call}");
        let (line, body) = &calls[0];
        let detail = world.server.ask_as(&token, line, body).await.json()["detail"].to_string();
        assert!(detail.contains(scope.as_str()), "{call}: {detail}");
    }
    world.is_untouched().await;
}

#[tokio::test]
async fn a_lower_role_is_refused_and_told_so() {
    let world = World::new().await;
    let carol = world.account("carol").await;
    let token = world.mint(&carol, unlimited()).await;
    for repo in [THERE, "acme/gone"] {
        world.services.grant_role(RepoName::parse(repo).unwrap(), carol.clone(), Role::Read).await.unwrap();
    }
    for (call, route) in routes() {
        let Some((_, _, place, body, _)) = RULES.iter().find(|rule| rule.0 == call) else { continue };
        if route.role.is_none_or(|role| role <= Role::Read) {
            continue;
        }
        let [(line, body), _] = world.calls((&call, place, body));
        let reply = world.server.ask_as(&token, &line, &body).await;
        // A vault there is already is said to be there only to those who could make it.
        assert_eq!(reply.status(), 403, "{line}: {}", reply.0);
    }
    world.is_untouched().await;
}

#[tokio::test]
async fn a_key_for_one_environment_opens_no_other() {
    let world = World::new().await;
    let alice = AccountName::parse("alice").unwrap();
    let repositories = Some(vec![RepoName::parse(THERE).unwrap()]);
    let environments = Some(vec![EnvironmentName::parse("development").unwrap()]);
    let token = world.mint(&alice, NewApiKey { repositories, environments, ..unlimited() }).await;
    for &(call, need, place, body, success) in RULES {
        let [(line, body), _] = world.calls((call, place, body));
        let reply = world.server.ask_as(&token, &line, &body).await;
        let expected: &[u16] = match need {
            super::permissions::Need::Role => &[success],
            // What is in the trash is shown to those who may restore it, and to others it is not there.
            _ if call.contains("/v1/trash/vaults/") || call.contains("/trash/{id}/restore") => &[403, 404],
            _ => &[403],
        };
        assert!(expected.contains(&reply.status()), "{line}: {}", reply.0);
        assert!(!reply.0.contains("\"content\"") && !reply.0.contains("\"value\""), "{line}: {}", reply.0);
    }
    world.is_untouched().await;
}

impl World {
    /// Whatever the strangers did, they did nothing.
    async fn is_untouched(&self) {
        let (status, vault) = self.server.data(&format!("GET /v1/vaults/{THERE}"), None).await;
        assert_eq!((status, &vault["secretCount"]), (200, &json!(1)));
        let environments = vault["environments"].clone();
        assert_eq!(environments, json!(["local", "development", "staging", "production"]));
        let pull = format!("GET /v1/secrets/pull?repo={THERE}&environment=staging");
        assert_eq!(self.server.data(&pull, None).await.1["content"], "A=2\n");
        let (_, trash) = self.server.data(&format!("GET /v1/vaults/{THERE}/trash"), None).await;
        assert_eq!(trash.as_array().unwrap().len(), 2);
        let (_, gone) = self.server.data("GET /v1/trash/vaults", None).await;
        assert_eq!(gone.as_array().unwrap().len(), 1);
        assert_eq!(self.server.data("GET /v1/users/me", None).await.0, 200);
    }
}
