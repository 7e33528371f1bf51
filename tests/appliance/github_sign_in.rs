//! Signing in with a browser at GitHub, and acting later in the name of whoever did.

use crate::device_flow::{poll, start, type_code};
use crate::github_roles::{acme, appliance};
use crate::harness::{Appliance, Browser, GitHub, Page, Request};
use serde_json::json;

const SITE: (&str, &str) = ("KEYWAYD_SERVER__REDIRECT_ORIGINS", "https://app.example");

/// Goes to GitHub from `path`: where that sends the browser.
pub(crate) fn leave(browser: &mut Browser, path: &str) -> String {
    let page = browser.send(Request::new("GET", path));
    assert_eq!(page.answer.status, 302, "{}", page.answer.show());
    page.answer.header("location").expect("a redirect").to_owned()
}

/// A browser in which `login` has signed in.
pub(crate) fn signed_in(appliance: &Appliance, github: &GitHub, login: &str) -> Browser {
    let mut browser = Browser::new(appliance.address());
    let there = leave(&mut browser, "/v1/auth/github/start");
    let page = browser.open(&github.consent(&there, login));
    page.says(200, "Signed in as").says(200, login);
    browser
}

#[test]
fn a_browser_signs_in_and_its_session_acts_with_what_github_gave() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    let browser = signed_in(&appliance, &github, "alice");
    let client = appliance.client(&browser.cookies["keyway_session"]);
    let me = client.get("/v1/users/me").ok();
    assert_eq!((&me["username"], &me["githubId"]), (&json!("alice"), &json!(11)));
    client.create_vault("acme/app");
    assert_eq!(client.get("/v1/vaults").ok()[0]["permission"], "admin");
    github.revoke_all_of("alice");
    let problem = client.get("/v1/vaults/acme/none").refused(401);
    assert!(problem["detail"].as_str().expect("words").contains("sign in"), "{problem}");
}

#[test]
fn another_site_gets_a_code_that_works_once() {
    let github = acme();
    let appliance = appliance(&github, &[SITE]);
    let mut browser = Browser::new(appliance.address());
    let there = leave(
        &mut browser,
        "/v1/auth/github/start?redirect_uri=https%3A%2F%2Fapp.example%2Fcb%3Fx%3D1&state=s%26t",
    );
    let back = github.consent(&there, "alice");
    let page = browser.open(&back);
    let target = page.answer.header("location").expect("a redirect");
    let code = target.strip_prefix("https://app.example/cb?x=1&code=").expect(target);
    let code = code.strip_suffix("&state=s%26t").expect(target);
    assert!(browser.cookies.contains_key("keyway_session"));
    let redeem = || appliance.stranger().post("/v1/auth/token/exchange", &json!({"code": code}));
    let session = redeem().ok();
    assert_eq!(session["githubLogin"], "alice");
    let token = session["keywayToken"].as_str().expect("a token");
    assert_ne!(token, browser.cookies["keyway_session"]);
    appliance.client(token).get("/v1/users/me").ok();
    redeem().refused(401);
    appliance.stranger().post("/v1/auth/token/exchange", &json!({"code": "nonsense"})).refused(401);
}

#[test]
fn browsers_are_sent_to_listed_sites_only() {
    let github = acme();
    let appliance = appliance(&github, &[SITE]);
    for evil in [
        "https://evil.example/",
        "https://app.example.evil.example/",
        "https://app.example@evil.example/",
        "https://app.example:444/",
        "http://app.example/",
        "//app.example/",
        "https://app.example%5C.evil.example",
        "javascript:alert(1)",
        "/device",
        "",
    ] {
        let mut browser = Browser::new(appliance.address());
        let path =
            format!("/v1/auth/github/start?redirect_uri={}", evil.replace(':', "%3A").replace('/', "%2F"));
        let page = browser.send(Request::new("GET", &path));
        page.says(400, "redirect_origins");
        assert!(page.answer.header("location").is_none());
    }
}

#[test]
fn a_sign_in_belongs_to_one_browser_and_is_good_once() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    let refused = |page: &Page, browser: &Browser| {
        page.says(400, "not begun in this browser");
        assert!(!browser.cookies.contains_key("keyway_session"));
    };
    let (mut mine, mut other) = (Browser::new(appliance.address()), Browser::new(appliance.address()));
    other.open("/login");
    let there = leave(&mut mine, "/v1/auth/github/start");
    let back = github.consent(&there, "alice");
    refused(&other.open(&back), &other);
    refused(&mine.open(&back), &mine);

    let there = leave(&mut mine, "/v1/auth/github/start");
    let back = github.consent(&there, "alice");
    refused(&mine.open(&format!("{back}x")), &mine);
    mine.open(&back).says(200, "Signed in as");
    mine.cookies.remove("keyway_session");
    refused(&mine.open(&back), &mine);
    refused(&mine.open("/v1/auth/callback"), &mine);
    refused(&mine.open("/v1/auth/callback?code=x&state=y"), &mine);
}

