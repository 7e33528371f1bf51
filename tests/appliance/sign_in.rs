//! Signing in with an account of the appliance: the page, the session, and how it ends.

use crate::harness::{Appliance, Browser, Page, Request};
use serde_json::json;

/// Signs `name` in and hands back the browser.
pub(crate) fn signed_in(appliance: &Appliance, name: &str, password: &str) -> Browser {
    let mut browser = Browser::new(appliance.address());
    let page = sign_in(&mut browser, name, password);
    page.says(200, "Signed in as");
    browser
}

fn sign_in(browser: &mut Browser, name: &str, password: &str) -> Page {
    let page = browser.open("/login");
    browser.submit(&page, "/login", &[("name", name), ("password", password)])
}

fn token_of(browser: &Browser) -> &str {
    &browser.cookies["keyway_session"]
}

#[test]
fn a_session_works_as_cookie_and_as_bearer_token_and_ends_with_signing_out() {
    let appliance = Appliance::start();
    let mut browser = signed_in(&appliance, "admin", &appliance.password);
    let token = token_of(&browser).to_owned();
    let client = appliance.client(&token);
    let me = client.get("/v1/users/me").ok();
    assert_eq!(me["username"], "admin");
    let valid = client.post("/v1/auth/token/validate", &json!({})).ok();
    assert_eq!(
        (&valid["username"], &valid["login"], &valid["plan"]),
        (&json!("admin"), &json!("admin"), &json!("team"))
    );
    assert!(valid["githubId"].is_null());
    assert_eq!(browser.send(Request::new("GET", "/v1/users/me")).answer.status, 200);

    let page = browser.open("/");
    browser.submit(&page, "/logout", &[]).says(200, "You are signed out");
    assert!(!browser.cookies.contains_key("keyway_session"));
    client.get("/v1/users/me").refused(401);
}

#[test]
fn logging_out_always_says_so_and_ends_only_sessions() {
    let appliance = Appliance::start();
    let browser = signed_in(&appliance, "admin", &appliance.password);
    for client in [
        appliance.stranger(),
        appliance.client("nonsense"),
        appliance.admin(),
        appliance.client(token_of(&browser)),
    ] {
        let answer = client.post("/v1/auth/logout", &json!({})).ok();
        assert_eq!(answer, json!({"success": true, "message": "Logged out successfully"}));
    }
    appliance.client(token_of(&browser)).get("/v1/users/me").refused(401);
    appliance.admin().get("/v1/users/me").ok();
}

#[test]
fn a_cookie_changes_nothing_on_behalf_of_a_foreign_page() {
    let appliance = Appliance::start_with(&[("KEYWAYD_SERVER__ALLOWED_ORIGINS", "https://app.example")]);
    let mut browser = signed_in(&appliance, "admin", &appliance.password);
    let own = browser.origin();
    let mut create = |origin: Option<&str>, repo: &str| {
        let request = Request::new("POST", "/v1/vaults").json(&json!({"repoFullName": repo}));
        let request = origin.into_iter().fold(request, |request, origin| request.header("Origin", origin));
        browser.send(request).answer.status
    };
    assert_eq!(create(None, "admin/a"), 403);
    assert_eq!(create(Some("https://evil.example"), "admin/a"), 403);
    assert_eq!(create(Some("null"), "admin/a"), 403);
    assert_eq!(create(Some(&own), "admin/a"), 201);
    assert_eq!(create(Some("https://app.example"), "admin/b"), 201);
}

#[test]
fn a_form_without_its_token_or_from_a_foreign_page_does_nothing() {
    let appliance = Appliance::start();
    let mut browser = Browser::new(appliance.address());
    let page = browser.open("/login");
    let fields = [("name", "admin"), ("password", appliance.password.as_str())];
    let mut stranger = Browser::new(appliance.address());
    stranger.open("/login");
    stranger.submit(&page, "/login", &fields).says(403, "out of date");
    let all: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let bare = crate::harness::form("/login", &all);
    browser.send(bare.clone()).says(403, "out of date");
    let hidden = [all, page.hidden_fields("/login")].concat();
    let foreign = crate::harness::form("/login", &hidden).header("Origin", "https://evil.example");
    assert_eq!(browser.send(foreign).answer.status, 403);
    assert!(!browser.cookies.contains_key("keyway_session"));
}

