//! The pages in a real browser, with scripts switched off: what people see and press.

use crate::device_flow::{poll, start};
use crate::github_roles::{acme, appliance};
use crate::harness::{Appliance, Chromium, GitHub, skipped};
use crate::services::{Service, TOKEN};
use serde_json::json;

const FAST: (&str, &str) = ("KEYWAYD_AUTH__DEVICE_POLL_SECS", "1");

fn chromium(wide: u32, dark: bool) -> Option<Chromium> {
    let browser = Chromium::start(wide, dark);
    if browser.is_none() {
        skipped("the pages in Chromium: there is no `chromedriver` (Debian: `chromium-driver`)");
    }
    browser
}

fn at(appliance: &Appliance, path: &str) -> String {
    format!("http://{}{path}", appliance.address())
}

/// Looks at a page: it fits into the window, and is kept as a picture for whoever wants to see it.
fn look(browser: &Chromium, name: &str) {
    assert!(browser.overflow() <= 0.0, "`{name}` is wider than the window");
    browser.picture(name);
}

#[test]
fn a_device_is_let_in_with_a_local_account() {
    let Some(browser) = chromium(390, false) else { return };
    let appliance = Appliance::start_with(&[FAST]);
    let cli = appliance.stranger().calling_itself("keyway-cli/1.2.3");
    let started = start(&cli);
    browser.open(started["verificationUriComplete"].as_str().expect("an address"));
    assert_eq!(browser.heading(), "Let a device in");
    assert_eq!(browser.label("#user_code"), "Code");
    look(&browser, "device-enter");
    browser.click("button");
    assert_eq!(browser.heading(), "Is this you?");
    assert_eq!(
        (browser.label("#name"), browser.label("#password")),
        ("Account".to_owned(), "Password".to_owned())
    );
    look(&browser, "device-sign-in");
    browser.write("#name", "admin");
    browser.write("#password", "wrong");
    browser.click("button");
    assert!(browser.text().contains("do not belong together"), "{}", browser.text());
    look(&browser, "wrong-password");
    browser.write("#password", &appliance.password);
    browser.click("button");
    assert_eq!(browser.heading(), "Is this you?");
    let text = browser.text();
    for told in ["keyway-cli/1.2.3", "acme/app", "127.0.0.1", "admin"] {
        assert!(text.contains(told), "{text}");
    }
    look(&browser, "device-decide");
    browser.click("button[value=approve]");
    assert_eq!(browser.heading(), "Approved");
    look(&browser, "device-approved");
    assert_eq!(poll(&cli, &started)["githubLogin"], "admin");
}

#[test]
fn a_device_is_turned_away_and_bad_codes_are_told() {
    let Some(browser) = chromium(1_200, true) else { return };
    let appliance = Appliance::start_with(&[FAST]);
    let client = appliance.stranger();
    let started = start(&client);
    browser.open(&at(&appliance, "/login"));
    look(&browser, "login-dark");
    browser.write("#name", "admin");
    browser.write("#password", &appliance.password);
    browser.click("button");
    assert_eq!(browser.heading(), "Signed in");
    look(&browser, "home-dark");
    for code in ["WDJB-0000", "<script>"] {
        browser.open(&at(&appliance, "/device"));
        browser.write("#user_code", code);
        browser.click("button");
        assert!(browser.text().contains("That code is not good"), "{}", browser.text());
    }
    look(&browser, "wrong-code-dark");
    browser.write("#user_code", started["userCode"].as_str().expect("a code"));
    browser.click("button");
    browser.click("button[value=deny]");
    assert_eq!(browser.heading(), "Denied");
    look(&browser, "device-denied-dark");
    assert_eq!(poll(&client, &started), json!({"status": "denied"}));
    browser.open(&at(&appliance, "/"));
    browser.click("button");
    assert_eq!(browser.heading(), "Signed out");
}

#[test]
fn an_expired_code_is_told() {
    let Some(browser) = chromium(390, true) else { return };
    // The shortest time the settings allow is a minute, so the code is used up instead: it is as gone.
    let appliance = Appliance::start_with(&[FAST]);
    let client = appliance.stranger();
    let started = start(&client);
    let address = started["verificationUriComplete"].as_str().expect("an address");
    let mut other = crate::sign_in::signed_in(&appliance, "admin", &appliance.password);
    let page = crate::device_flow::type_code(&mut other, started["userCode"].as_str().expect("a code"));
    other.submit(&page, "/device/decision", &[("decision", "deny")]);
    browser.open(address);
    browser.click("button");
    assert!(browser.text().contains("have expired"), "{}", browser.text());
    look(&browser, "expired-code-phone-dark");
}

