//! Railway, played: GraphQL by what is asked at the top, values as they were written or rendered, sealed ones
//! never, failures with status 200.

use super::{Ask, Model, Said, said};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Which environment, which service, which name.
type Key = (String, Option<String>, String);

pub(crate) struct Railway {
    projects: Vec<String>,
    pub(crate) variables: BTreeMap<Key, (String, bool, u64)>,
    clock: u64,
}

impl Railway {
    pub(crate) fn new() -> Self {
        Self { projects: vec!["app-0".to_owned()], variables: BTreeMap::new(), clock: 0 }
    }

    fn project(name: &str) -> Value {
        let edges = |nodes: Vec<Value>| json!({ "edges": nodes.into_iter().map(|node| json!({ "node": node })).collect::<Vec<_>>() });
        let environment = |id: &str, name: &str, ephemeral: bool| json!({ "id": id, "name": name, "isEphemeral": ephemeral, "canAccess": true, "deletedAt": null });
        let trigger = json!({ "repository": format!("acme/{name}") });
        json!({
            "id": name, "name": format!("{name}-name"), "deletedAt": null, "workspaceId": "w1",
            "environments": edges(vec![
                environment(&format!("{name}-env"), "production", false),
                environment(&format!("{name}-pr"), "pr-1", true),
            ]),
            "services": edges(vec![json!({
                "id": format!("{name}-service"), "name": "web", "deletedAt": null, "repoTriggers": edges(vec![trigger]),
            })]),
        })
    }

    /// The one thing at the top of the operation.
    fn top(query: &str) -> &str {
        let inside = query.split_once('{').map_or("", |(_, rest)| rest).trim_start();
        inside.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default()
    }

    fn data(&mut self, ask: &Ask) -> Result<Value, String> {
        let query = ask.body["query"].as_str().unwrap_or_default();
        let variables = &ask.body["variables"];
        let text = |name: &str| variables[name].as_str().unwrap_or_default().to_owned();
        let input = &variables["input"];
        let place = |from: &Value| {
            let service = from["serviceId"].as_str().map(str::to_owned);
            (from["environmentId"].as_str().unwrap_or_default().to_owned(), service)
        };
        let top = Self::top(query);
        let value = match top {
            "me" => json!({ "id": "u1", "name": "Alice", "username": "alice", "email": "a@example.org",
                            "workspaces": [{ "id": "w1", "name": "Acme" }] }),
            "externalWorkspaces" => json!([]),
            "projects" => {
                let from: usize = text("after").parse().unwrap_or(0);
                let page = self.projects.iter().skip(from).take(100);
                let nodes: Vec<Value> = page.map(|name| json!({ "node": Self::project(name) })).collect();
                let end = from + nodes.len();
                let info = json!({ "hasNextPage": end < self.projects.len(), "endCursor": end.to_string() });
                json!({ "edges": nodes, "pageInfo": info })
            }
            "project" if !self.projects.contains(&text("id")) => return Err("Project not found".to_owned()),
            "project" => Self::project(&text("id")),
            "environment" => {
                let own = self.variables.iter().filter(|((environment, ..), _)| *environment == text("id"));
                let nodes = own.map(|((_, service, name), (_, sealed, at))| {
                    let at = format!("2026-01-01T00:00:00.{at:06}Z");
                    json!({ "node": { "name": name, "serviceId": service, "isSealed": sealed, "updatedAt": at } })
                });
                let info = json!({ "hasNextPage": false, "endCursor": null });
                json!({ "variables": { "edges": nodes.collect::<Vec<_>>(), "pageInfo": info } })
            }
            "variables" => {
                assert!(query.contains("unrendered: true"), "a rendered value must not be written back");
                let (environment, service) = place(variables);
                let own = self
                    .variables
                    .iter()
                    .filter(|((there, whose, _), _)| *there == environment && *whose == service);
                let open = own.filter(|(_, (_, sealed, _))| !sealed);
                let mut map: Map<String, Value> =
                    open.map(|((.., name), (value, ..))| (name.clone(), json!(value))).collect();
                map.insert("RAILWAY_PROJECT_ID".to_owned(), json!(text("projectId")));
                Value::Object(map)
            }
            "variableCollectionUpsert" => {
                let values = input["variables"].as_object().cloned().unwrap_or_default();
                if values.keys().any(|name| name.starts_with("BAD_")) {
                    return Err(format!("Invalid variable in {}", input["variables"]));
                }
                let (environment, service) = place(input);
                if input["replace"] == true {
                    self.variables.retain(|(there, whose, _), _| *there != environment || *whose != service);
                }
                self.clock += 1;
                for (name, value) in values {
                    let key = (environment.clone(), service.clone(), name);
                    let sealed = self.variables.get(&key).is_some_and(|(_, sealed, _)| *sealed);
                    let value = value.as_str().unwrap_or_default().to_owned();
                    self.variables.insert(key, (value, sealed, self.clock));
                }
                json!(true)
            }
            "variableDelete" => {
                let (environment, service) = place(input);
                let name = input["name"].as_str().unwrap_or_default().to_owned();
                self.variables.remove(&(environment, service, name));
                json!(true)
            }
            _ => return Err("Not Authorized".to_owned()),
        };
        Ok(json!({ top: value }))
    }
}

impl Model for Railway {
    fn name(&self) -> &'static str {
        "railway"
    }

    fn base(&self) -> &'static str {
        "/graphql/v2"
    }

    fn answer(&mut self, ask: &Ask) -> Said {
        match self.data(ask) {
            Ok(data) => said(json!({ "data": data })),
            Err(words) => self.problem(200, &words),
        }
    }

    fn problem(&self, status: u16, words: &str) -> Said {
        // Who is not known is told so with status 200.
        let status = if status == 401 { 200 } else { status };
        (status, Some(json!({ "data": null, "errors": [{ "message": words }] })))
    }

    fn writes(&self, ask: &Ask) -> bool {
        ask.body["query"].as_str().is_some_and(|query| query.starts_with("mutation"))
    }

    fn put(&mut self, project: &str, name: &str, value: &str) {
        self.clock += 1;
        self.variables
            .insert((format!("{project}-env"), None, name.to_owned()), (value.to_owned(), false, self.clock));
    }

    fn seal(&mut self, project: &str, name: &str, value: &str) {
        self.clock += 1;
        self.variables
            .insert((format!("{project}-env"), None, name.to_owned()), (value.to_owned(), true, self.clock));
    }

    fn clear(&mut self, project: &str) {
        self.variables.retain(|(there, ..), _| *there != format!("{project}-env"));
    }

    fn values(&self, project: &str) -> BTreeMap<String, String> {
        let own = self
            .variables
            .iter()
            .filter(|((there, service, _), _)| *there == format!("{project}-env") && service.is_none());
        own.map(|((.., name), (value, ..))| (name.clone(), value.clone())).collect()
    }

    fn populate(&mut self, projects: usize) {
        self.projects = (0..projects).map(|number| format!("app-{number}")).collect();
    }

    fn any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
