//! Roles from GitHub, asked with the caller's own token.

use crate::harness::{Appliance, Client, GitHub, Mood, Request};
use serde_json::json;

/// An appliance that asks `github`, with `more` settings.
pub(crate) fn appliance(github: &GitHub, more: &[(&str, &str)]) -> Appliance {
    let settings = github.settings();
    let mut all: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    all.extend(more);
    Appliance::start_with(&all)
}

/// Alice is admin of `acme/app` (7), Bob may write, Carol only read; `acme/site` (8) is public.
pub(crate) fn acme() -> GitHub {
    let github = GitHub::start();
    for (login, id) in [("alice", 11), ("bob", 12), ("carol", 13), ("mallory", 666)] {
        github.user(login, id);
    }
    github.repo(7, "acme/app", true, &[("alice", "admin"), ("bob", "write"), ("carol", "read")]);
    github.repo(8, "acme/site", false, &[("alice", "admin"), ("bob", "triage")]);
    for login in ["alice", "bob", "carol", "mallory"] {
        github.token(&format!("ghp_{login}"), login);
    }
    github
}

const APP: &str = "/v1/vaults/acme/app";

/// An appliance with a vault of `acme/app` that holds a secret.
pub(crate) fn filled(github: &GitHub, more: &[(&str, &str)]) -> Appliance {
    let appliance = appliance(github, more);
    let alice = appliance.client("ghp_alice");
    alice.create_vault("acme/app");
    alice.push("acme/app", "production", &json!({"KEY": "value"})).ok();
    github.asked();
    appliance
}

#[test]
fn access_to_the_repository_is_access_to_its_secrets() {
    let github = acme();
    let appliance = filled(&github, &[]);
    let by = |login: &str| appliance.client(&format!("ghp_{login}"));
    let valid = by("bob").post("/v1/auth/token/validate", &json!({})).ok();
    assert_eq!((&valid["username"], &valid["githubId"]), (&json!("bob"), &json!(12)));
    for (login, permission) in [("alice", "admin"), ("bob", "write"), ("carol", "read")] {
        assert_eq!(by(login).get(APP).ok()["permission"], permission);
        assert_eq!(by(login).content("acme/app", "production"), "KEY=value\n");
    }
    by("bob").push("acme/app", "production", &json!({"KEY": "other"})).ok();
    by("carol").push("acme/app", "production", &json!({"KEY": "third"})).refused(403);
    by("bob").delete(APP).refused(403);
    let hidden = by("mallory").get(APP).refused(404);
    assert_eq!(
        hidden["detail"],
        by("mallory").get("/v1/vaults/acme/none").refused(404)["detail"]
            .as_str()
            .expect("words")
            .replace("acme/none", "acme/app")
    );
    by("mallory").pull("acme/app", "production").refused(404);
}

#[test]
fn reading_a_public_repository_is_no_role() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    appliance.client("ghp_alice").create_vault("acme/site");
    let path = "/v1/vaults/acme/site";
    assert_eq!(appliance.client("ghp_bob").get(path).ok()["permission"], "triage");
    appliance.client("ghp_carol").get(path).refused(404);
    appliance.client("ghp_mallory").get(path).refused(404);
    assert_eq!(appliance.client("ghp_mallory").get("/v1/vaults").ok(), json!([]));
}

#[test]
fn vaults_are_made_only_for_allowed_owners_and_by_admins() {
    let github = acme();
    github.repo(9, "elsewhere/app", true, &[("alice", "admin")]);
    let appliance = appliance(&github, &[]);
    let create = |login: &str, repo: &str| {
        appliance.client(&format!("ghp_{login}")).post("/v1/vaults", &json!({"repoFullName": repo}))
    };
    create("alice", "elsewhere/app").refused(403);
    create("bob", "acme/app").refused(403);
    create("mallory", "acme/app").refused(404);
    create("alice", "acme/none").refused(404);
    assert_eq!(create("alice", "ACME/App").created()["repoFullName"], "acme/app", "as GitHub spells it");
    create("alice", "acme/app").refused(409);
}

