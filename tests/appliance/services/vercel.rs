//! Vercel, played: records for sets of targets, ciphertext in the list, plain text one by one, sensitive values
//! never, 201 with `failed`.

use super::{Ask, Model, Said, coded, said};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) kind: String,
    pub(crate) targets: Vec<String>,
    pub(crate) branch: Option<String>,
    pub(crate) owner: Option<String>,
    updated: u64,
}

pub(crate) struct Vercel {
    projects: Vec<String>,
    pub(crate) records: BTreeMap<String, Vec<Record>>,
    clock: u64,
    /// A team may make every new record sensitive.
    pub(crate) coerce: bool,
}

impl Vercel {
    pub(crate) fn new() -> Self {
        Self {
            projects: vec!["app-0".to_owned()],
            records: BTreeMap::new(),
            clock: 1_700_000_000_000,
            coerce: false,
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Makes a record.
    pub(crate) fn add(&mut self, project: &str, key: &str, value: &str, kind: &str, targets: &[&str]) {
        let updated = self.tick();
        let record = Record {
            id: format!("rec{updated}"),
            key: key.to_owned(),
            value: value.to_owned(),
            kind: kind.to_owned(),
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
            branch: None,
            owner: None,
            updated,
        };
        self.records.entry(project.to_owned()).or_default().push(record);
    }

    fn shown(record: &Record, plain: bool) -> Value {
        let (value, decrypted) = match record.kind.as_str() {
            "plain" => (record.value.clone(), false),
            "sensitive" => (String::new(), false),
            _ if plain => (record.value.clone(), true),
            _ => (format!("eyJ2IjoidjIi{}", record.value.len()), false),
        };
        let mut shown = json!({
            "id": record.id, "key": record.key, "value": value, "type": record.kind, "decrypted": decrypted,
            "target": record.targets, "createdAt": 1, "updatedAt": record.updated,
            "configurationId": record.owner, "customEnvironmentIds": [],
        });
        if let Some(branch) = &record.branch {
            shown["gitBranch"] = json!(branch);
        }
        // A single target is often answered bare.
        if let [target] = record.targets.as_slice() {
            shown["target"] = json!(target);
        }
        shown
    }

    fn project(name: &str) -> Value {
        json!({
            "id": name, "name": format!("{name}-name"), "accountId": "team_1", "framework": "nextjs",
            "link": { "type": "github", "org": "acme", "repo": name, "productionBranch": "main",
                      "deployHooks": [], "gitCredentialId": "c" },
        })
    }

    fn upsert(&mut self, project: &str, wanted: &Value) -> Result<Value, Value> {
        let key = wanted["key"].as_str().unwrap_or_default().to_owned();
        let (value, kind) =
            (wanted["value"].as_str().unwrap_or_default(), wanted["type"].as_str().unwrap_or_default());
        let targets: Vec<String> = serde_json::from_value(wanted["target"].clone()).unwrap_or_default();
        let refuse = |code: &str, message: String| {
            Err(json!({ "error": { "code": code, "message": message, "key": key } }))
        };
        if key.starts_with("BAD_") {
            return refuse("INVALID_KEY", format!("the key of {value} is not valid"));
        }
        let coerce = self.coerce && !targets.iter().any(|target| target == "development");
        let kind = if coerce { "sensitive" } else { kind }.to_owned();
        let updated = self.tick();
        let records = self.records.entry(project.to_owned()).or_default();
        let overlaps = |one: &&mut Record| {
            one.key == key
                && one.branch.is_none()
                && one.targets.iter().any(|target| targets.contains(target))
        };
        if let Some(record) = records.iter_mut().find(overlaps) {
            if record.targets != targets {
                return refuse("ENV_CONFLICT", "another target has this key".to_owned());
            }
            (record.value, record.kind, record.updated) = (value.to_owned(), kind, updated);
            return Ok(Self::shown(record, false));
        }
        let id = format!("rec{updated}");
        let record = Record {
            id,
            key: key.clone(),
            value: value.to_owned(),
            kind,
            targets,
            branch: None,
            owner: None,
            updated,
        };
        records.push(record.clone());
        Ok(Self::shown(&record, false))
    }
}

impl Model for Vercel {
    fn name(&self) -> &'static str {
        "vercel"
    }

    fn base(&self) -> &'static str {
        ""
    }

