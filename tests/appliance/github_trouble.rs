//! GitHub slow, broken, out of patience or far away; and what ends while it is being asked.

use crate::device_flow::{poll, start, type_code};
use crate::github_roles::{acme, appliance, filled};
use crate::github_sign_in::{leave, signed_in};
use crate::harness::{Appliance, Browser, Client, GitHub, Mood, PATIENCE, Tunnel, Wire};
use serde_json::{Value, json};
use std::time::Instant;

const FAST: (&str, &str) = ("KEYWAYD_AUTH__DEVICE_POLL_SECS", "1");
const UNREMEMBERED: (&str, &str) = ("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0");
const PULL: &str = "/v1/secrets/pull?repo=acme/app&environment=production";

fn key_of(client: &Client) -> String {
    let wanted = json!({"name": "ci", "environment": "live", "scopes": ["read:secrets", "write:secrets"]});
    client.post("/v1/api-keys", &wanted).created()["token"].as_str().expect("a token").to_owned()
}

#[test]
fn a_device_is_let_in_though_github_takes_its_time() {
    let github = acme();
    let appliance = appliance(&github, &[FAST]);
    github.mood(Mood::Slow);
    github.sign_in_mood(Mood::Slow);
    let cli = appliance.stranger();
    let started = start(&cli);
    let mut browser = Browser::new(appliance.address());
    let page = type_code(&mut browser, started["userCode"].as_str().expect("a code"));
    let there = leave(&mut browser, &page.link("Sign in with GitHub"));
    let page = browser.open(&github.consent(&there, "alice"));
    page.says(200, "Is this you?");
    browser.submit(&page, "/device/decision", &[("decision", "approve")]).says(200, "signed in as");
    let approved = poll(&cli, &started);
    assert_eq!((&approved["status"], &approved["githubLogin"]), (&json!("approved"), &json!("alice")));
    appliance.client(approved["keywayToken"].as_str().expect("a token")).create_vault("acme/app");
}

#[test]
fn trouble_at_github_is_told_and_everything_can_be_repeated() {
    let github = acme();
    let appliance = appliance(&github, &[FAST, ("KEYWAYD_OUTBOUND__TIMEOUT_SECS", "5")]);
    let cli = appliance.stranger();
    let started = start(&cli);
    let mut browser = Browser::new(appliance.address());
    let page = type_code(&mut browser, started["userCode"].as_str().expect("a code"));
    let door = page.link("Sign in with GitHub");
    let moods = [&Mood::BROKEN[..], &[Mood::Limited, Mood::Slowed]].concat();
    for at_the_api in [false, true] {
        for mood in &moods {
            let there = leave(&mut browser, &door);
            let back = github.consent(&there, "alice");
            let change = |mood| if at_the_api { github.mood(mood) } else { github.sign_in_mood(mood) };
            change(*mood);
            let page = browser.open(&back);
            page.says(503, "GitHub cannot be asked right now").says(503, "Go to the start page");
            assert!(page.answer.number("retry-after") > 0, "{mood:?}");
            assert!(!browser.cookies.contains_key("keyway_session"), "{mood:?}");
            change(Mood::Fine);
            browser.open(&back).says(400, "used already");
        }
    }
    let asked = github.asked();
    assert!(
        !asked.iter().any(|question| question.contains("stolen")),
        "no token goes to another host: {asked:?}"
    );
    let there = leave(&mut browser, &door);
    let page = browser.open(&github.consent(&there, "alice"));
    browser.submit(&page, "/device/decision", &[("decision", "approve")]).says(200, "signed in as");
    assert_eq!(poll(&cli, &started)["status"], "approved");
}

#[test]
fn a_device_can_be_let_in_with_a_local_account_while_github_is_away() {
    let github = acme();
    let appliance = appliance(&github, &[FAST]);
    github.mood(Mood::Silent);
    github.sign_in_mood(Mood::Silent);
    let cli = appliance.stranger();
    let started = start(&cli);
    let mut browser = Browser::new(appliance.address());
    let page = type_code(&mut browser, started["userCode"].as_str().expect("a code"));
    let page = browser.submit(&page, "/login", &[("name", "admin"), ("password", &appliance.password)]);
    browser.submit(&page, "/device/decision", &[("decision", "approve")]).says(200, "signed in as");
    assert_eq!(poll(&cli, &started)["githubLogin"], "admin");
}

