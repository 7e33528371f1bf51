//! Connecting a service with a browser: consent there and coming back, the page that a command line opens, the form
//! for a token, and tokens that are renewed before they end.

use super::harness::{Appliance, Browser, Page, Request, form};
use super::services::{Fault, Service, TOKEN};
use super::sign_in::signed_in;
use serde_json::{Value, json};

const REPO: &str = "admin/app";

fn appliance(settings: &[(String, String)], more: &[(&str, &str)]) -> Appliance {
    let mut all: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    all.extend(more);
    Appliance::start_with(&all)
}

fn with_app(service: &Service) -> Appliance {
    appliance(&service.settings_with_app(), &[])
}

/// Every service that asks for consent.
fn asking() -> [Service; 3] {
    [Service::vercel(), Service::netlify(), Service::railway()]
}

fn authorize(service: &Service) -> String {
    format!("/v1/integrations/{}/authorize", service.name)
}

/// Where a program that shows `token` is sent.
fn leave(browser: &mut Browser, service: &Service, token: &str) -> String {
    let request = Request::new("GET", &authorize(service));
    let page = browser.send(request.header("Authorization", &format!("Bearer {token}")));
    assert_eq!(page.answer.status, 302, "{}", page.answer.show());
    page.answer.header("location").expect("a redirect").to_owned()
}

fn connections(appliance: &Appliance) -> Value {
    appliance.admin().get("/v1/integrations/connections").ok()["connections"].clone()
}

/// The address of the page that a command line opens.
fn with_token(service: &Service, token: &str, more: &str) -> String {
    format!("{}?token={token}{more}", authorize(service))
}

fn press(browser: &mut Browser, page: &Page, service: &Service, fields: &[(&str, &str)]) -> Page {
    browser.submit(page, &authorize(service), fields)
}

#[test]
fn a_program_is_sent_to_the_service_and_its_browser_comes_back_connected() {
    for service in asking() {
        let (name, appliance) = (service.name, with_app(&service));
        let mut browser = Browser::new(appliance.address());
        let there = leave(&mut browser, &service, &appliance.token);
        assert!(there.starts_with(&service.page()), "{name}: {there}");
        let back = service.agree(&there, &browser.origin());
        let page = browser.open(&back);
        page.says(200, "is connected with the Keyway account").says(200, "admin");
        let made = connections(&appliance);
        assert_eq!((made.as_array().map(Vec::len), &made[0]["provider"]), (Some(1), &json!(name)));
        let projects =
            format!("/v1/integrations/connections/{}/projects", made[0]["id"].as_str().expect("an id"));
        assert!(appliance.admin().get(&projects).ok()["projects"][0]["id"] == "app-0", "{name}");
        // Connecting the same account again renews what is there.
        let there = leave(&mut browser, &service, &appliance.token);
        browser.open(&service.agree(&there, &browser.origin())).says(200, "is connected");
        assert_eq!(connections(&appliance)[0]["id"], made[0]["id"], "{name}");
        assert_eq!(connections(&appliance).as_array().map(Vec::len), Some(1), "{name}");
    }
}