#[test]
fn what_goes_wrong_is_told_in_words() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    let mut browser = Browser::new(appliance.address());
    let there = leave(&mut browser, "/v1/auth/github/start");
    let state =
        there.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state").to_owned();
    let denied =
        format!("/v1/auth/callback?error=access_denied&error_description=%3Cb%3Ehunter2&state={state}");
    let page = browser.open(&denied);
    page.says(403, "Access was not granted");
    assert!(!page.html.contains("hunter2"), "anybody can write such an address");
    for (error, status, words) in [
        ("bad_verification_code", 403, "expired or was used already"),
        ("unverified_user_email", 403, "verify your mail address"),
        ("incorrect_client_credentials", 503, "try again later"),
    ] {
        let there = leave(&mut browser, "/v1/auth/github/start");
        let back = github.consent(&there, "alice");
        github.refuse_exchange(error);
        let page = browser.open(&back);
        page.says(status, words);
        assert!(!page.html.contains("secret-looking"), "{}", page.html);
    }
}

#[test]
fn somebody_without_any_business_here_is_not_let_in() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    let mut browser = Browser::new(appliance.address());
    let there = leave(&mut browser, "/v1/auth/github/start");
    let page = browser.open(&github.consent(&there, "mallory"));
    page.says(403, "has no role on any vault");
    assert!(!browser.cookies.contains_key("keyway_session"));
}

#[test]
fn tokens_of_a_github_app_are_renewed_before_they_end_and_once_at_a_time() {
    let github = acme();
    // Within the time before its end in which a token is renewed: each question finds it due.
    github.tokens_expire_in(200);
    let appliance = appliance(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0")]);
    let browser = signed_in(&appliance, &github, "alice");
    let client = appliance.client(&browser.cookies["keyway_session"]);
    github.tokens_expire_in(28_800);
    github.asked();
    let token = client.token();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| appliance.client(token).get("/v1/vaults").ok());
        }
    });
    let renewals = github.asked().into_iter().filter(|question| question.contains("access_token")).count();
    assert_eq!(renewals, 1);
    client.get("/v1/vaults").ok();
}

#[test]
fn a_device_is_let_in_by_somebody_who_signs_in_at_github() {
    let github = acme();
    let appliance = appliance(&github, &[("KEYWAYD_AUTH__DEVICE_POLL_SECS", "1")]);
    let cli = appliance.stranger();
    let started = start(&cli);
    let mut browser = Browser::new(appliance.address());
    let page = type_code(&mut browser, started["userCode"].as_str().expect("a code"));
    let there = page.link("Sign in with GitHub");
    let there = leave(&mut browser, &there);
    let back = github.consent(&there, "alice");
    let page = browser.open(&back);
    page.says(200, "Is this you?");
    browser.submit(&page, "/device/decision", &[("decision", "approve")]).says(200, "signed in as");
    let approved = poll(&cli, &started);
    assert_eq!((&approved["status"], &approved["githubLogin"]), (&json!("approved"), &json!("alice")));
}

#[test]
fn keys_act_through_the_sign_in_of_their_owner() {
    let github = acme();
    let appliance = appliance(&github, &[("KEYWAYD_IDENTITY__GITHUB__ROLE_CACHE_SECS", "0")]);
    let browser = signed_in(&appliance, &github, "alice");
    let client = appliance.client(&browser.cookies["keyway_session"]);
    client.create_vault("acme/app");
    client.push("acme/app", "production", &json!({"KEY": "value"})).ok();
    let wanted = json!({"name": "ci", "environment": "live", "scopes": ["read:secrets"]});
    let key = client.post("/v1/api-keys", &wanted).created()["token"].as_str().expect("a token").to_owned();
    let key = appliance.client(&key);
    key.pull("acme/app", "production").ok();
    github.set_role(7, "alice", None);
    key.pull("acme/app", "production").refused(404);
    github.set_role(7, "alice", Some("read"));
    key.pull("acme/app", "production").ok();
    github.revoke_all_of("alice");
    key.pull("acme/app", "production").refused(401);
}

#[test]
fn a_github_user_can_be_disabled_too() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    let browser = signed_in(&appliance, &github, "alice");
    let session = appliance.client(&browser.cookies["keyway_session"]);
    session.create_vault("acme/app");
    let wanted = json!({"name": "ci", "environment": "live", "scopes": ["read:secrets"]});
    let key = session.post("/v1/api-keys", &wanted).created()["token"].as_str().expect("a token").to_owned();
    appliance.cli(&["user", "disable", "alice"]).done();
    for token in [session.token(), &key, "ghp_alice"] {
        appliance.client(token).get("/v1/users/me").refused(401);
    }
    let mut again = Browser::new(appliance.address());
    let there = leave(&mut again, "/v1/auth/github/start");
    again.open(&github.consent(&there, "alice")).says(403, "disabled");
    appliance.cli(&["user", "disable", "nobody"]).refused(1);
}