#[test]
fn a_token_for_one_repository_opens_that_one_and_mints_keys_for_that_one() {
    let github = acme();
    github.repo(9, "acme/other", true, &[("alice", "admin")]);
    let appliance = filled(&github, &[]);
    appliance.client("ghp_alice").create_vault("acme/other");
    github.token_for("github_pat_narrow", "alice", &[7]);
    let narrow = appliance.client("github_pat_narrow");
    narrow.get(APP).ok();
    narrow.get("/v1/vaults/acme/other").refused(404);
    let listed = narrow.get("/v1/vaults").ok();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let mint = |repositories: serde_json::Value| {
        let mut wanted = json!({"name": "ci", "environment": "live", "scopes": ["read:secrets"]});
        if !repositories.is_null() {
            wanted["repositories"] = repositories;
        }
        narrow.post("/v1/api-keys", &wanted)
    };
    let problem = mint(json!(["acme/app"])).refused(409);
    assert!(problem["detail"].as_str().expect("words").contains("sign in once"), "{problem}");
    crate::github_sign_in::signed_in(&appliance, &github, "alice");
    assert_eq!(mint(serde_json::Value::Null).bad_fields(), ["repositories"]);
    assert_eq!(mint(json!(["acme/other"])).bad_fields(), ["repositories"]);
    let key = mint(json!(["acme/app"])).created()["token"].as_str().expect("a token").to_owned();
    let key = appliance.client(&key);
    assert_eq!(key.content("acme/app", "production"), "KEY=value\n");
    key.pull("acme/other", "production").refused(404);
}

#[test]
fn a_vault_follows_its_repository_and_not_its_name() {
    let github = acme();
    let appliance = filled(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0")]);
    let alice = appliance.client("ghp_alice");
    github.rename(7, "acme/renamed");
    assert_eq!(alice.get("/v1/vaults/acme/renamed").ok()["repoFullName"], "acme/renamed");
    assert_eq!(alice.get(APP).ok()["repoFullName"], "acme/renamed", "the old name leads there");
    github.repo(99, "acme/app", true, &[("alice", "admin"), ("mallory", "admin")]);
    alice.get(APP).refused(404);
    appliance.client("ghp_mallory").get(APP).refused(404);
    assert_eq!(alice.content("acme/renamed", "production"), "KEY=value\n");
    let listed = alice.get("/v1/vaults").ok();
    assert_eq!(listed[0]["repoFullName"], "acme/renamed");
}

#[test]
fn with_the_cache_off_each_request_asks_at_most_once_and_only_about_its_own_repository() {
    let github = acme();
    let appliance = filled(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0")]);
    let bob = appliance.client("ghp_bob");
    bob.get("/v1/users/me").ok();
    github.asked();
    for _ in 0..5 {
        bob.pull("acme/app", "production").ok();
    }
    let asked = github.asked();
    assert!(
        asked.len() == 5 && asked.iter().all(|question| question == "GET /api/v3/repos/acme/app"),
        "{asked:?}"
    );
}

#[test]
fn the_list_of_vaults_takes_one_listing() {
    let github = acme();
    let appliance = filled(&github, &[]);
    let alice = appliance.client("ghp_alice");
    for number in 0..5 {
        let name = format!("acme/more{number}");
        github.repo(100 + number, &name, true, &[("alice", "admin")]);
        alice.create_vault(&name);
    }
    github.asked();
    let listed = alice.get("/v1/vaults").ok();
    assert_eq!(listed.as_array().map(Vec::len), Some(6));
    let asked = github.asked();
    assert!(asked.iter().all(|question| question.contains("/user/repos")), "{asked:?}");
    assert_eq!(asked.len(), 4, "seven repositories, two on a page: {asked:?}");
}

#[test]
fn removing_somebody_ends_their_access_at_once_with_the_webhook() {
    let github = acme();
    let appliance = filled(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "3600")]);
    let bob = appliance.client("ghp_bob");
    bob.pull("acme/app", "production").ok();
    github.set_role(7, "bob", None);
    bob.pull("acme/app", "production").ok();
    let body = br#"{"action":"removed","repository":{"id":7}}"#;
    let hook = |signature: &str| {
        let request = Request::new("POST", "/v1/github/webhook")
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "member")
            .header("X-Hub-Signature-256", signature)
            .body(body.to_vec());
        appliance.stranger().send(&request)
    };
    for bad in ["", "sha256=00", &format!("sha256={}", "0".repeat(64))] {
        hook(bad).refused(401);
    }
    bob.pull("acme/app", "production").ok();
    hook("sha256=5bf0b8e29f9c6f06e4aa3eb6b2b43e4e4d7d5b0fdc35b5d3d4a2cbd0cc5b1f5e").refused(401);
    hook(&signature("hook-secret", body)).no_content();
    bob.pull("acme/app", "production").refused(404);
    // Somebody who is let in does not wait either.
    github.set_role(7, "bob", Some("read"));
    hook(&signature("hook-secret", body)).no_content();
    bob.pull("acme/app", "production").ok();
}

