//! Nothing that opens anything is ever logged, or told to anybody it was not made for: all flows, with the log at
//! its most talkative, and then a search.

use crate::device_flow::{poll, start, type_code};
use crate::github_roles::{acme, appliance};
use crate::github_sign_in::{leave, signed_in};
use crate::harness::{Answer, Appliance, Browser, GitHub, Mood, Page, Request};
use crate::metrics;
use serde_json::{Value, json};

const SITE: &str = "https://app.example";

/// What was seen so far: all that opens something, and all that was answered.
#[derive(Default)]
struct Seen {
    secrets: Vec<String>,
    answers: Vec<String>,
}

impl Seen {
    fn secret(&mut self, text: &str) -> String {
        assert!(text.len() > 6, "`{text}` stands anywhere");
        self.secrets.push(text.to_owned());
        text.to_owned()
    }

    fn of(&mut self, value: &Value) -> String {
        self.secret(value.as_str().expect("a secret is text"))
    }

    /// An answer that must not hold any of them.
    fn answer(&mut self, answer: &Answer) {
        let head = answer.headers.iter().filter(|(name, _)| name != "set-cookie" && name != "location");
        self.answers.push(head.map(|(name, value)| format!("{name}: {value}\n")).collect());
        self.answers.push(String::from_utf8_lossy(&answer.body).into_owned());
    }

    fn page(&mut self, page: &Page) {
        self.answer(&page.answer);
    }

    fn cookies(&mut self, browser: &Browser) {
        let values: Vec<String> = browser.cookies.values().cloned().collect();
        values.iter().for_each(|value| drop(self.secret(value)));
    }

    fn is_nowhere_in(&self, text: &str, place: &str) {
        for secret in &self.secrets {
            assert!(!text.contains(secret.as_str()), "`{secret}` stands in {place}:\n{text}");
        }
    }
}

fn query<'a>(url: &'a str, name: &str) -> &'a str {
    let rest = url.split(&format!("{name}=")).nth(1).unwrap_or_else(|| panic!("no `{name}` in {url}"));
    rest.split('&').next().unwrap_or_default()
}

#[test]
fn nothing_that_opens_anything_is_logged_or_told() {
    let github = acme();
    github.tokens_expire_in(200);
    let mut appliance = appliance(
        &github,
        &[
            ("KEYWAYD_LOG__LEVEL", "trace"),
            ("KEYWAYD_METRICS__LISTEN", "127.0.0.1:0"),
            ("KEYWAYD_SERVER__REDIRECT_ORIGINS", SITE),
            ("KEYWAYD_AUTH__DEVICE_POLL_SECS", "1"),
            ("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0"),
        ],
    );
    let mut seen = Seen::default();
    for known in ["ghp_alice", "ghp_unknown", "app-secret-4711", "hook-secret", "hunter2-value"] {
        seen.secret(known);
    }
    // What GitHub issues begins so; what it says along may be secret too.
    for known in ["ghu_issued", "ghr_issued", "secret-looking"] {
        seen.secret(known);
    }
    let (password, token) = (appliance.password.clone(), appliance.token.clone());
    seen.secret(&password);
    seen.secret(&token);
    tokens(&appliance, &mut seen);
    let session = browsers(&appliance, &github, &mut seen);
    devices(&appliance, &mut seen);
    trouble(&appliance, &github, &session, &mut seen);
    let numbers = metrics::page(metrics::door(&appliance));
    let (_, log) = appliance.stop();
    let log = log.text();
    for route in ["/v1/auth/token/exchange", "/v1/auth/callback", "/v1/auth/device/poll", "/login", "/device"]
    {
        assert!(log.contains(route), "{route} was not called:\n{log}");
        assert!(numbers.contains(&format!("route=\"{route}\"")), "{route} is not counted:\n{numbers}");
    }
    seen.is_nowhere_in(&numbers, "the numbers");
    seen.is_nowhere_in(&log, "the log");
    for answer in &seen.answers {
        seen.is_nowhere_in(answer, "an answer");
    }
}

/// Tokens, good and bad, and keys.
fn tokens(appliance: &Appliance, seen: &mut Seen) {
    let alice = appliance.client("ghp_alice");
    alice.create_vault("acme/app");
    alice.push("acme/app", "production", &json!({"KEY": "hunter2-value"})).ok();
    seen.answer(&alice.get("/v1/users/me"));
    seen.answer(&appliance.client("ghp_unknown").get("/v1/users/me"));
    let key = appliance.key_for("admin", &["--scopes", "read:secrets"]);
    seen.secret(&key);
    seen.answer(&appliance.client(&key).post("/v1/vaults", &json!({"repoFullName": "acme/x"})));
    let broken = format!("{}x", &key[..key.len() - 1]);
    seen.secret(&broken);
    seen.answer(&appliance.client(&broken).get("/v1/users/me"));
    seen.answer(&appliance.admin().get("/v1/activity"));
}