#[test]
fn a_command_line_opens_a_page_that_names_the_account_and_asks() {
    let service = Service::railway();
    let site = ("KEYWAYD_SERVER__REDIRECT_ORIGINS", "https://app.example");
    let appliance = appliance(&service.settings_with_app(), &[site]);
    let mut browser = Browser::new(appliance.address());
    let onward = "&redirect_uri=https%3A%2F%2Fapp.example%2Fdone";
    let page = browser.open(&with_token(&service, &appliance.token, onward));
    page.says(200, "Connect Railway").says(200, "<strong>admin</strong>");
    assert_eq!(page.answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.answer.header("cache-control"), Some("no-store"));
    assert!(!page.html.contains(&appliance.token), "the page repeats the token");
    assert_eq!(service.asked(), Vec::<String>::new(), "nothing happens before the button is pressed");
    assert_eq!(connections(&appliance), json!([]));
    let page = press(&mut browser, &page, &service, &[]);
    page.says(200, "On to Railway");
    let there = page.link("Continue to Railway");
    assert!(page.html.contains("http-equiv=\"refresh\""), "{}", page.html);
    let back = service.agree(&there, &browser.origin());
    let page = browser.send(Request::new("GET", back.strip_prefix(&browser.origin()).expect("our own")));
    assert_eq!((page.answer.status, page.answer.header("location")), (302, Some("https://app.example/done")));
    assert_eq!(connections(&appliance)[0]["provider"], "railway");
    for elsewhere in ["https%3A%2F%2Fevil.example%2F", "https%3A%2F%2Fapp.example.evil.example", "%2Fx"] {
        let target = with_token(&service, &appliance.token, &format!("&redirect_uri={elsewhere}"));
        browser.open(&target).says(400, "redirect_origins");
    }
}

#[test]
fn where_nobody_is_asked_a_token_is_pasted() {
    for service in [Service::fly(), Service::vercel()] {
        let (name, appliance) = (service.name, appliance(&service.settings(), &[]));
        let mut browser = Browser::new(appliance.address());
        let page = browser.open(&with_token(&service, &appliance.token, ""));
        page.says(200, "<strong>admin</strong>").says(200, "type=\"password\"");
        let page = press(&mut browser, &page, &service, &[("token", "wrong-hunter2")]);
        page.says(400, "is not accepted by");
        assert!(!page.html.contains("hunter2"), "{name}: {}", page.html);
        let page = press(&mut browser, &page, &service, &[("token", ""), ("team", "")]);
        page.says(400, "must be a token");
        let page = press(&mut browser, &page, &service, &[("token", TOKEN)]);
        page.says(200, "is connected with the Keyway account");
        assert_eq!(connections(&appliance)[0]["provider"], name);
        // A service that fails is no mistake of whoever pasted the token.
        let page = browser.open(&with_token(&service, &appliance.token, ""));
        service.spoil(0, Fault::Status(500));
        press(&mut browser, &page, &service, &[("token", TOKEN)]).says(502, "cannot be used");
        // Somebody who is signed in needs no token in the address.
        let mut person = signed_in(&appliance, "admin", &appliance.password);
        let home = person.open("/");
        assert_eq!(home.link("Connect "), authorize(&service));
        let page = person.open(&authorize(&service));
        press(&mut person, &page, &service, &[("token", TOKEN)]).says(200, "is connected");
        // A program is told what to do instead, and gets the same page.
        let request = Request::new("GET", &authorize(&service));
        let shown = browser.send(request.header("Authorization", &format!("Bearer {}", appliance.token)));
        shown.says(200, "type=\"password\"");
    }
}

#[test]
fn a_consent_belongs_to_one_browser_and_one_service_and_is_good_once() {
    let (service, other_service) = (Service::railway(), Service::netlify());
    let settings = [service.settings_with_app(), other_service.settings_with_app()].concat();
    let appliance = appliance(&settings, &[]);
    let (mut mine, mut other) = (Browser::new(appliance.address()), Browser::new(appliance.address()));
    other.open("/login");
    let origin = mine.origin();
    let refused = |page: &Page| {
        page.says(400, "not begun in this browser");
    };
    // Shown in another browser, or in one without any cookie, it is used up.
    for stranger in [&mut other, &mut Browser::new(appliance.address())] {
        let there = leave(&mut mine, &service, &appliance.token);
        let back = service.agree(&there, &origin);
        refused(&stranger.open(&back));
        refused(&mine.open(&back));
    }
    // Shown to the callback of another service.
    let there = leave(&mut mine, &service, &appliance.token);
    let back = service.agree(&there, &origin);
    refused(&mine.open(&back.replace("/railway/", "/netlify/")));
    refused(&mine.open(&back));
    // Altered, missing, twice.
    let there = leave(&mut mine, &service, &appliance.token);
    let back = service.agree(&there, &origin);
    refused(&mine.open(&format!("{back}x")));
    refused(&mine.open("/v1/integrations/railway/callback"));
    mine.open(&back).says(200, "is connected");
    refused(&mine.open(&back));
    // A code of somebody else's consent does not fit the verifier of this one.
    let theirs = service.agree(&leave(&mut other, &service, &appliance.token), &origin);
    let code = theirs.split("code=").nth(1).and_then(|rest| rest.split('&').next()).expect("a code");
    let back = service.agree(&leave(&mut mine, &service, &appliance.token), &origin);
    let own = back.split("code=").nth(1).and_then(|rest| rest.split('&').next()).expect("a code");
    mine.open(&back.replace(own, code)).says(403, "expired or was used already");
    assert_eq!(connections(&appliance).as_array().map(Vec::len), Some(1));
}

