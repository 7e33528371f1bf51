//! Rate limits, and whom they count: credentials that are good, and addresses for everybody else.

use super::github_roles::acme;
use super::harness::{Answer, Appliance, GitHub, Mood, Request};
use serde_json::json;

/// Quotas that refill in hours, so that nothing comes back while a test runs.
fn tight(more: &[(&str, &str)]) -> Appliance {
    let tight = [("KEYWAYD_RATE_LIMIT__ENABLED", "true"), ("KEYWAYD_RATE_LIMIT__GENERAL", "4/24h")];
    Appliance::start_with(&[&tight, more].concat())
}

fn standing(answer: &Answer) -> (u64, u64) {
    let reset = answer.number("x-ratelimit-reset");
    assert!(reset > 0 && reset <= 24 * 60 * 60, "{}", answer.show());
    (answer.number("x-ratelimit-limit"), answer.number("x-ratelimit-remaining"))
}

#[test]
fn each_credential_has_its_own_budget() {
    let appliance = tight(&[]);
    let (first, second) = (appliance.admin(), appliance.client(&appliance.key_for("admin", &[])));
    for left in [3, 2] {
        assert_eq!(standing(&first.get("/v1/users/me")), (4, left));
    }
    // Failures cost as well.
    assert_eq!(standing(&first.get("/v1/vaults/acme/ghost")), (4, 1));
    assert_eq!(standing(&first.get("/v1/vaults?limit=0")), (4, 0));
    for _ in 0..2 {
        let refused = first.get("/v1/users/me");
        assert_eq!((refused.status, standing(&refused)), (429, (4, 0)));
        let wait = refused.number("retry-after");
        assert!(wait > 0 && wait <= 6 * 60 * 60, "{}", refused.show());
    }
    let refused = first.push("acme/app", "local", &json!({}));
    assert_eq!(refused.status, 429);
    // Another key of the same account, at the same address, is not touched by that.
    assert_eq!(standing(&second.get("/v1/users/me")), (4, 3));
    // Health costs nothing and has no limit.
    for _ in 0..20 {
        let health = first.get("/v1/health");
        assert_eq!((health.status, health.header("x-ratelimit-limit")), (200, None));
    }
}

#[test]
fn whoever_shows_no_good_credential_shares_the_address_s_budget() {
    let appliance = tight(&[]);
    let (stranger, guesser) = (appliance.stranger(), appliance.client("kw_live_guess"));
    assert_eq!(standing(&stranger.get("/v1/github/repo-ids?repo=acme/app")), (4, 3));
    assert_eq!(standing(&stranger.get("/v1/users/me")), (4, 2));
    assert_eq!(standing(&guesser.get("/v1/users/me")), (4, 1));
    assert_eq!(standing(&stranger.get("/v1/nothing")), (4, 0));
    for client in [&stranger, &guesser] {
        assert_eq!(client.get("/v1/users/me").status, 429);
        assert_eq!(client.get("/v1/nothing").status, 429);
        assert_eq!(client.delete("/v1/users/me").status, 429);
    }
    // A good key from the same address is served all the same.
    assert_eq!(standing(&appliance.admin().get("/v1/users/me")), (4, 3));
}