    fn answer(&mut self, ask: &Ask) -> Said {
        let segments = ask.segments();
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (ask.method.as_str(), parts.as_slice()) {
            ("GET", ["v2", "user"]) => {
                said(json!({ "user": { "id": "u1", "username": "alice", "email": "a@example.org" } }))
            }
            ("GET", ["v2", "teams", "team_1"]) => {
                said(json!({ "id": "team_1", "slug": "acme", "name": "Acme" }))
            }
            ("GET", ["v10", "projects"]) => {
                let from: usize = ask
                    .query("from")
                    .map_or(0, |from| from.trim_start_matches("next-").parse().expect("a token"));
                let limit: usize =
                    ask.query("limit").map_or(20, |limit| limit.parse().expect("a limit")).min(100);
                let page: Vec<Value> =
                    self.projects.iter().skip(from).take(limit).map(|name| Self::project(name)).collect();
                let end = from + page.len();
                // Numbers at first, then tokens: both happen.
                let next = match end {
                    end if end >= self.projects.len() => Value::Null,
                    end if end <= 100 => json!(end),
                    end => json!(format!("next-{end}")),
                };
                said(json!({ "projects": page, "pagination": { "count": page.len(), "next": next } }))
            }
            (_, ["v1" | "v9" | "v10", "projects", project, ..])
                if !self.projects.iter().any(|one| one == project) =>
            {
                coded(404, "Project not found")
            }
            ("GET", ["v9", "projects", project]) => said(Self::project(project)),
            ("GET", ["v9", "projects", _, "custom-environments"]) => {
                said(json!({ "accountLimit": { "total": 1 }, "environments": [] }))
            }
            ("GET", ["v10", "projects", project, "env"]) => {
                let records = self.records.get(*project).into_iter().flatten();
                said(json!({ "envs": records.map(|one| Self::shown(one, false)).collect::<Vec<_>>() }))
            }
            ("POST", ["v10", "projects", project, "env"]) => {
                assert_eq!(ask.query("upsert"), Some("true"));
                let wanted = ask.body.as_array().cloned().unwrap_or_else(|| vec![ask.body.clone()]);
                let (mut created, mut failed) = (Vec::new(), Vec::new());
                for one in &wanted {
                    match self.upsert(project, one) {
                        Ok(made) => created.push(made),
                        Err(refusal) => failed.push(refusal),
                    }
                }
                (201, Some(json!({ "created": created, "failed": failed })))
            }
            ("GET", ["v1", "projects", project, "env", id]) => {
                let record = self.records.get(*project).into_iter().flatten().find(|one| one.id == *id);
                record.map_or_else(|| coded(404, "not found"), |one| said(Self::shown(one, true)))
            }
            ("PATCH", ["v9", "projects", project, "env", id]) => {
                let updated = self.tick();
                let others = self.records.get(*project).into_iter().flatten().filter(|one| one.id != *id);
                let taken: Vec<(String, String)> = others
                    .flat_map(|one| one.targets.iter().map(|target| (one.key.clone(), target.clone())))
                    .collect();
                let mut records = self.records.get_mut(*project).into_iter().flatten();
                let Some(record) = records.find(|one| one.id == *id) else { return coded(404, "not found") };
                if let Ok(targets) = serde_json::from_value::<Vec<String>>(ask.body["target"].clone()) {
                    if taken.iter().any(|(key, target)| *key == record.key && targets.contains(target)) {
                        return coded(400, "another target has this key");
                    }
                    record.targets = targets;
                }
                if let Some(value) = ask.body["value"].as_str() {
                    record.value = value.to_owned();
                }
                record.updated = updated;
                said(Self::shown(record, false))
            }
            ("DELETE", ["v1", "projects", project, "env"]) => {
                let ids: Vec<String> = serde_json::from_value(ask.body["ids"].clone()).unwrap_or_default();
                if let Some(records) = self.records.get_mut(*project) {
                    records.retain(|one| !ids.contains(&one.id));
                }
                said(json!({ "deleted": ids.len(), "ids": ids }))
            }
            _ => coded(404, "not found"),
        }
    }

    fn problem(&self, status: u16, words: &str) -> Said {
        coded(status, words)
    }

    fn put(&mut self, project: &str, name: &str, value: &str) {
        let updated = self.tick();
        let mut records = self.records.get_mut(project).into_iter().flatten();
        let own =
            |one: &&mut Record| one.key == name && one.targets.iter().any(|target| target == "production");
        match records.find(own) {
            Some(record) => (record.value, record.updated) = (value.to_owned(), updated),
            None => self.add(project, name, value, "encrypted", &["production"]),
        }
    }

    fn seal(&mut self, project: &str, name: &str, value: &str) {
        self.records.entry(project.to_owned()).or_default().retain(|one| one.key != name);
        self.add(project, name, value, "sensitive", &["production"]);
    }

    fn clear(&mut self, project: &str) {
        self.records.remove(project);
    }

    fn values(&self, project: &str) -> BTreeMap<String, String> {
        let records = self.records.get(project).into_iter().flatten();
        let here =
            records.filter(|one| one.branch.is_none() && one.targets.iter().any(|one| one == "production"));
        here.map(|one| (one.key.clone(), one.value.clone())).collect()
    }

    fn populate(&mut self, projects: usize) {
        self.projects = (0..projects).map(|number| format!("app-{number}")).collect();
    }

    fn any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