#[test]
fn so_many_are_on_their_way_and_no_more() {
    let service = Service::railway();
    let appliance = with_app(&service);
    let mut browser = Browser::new(appliance.address());
    let (own, alice) = (appliance.token.clone(), appliance.account("alice"));
    let theirs = leave(&mut browser, &service, alice.token());
    let mine: Vec<String> = (0..11).map(|_| leave(&mut browser, &service, &own)).collect();
    let origin = browser.origin();
    let mut come_back = |there: &String| browser.open(&service.agree(there, &origin));
    // The eleventh took the place of the first, and of nobody else.
    come_back(&mine[0]).says(400, "followed by too many others");
    for there in [&mine[1], &mine[10], &theirs] {
        come_back(there).says(200, "is connected");
    }
}

#[test]
fn nobody_is_made_to_press_the_button() {
    let service = Service::fly();
    let appliance = appliance(&service.settings(), &[]);
    let mut browser = Browser::new(appliance.address());
    let page = browser.open(&with_token(&service, &appliance.token, ""));
    let action = authorize(&service);
    let fields = [page.hidden_fields(&action), vec![("token".to_owned(), TOKEN.to_owned())]].concat();
    let without = |name: &str| -> Vec<(String, String)> {
        fields.iter().filter(|(other, _)| other != name).cloned().collect()
    };
    let posted = |browser: &mut Browser, fields: &[(String, String)], origin: &str| {
        browser.send(form(&action, fields).header("Origin", origin))
    };
    let own = browser.origin();
    posted(&mut browser, &fields, "https://evil.example").says(403, "Origin");
    posted(&mut browser, &without("form"), &own).says(403, "out of date");
    // In another browser neither the form nor the sealed credential is worth anything.
    let mut other = Browser::new(appliance.address());
    posted(&mut other, &fields, &own).says(403, "out of date");
    let foreign = other.open(&with_token(&service, &appliance.token, ""));
    let mut mixed = without("ticket");
    let theirs = foreign.hidden_fields(&action);
    mixed.extend(theirs.into_iter().filter(|(name, _)| name == "ticket"));
    posted(&mut browser, &mixed, &own).says(403, "out of date");
    // Without one, nobody is there.
    posted(&mut browser, &without("ticket"), &own).says(401, "signed in");
    assert_eq!(connections(&appliance), json!([]));
    // Browsers hide where a page is from that keeps its address to itself.
    posted(&mut browser, &fields, "null").says(200, "is connected");
    // A credential that has ended meanwhile is of no use.
    let key = appliance.key_for("admin", &["--scopes", "write:secrets"]);
    let page = browser.open(&with_token(&service, &key, ""));
    let keys = appliance.admin().get("/v1/api-keys").ok()["keys"].clone();
    let newest = keys.as_array().expect("a list").iter().find(|one| key.starts_with(prefix(one)));
    let id = newest.expect("the key is listed")["id"].as_str().expect("an id").to_owned();
    appliance.admin().delete(&format!("/v1/api-keys/{id}")).no_content();
    press(&mut browser, &page, &service, &[("token", TOKEN)]).says(401, "revoked");
}