/// A thousand who ask at once, all of them before the first has an answer.
fn thousand_pulls(github: &GitHub, appliance: &Appliance) {
    crate::harness::open_files(3_000);
    let (sent, all_sent) = std::sync::mpsc::channel();
    let head = format!("GET {PULL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ghp_bob\r\n\r\n");
    github.hold(
        || {
            let mut wires: Vec<Wire> = (0..1_000).map(|_| appliance.wire()).collect();
            wires.iter_mut().for_each(|wire| wire.say(&head));
            sent.send(()).expect("somebody waits for it");
            for wire in &mut wires {
                wire.answer_to("GET", PULL).expect("an answer").ok();
            }
        },
        || all_sent.recv().expect("all are sent"),
    );
}

#[test]
fn a_thousand_at_once_ask_once() {
    let github = acme();
    let appliance = filled(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "3600")]);
    thousand_pulls(&github, &appliance);
    let asked = github.asked();
    assert_eq!(asked.iter().filter(|question| question.contains("/repos/")).count(), 1, "{asked:?}");
    assert!(
        asked.iter().all(|question| question.ends_with("/user") || question.ends_with("/repos/acme/app"))
    );
    thousand_again(&appliance);
    assert_eq!(github.asked(), Vec::<String>::new());
}

fn thousand_again(appliance: &Appliance) {
    let bob = appliance.client("ghp_bob");
    for _ in 0..1_000 {
        bob.pull("acme/app", "production").ok();
    }
}

#[test]
fn a_thousand_at_once_ask_at_most_once_each_with_nothing_remembered() {
    let github = acme();
    let appliance = filled(&github, &[UNREMEMBERED]);
    appliance.client("ghp_bob").get("/v1/users/me").ok();
    thousand_pulls(&github, &appliance);
    let asked = github.asked();
    assert!((1..=1_000).contains(&asked.len()), "{}", asked.len());
    assert!(asked.iter().all(|question| question == "GET /api/v3/repos/acme/app"), "{asked:?}");
}

#[test]
fn those_who_make_tokens_up_are_not_in_the_way_of_those_whom_github_knows() {
    let github = acme();
    let appliance = filled(&github, &[UNREMEMBERED]);
    appliance.client("ghp_bob").pull("acme/app", "production").ok();
    // More than there can be calls at one time.
    let mut strangers: Vec<Wire> = (0..100).map(|_| appliance.wire()).collect();
    let mut bob = appliance.wire();
    let head =
        |token: &str| format!("GET {PULL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    github.hold(
        || appliance.client("ghp_madeup").get(PULL).refused(401),
        || {
            let mut asked = github.asked_until("/user");
            for (number, wire) in strangers.iter_mut().enumerate() {
                wire.say(head(&format!("ghp_madeup{number}")));
                // One by one as long as they are let through: what plays GitHub may leave one of several
                // connections that come at once for later.
                if number < 3 {
                    asked.extend(github.asked_until("/user"));
                }
            }
            bob.say(head("ghp_bob"));
            asked.extend(github.asked_until("/repos/acme/app"));
            assert_eq!(asked.iter().filter(|question| question.ends_with("/user")).count(), 4, "{asked:?}");
        },
    );
    bob.answer_to("GET", PULL).expect("an answer").ok();
}

#[test]
fn no_request_asks_twice_or_about_another_repository() {
    let github = acme();
    github.repo(9, "acme/other", true, &[("alice", "admin")]);
    let appliance = filled(&github, &[UNREMEMBERED]);
    appliance.client("ghp_alice").create_vault("acme/other");
    let browser = signed_in(&appliance, &github, "alice");
    let session = appliance.client(&browser.cookies["keyway_session"]);
    let key = appliance.client(&key_of(&session));
    let vault = "/v1/vaults/acme/app";
    for client in [&appliance.client("ghp_alice"), &session, &key] {
        let quietly = |ask: &dyn Fn() -> Value| {
            github.asked();
            let answer = ask();
            let mut asked = github.asked();
            // Whose a token is, is asked again every minute.
            asked.retain(|question| question != "GET /api/v3/user");
            assert!(
                asked.len() <= 1 && asked.iter().all(|question| question == "GET /api/v3/repos/acme/app"),
                "{answer}: {asked:?}"
            );
            answer
        };
        quietly(&|| client.get(vault).ok());
        quietly(&|| client.get(&format!("{vault}/environments")).ok());
        quietly(&|| client.get(&format!("{vault}/permissions/effective")).ok());
        quietly(&|| client.get(PULL).ok());
        quietly(&|| client.get("/v1/secrets/view?repo=acme/app&environment=production&key=KEY").ok());
        quietly(&|| client.push("acme/app", "production", &json!({"KEY": "value", "MORE": "1"})).ok());
        let listed = quietly(&|| client.get(&format!("{vault}/secrets?environment=production")).ok());
        let secret = format!("{vault}/secrets/{}", listed[1]["id"].as_str().expect("an id"));
        quietly(&|| client.get(&format!("{secret}/value")).ok());
        quietly(&|| client.get(&format!("{secret}/versions")).ok());
        quietly(&|| client.patch(&secret, &json!({"value": "2"})).ok());
        quietly(&|| client.get(&format!("{vault}/environments/production/revisions")).ok());
        quietly(&|| client.get(&format!("{vault}/trash")).ok());
        quietly(&|| client.push("acme/app", "production", &json!({"KEY": "value"})).ok());
    }
}