/// Signing in with a password, at GitHub, and for another site. The session of the last.
fn browsers(appliance: &Appliance, github: &GitHub, seen: &mut Seen) -> String {
    let mut local = Browser::new(appliance.address());
    let page = local.open("/login");
    let wrong = seen.secret("hunter2-password");
    let page = local.submit(&page, "/login", &[("name", "admin"), ("password", &wrong)]);
    seen.page(&page);
    let page = local.submit(&page, "/login", &[("name", &wrong), ("password", &wrong)]);
    page.says(401, "do not belong");
    let page = local.submit(&page, "/login", &[("name", "admin"), ("password", &appliance.password)]);
    seen.page(&page);
    seen.cookies(&local);
    let page = local.submit(&page, "/logout", &[]);
    seen.page(&page);

    let browser = signed_in(appliance, github, "alice");
    seen.cookies(&browser);
    let mut other = Browser::new(appliance.address());
    let path =
        format!("/v1/auth/github/start?redirect_uri={}%2Fcb&state=their-own-state", SITE.replace(':', "%3A"));
    let there = leave(&mut other, &path.replace("//", "%2F%2F"));
    seen.secret(query(&there, "state"));
    seen.secret(query(&there, "code_challenge"));
    let back = github.consent(&there, "alice");
    let target =
        other.send(Request::new("GET", back.strip_prefix(&other.origin()).expect("our own address")));
    let target = target.answer.header("location").expect("a redirect").to_owned();
    let code = seen.secret(query(&target, "code"));
    let page = other.open(&back);
    seen.page(&page);
    let redeem = || appliance.stranger().post("/v1/auth/token/exchange", &json!({"code": code}));
    let token = seen.of(&redeem().ok()["keywayToken"]);
    seen.answer(&redeem());
    seen.answer(&appliance.client(&token).get("/v1/vaults"));
    seen.cookies(&other);
    token
}

/// A device that is let in, one that is turned away, and codes that are none.
fn devices(appliance: &Appliance, seen: &mut Seen) {
    let cli = appliance.stranger().calling_itself("keyway-cli/1.2.3");
    let mut browser = crate::sign_in::signed_in(appliance, "admin", &appliance.password);
    seen.cookies(&browser);
    for decision in ["approve", "deny"] {
        let started = start(&cli);
        seen.of(&started["deviceCode"]);
        let code = started["userCode"].as_str().expect("a code").to_owned();
        let page = type_code(&mut browser, &code);
        let page = browser.submit(&page, "/device/decision", &[("decision", decision)]);
        seen.page(&page);
        let polled = poll(&cli, &started);
        if decision == "approve" {
            let token = seen.of(&polled["keywayToken"]);
            seen.answer(&appliance.client(&token).get("/v1/users/me"));
            seen.answer(&appliance.client(&token).post("/v1/auth/logout", &json!({})));
            seen.answer(&appliance.client(&token).get("/v1/users/me"));
        }
        seen.secret(&code);
    }
    let unknown = seen.secret("not-a-device-code");
    seen.answer(&cli.post("/v1/auth/device/poll", &json!({"deviceCode": unknown})));
    let page = type_code(&mut browser, "BCDF-0000");
    seen.page(&page);
}

/// GitHub in every bad mood, asked with a session and with a token; renewals included.
fn trouble(appliance: &Appliance, github: &GitHub, session: &str, seen: &mut Seen) {
    let more = [Mood::Limited, Mood::Slowed, Mood::SingleSignOn];
    for mood in Mood::BROKEN.iter().chain(&more) {
        github.mood(*mood);
        for token in [session, "ghp_alice"] {
            seen.answer(&appliance.client(token).pull("acme/app", "production"));
        }
    }
    github.mood(Mood::Fine);
    for error in ["bad_verification_code", "incorrect_client_credentials", "bad_refresh_token", "unknown"] {
        let mut browser = Browser::new(appliance.address());
        let there = leave(&mut browser, "/v1/auth/github/start");
        let back = github.consent(&there, "alice");
        github.refuse_exchange(error);
        let page = browser.open(&back);
        seen.page(&page);
        seen.cookies(&browser);
        seen.secret(query(&back, "state"));
    }
    github.revoke_all_of("alice");
    seen.answer(&appliance.client(session).pull("acme/app", "production"));
    let hook = Request::new("POST", "/v1/github/webhook")
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", "member")
        .header("X-Hub-Signature-256", "sha256=hook-secret")
        .body("{}");
    seen.answer(&appliance.stranger().send(&hook));
    let cookie = format!("keyway_session={session}; keyway_browser={session}");
    let forged = Request::new("GET", "/v1/nothing?token=hunter2-value").header("Cookie", &cookie);
    seen.answer(&appliance.stranger().send(&forged));
}
