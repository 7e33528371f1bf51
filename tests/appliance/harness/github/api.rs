//! What it answers: who a token's owner is, which repositories there are, and tokens for codes.

use super::description::Description;
use super::{CLIENT, Inside, Reply, Repo, State, Token, agree, reply};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use tiny_http::Method;

pub(super) fn route(
    inside: &Inside,
    state: &mut State,
    method: &Method,
    url: &str,
    authorization: &str,
    body: &str,
) -> Reply {
    let Inside { url: own, description, .. } = inside;
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
            let listed =
                |repo: &&Repo| !state.withheld.iter().any(|(_, owner)| repo.name.starts_with(owner.as_str()));
            let mine = state.repos.iter().filter(|repo| repo.roles.contains_key(&login) && sees(repo));
            let mine: Vec<_> = mine.filter(listed).collect();
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
            if !state.withheld.is_empty() {
                let numbers: Vec<_> = state.withheld.iter().map(|(id, _)| id.to_string()).collect();
                let told = format!("partial-results; organizations={}", numbers.join(","));
                list.headers.push(("X-GitHub-SSO", told));
            }
            list
        }
        ["user", "installations"] => {
            let all: Vec<_> = state
                .installed
                .iter()
                .map(|(id, owner)| {
                    let mut made = description.made("installation", &json!({ "id": id }));
                    made["account"] = json!({ "login": owner });
                    made
                })
                .collect();
            reply(200, &json!({"total_count": all.len(), "installations": all}))
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
        &json!({"id": repo.id, "full_name": repo.name, "private": repo.private, "archived": repo.archived,
            "permissions": permissions}),
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
pub(super) fn fields(text: &str) -> HashMap<String, String> {
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