#[test]
fn removing_somebody_ends_their_access_when_the_answer_is_old() {
    let github = acme();
    let appliance = filled(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "1")]);
    let bob = appliance.client("ghp_bob");
    bob.pull("acme/app", "production").ok();
    github.set_role(7, "bob", None);
    let deadline = Instant::now() + PATIENCE;
    while bob.pull("acme/app", "production").status != 404 {
        assert!(Instant::now() < deadline, "bob still reads");
    }
    bob.pull("acme/app", "production").refused(404);
}

#[test]
fn what_ends_while_github_is_asked_opens_nothing() {
    let github = acme();
    let appliance = filled(&github, &[UNREMEMBERED]);
    let fresh = || {
        let browser = signed_in(&appliance, &github, "alice");
        browser.cookies["keyway_session"].clone()
    };
    let push = |token: &str| {
        let answer = appliance.client(token).push("acme/app", "production", &json!({"KEY": "stolen"}));
        answer.status
    };
    let pull = |token: &str| appliance.client(token).pull("acme/app", "production").status;
    let log_out = |token: &str| {
        appliance.client(token).post("/v1/auth/logout", &json!({})).ok();
    };
    let session = fresh();
    assert_eq!(github.hold(|| pull(&session), || log_out(&session)), 401);
    let session = fresh();
    assert_eq!(github.hold(|| push(&session), || log_out(&session)), 401);

    let session = fresh();
    let owner = appliance.client(&session);
    let key = key_of(&owner);
    let id = owner.get("/v1/api-keys").ok()["keys"][0]["id"].as_str().expect("an id").to_owned();
    let revoke = || appliance.client(&session).delete(&format!("/v1/api-keys/{id}")).no_content();
    assert_eq!(github.hold(|| push(&key), revoke), 401);
    let keep = key_of(&owner);
    let disable = || drop(appliance.cli(&["user", "disable", "alice"]).done());
    assert_eq!(github.hold(|| pull(&keep), disable), 401);
    appliance.cli(&["user", "enable", "alice"]).done();
    assert_eq!(appliance.client("ghp_alice").content("acme/app", "production"), "KEY=value\n");

    // GitHub tells something new of her meanwhile; that must not let her in again.
    github.user("alice-renamed", 11);
    github.token("ghp_renamed", "alice-renamed");
    github.set_role(7, "alice-renamed", Some("admin"));
    appliance.client("ghp_renamed").get("/v1/users/me").ok();
    github.hold(|| pull("ghp_renamed"), disable);
    assert_eq!(pull("ghp_renamed"), 401);
    assert_eq!(pull("ghp_alice"), 401);
}

#[test]
fn github_is_asked_only_whether_something_has_changed() {
    let github = acme();
    let appliance = filled(&github, &[UNREMEMBERED]);
    let (bob, carol) = (appliance.client("ghp_bob"), appliance.client("ghp_carol"));
    bob.pull("acme/app", "production").ok();
    github.unchanged();
    for _ in 0..3 {
        bob.pull("acme/app", "production").ok();
    }
    assert_eq!(github.unchanged(), 3);
    carol.push("acme/app", "production", &json!({"KEY": "x"})).refused(403);
    assert_eq!(github.unchanged(), 0, "what is known with one token is not asked with another");
    github.set_role(7, "bob", Some("read"));
    bob.push("acme/app", "production", &json!({"KEY": "x"})).refused(403);
    bob.pull("acme/app", "production").ok();
    assert_eq!(github.unchanged(), 1);
    github.set_role(7, "bob", None);
    bob.pull("acme/app", "production").refused(404);
}

#[test]
fn archiving_a_repository_changes_no_role() {
    let github = acme();
    let appliance = filled(&github, &[UNREMEMBERED]);
    github.archive(7);
    let bob = appliance.client("ghp_bob");
    assert_eq!(bob.content("acme/app", "production"), "KEY=value\n");
    bob.push("acme/app", "production", &json!({"KEY": "other"})).ok();
    appliance.client("ghp_carol").push("acme/app", "production", &json!({})).refused(403);
}

