//! The services once more, played by servers that know nothing but the published descriptions (`tests/mocks`), so that
//! our own players cannot agree with our mistakes. Every request has to fit the description, and every answer that the
//! description allows has to be understood.

use super::harness::{Appliance, PATIENCE, skipped};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

const REPO: &str = "admin/app";

/// A server that plays one service.
struct Mock {
    process: Child,
    url: String,
    said: Arc<Mutex<Vec<String>>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the servers and descriptions are, outside this repository"
)]
fn directory(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        skipped(&format!("services played from their descriptions alone: `{variable}` is not set"));
    }
    found
}

impl Mock {
    /// Plays `description`; `None` where the servers or the descriptions are missing.
    fn start(description: &str) -> Option<Self> {
        let (mocks, descriptions) = (directory("KEYWAYD_MOCKS")?, directory("KEYWAYD_API_DESCRIPTIONS")?);
        let description = descriptions.join(description);
        let mut command = if description.extension().is_some_and(|end| end == "graphql") {
            let mut node = Command::new("node");
            node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mocks/graphql.mjs"))
                .arg(mocks)
                .arg(description);
            node
        } else {
            let mut prism = Command::new(mocks.join("node_modules/.bin/prism"));
            prism.args(["mock", "--errors", "--host", "127.0.0.1", "--port", "0"]).arg(description);
            prism
        };
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`KEYWAYD_MOCKS` holds what `tests/mocks/install` put there");
        let output = process.stdout.take().expect("standard output is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let url = lines.find_map(|line| Some(line.split("is listening on ").nth(1)?.trim().to_owned()));
        let url = url.expect("it says where it listens");
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        std::thread::spawn(move || lines.for_each(|line| kept.lock().expect("nobody panics").push(line)));
        Some(Self { process, url, said })
    }

    /// What it found wrong with requests before it spoke of `mark`; `None`: it has not yet.
    fn violations_before(&self, mark: &str) -> Option<Vec<String>> {
        let said = self.said.lock().expect("nobody panics");
        let end = said.iter().position(|line| line.contains(mark))?;
        let is_one = |line: &&String| {
            let line = line.to_lowercase();
            line.contains("violation") || line.contains("not pass") || line.contains("no_path_matched")
        };
        Some(said[..end].iter().filter(is_one).cloned().collect())
    }

    /// What it found wrong with requests so far. A last request, which is bad, is waited for: what is said of it
    /// comes after all else, and shows that anything would be said.
    fn violations(&self) -> Vec<String> {
        let agent =
            ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
        let bad = json!({ "query": "query { nobodys_field }" }).to_string();
        let url = format!("{}/nobodys_field", self.url);
        agent.post(url).content_type("application/json").send(bad).expect("an answer");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.violations_before("nobodys_field") {
                return found;
            }
            assert!(Instant::now() < deadline, "a bad request is not noticed");
            std::thread::yield_now();
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Everything an integration is used for, against such a server.
fn is_spoken_to_by_its_description(service: &str, description: &str) {
    let Some(mock) = Mock::start(description) else { return };
    let name = service.to_uppercase();
    let (enabled, base) =
        (format!("KEYWAYD_INTEGRATIONS__{name}__ENABLED"), format!("KEYWAYD_INTEGRATIONS__{name}__API_URL"));
    let appliance = Appliance::start_with(&[(&enabled, "true"), (&base, &mock.url)]);
    let admin = appliance.admin();
    admin.create_vault(REPO);
    admin.push(REPO, "production", &json!({ "A": "1", "B": "two\nlines" })).ok();
    let connected = admin.post(&format!("/v1/integrations/{service}/connect"), &json!({ "token": "x" })).ok();
    assert_eq!(connected["success"], true, "{connected}");
    let connection = admin.get("/v1/integrations/connections").ok()["connections"][0]["id"].clone();
    let connection = connection.as_str().expect("an id");
    let listed = admin.get(&format!("/v1/integrations/connections/{connection}/projects")).ok();
    let project = listed["projects"][0]["id"].as_str().expect("a project").to_owned();
    let target = |what: &str| {
        format!("/v1/integrations/vaults/{REPO}/sync/{what}?connectionId={connection}&projectId={project}")
    };
    admin.get(&target("status")).ok();
    admin.get(&target("diff")).ok();
    admin.get(&format!("{}&direction=pull&allowDelete=true", target("preview"))).ok();
    for (direction, delete) in [("push", false), ("push", true), ("pull", false)] {
        let body = json!({
            "connectionId": connection, "projectId": project, "direction": direction, "allowDelete": delete,
        });
        // What such a server answers to a write is made up, so names may be missing in it: that is told, too.
        let result = admin.post(&format!("/v1/integrations/vaults/{REPO}/sync"), &body).ok();
        assert!(result["status"].is_string(), "{service}: {result}");
    }
    assert_eq!(mock.violations(), Vec::<String>::new(), "{service}");
}

#[test]
fn vercel_is_spoken_to_by_its_description() {
    is_spoken_to_by_its_description("vercel", "vercel.openapi.json");
}

#[test]
fn netlify_is_spoken_to_by_its_description() {
    is_spoken_to_by_its_description("netlify", "netlify.swagger.json");
}

#[test]
fn railway_is_spoken_to_by_its_description() {
    is_spoken_to_by_its_description("railway", "railway.schema.graphql");
}

#[test]
fn fly_is_spoken_to_by_its_description() {
    is_spoken_to_by_its_description("fly", "fly.openapi.json");
}