#[test]
fn events_are_taken_however_many_come() {
    let github = acme();
    let limits = [("KEYWAYD_RATE_LIMIT__ENABLED", "true"), ("KEYWAYD_RATE_LIMIT__GENERAL", "2/24h")];
    let appliance = appliance(&github, &limits);
    let body = br#"{"action":"added","repository":{"id":7}}"#;
    let signature = signature("hook-secret", body);
    for _ in 0..10 {
        let request = Request::new("POST", "/v1/github/webhook")
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "member")
            .header("X-Hub-Signature-256", &signature)
            .body(body.to_vec());
        appliance.stranger().send(&request).no_content();
    }
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut process = std::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", secret, "-r"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    std::io::Write::write_all(&mut process.stdin.take().expect("piped"), body).expect("it reads");
    let output = process.wait_with_output().expect("our own child").stdout;
    let text = String::from_utf8(output).expect("hex");
    format!("sha256={}", text.split_whitespace().next().expect("a digest"))
}

#[test]
fn when_github_cannot_be_asked_the_answer_is_503_and_never_404() {
    let github = acme();
    let appliance = filled(
        &github,
        &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0"), ("KEYWAYD_OUTBOUND__TIMEOUT_SECS", "5")],
    );
    for mood in Mood::BROKEN {
        github.mood(mood);
        for login in ["bob", "mallory"] {
            let answer = appliance.client(&format!("ghp_{login}")).pull("acme/app", "production");
            assert_eq!(answer.status, 503, "{mood:?}: {}", answer.show());
        }
    }
    github.mood(Mood::Fine);
    appliance.client("ghp_bob").pull("acme/app", "production").ok();
}

#[test]
fn a_refusal_that_may_pass_is_no_answer_and_one_that_is_about_the_token_is_a_404() {
    let github = acme();
    github.user("dave", 14);
    github.token("ghp_dave", "dave");
    github.set_role(7, "dave", Some("read"));
    let appliance = filled(&github, &[]);
    let by = |login: &str| appliance.client(&format!("ghp_{login}"));
    for login in ["bob", "carol", "dave"] {
        by(login).get("/v1/users/me").ok();
    }
    let elsewhere = "Although you appear to have the correct authorization credentials, the `acme` organization \
                     has an IP allow list enabled, and your IP address is not permitted to access this resource.";
    for (login, words) in [("bob", elsewhere), ("carol", "has an IP allow list enabled, or something new")] {
        github.mood(Mood::Refusing(words));
        let answer = by(login).pull("acme/app", "production");
        answer.refused(503);
        assert!(answer.number("retry-after") > 0, "{}", answer.show());
        github.mood(Mood::Fine);
        by(login).pull("acme/app", "production").ok();
    }
    appliance.log().wait_for("has an IP allow list enabled").expect("the operator is told GitHub's words");
    // What others have brought about with bad tokens; good ones are refused as well, for a while.
    github.mood(Mood::Refusing("Maximum number of login attempts exceeded. Please try again later."));
    let answer = by("dave").pull("acme/app", "production");
    answer.refused(503);
    assert!((1..=60).contains(&answer.number("retry-after")), "{}", answer.show());
    by("new").get("/v1/users/me").refused(503);
    for (number, words) in [
        "Resource not accessible by personal access token",
        "`acme` forbids access via a personal access token (classic). Please use a GitHub App, OAuth App, or a \
         personal access token with fine-grained permissions.",
        "Although you appear to have the correct authorization credentials, the `acme` organization has enabled \
         OAuth App access restrictions, meaning that data access to third-parties is limited.",
        "Sorry. Your account was suspended.",
        "Repository access blocked",
    ]
    .into_iter()
    .enumerate()
    {
        github.mood(Mood::Refusing(words));
        by("bob").pull(&format!("acme/closed{number}"), "production").refused(404);
    }
}