#[test]
fn a_vault_goes_along_when_its_repository_gets_another_owner() {
    let github = acme();
    let appliance = filled(&github, &[UNREMEMBERED]);
    github.rename(7, "elsewhere/app");
    let alice = appliance.client("ghp_alice");
    assert_eq!(alice.get("/v1/vaults/elsewhere/app").ok()["repoOwner"], "elsewhere");
    assert_eq!(alice.content("elsewhere/app", "production"), "KEY=value\n");
    appliance.client("ghp_mallory").get("/v1/vaults/elsewhere/app").refused(404);
    // Whoever may have vaults made is about new ones only.
    alice.delete("/v1/vaults/elsewhere/app").no_content();
    alice.post("/v1/vaults", &json!({"repoFullName": "elsewhere/app"})).refused(403);
}

#[test]
fn a_stranger_s_token_opens_nothing_of_a_public_repository() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    let alice = appliance.client("ghp_alice");
    alice.create_vault("acme/site");
    alice.push("acme/site", "production", &json!({"KEY": "value"})).ok();
    let listed = alice.get("/v1/vaults/acme/site/secrets").ok();
    let id = listed[0]["id"].as_str().expect("an id");
    let vault = "/v1/vaults/acme/site";
    for stranger in ["ghp_mallory", "ghp_carol"] {
        let stranger = appliance.client(stranger);
        for path in [
            vault.to_owned(),
            format!("{vault}/environments"),
            format!("{vault}/secrets"),
            format!("{vault}/secrets/{id}/value"),
            format!("{vault}/secrets/{id}/versions"),
            format!("{vault}/trash"),
            format!("{vault}/permissions/effective"),
            "/v1/secrets/pull?repo=acme/site&environment=production".to_owned(),
            "/v1/secrets/view?repo=acme/site&environment=production&key=KEY".to_owned(),
            "/v1/activity?repo=acme/site".to_owned(),
        ] {
            stranger.get(&path).refused(404);
        }
        stranger.push("acme/site", "production", &json!({})).refused(404);
        stranger.delete(vault).refused(404);
        stranger.post("/v1/vaults", &json!({"repoFullName": "acme/site"})).refused(404);
        assert_eq!(stranger.get("/v1/vaults").ok(), json!([]));
        assert_eq!(stranger.get("/v1/users/me/usage").ok()["usage"]["public"], 0);
        assert_eq!(stranger.get("/v1/activity").ok(), json!([]));
    }
}

#[test]
fn whether_the_app_is_installed_is_told() {
    let github = acme();
    github.repo(9, "other/app", true, &[("alice", "admin")]);
    let appliance = appliance(&github, &[("KEYWAYD_IDENTITY__GITHUB__APP_SLUG", "keyway-test")]);
    let alice = appliance.client("ghp_alice");
    let check = |owner: &str, name: &str| {
        alice.post("/v1/github/check-installation", &json!({"repoOwner": owner, "repoName": name})).ok()
    };
    let place = format!("{}/apps/keyway-test/installations/new", github.url);
    assert_eq!(check("acme", "app"), json!({"installed": false, "installUrl": place}));
    github.install(4711, "Acme");
    assert_eq!(check("acme", "app"), json!({"installed": true, "installUrl": place, "installationId": 4711}));
    assert_eq!(check("other", "app")["installed"], false);
    assert_eq!(check("acme", "unseen")["installed"], false, "installed, but not for that repository");
}

#[test]
fn an_enterprise_server_is_reached_through_the_company_s_proxy_and_by_its_own_authority() {
    let github = acme();
    let tunnel = Tunnel::to(&github);
    let settings = tunnel.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let through = appliance(&github, &settings);
    let alice = through.client("ghp_alice");
    alice.create_vault("acme/app");
    assert_eq!(alice.get("/v1/vaults").ok()[0]["permission"], "admin");
    assert!(tunnel.opened().iter().all(|line| line.starts_with("CONNECT github.corp.example:443 ")));
    let mut browser = Browser::new(through.address());
    let there = leave(&mut browser, "/v1/auth/github/start");
    let there = there.replace("https://github.corp.example", &github.url);
    browser.open(&github.consent(&there, "alice")).says(200, "Signed in as");
    assert!(!through.log().text().contains("does not start with `https://`"));

    // Whom nobody vouches for is told nothing.
    let asked = github.asked();
    assert!(!asked.is_empty());
    let distrustful: Vec<_> =
        settings.iter().filter(|(name, _)| !name.contains("CA_FILE")).copied().collect();
    let distrustful = appliance(&github, &distrustful);
    distrustful.client("ghp_alice").get("/v1/users/me").refused(503);
    assert_eq!(github.asked(), Vec::<String>::new());
    distrustful.log().wait_for("no trusted TLS connection").expect("the operator is told why");
}
