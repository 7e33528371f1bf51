//! Two standards, clause by clause, in the words of their texts: problem details (RFC 9457, which takes the place of
//! RFC 7807 and changes nothing on the wire) and the device flow (RFC 8628). Where the API has its own form for what
//! the standard asks, the test says which.

use crate::device_flow::{start, type_code};
use crate::harness::{Answer, Appliance, Browser, Client, Request};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Failures of many kinds.
fn failures(appliance: &Appliance) -> Vec<Answer> {
    let (admin, stranger) = (appliance.admin(), appliance.stranger());
    admin.create_vault("admin/app");
    let read_only = appliance.client(&appliance.key_for("admin", &["--scopes", "read:secrets"]));
    let push = json!({"repoFullName": "admin/app", "environment": "local", "secrets": {}});
    vec![
        admin.get("/v1/vaults?limit=0"),
        admin.get("/v1/vaults?limit=x&offset=y"),
        admin.get("/v1/vaults/%zz/app"),
        admin.send(&Request::new("POST", "/v1/vaults").json(&json!("no object"))),
        stranger.get("/v1/vaults"),
        appliance.client("kw_live_nonsense").get("/v1/vaults"),
        read_only.delete("/v1/vaults/admin/app"),
        admin.get("/v1/vaults/admin/none"),
        admin.get("/v1/none?secret=in-the-query"),
        admin.send(&Request::new("DELETE", "/v1/vaults")),
        admin.post("/v1/vaults", &json!({"repoFullName": "admin/app"})),
        admin.send(&Request::new("POST", "/v1/secrets/push").header("If-Match", "\"other\"").json(&push)),
        admin.send(&Request::new("POST", "/v1/vaults").json(&json!({"x": "y".repeat(2 << 20)}))),
        admin.send(&Request::new("POST", "/v1/vaults").header("Content-Type", "text/plain").body("text")),
        admin.send(&Request::new("HEAD", "/v1/vaults/admin/none")),
    ]
}

#[test]
fn problem_details_as_rfc_9457_has_them() {
    let appliance = Appliance::start();
    let failures = failures(&appliance);
    let statuses: BTreeSet<u16> = failures.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, BTreeSet::from([400, 401, 403, 404, 405, 409, 412, 413, 415]));
    let mut titles = BTreeMap::new();
    for answer in &failures {
        // §3: "The canonical model for problem details is a JSON object. When serialized in a JSON document, that
        // format is identified with the `application/problem+json` media type."
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.show());
        if answer.method == "HEAD" {
            // RFC 9110 §9.3.2: HEAD is GET without the content.
            assert!(answer.body.is_empty() && answer.number("content-length") > 0);
            continue;
        }
        let problem = answer.json();
        let members = problem.as_object().expect("§3: an object");
        // §3.1.1: "a JSON string containing a URI reference"; "it is RECOMMENDED that absolute URIs be used".
        let kind = problem["type"].as_str().expect("§3.1.1: a string");
        let uri: hyper::Uri = kind.parse().expect("§3.1.1: a URI");
        assert!(uri.scheme().is_some() && uri.authority().is_some(), "{kind}");
        // §3.1.2: "generators MUST use the same status code in the actual HTTP response".
        assert_eq!(problem["status"], answer.status, "{}", answer.show());
        // §3.1.3: "It SHOULD NOT change from occurrence to occurrence of the problem".
        let title = problem["title"].as_str().expect("§3.1.3: a string").to_owned();
        let before = titles.entry(kind.to_owned()).or_insert_with(|| title.clone());
        assert_eq!(*before, title, "§3.1.3");
        // §3.1.4: "ought to focus on helping the client correct the problem, rather than giving debugging information".
        let detail = problem["detail"].as_str().expect("§3.1.4: a string");
        assert!(
            !detail.contains("src/") && !detail.contains("panicked") && !detail.contains("::"),
            "{detail}"
        );
        // §3.1.5: "a JSON string containing a URI reference that identifies the specific occurrence". Without its
        // query: that may hold what must not be repeated.
        let instance = problem["instance"].as_str().expect("§3.1.5: a string");
        assert!(instance.starts_with('/') && instance.parse::<hyper::Uri>().is_ok(), "{instance}");
        assert!(!instance.contains('?'), "{instance}");
        // §3.2: extension names "should start with a letter" and be of letters, digits and `_`, three or more.
        let standard = ["type", "status", "title", "detail", "instance"];
        for name in members.keys().filter(|name| !standard.contains(&name.as_str())) {
            assert!(name.len() >= 3 && name.starts_with(|first: char| first.is_ascii_alphabetic()), "{name}");
            assert!(name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_'), "{name}");
        }
        // §4: problem types are told apart by their URI; one status could have many, and ours have one each.
        assert!(
            kind.ends_with(&title.to_lowercase().replace(' ', "-")) || answer.status == 429,
            "{kind} {title}"
        );
        // §5: "risks include leaking information": neither the query nor the body comes back.
        let text = problem.to_string();
        assert!(
            !text.contains("in-the-query") && !text.contains("yyyy") && !text.contains("no object"),
            "{text}"
        );
    }
}

/// An appliance whose devices have to keep a pace that no test waits for.
fn slow_pace() -> Appliance {
    Appliance::start_with(&[("KEYWAYD_AUTH__DEVICE_POLL_SECS", "60")])
}

fn polled(client: &Client, started: &Value) -> Answer {
    client.post("/v1/auth/device/poll", &json!({"deviceCode": started["deviceCode"]}))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}"))
}

