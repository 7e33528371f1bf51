//! Fly.io, played: apps with secrets that are never told, only their digests, which change whenever one is set.

use super::{Ask, Model, Said, said};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) struct Fly {
    apps: Vec<String>,
    secrets: BTreeMap<(String, String), (String, u64)>,
    version: u64,
}

impl Fly {
    pub(crate) fn new() -> Self {
        Self { apps: vec!["app-0".to_owned()], secrets: BTreeMap::new(), version: 0 }
    }

    fn app(name: &str) -> Value {
        json!({ "id": name, "name": name, "status": "deployed", "organization": { "name": "Acme", "slug": "acme" } })
    }

    fn listed(&self, app: &str) -> Vec<Value> {
        let own = self.secrets.iter().filter(|((owner, _), _)| owner == app);
        own.map(|((_, name), (_, set))| json!({ "name": name, "digest": format!("digest-{set}") })).collect()
    }
}

impl Model for Fly {
    fn name(&self) -> &'static str {
        "fly"
    }

    fn base(&self) -> &'static str {
        "/v1"
    }

    fn answer(&mut self, ask: &Ask) -> Said {
        let segments = ask.segments();
        let parts: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
        match (ask.method.as_str(), parts.as_slice()) {
            ("GET", ["tokens", "current"]) => said(
                json!({ "tokens": [{ "token_id": "t1", "org_slug": "acme", "organization": "Acme", "user": "u1" }] }),
            ),
            ("GET", ["apps"]) => {
                let apps: Vec<Value> = self.apps.iter().map(|name| Self::app(name)).collect();
                said(json!({ "total_apps": apps.len(), "apps": apps }))
            }
            (_, ["apps", app, ..]) if !self.apps.iter().any(|one| one == app) => {
                self.problem(404, "app not found")
            }
            ("GET", ["apps", app]) => said(Self::app(app)),
            ("GET", ["apps", app, "secrets"]) => {
                let least: u64 = ask.query("min_version").map_or(0, |text| text.parse().expect("a version"));
                assert!(least <= self.version, "a version that never was");
                said(json!({ "secrets": self.listed(app) }))
            }
            ("POST", ["apps", app, "secrets"]) => {
                let values = ask.body["values"].as_object().cloned().unwrap_or_default();
                if values.keys().any(|name| name.starts_with("BAD_")) {
                    return self.problem(400, &format!("invalid secret: {}", ask.body["values"]));
                }
                self.version += 1;
                for (name, value) in values {
                    let key = ((*app).to_owned(), name);
                    match value.as_str() {
                        Some(value) => drop(self.secrets.insert(key, (value.to_owned(), self.version))),
                        None => drop(self.secrets.remove(&key)),
                    }
                }
                said(json!({ "secrets": self.listed(app), "version": self.version, "Version": self.version }))
            }
            _ => self.problem(404, "not found"),
        }
    }

    fn problem(&self, status: u16, words: &str) -> Said {
        (status, Some(json!({ "error": words })))
    }

    fn put(&mut self, project: &str, name: &str, value: &str) {
        self.version += 1;
        self.secrets.insert((project.to_owned(), name.to_owned()), (value.to_owned(), self.version));
    }

    fn seal(&mut self, project: &str, name: &str, value: &str) {
        self.put(project, name, value);
    }

    fn clear(&mut self, project: &str) {
        self.secrets.retain(|(app, _), _| app != project);
    }

    fn values(&self, project: &str) -> BTreeMap<String, String> {
        let own = self.secrets.iter().filter(|((app, _), _)| app == project);
        own.map(|((_, name), (value, _))| (name.clone(), value.clone())).collect()
    }

    fn populate(&mut self, projects: usize) {
        self.apps = (0..projects).map(|number| format!("app-{number}")).collect();
    }

    fn any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