#[test]
fn a_github_user_is_told_from_an_account_of_that_name_and_may_have_an_underscore() {
    let github = acme();
    github.user("octocat_acme", 21);
    github.token("ghp_managed", "octocat_acme");
    github.set_role(7, "octocat_acme", Some("admin"));
    let appliance = appliance(&github, &[]);
    let namesake = appliance.account("alice");
    appliance.client("ghp_managed").create_vault("acme/app");
    appliance.client("ghp_alice").push("acme/app", "local", &json!({"KEY": "value"})).ok();
    let user = |verb: &str, name: &str| appliance.cli(&["user", verb, name]);
    let status = |token: &str| appliance.client(token).get("/v1/users/me").status;

    user("disable", "github:Octocat_Acme").done();
    assert_eq!((status("ghp_managed"), status("ghp_alice")), (401, 200));
    user("enable", "github:octocat_acme").done();
    assert_eq!(status("ghp_managed"), 200);

    user("disable", "github:alice").done();
    assert_eq!((status("ghp_alice"), status(namesake.token())), (401, 200));
    user("disable", "alice").done();
    user("enable", "github:alice").done();
    assert_eq!((status("ghp_alice"), status(namesake.token())), (200, 401));

    assert!(user("disable", "github:nobody").refused(1).contains("`nobody`"));
    assert!(user("disable", "octocat_acme").refused(1).contains("`github:LOGIN`"));
}

#[test]
fn disabling_somebody_takes_back_the_code_their_site_has_not_fetched() {
    let github = acme();
    let appliance = appliance(&github, &[SITE]);
    let code = || {
        let mut browser = Browser::new(appliance.address());
        let there = leave(&mut browser, "/v1/auth/github/start?redirect_uri=https%3A%2F%2Fapp.example%2Fcb");
        let page = browser.open(&github.consent(&there, "alice"));
        let target = page.answer.header("location").expect("a redirect");
        target.split("code=").nth(1).expect("a code").to_owned()
    };
    let redeem = |code: &str| appliance.stranger().post("/v1/auth/token/exchange", &json!({"code": code}));
    redeem(&code()).ok();
    let left = code();
    appliance.cli(&["user", "disable", "alice"]).done();
    appliance.cli(&["user", "enable", "alice"]).done();
    redeem(&left).refused(401);
}

#[test]
fn every_kind_of_credential_can_be_validated() {
    let github = acme();
    let appliance = appliance(&github, &[]);
    let session = signed_in(&appliance, &github, "alice").cookies["keyway_session"].clone();
    let wanted = json!({"name": "ci", "environment": "live", "scopes": ["read:secrets"]});
    let key = appliance.client(&session).post("/v1/api-keys", &wanted).created()["token"].clone();
    for token in [session.as_str(), key.as_str().expect("a token"), "ghp_alice"] {
        let valid = appliance.client(token).post("/v1/auth/token/validate", &json!({})).ok();
        assert_eq!((&valid["username"], &valid["githubId"]), (&json!("alice"), &json!(11)));
    }
    let usage = appliance.client(&session).get("/v1/users/me/usage").ok();
    assert_eq!((&usage["plan"], &usage["usage"]["private"]), (&json!("team"), &json!(0)));
    appliance.stranger().post("/v1/auth/token/validate", &json!({})).refused(401);
}

#[test]
fn cookies_of_the_pages_belong_to_this_host_alone_where_it_is_reached_by_https() {
    let github = acme();
    let https = [
        ("KEYWAYD_SERVER__PUBLIC_URL", "https://keyway.example"),
        ("KEYWAYD_SERVER__TRUSTED_PROXIES", "127.0.0.1/32"),
    ];
    let appliance = appliance(&github, &https);
    let mut browser = Browser::new(appliance.address());
    let there = leave(&mut browser, "/v1/auth/github/start");
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["__Host-keyway_browser"]);
    let back = github.consent(&there, "alice");
    let back = back.strip_prefix("https://keyway.example").expect("the public address").to_owned();
    let page = browser.send(Request::new("GET", &back));
    assert_eq!(page.answer.header("location"), Some("https://keyway.example/"));
    let cookie = page.answer.headers.iter().find(|(name, _)| name == "set-cookie").expect("a session");
    assert!(cookie.1.starts_with("keyway_session=") && cookie.1.contains("; Secure"), "{}", cookie.1);
    // One that another host of the domain has set is not ours.
    let mut tossed = Browser::new(appliance.address());
    let there = leave(&mut browser, "/v1/auth/github/start");
    let ours = browser.cookies["__Host-keyway_browser"].clone();
    tossed.cookies.insert("keyway_browser".to_owned(), ours);
    let back = github.consent(&there, "alice").replace("https://keyway.example", "");
    tossed.send(Request::new("GET", &back)).says(400, "not begun in this browser");
}

#[test]
fn serve_says_what_the_settings_mean() {
    let github = acme();
    let appliance = appliance(&github, &[("KEYWAYD_IDENTITY__GITHUB__ALLOWED_OWNERS", "")]);
    let log = appliance.log().text();
    assert!(log.contains("allowed_owners` is empty"), "{log}");
    assert!(log.contains("the scope `repo`"), "{log}");
    assert!(log.contains("`identity.github.api_url` does not start with `https://`"), "{log}");
}