fn tight_with(github: &GitHub) -> Appliance {
    let settings = github.settings();
    tight(&settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
}

#[test]
fn made_up_tokens_are_put_to_github_only_as_long_as_the_address_may_call() {
    let github = acme();
    let appliance = tight_with(&github);
    // Good ones cost the address nothing, not even the first time, and leave the budget as it was.
    let bob = appliance.client("ghp_bob");
    assert_eq!(standing(&bob.get("/v1/users/me")), (4, 3));
    github.asked();
    for number in 0..10 {
        let answer = appliance.client(&format!("ghp_madeup{number}")).get("/v1/users/me");
        if number < 4 {
            assert_eq!((answer.status, standing(&answer)), (401, (4, 3 - number)));
        } else {
            assert_eq!((answer.status, standing(&answer)), (429, (4, 0)));
            assert!(answer.number("retry-after") > 0);
        }
    }
    assert_eq!(github.asked().len(), 4, "what is refused is not asked about");
    // Whom GitHub has vouched for is served all the same.
    assert_eq!(standing(&bob.get("/v1/users/me")), (4, 2));
}

#[test]
fn a_stranger_s_token_costs_the_address_whatever_github_says_of_it_but_that_it_is_good() {
    for (mood, status) in [(Mood::Failing, 503), (Mood::SingleSignOn, 403)] {
        let github = acme();
        let appliance = tight_with(&github);
        github.mood(mood);
        for number in 0..10 {
            let answer = appliance.client(&format!("ghp_madeup{number}")).get("/v1/vaults");
            assert_eq!(answer.status, if number < 4 { status } else { 429 }, "{mood:?}, {number}");
        }
        assert_eq!(github.asked().len(), 4, "{mood:?}");
    }
}

#[test]
fn revealing_values_has_a_budget_on_top() {
    let appliance =
        tight(&[("KEYWAYD_RATE_LIMIT__GENERAL", "100/24h"), ("KEYWAYD_RATE_LIMIT__REVEAL", "2/24h")]);
    let admin = appliance.admin();
    admin.create_vault("acme/app");
    let body = json!({ "key": "A", "value": "x", "environment": "local" });
    let secret = admin.post("/v1/vaults/acme/app/secrets", &body).created();
    let target = format!("/v1/vaults/acme/app/secrets/{}/value", secret["id"].as_str().unwrap_or_default());
    assert_eq!(standing(&admin.get(&target)), (2, 1));
    assert_eq!(standing(&admin.get(&target)), (2, 0));
    assert_eq!(admin.get(&target).status, 429);
    // Everything else goes on, pulls included.
    assert_eq!(admin.content("acme/app", "local"), "A=x\n");
    let other = appliance.client(&appliance.key_for("admin", &[]));
    assert_eq!(standing(&other.get(&target)), (2, 1));
}

#[test]
fn behind_a_trusted_proxy_the_client_pays_and_not_the_proxy() {
    let appliance = tight(&[("KEYWAYD_SERVER__TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")]);
    let stranger = appliance.stranger();
    let left = |forwarded: &str| {
        let request = Request::new("GET", "/v1/users/me").header("X-Forwarded-For", forwarded);
        standing(&stranger.send(&request)).1
    };
    assert_eq!(left("192.0.2.1"), 3);
    assert_eq!(left("192.0.2.2"), 3);
    // What stands further left is anybody's claim; what stands right is a proxy we trust.
    assert_eq!(left("192.0.2.9, 192.0.2.1"), 2);
    assert_eq!(left("192.0.2.1, 10.0.0.7"), 1);
    assert_eq!(left("::ffff:192.0.2.1"), 0);
    // A subscriber of IPv6 has 2⁶⁴ addresses and one budget.
    assert_eq!(left("2001:db8:1:2::1"), 3);
    assert_eq!(left("2001:db8:1:2:ffff::1"), 2);
    assert_eq!(left("2001:db8:1:3::1"), 3);
    // Nonsense makes the header worthless: the proxy itself pays.
    assert_eq!(left("nonsense"), 3);
    assert_eq!(standing(&stranger.get("/v1/users/me")).1, 2);
}

#[test]
fn without_a_trusted_proxy_nobody_is_believed() {
    let appliance = tight(&[]);
    let stranger = appliance.stranger();
    for number in 1..=4 {
        let request = Request::new("GET", "/v1/users/me");
        let answer = stranger.send(&request.header("X-Forwarded-For", &format!("192.0.2.{number}")));
        assert_eq!(answer.status, 401);
    }
    let request = Request::new("GET", "/v1/users/me").header("X-Forwarded-For", "192.0.2.5");
    assert_eq!(stranger.send(&request).status, 429);
}

#[test]
fn a_budget_refills() {
    let appliance = tight(&[("KEYWAYD_RATE_LIMIT__GENERAL", "1/1s")]);
    let admin = appliance.admin();
    let mut served = 0;
    let mut refused = 0;
    // Refused at once, and served again without anything but time passing.
    while served < 2 || refused < 1 {
        match admin.get("/v1/users/me").status {
            200 => served += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
}