#[test]
fn device_authorization_as_rfc_8628_has_it() {
    let appliance = slow_pace();
    let client = appliance.stranger();
    let answer = client.post("/v1/auth/device/start", &json!({}));
    let started = answer.ok();
    // §3.2: "a unique device verification code and an end-user code that are valid for a limited time"; REQUIRED are
    // device_code, user_code, verification_uri and expires_in. The API writes them in camel case.
    for name in ["deviceCode", "userCode", "verificationUri"] {
        assert!(!text(&started, name).is_empty(), "§3.2: {name}");
    }
    assert!(started["expiresIn"].as_u64().is_some_and(|seconds| seconds > 0), "§3.2: expires_in");
    // §3.2: "The minimum amount of time in seconds that the client SHOULD wait between polling requests".
    assert_eq!(started["interval"], 60, "§3.2: interval");
    // §3.2: "in the HTTP response body using the `application/json` format with a 200 status code"; its example, as
    // RFC 6749 §5.1 for tokens, is not to be stored.
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // §3.2: "the verification URI should be short and easy to remember".
    let uri = text(&started, "verificationUri");
    assert!(uri.ends_with("/device") && !uri.contains('?'), "{uri}");
    // §3.3.1: "a verification URI that includes the user_code".
    let code = text(&started, "userCode");
    assert_eq!(text(&started, "verificationUriComplete"), format!("{uri}?user_code={code}"));
    // §6.1: a code of letters that make no words and cannot be taken for each other: no vowels.
    let (letters, digits) = code.split_once('-').expect("§6.1: a dash for readability");
    assert!(letters.len() == 4 && letters.chars().all(|one| "BCDFGHJKLMNPQRSTVWXZ".contains(one)), "{code}");
    assert!(digits.len() == 4 && digits.chars().all(|one| one.is_ascii_digit()), "{code}");
    // §5.2: "a very high entropy code SHOULD be used" for the device: 128 bits, in base 64 or denser, are 22 letters.
    assert!(text(&started, "deviceCode").len() >= 22, "§5.2");
    // §3.2: "a unique device verification code".
    let other = client.post("/v1/auth/device/start", &json!({})).ok();
    assert_ne!((&other["deviceCode"], &other["userCode"]), (&started["deviceCode"], &started["userCode"]));
}

#[test]
fn polling_as_rfc_8628_has_it() {
    let appliance = slow_pace();
    let client = appliance.stranger();
    let started = start(&client);
    // §3.5 authorization_pending, which the API calls `pending`, and tells with 200.
    assert_eq!(polled(&client, &started).ok(), json!({"status": "pending"}));
    // §3.5 slow_down: polled before the interval has passed. The API says it with 429 and how long to wait.
    let early = polled(&client, &started);
    assert_eq!(early.refused(429)["title"], "Too Many Requests");
    assert!((1..=60).contains(&early.number("retry-after")), "{}", early.show());
    // The pace belongs to the code: another one of the same client's is not held up.
    let other = start(&client);
    assert_eq!(polled(&client, &other).ok(), json!({"status": "pending"}));
    // §3.5 expired_token, for a code that never was as well: nobody learns which codes there are.
    assert_eq!(polled(&client, &json!({"deviceCode": "x".repeat(43)})).ok(), json!({"status": "expired"}));
}

#[test]
fn the_person_s_part_as_rfc_8628_has_it() {
    let appliance = slow_pace();
    let client = appliance.stranger().calling_itself("television/1.0");
    let mut browser = crate::sign_in::signed_in(&appliance, "admin", &appliance.password);
    // §3.3.1: "it is still RECOMMENDED that the user be asked to confirm": opening the complete address shows the
    // code, and decides nothing.
    let denied = start(&client);
    let complete = text(&denied, "verificationUriComplete");
    let page = browser.open(complete);
    page.says(200, text(&denied, "userCode"));
    // §6.1: "the server should do so case-insensitively" and "ignore any characters ... not in the set", such as the
    // dash.
    let page = type_code(&mut browser, &text(&denied, "userCode").to_lowercase().replace('-', ""));
    // §5.4: "inform the user that they are authorizing a device"; §3.3: "prompts the user to identify the device".
    page.says(200, "television/1.0").says(200, "Approve only if you started this yourself");
    browser.submit(&page, "/device/decision", &[("decision", "deny")]).says(200, "turned away");
    // §3.5 access_denied.
    assert_eq!(polled(&client, &denied).ok(), json!({"status": "denied"}));

    let approved = start(&client);
    let page = type_code(&mut browser, text(&approved, "userCode"));
    browser.submit(&page, "/device/decision", &[("decision", "approve")]).says(200, "signed in as");
    // §3.5: a success is a token, its kind and its end; the API's is of one kind, to be shown as Bearer.
    let session = polled(&client, &approved).ok();
    assert_eq!(session["status"], "approved");
    assert!(crate::harness::is_time(&session["expiresAt"]), "{session}");
    let user = appliance.client(text(&session, "keywayToken")).get("/v1/users/me").ok();
    assert_eq!(user["username"], "admin");
    // §5.1: once used, the user's code is good for nothing.
    type_code(&mut browser, text(&approved, "userCode")).says(400, "not good");
}

#[test]
fn codes_are_not_guessed_as_rfc_8628_has_it() {
    // §5.1: "the server SHOULD rate-limit user code attempts"; with some 4 × 10^8 codes and 5 attempts a minute,
    // a guess within a code's quarter of an hour hits with less than 2^-22.
    let appliance = Appliance::start_with(&[("KEYWAYD_RATE_LIMIT__ENABLED", "true")]);
    let mut browser = Browser::new(appliance.address());
    for _ in 0..5 {
        type_code(&mut browser, "BCDF-0000").says(400, "not good");
    }
    type_code(&mut browser, "BCDF-0000").says(429, "Too many requests");
}