#[test]
fn limits_of_github_are_passed_on_and_kept() {
    let github = acme();
    let appliance = filled(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0")]);
    github.mood(Mood::Slowed);
    let bob = appliance.client("ghp_bob");
    let answer = bob.pull("acme/app", "production");
    answer.refused(503);
    assert!((1..=17).contains(&answer.number("retry-after")), "{}", answer.show());
    github.mood(Mood::Fine);
    github.asked();
    bob.pull("acme/app", "production").refused(503);
    assert_eq!(github.asked(), Vec::<String>::new(), "it is left alone until then");
    appliance.client("ghp_carol").pull("acme/app", "production").ok();
    github.mood(Mood::Limited);
    let answer = appliance.client("ghp_alice").pull("acme/app", "production");
    answer.refused(503);
    assert!(answer.number("retry-after") > 60, "{}", answer.show());
}

#[test]
fn single_sign_on_is_explained_with_its_link() {
    let github = acme();
    let appliance = filled(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "3600")]);
    let bob = appliance.client("ghp_bob");
    bob.post("/v1/auth/token/validate", &json!({})).ok();
    github.mood(Mood::SingleSignOn);
    let problem = bob.pull("acme/app", "production").refused(403);
    assert!(
        problem["detail"].as_str().expect("words").contains("https://github.example/orgs/acme/sso?a=1"),
        "{problem}"
    );
}

#[test]
fn a_list_that_github_cut_for_single_sign_on_says_so() {
    let github = acme();
    github.repo(9, "umbrella/one", true, &[("alice", "admin")]);
    let mut appliance = filled(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0")]);
    let alice = appliance.client("ghp_alice");
    for path in ["/v1/vaults", "/v1/trash/vaults"] {
        assert_eq!(alice.get(path).header("x-github-sso"), None, "{path}");
    }
    github.withhold(4711, "acme");
    github.withhold(815, "umbrella");
    for path in ["/v1/vaults", "/v1/trash/vaults"] {
        let answer = alice.get(path);
        assert_eq!(answer.ok(), json!([]), "{path}");
        let told = answer.header("x-github-sso");
        assert_eq!(told, Some("partial-results; organizations=815,4711"), "{path}");
    }
    alice.get(APP).ok();
    let (_, log) = appliance.stop();
    let log = log.text();
    let line = log.lines().find(|line| line.contains("GitHub leaves repositories out of a list"));
    assert!(line.is_some_and(|line| line.contains("organisations=2")), "{log}");
}

#[test]
fn old_answers_count_for_as_long_as_the_operator_says() {
    let github = acme();
    let appliance = filled(
        &github,
        &[
            ("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0"),
            ("KEYWAYD_IDENTITY__GITHUB__STALE_GRACE_SECS", "3600"),
        ],
    );
    let bob = appliance.client("ghp_bob");
    bob.pull("acme/app", "production").ok();
    github.mood(Mood::Failing);
    bob.pull("acme/app", "production").ok();
    appliance.client("ghp_carol").pull("acme/app", "production").refused(503);
}

#[test]
fn what_cannot_be_a_credential_is_refused_without_asking() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    for nothing in ["hunter2", "ghp", "kw_live_x", "a.b.c", "ghx_123", "ghs_installation", "ghr_refresh"] {
        let problem = appliance.client(nothing).get("/v1/users/me").refused(401);
        assert!(!problem.to_string().contains(nothing), "{problem}");
    }
    assert_eq!(github.asked(), Vec::<String>::new());
    for _ in 0..3 {
        appliance.client("ghp_unknown").get("/v1/users/me").refused(401);
    }
    assert_eq!(github.asked().len(), 1, "a bad token is asked about once");
}

#[test]
fn a_revoked_token_ends_with_the_next_question() {
    let github = acme();
    let appliance = filled(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0")]);
    let bob = appliance.client("ghp_bob");
    bob.pull("acme/app", "production").ok();
    github.revoke_all_of("bob");
    bob.pull("acme/app", "production").refused(401);
    bob.get("/v1/users/me").refused(401);
}

#[test]
fn tokens_that_github_issued_to_other_apps_are_refused() {
    let github = acme();
    github.token("gho_foreign", "alice");
    github.token("ghu_foreign", "alice");
    let strict = appliance(&github, &[]);
    for token in ["gho_foreign", "ghu_foreign"] {
        strict.client(token).get("/v1/users/me").refused(401);
    }
    let lenient = appliance(&github, &[("KEYWAYD_IDENTITY__GITHUB__ACCEPT_FOREIGN_OAUTH", "true")]);
    assert_eq!(lenient.client("gho_foreign").get("/v1/users/me").ok()["username"], "alice");
}

#[test]
fn local_names_and_github_names_are_kept_apart() {
    let github = acme();
    let appliance = filled(&github, &[]);
    appliance.cli_with(&["user", "add", "acme", "--password-stdin"], "correct horse\n").done();
    let local: Client = appliance.client(&appliance.key_for("acme", &["--scopes", "all"]));
    local.get(APP).refused(404);
    local.post("/v1/vaults", &json!({"repoFullName": "acme/own"})).refused(404);
    appliance.admin().get(APP).refused(404);
}
