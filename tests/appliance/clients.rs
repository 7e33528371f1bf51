//! The shipped Keyway clients, call by call: what the command line, the MCP server and the Action send for each of
//! their commands, and what they must find in the answers to go on. The sequences were taken down while the clients
//! ran against this server.

use super::harness::{Answer, Appliance, Client, Request};
use serde_json::{Value, json};

const REPO: &str = "acme/app";

/// A GET as they send it: with the type of a body that is not there.
fn get(client: &Client, target: &str) -> Answer {
    client.send(&Request::new("GET", target).header("Content-Type", "application/json"))
}

fn pull(client: &Client, environment: &str) -> Answer {
    get(client, &format!("/v1/secrets/pull?environment={environment}&repo=acme%2Fapp"))
}

fn content(client: &Client, environment: &str) -> Value {
    pull(client, environment).ok()["content"].clone()
}

#[test]
fn the_command_line_goes_through_its_commands() {
    let appliance = Appliance::start_with(&[
        ("KEYWAYD_AUTH__DEVICE_POLL_SECS", "1"),
        ("KEYWAYD_INTEGRATIONS__VERCEL__ENABLED", "true"),
    ]);
    let stranger = appliance.stranger().calling_itself("keyway-cli/dev");
    let cli = appliance.admin().calling_itself("keyway-cli/dev");

    // login: null instead of numbers would send it to api.github.com, and it sends back what it got.
    let ids = get(&stranger, "/v1/github/repo-ids?repo=acme%2Fapp").ok();
    assert_eq!(ids, json!({ "ownerId": 0, "repoId": 0 }));
    let start = json!({ "repository": REPO, "ownerId": ids["ownerId"], "repoId": ids["repoId"] });
    let started = stranger.post("/v1/auth/device/start", &start).json();
    for member in ["deviceCode", "userCode", "verificationUri", "verificationUriComplete"] {
        assert!(started[member].is_string(), "it looks for `{member}` outside of `data`: {started}");
    }
    let poll = json!({ "deviceCode": started["deviceCode"] });
    assert_eq!(stranger.post("/v1/auth/device/poll", &poll).json()["status"], "pending");

    // doctor, and login with a token
    assert_eq!(stranger.send(&Request::new("HEAD", "/v1/health")).status, 200);
    assert_eq!(cli.post("/v1/auth/token/validate", &json!({})).ok()["username"], "admin");

    // init
    let repository = json!({ "repoOwner": "acme", "repoName": "app" });
    assert_eq!(cli.post("/v1/github/check-installation", &repository).ok()["installed"], true);
    get(&cli, "/v1/vaults/acme/app").refused(404);
    assert!(cli.post("/v1/vaults", &json!({ "repoFullName": REPO })).created()["vaultId"].is_string());
    let vault = get(&cli, "/v1/vaults/acme/app").ok();
    assert_eq!(vault["secretCount"], 0);
    assert_eq!(vault["environments"], json!(["local", "development", "staging", "production"]));

    // push, set, push --prune: it reads, merges, and sends everything
    assert_eq!(content(&cli, "development"), "");
    let pushed = cli.push(REPO, "development", &json!({ "A": "1", "lower_case": "2" })).ok();
    assert_eq!((&pushed["success"], &pushed["stats"]["created"]), (&json!(true), &json!(2)));
    assert!(pushed["message"].is_string(), "it shows this");
    let set = cli.push(REPO, "development", &json!({ "A": "1", "lower_case": "2", "B": "x y" })).ok();
    assert_eq!(set["stats"], json!({ "created": 1, "updated": 0, "deleted": 0, "unchanged": 2 }));
    let pruned = cli.push(REPO, "development", &json!({ "B": "x y" })).ok();
    assert_eq!(pruned["stats"]["deleted"], 2);

    // pull, run, diff
    assert_eq!(content(&cli, "development"), "B=x y\n");
    assert_eq!(content(&cli, "production"), "");

    // An environment that is not there looks empty to it, and it goes on to push.
    pull(&cli, "nowhere").refused(404);
    let problem = cli.push(REPO, "nowhere", &json!({ "A": "1" })).refused(400);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("`nowhere`")), "{problem}");
    // Its reader takes `export A=1` for a variable `export A`.
    let problem = cli.push(REPO, "development", &json!({ "export A": "1" })).refused(400);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("export A")), "{problem}");

    // connect, connections, sync
    assert_eq!(get(&stranger, "/v1/integrations").ok()["providers"][0]["name"], "vercel");
    assert_eq!(get(&cli, "/v1/integrations/connections").ok()["connections"], json!([]));
    let nothing = get(&cli, "/v1/integrations/providers/vercel/all-projects").ok();
    assert_eq!(nothing, json!({ "projects": [], "connections": [] }), "it offers to connect then");
}

#[test]
fn the_action_pulls() {
    let appliance = Appliance::start();
    appliance.admin().create_vault(REPO);
    appliance.admin().push(REPO, "production", &json!({ "A": "1" })).ok();
    let key =
        appliance.key_for("admin", &["--repo", REPO, "--env", "production", "--scopes", "read:secrets"]);
    let action = appliance.client(&key).calling_itself("keyway-action/1.0.0");
    assert_eq!(content(&action, "production"), "A=1\n");
    // What it asks for when the workflow names no environment.
    pull(&action, "cicd").refused(404);
    pull(&appliance.client("ghs_of_the_workflow").calling_itself("keyway-action/1.0.0"), "production")
        .refused(401);
}

#[test]
fn the_mcp_server_goes_through_its_tools() {
    let appliance = Appliance::start();
    appliance.admin().create_vault(REPO);
    let mcp = appliance.admin().calling_itself("keyway-mcp/1.0.0");
    // list environments, set, get, list, generate
    assert_eq!(mcp.get("/v1/vaults/acme/app").ok()["environments"][1], "development");
    for (name, value, created) in [("A", "1", 1), ("B", "two words", 1), ("A", "3", 0)] {
        let set = mcp.push(REPO, "development", &json!({ name: value })).ok();
        assert_eq!(set["stats"]["created"], created, "by this it tells `created` from `updated`");
    }
    let view =
        |key: &str| mcp.get(&format!("/v1/secrets/view?repo=acme%2Fapp&environment=development&key={key}"));
    assert_eq!(view("B").ok(), json!({ "key": "B", "value": "two words", "environment": "development" }));
    view("NONE").refused(404);
    assert_eq!(content(&mcp, "development"), "A=3\nB=two words\n");
    let all = json!({ "A": "3", "B": "two words", "GENERATED": "s3cret" });
    let stats = mcp.push(REPO, "development", &all).ok()["stats"].clone();
    assert_eq!(stats, json!({ "created": 1, "updated": 0, "deleted": 0, "unchanged": 2 }));
    // It takes any failed pull for an empty environment, and pushes what it has all the same.
    pull(&mcp, "nowhere").refused(404);
    mcp.push(REPO, "nowhere", &json!({ "GENERATED": "s3cret" })).refused(400);
}
