//! Netlify, played: variables with a value for each context or for all, hidden secrets, 201 and empty 204.

use super::{Ask, Model, Said, said};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Clone)]
pub(crate) struct Env {
    /// Id, context, branch, value.
    pub(crate) values: Vec<(String, String, String, String)>,
    pub(crate) secret: bool,
    updated: u64,
}

pub(crate) struct Netlify {
    sites: Vec<String>,
    pub(crate) envs: BTreeMap<(String, String), Env>,
    clock: u64,
}

impl Netlify {
    pub(crate) fn new() -> Self {
        Self { sites: vec!["app-0".to_owned()], envs: BTreeMap::new(), clock: 0 }
    }

    pub(crate) fn add(&mut self, site: &str, key: &str, values: &[(&str, &str)], secret: bool) {
        let values =
            values.iter().map(|(context, value)| json!({ "context": context, "value": value })).collect();
        self.store(site, key, &Value::Array(values), secret);
    }

    fn store(&mut self, site: &str, key: &str, values: &Value, secret: bool) {
        self.clock += 1;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let values = values.as_array().into_iter().flatten().enumerate().map(|(at, one)| {
            let id = format!("val-{}-{at}", self.clock);
            (id, text(&one["context"]), text(&one["context_parameter"]), text(&one["value"]))
        });
        let env = Env { values: values.collect(), secret, updated: self.clock };
        self.envs.insert((site.to_owned(), key.to_owned()), env);
    }

    fn shown(key: &str, env: &Env) -> Value {
        let values = env.values.iter().map(|(id, context, branch, value)| {
            let hidden = env.secret && context != "dev";
            let value = if hidden { "" } else { value };
            json!({ "id": id, "context": context, "context_parameter": branch, "value": value })
        });
        json!({
            "key": key, "values": values.collect::<Vec<_>>(), "is_secret": env.secret,
            "scopes": ["builds", "functions", "runtime", "post_processing"],
            "updated_at": format!("2026-01-01T00:00:00.{:06}Z", env.updated),
        })
    }

    fn site(name: &str) -> Value {
        json!({
            "id": name, "name": format!("{name}-name"), "account_id": "acc1", "account_slug": "acme",
            "account_name": "Acme", "build_settings": { "repo_url": format!("https://github.com/acme/{name}") },
        })
    }
}

impl Model for Netlify {
    fn name(&self) -> &'static str {
        "netlify"
    }

    fn base(&self) -> &'static str {
        "/api/v1"
    }

    fn answer(&mut self, ask: &Ask) -> Said {
        let segments = ask.segments();
        let parts: Vec<&str> = segments.iter().skip(2).map(String::as_str).collect();
        let site = ask.query("site_id").unwrap_or_default().to_owned();
        let place = |key: &str| (site.clone(), key.to_owned());
        match (ask.method.as_str(), parts.as_slice()) {
            ("GET", ["user"]) => said(json!({ "id": "u1", "full_name": "Alice", "email": "a@example.org" })),
            ("GET", ["accounts"]) => said(json!([{ "id": "acc1", "name": "Acme", "slug": "acme" }])),
            ("GET", ["sites"]) => {
                let number =
                    |name: &str| ask.query(name).map(|text| text.parse::<usize>().expect("a number"));
                let (page, size) = (number("page").unwrap_or(1), number("per_page").unwrap_or(100).min(100));
                let sites = self.sites.iter().skip((page - 1) * size).take(size);
                said(sites.map(|name| Self::site(name)).collect())
            }
            ("GET", ["sites", name]) if self.sites.iter().any(|one| one == name) => said(Self::site(name)),
            ("GET", ["accounts", "acme", "env"]) => {
                let own = self.envs.iter().filter(|((owner, _), _)| *owner == site);
                said(own.map(|((_, key), env)| Self::shown(key, env)).collect())
            }
            ("POST", ["accounts", "acme", "env"]) => {
                let wanted = ask.body.as_array().cloned().unwrap_or_default();
                let key = |one: &Value| one["key"].as_str().unwrap_or_default().to_owned();
                if let Some(bad) = wanted.iter().find(|one| key(one).starts_with("BAD_")) {
                    return self.problem(422, &format!("invalid: {bad}"));
                }
                if wanted.iter().any(|one| self.envs.contains_key(&place(&key(one)))) {
                    return self.problem(409, "it exists already");
                }
                let mut made = Vec::new();
                for one in &wanted {
                    self.store(&site, &key(one), &one["values"], one["is_secret"] == true);
                    made.push(Self::shown(&key(one), &self.envs[&place(&key(one))]));
                }
                (201, Some(Value::Array(made)))
            }
            (_, ["accounts", "acme", "env", key, ..]) if !self.envs.contains_key(&place(key)) => {
                self.problem(404, "no such variable")
            }
            ("PUT", ["accounts", "acme", "env", key]) => {
                self.store(&site, key, &ask.body["values"], ask.body["is_secret"] == true);
                said(Self::shown(key, &self.envs[&place(key)]))
            }
            ("PATCH", ["accounts", "acme", "env", key]) => {
                self.clock += 1;
                let text = |name: &str| ask.body[name].as_str().unwrap_or_default().to_owned();
                let (context, branch, value) = (text("context"), text("context_parameter"), text("value"));
                let env = self.envs.get_mut(&place(key)).expect("it is there");
                env.updated = self.clock;
                match env.values.iter_mut().find(|one| one.1 == context && one.2 == branch) {
                    Some(own) => own.3 = value,
                    None => env.values.push((format!("val-{}", self.clock), context, branch, value)),
                }
                (201, Some(Self::shown(key, &self.envs[&place(key)])))
            }
            ("DELETE", ["accounts", "acme", "env", key]) => {
                self.envs.remove(&place(key));
                (204, None)
            }
            ("DELETE", ["accounts", "acme", "env", key, "value", id]) => {
                let env = self.envs.get_mut(&place(key)).expect("it is there");
                env.values.retain(|one| one.0 != *id);
                (204, None)
            }
            _ => self.problem(404, "not found"),
        }
    }

    fn problem(&self, status: u16, words: &str) -> Said {
        // Some calls say it one way, some the other.
        let member = if self.clock.is_multiple_of(2) { "msg" } else { "message" };
        (status, Some(json!({ "code": status, member: words })))
    }

    fn put(&mut self, project: &str, name: &str, value: &str) {
        self.add(project, name, &[("production", value)], false);
    }

    fn seal(&mut self, project: &str, name: &str, value: &str) {
        self.add(project, name, &[("production", value)], true);
    }

    fn clear(&mut self, project: &str) {
        self.envs.retain(|(site, _), _| site != project);
    }

    fn values(&self, project: &str) -> BTreeMap<String, String> {
        let own = self.envs.iter().filter(|((site, _), _)| site == project);
        own.filter_map(|((_, key), env)| {
            let mut values = env.values.iter();
            let value = values
                .clone()
                .find(|one| one.1 == "production")
                .or_else(|| values.find(|one| one.1 == "all"));
            Some((key.clone(), value?.3.clone()))
        })
        .collect()
    }

    fn populate(&mut self, projects: usize) {
        self.sites = (0..projects).map(|number| format!("app-{number}")).collect();
    }

    fn any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