fn github_appliance(github: &GitHub) -> Appliance {
    appliance(github, &[FAST])
}

#[test]
fn a_device_is_let_in_with_github() {
    let Some(browser) = chromium(390, false) else { return };
    let github = acme();
    let appliance = github_appliance(&github);
    github.browsers_are(Some("alice"));
    let client = appliance.stranger();
    let started = start(&client);
    browser.open(started["verificationUriComplete"].as_str().expect("an address"));
    browser.click("button");
    look(&browser, "device-sign-in-both");
    browser.click("a.button");
    assert_eq!(browser.heading(), "Is this you?");
    assert!(browser.text().contains("alice"));
    browser.click("button[value=approve]");
    assert_eq!(browser.heading(), "Approved");
    assert_eq!(poll(&client, &started)["githubLogin"], "alice");
}

#[test]
fn signing_in_at_github_and_what_can_go_wrong() {
    let Some(browser) = chromium(1_200, false) else { return };
    let github = acme();
    let appliance = github_appliance(&github);
    browser.open(&at(&appliance, "/login"));
    look(&browser, "login-both");
    browser.click("a.button");
    assert_eq!(browser.heading(), "Not signed in");
    assert!(browser.text().contains("Access was not granted"), "{}", browser.text());
    look(&browser, "github-denied");
    github.browsers_are(Some("mallory"));
    browser.click("main a");
    browser.click("a.button");
    assert!(browser.text().contains("has no role on any vault"), "{}", browser.text());
    github.browsers_are(Some("alice"));
    browser.click("main a");
    browser.click("a.button");
    assert_eq!(browser.heading(), "Signed in");
    assert_eq!(browser.url(), at(&appliance, "/"));
    browser.open(&at(&appliance, "/v1/auth/github/start?redirect_uri=https://evil.example/"));
    assert_eq!(browser.heading(), "Bad Request");
    look(&browser, "bad-redirect");
}

#[test]
fn a_service_is_connected_by_consent_and_by_a_token() {
    let Some(browser) = chromium(390, false) else { return };
    let (asks, takes) = (Service::railway(), Service::fly());
    let settings = [asks.settings_with_app(), takes.settings()].concat();
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let appliance = Appliance::start_with(&settings);
    asks.everybody_agrees(&at(&appliance, ""));
    let page =
        |name: &str| at(&appliance, &format!("/v1/integrations/{name}/authorize?token={}", appliance.token));
    browser.open(&page("railway"));
    assert_eq!(browser.heading(), "Connect Railway");
    assert!(browser.text().contains("admin"), "{}", browser.text());
    look(&browser, "connect-ask");
    browser.click("button");
    // Over a page that leads on by itself, to the service, and back.
    browser.arrives("Railway is connected");
    look(&browser, "connect-done");
    browser.open(&page("fly"));
    assert_eq!(browser.heading(), "Connect Fly.io");
    assert_eq!(browser.label("#token"), "Token of Fly.io");
    look(&browser, "connect-token");
    browser.write("#token", "wrong");
    browser.click("button");
    browser.arrives("is not accepted by Fly.io");
    look(&browser, "connect-wrong-token");
    browser.write("#token", TOKEN);
    browser.click("button");
    browser.arrives("Fly.io is connected");
    let made = appliance.admin().get("/v1/integrations/connections").ok()["connections"].clone();
    assert_eq!((&made[0]["provider"], &made[1]["provider"]), (&json!("railway"), &json!("fly")));
    // Whoever is signed in finds the way from the start page, and back to it.
    browser.open(&at(&appliance, "/login"));
    browser.write("#name", "admin");
    browser.write("#password", &appliance.password);
    browser.click("button");
    assert_eq!(browser.heading(), "Signed in");
    assert!(browser.text().contains("Connect Fly.io (one account is connected)"), "{}", browser.text());
    assert!(!browser.text().contains("Vercel"), "it is not enabled: {}", browser.text());
    look(&browser, "home-services");
    browser.click("a[href=\"/v1/integrations/fly/authorize\"]");
    assert_eq!(browser.heading(), "Connect Fly.io");
    browser.write("#token", TOKEN);
    browser.click("button");
    browser.arrives("Fly.io is connected");
    browser.click("main a");
    assert_eq!(browser.heading(), "Signed in");
    browser.click("a[href=\"/docs\"]");
    assert_eq!(browser.url(), at(&appliance, "/docs"));
}
