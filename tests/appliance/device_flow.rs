//! Letting a device in: a polling client and a browser, with an account of the appliance.

use crate::harness::{Appliance, Browser, Client, Page};
use crate::sign_in::signed_in;
use serde_json::{Value, json};

/// One that lets itself be polled as fast as a test does.
fn appliance() -> Appliance {
    Appliance::start_with(&[("KEYWAYD_AUTH__DEVICE_POLL_SECS", "1")])
}

pub(crate) fn start(client: &Client) -> Value {
    client.post("/v1/auth/device/start", &json!({"repository": "acme/app"})).ok()
}

pub(crate) fn poll(client: &Client, started: &Value) -> Value {
    client.post("/v1/auth/device/poll", &json!({"deviceCode": started["deviceCode"]})).ok()
}

/// Types the code into `browser`.
pub(crate) fn type_code(browser: &mut Browser, code: &str) -> Page {
    let page = browser.open("/device");
    browser.submit(&page, "/device", &[("user_code", code)])
}

#[test]
fn a_device_is_let_in_by_somebody_who_signs_in_on_the_way() {
    let appliance = appliance();
    let cli = appliance.stranger().calling_itself("keyway-cli/1.2.3");
    let started = start(&cli);
    let code = started["userCode"].as_str().expect("a code").to_owned();
    assert_eq!(started["interval"], 1);
    assert_eq!(started["expiresIn"], 900);
    let page = format!("http://{}/device", appliance.address());
    assert_eq!(started["verificationUri"], page.as_str());
    assert_eq!(started["verificationUriComplete"], format!("{page}?user_code={code}"));
    assert_eq!(poll(&cli, &started), json!({"status": "pending"}));

    let mut browser = Browser::new(appliance.address());
    let page = browser.open(started["verificationUriComplete"].as_str().expect("an address"));
    page.says(200, &code);
    let page = browser.submit(&page, "/device", &[("user_code", &code)]);
    page.says(200, "keyway-cli/1.2.3")
        .says(200, "acme/app")
        .says(200, "127.0.0.1")
        .says(200, "Sign in to decide");
    assert!(!page.html.contains("/device/decision"), "nobody decides who is not signed in");
    let page = browser.submit(&page, "/login", &[("name", "admin"), ("password", &appliance.password)]);
    page.says(200, "Is this you?").says(200, &code);
    browser.submit(&page, "/device/decision", &[("decision", "approve")]).says(200, "signed in as");

    let approved = poll(&cli, &started);
    assert_eq!((&approved["status"], &approved["githubLogin"]), (&json!("approved"), &json!("admin")));
    assert!(crate::harness::is_time(&approved["expiresAt"]));
    let token = approved["keywayToken"].as_str().expect("a token");
    assert_eq!(appliance.client(token).get("/v1/users/me").ok()["username"], "admin");
    assert_eq!(poll_later(&cli, &started)["status"], "expired", "it is handed out once");
}

/// Polls when the pace allows it again.
fn poll_later(client: &Client, started: &Value) -> Value {
    loop {
        let answer = client.post("/v1/auth/device/poll", &json!({"deviceCode": started["deviceCode"]}));
        if answer.status != 429 {
            return answer.ok();
        }
    }
}

#[test]
fn a_device_can_be_turned_away() {
    let appliance = appliance();
    let client = appliance.stranger();
    let started = start(&client);
    let mut browser = signed_in(&appliance, "admin", &appliance.password);
    let code = started["userCode"].as_str().expect("a code");
    let page = type_code(&mut browser, &code.to_lowercase().replace('-', ""));
    browser.submit(&page, "/device/decision", &[("decision", "deny")]).says(200, "turned away");
    assert_eq!(poll_later(&client, &started), json!({"status": "denied"}));
    browser.submit(&page, "/device/decision", &[("decision", "approve")]).says(400, "not good");
    assert_eq!(poll_later(&client, &started), json!({"status": "denied"}));
}

#[test]
fn codes_that_are_not_good_are_said_to_be_so() {
    let appliance = appliance();
    let client = appliance.stranger();
    let unknown = json!({"deviceCode": "nonsense"});
    assert_eq!(client.post("/v1/auth/device/poll", &unknown).ok(), json!({"status": "expired"}));
    assert_eq!(client.post("/v1/auth/device/poll", &json!({})).bad_fields(), ["deviceCode"]);
    let mut browser = signed_in(&appliance, "admin", &appliance.password);
    for code in ["BCDF-0000", "", "<b>", "WDJB"] {
        type_code(&mut browser, code).says(400, "That code is not good");
    }
}

#[test]
fn nobody_decides_a_code_they_have_not_typed() {
    let appliance = appliance();
    let client = appliance.stranger();
    let (mine, other) = (start(&client), start(&client));
    let mut browser = signed_in(&appliance, "admin", &appliance.password);
    let page = type_code(&mut browser, mine["userCode"].as_str().expect("a code"));
    let mut fields = page.hidden_fields("/device/decision");
    for (name, value) in &mut fields {
        if name == "user_code" {
            *value = other["userCode"].as_str().expect("a code").to_owned();
        }
    }
    fields.push(("decision".to_owned(), "approve".to_owned()));
    let request = crate::harness::form("/device/decision", &fields);
    browser.send(request).says(400, "not good");
    assert_eq!(poll(&client, &other)["status"], "pending");
}

#[test]
fn polling_has_its_own_pace_and_entering_codes_its_own_limit() {
    let appliance = Appliance::start_with(&[
        ("KEYWAYD_RATE_LIMIT__ENABLED", "true"),
        ("KEYWAYD_RATE_LIMIT__GENERAL", "30/1h"),
        ("KEYWAYD_AUTH__DEVICE_POLL_SECS", "60"),
    ]);
    let client = appliance.stranger();
    let started = start(&client);
    assert_eq!(poll(&client, &started)["status"], "pending");
    for _ in 0..50 {
        let early = client.post("/v1/auth/device/poll", &json!({"deviceCode": started["deviceCode"]}));
        early.refused(429);
        assert!(early.number("retry-after") <= 60);
    }
    let mut browser = Browser::new(appliance.address());
    let page = browser.open("/device");
    for _ in 0..5 {
        browser.submit(&page, "/device", &[("user_code", "BCDF-0000")]).says(400, "not good");
    }
    browser.submit(&page, "/device", &[("user_code", "BCDF-0000")]).says(429, "Too many requests");
}

#[test]
fn a_code_that_was_approved_is_worth_nothing_when_the_account_is_disabled() {
    let appliance = appliance();
    appliance.account("alice");
    let client = appliance.stranger();
    let started = start(&client);
    let mut browser = signed_in(&appliance, "alice", "correct horse");
    let page = type_code(&mut browser, started["userCode"].as_str().expect("a code"));
    browser.submit(&page, "/device/decision", &[("decision", "approve")]).says(200, "signed in as");
    appliance.cli(&["user", "disable", "alice"]).done();
    assert_eq!(poll(&client, &started), json!({"status": "expired"}));
}

#[test]
fn what_a_client_calls_itself_cannot_disguise_the_page() {
    let appliance = appliance();
    let client = appliance.stranger().calling_itself("keyway-cli\u{202e}<b>x</b>&amp;");
    let started = start(&client);
    let mut browser = signed_in(&appliance, "admin", &appliance.password);
    let page = type_code(&mut browser, started["userCode"].as_str().expect("a code"));
    page.says(200, "<bdi>keyway-cli\u{202e}&lt;b&gt;x&lt;/b&gt;&amp;amp;</bdi>");
}