fn prefix(key: &Value) -> &str {
    key["prefix"].as_str().expect("a prefix").trim_end_matches(['.', '…', '*'])
}

#[test]
fn connecting_takes_a_credential_that_may_write() {
    let service = Service::railway();
    let appliance = with_app(&service);
    let mut browser = Browser::new(appliance.address());
    browser.open(&authorize(&service)).says(401, "credential");
    browser.open(&with_token(&service, "kw_live_nobodys", "")).says(401, "not valid");
    let reader = appliance.key_for("admin", &["--scopes", "read:secrets"]);
    browser.open(&with_token(&service, &reader, "")).says(403, "write:secrets");
    // Programs read problems, not pages.
    appliance.client(&reader).get(&authorize(&service)).refused(403);
    appliance.client("kw_live_nobodys").get(&authorize(&service)).refused(401);
    appliance.admin().get("/v1/integrations/nobody/authorize").refused(404);
    appliance.admin().get("/v1/integrations/fly/authorize").refused(409);
    // Whoever is disabled on the way is not connected when they come back.
    let alice = appliance.account("alice");
    let there = leave(&mut browser, &service, alice.token());
    let back = service.agree(&there, &browser.origin());
    appliance.cli(&["user", "disable", "alice"]).done();
    browser.open(&back).says(400, "not begun in this browser");
}

#[test]
fn an_account_that_ends_while_the_service_is_asked_is_not_connected_and_does_not_come_back() {
    let service = Service::railway();
    let appliance = with_app(&service);
    for ending in ["disable", "delete"] {
        let alice = appliance.account("alice");
        let mut browser = Browser::new(appliance.address());
        let there = leave(&mut browser, &service, alice.token());
        let back = service.agree(&there, &browser.origin());
        service.spoil(0, Fault::Silence);
        std::thread::scope(|scope| {
            let coming = scope.spawn(|| browser.open(&back));
            service.await_held();
            appliance.cli(&["user", ending, "alice"]).done();
            service.release();
            coming.join().expect("a page").says(403, "may not come in any more");
        });
        if ending == "disable" {
            appliance.cli(&["user", "delete", "alice"]).done();
        }
        assert!(!appliance.cli(&["user", "list"]).done().contains("alice"));
    }
}

#[test]
fn what_goes_wrong_on_the_way_is_told_in_words() {
    let service = Service::railway();
    let appliance = with_app(&service);
    let mut browser = Browser::new(appliance.address());
    let there = leave(&mut browser, &service, &appliance.token);
    let state = there.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state");
    let denied = format!(
        "/v1/integrations/railway/callback?error=access_denied&error_description=%3Cb%3Ehunter2&state={state}"
    );
    let page = browser.open(&denied);
    page.says(403, "Access was not granted");
    assert!(!page.html.contains("hunter2"), "anybody can write such an address");
    for (error, status, words) in [
        ("invalid_grant", 403, "expired or was used already"),
        ("invalid_client", 502, "client_secret"),
        ("temporarily_unavailable", 502, "issued no token"),
    ] {
        let there = leave(&mut browser, &service, &appliance.token);
        let back = service.agree(&there, &browser.origin());
        service.consent(|consent| consent.refuse = Some(error.to_owned()));
        let page = browser.open(&back);
        page.says(status, words);
        assert!(!page.html.contains("hunter2"), "{}", page.html);
    }
    assert_eq!(connections(&appliance), json!([]));
}

/// Connected by consent, with tokens that are good for `secs`.
fn connected_for(service: &Service, appliance: &Appliance, secs: u64) -> String {
    service.consent(|consent| consent.lasts = Some(secs));
    let mut browser = Browser::new(appliance.address());
    let there = leave(&mut browser, service, &appliance.token);
    browser.open(&service.agree(&there, &browser.origin())).says(200, "is connected");
    connections(appliance)[0]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn tokens_are_renewed_before_they_end_and_once_at_a_time() {
    for (service, lasts) in [(Service::railway(), 200), (Service::railway(), 0), (Service::netlify(), 0)] {
        let appliance = with_app(&service);
        let connection = connected_for(&service, &appliance, lasts);
        service.consent(|consent| consent.lasts = Some(28_800));
        let target = format!("/v1/integrations/connections/{connection}/projects");
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| appliance.admin().get(&target).ok());
            }
        });
        assert_eq!(service.consent(|consent| consent.renewals), 1);
        appliance.admin().get(&target).ok();
        assert_eq!(service.consent(|consent| consent.renewals), 1);
    }
}