#[test]
fn a_wrong_password_and_an_unknown_name_are_refused_alike() {
    let appliance = Appliance::start();
    let refuse = |name: &str, password: &str| {
        let mut browser = Browser::new(appliance.address());
        let page = sign_in(&mut browser, name, password);
        assert_eq!(page.answer.status, 401, "{}", page.answer.show());
        assert!(!browser.cookies.contains_key("keyway_session"));
        let token = page.hidden_fields("/login")[0].1.clone();
        page.html.replace(&token, "…").replace(&format!("value=\"{name}\""), "…")
    };
    assert_eq!(refuse("admin", "hunter2"), refuse("nobody", "hunter2"));
    refuse("", "");
    refuse("admin", &"x".repeat(5_000));
    refuse("<script>alert(1)</script>", "x");
}

#[test]
fn strangers_who_guess_are_slowed_down_and_do_not_lock_the_owner_out() {
    let appliance = Appliance::start_with(&[("KEYWAYD_SERVER__TRUSTED_PROXIES", "127.0.0.1/32")]);
    let mut owner = signed_in(&appliance, "admin", &appliance.password);
    let guess = |address: &str| {
        let mut browser = Browser::new(appliance.address());
        let page = browser.open("/login");
        let mut fields = page.hidden_fields("/login");
        fields.extend([("name".to_owned(), "admin".to_owned()), ("password".to_owned(), "wrong".to_owned())]);
        browser.send(crate::harness::form("/login", &fields).header("X-Forwarded-For", address)).answer.status
    };
    let tries = |address: &str| (0..11).map(|_| guess(address)).collect::<Vec<_>>();
    assert_eq!(tries("192.0.2.1"), [vec![401; 10], vec![429]].concat());
    for network in 2..12 {
        tries(&format!("192.0.2.{network}"));
    }
    assert_eq!(guess("192.0.2.200"), 429, "guesses from everywhere count together");
    owner.cookies.remove("keyway_session");
    sign_in(&mut owner, "admin", &appliance.password).says(200, "Signed in as");
}

#[test]
fn disabling_an_account_and_a_new_password_end_its_sessions() {
    let appliance = Appliance::start();
    appliance.account("alice");
    let browser = signed_in(&appliance, "alice", "correct horse");
    let client = appliance.client(token_of(&browser));
    client.get("/v1/users/me").ok();
    appliance.cli_with(&["user", "passwd", "alice", "--password-stdin"], "battery staple\n").done();
    client.get("/v1/users/me").refused(401);
    let browser = signed_in(&appliance, "alice", "battery staple");
    appliance.cli(&["user", "disable", "alice"]).done();
    appliance.client(token_of(&browser)).get("/v1/users/me").refused(401);
    appliance.cli(&["user", "enable", "alice"]).done();
    appliance.client(token_of(&browser)).get("/v1/users/me").refused(401);
}

#[test]
fn sessions_survive_a_restart_and_forged_tokens_never_work() {
    let mut appliance = Appliance::start_with(&[("KEYWAYD_SERVER__PUBLIC_URL", "http://127.0.0.1:9")]);
    let mut browser = Browser::new(appliance.address());
    let page = browser.open("/login");
    let mut fields = page.hidden_fields("/login");
    let password = appliance.password.clone();
    fields.extend([("name".to_owned(), "admin".to_owned()), ("password".to_owned(), password)]);
    browser.send(crate::harness::form("/login", &fields));
    let token = token_of(&browser).to_owned();
    appliance.stop();
    appliance.restart();
    appliance.client(&token).get("/v1/users/me").ok();
    let (head, rest) = token.split_once('.').expect("three parts");
    let (body, seal) = rest.split_once('.').expect("three parts");
    let other = Appliance::start();
    for forged in [
        format!("eyJhbGciOiJub25lIn0.{body}."),
        format!("eyJhbGciOiJub25lIn0.{body}.{seal}"),
        format!("eyJhbGciOiJIUzUxMiIsImtpZCI6IjEifQ.{body}.{seal}"),
        format!("{head}.{body}.AAAA"),
        format!("{head}.{body}x.{seal}"),
        "a.b.c".to_owned(),
    ] {
        appliance.client(&forged).get("/v1/users/me").refused(401);
    }
    other.client(&token).get("/v1/users/me").refused(401);
    // Under another name it is another server.
    appliance.stop();
    appliance.set("KEYWAYD_SERVER__PUBLIC_URL", "http://127.0.0.1:10");
    appliance.restart();
    appliance.client(&token).get("/v1/users/me").refused(401);
}