#[test]
fn a_connection_that_is_not_renewed_says_to_connect_again() {
    let service = Service::railway();
    let appliance = with_app(&service);
    let connection = connected_for(&service, &appliance, 200);
    let target = format!("/v1/integrations/connections/{connection}/projects");
    // A service that cannot renew now is asked again later; what is there still does.
    service.consent(|consent| consent.refuse = Some("temporarily_unavailable".to_owned()));
    appliance.admin().get(&target).ok();
    // One that will not any more is not asked again.
    service.consent(|consent| consent.refuse = Some("invalid_grant".to_owned()));
    appliance.admin().get(&target).ok();
    let asked = service.asked().iter().filter(|line| line.contains("/oauth/token")).count();
    appliance.admin().get(&target).ok();
    assert_eq!(service.asked().iter().filter(|line| line.contains("/oauth/token")).count(), asked);

    let connection = connected_for(&service, &appliance, 0);
    let target = format!("/v1/integrations/connections/{connection}/projects");
    service.consent(super::services::Consent::revoke_all);
    let problem = appliance.admin().get(&target).refused(502);
    assert!(
        problem["detail"].as_str().is_some_and(|words| words.contains("connect Railway again")),
        "{problem}"
    );
    // And connecting again mends it.
    let again = connected_for(&service, &appliance, 28_800);
    assert_eq!(again, connection);
    appliance.admin().get(&target).ok();
}

#[test]
fn what_a_service_issued_synchronises_and_is_told_to_nobody() {
    let service = Service::railway();
    let more = [("KEYWAYD_LOG__LEVEL", "trace")];
    let mut appliance = appliance(&service.settings_with_app(), &more);
    let admin = appliance.admin();
    admin.create_vault(REPO);
    admin.push(REPO, "production", &json!({ "A": "hunter2-value" })).ok();
    let mut browser = Browser::new(appliance.address());
    let page = browser.open(&with_token(&service, &appliance.token, ""));
    let page = press(&mut browser, &page, &service, &[]);
    let there = page.link("Continue to Railway");
    let back = service.agree(&there, &browser.origin());
    let mut secrets =
        vec![appliance.token.clone(), super::services::CLIENT.1.to_owned(), "hunter2".to_owned()];
    secrets.push(back.split("state=").nth(1).expect("a state").to_owned());
    secrets.extend(browser.cookies.values().cloned());
    browser.open(&back).says(200, "is connected");
    let connection = connections(&appliance)[0]["id"].clone();
    let body = json!({ "connectionId": connection, "projectId": "app-0" });
    let result = admin.post(&format!("/v1/integrations/vaults/{REPO}/sync"), &body).ok();
    assert_eq!((&result["status"], &result["created"]), (&json!("success"), &json!(1)));
    let activity = admin.get("/v1/activity");
    assert!(activity.show().contains("integration_connected"), "{}", activity.show());
    assert!(!activity.show().contains("hunter2"), "{}", activity.show());
    drop(admin);
    let (_, log) = appliance.stop();
    let log = log.text();
    assert!(log.contains("/v1/integrations/{provider}/callback"), "{log}");
    for secret in secrets {
        assert!(!log.contains(&secret), "`{secret}` is in the log");
    }
    let database = std::fs::read(appliance.database()).expect("the data can be read");
    for secret in ["issued-hunter2", "hunter2-value"] {
        let found = database.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "`{secret}` is in the database");
    }
}
