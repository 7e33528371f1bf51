//! Holds requests to the services' published API descriptions, found through `KEYWAYD_API_DESCRIPTIONS`: paths,
//! query parameters and bodies of OpenAPI 3 and Swagger 2, operations and variables of GraphQL.

use super::Ask;
use crate::harness::skipped;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What may be asked of one service.
pub(crate) enum Description {
    OpenApi {
        document: Value,
        base: &'static str,
    },
    GraphQl(Box<Valid<Schema>>),
    /// There is none to look at.
    Missing,
}

fn read(file: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "where the descriptions are, which are not part of this repository"
    )]
    let Some(directory) = std::env::var_os("KEYWAYD_API_DESCRIPTIONS") else {
        skipped(&format!("requests are not held to {file}: `KEYWAYD_API_DESCRIPTIONS` is not set"));
        return None;
    };
    Some(std::fs::read_to_string(PathBuf::from(directory).join(file)).expect("the description is readable"))
}

impl Description {
    pub(crate) fn openapi(file: &str, base: &'static str) -> Self {
        read(file).map_or(Self::Missing, |text| {
            let document = serde_json::from_str(&text).expect("the description is JSON");
            Self::OpenApi { document, base }
        })
    }

    pub(crate) fn graphql(file: &str) -> Self {
        read(file).map_or(Self::Missing, |text| {
            let schema = Schema::parse_and_validate(text, file).expect("the description is a schema");
            Self::GraphQl(Box::new(schema))
        })
    }

    /// What is wrong with a request, by the description.
    pub(crate) fn complaint(&self, ask: &Ask) -> Option<String> {
        match self {
            Self::Missing => None,
            Self::GraphQl(schema) => graphql_complaint(schema, ask),
            Self::OpenApi { document, base } => {
                let path = ask.path.strip_prefix(base).unwrap_or(&ask.path);
                let Some(operation) = operation(document, &ask.method.to_lowercase(), path) else {
                    return Some("there is no such operation".to_owned());
                };
                query_complaint(document, operation, ask).or_else(|| body_complaint(document, operation, ask))
            }
        }
    }
}

/// The operation, with the path's own parameters among its own.
fn operation<'d>(document: &'d Value, method: &str, path: &str) -> Option<(&'d Value, &'d Value)> {
    let paths = document["paths"].as_object()?;
    let fits = |template: &str| {
        let (wanted, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        wanted.len() == given.len()
            && wanted.iter().zip(&given).all(|(one, other)| one.starts_with('{') || one == other)
    };
    // What is spelt out goes before what is a parameter.
    let mut found: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
    found.sort_by_key(|(template, _)| template.matches('{').count());
    found.into_iter().find_map(|(_, item)| Some((item.get(method)?, item)))
}

fn parameters(document: &Value, (operation, item): (&Value, &Value)) -> Vec<Value> {
    let lists = [operation.get("parameters"), item.get("parameters")];
    let all = lists.into_iter().flatten().filter_map(Value::as_array).flatten();
    all.map(|parameter| resolved(document, parameter, 0)).collect()
}

fn query_complaint(document: &Value, operation: (&Value, &Value), ask: &Ask) -> Option<String> {
    let known = parameters(document, operation);
    let known = || known.iter().filter(|parameter| parameter["in"] == "query");
    for name in ask.query.keys() {
        if !known().any(|parameter| parameter["name"] == **name) {
            return Some(format!("there is no query parameter `{name}`"));
        }
    }
    let missing = known().find(|one| {
        one["required"] == true && !ask.query.contains_key(one["name"].as_str().unwrap_or_default())
    });
    missing.map(|one| format!("the query parameter {} is required", one["name"]))
}

fn body_complaint(document: &Value, operation: (&Value, &Value), ask: &Ask) -> Option<String> {
    let openapi = operation.0.pointer("/requestBody/content/application~1json/schema").cloned();
    let swagger = || {
        parameters(document, operation).into_iter().find(|one| one["in"] == "body")?.get("schema").cloned()
    };
    let Some(schema) = openapi.or_else(swagger) else {
        return (!ask.body.is_null()).then(|| "this operation takes no body".to_owned());
    };
    let schema = resolved(document, &schema, 0);
    let validator = jsonschema::validator_for(&schema).expect("the description's schema is one");
    let mut errors =
        validator.iter_errors(&ask.body).map(|error| format!("{error} at {}", error.instance_path));
    errors.next()
}

/// `value` with references replaced by what they lead to, and `nullable` said the way JSON Schema says it.
fn resolved(document: &Value, value: &Value, depth: usize) -> Value {
    assert!(depth < 40, "the description's references go round in circles");
    if let Some(target) = value.get("$ref").and_then(Value::as_str) {
        let found = document.pointer(target.trim_start_matches('#')).expect("references lead somewhere");
        return resolved(document, found, depth + 1);
    }
    match value {
        Value::Array(items) => items.iter().map(|item| resolved(document, item, depth + 1)).collect(),
        Value::Object(members) => {
            let mut members: serde_json::Map<String, Value> = members
                .iter()
                .map(|(name, one)| (name.clone(), resolved(document, one, depth + 1)))
                .collect();
            let nullable =
                ["nullable", "x-nullable"].iter().any(|name| members.remove(*name) == Some(json!(true)));
            if nullable && let Some(kind) = members.get("type").cloned() {
                members.insert("type".to_owned(), json!([kind, "null"]));
            }
            members.remove("example");
            Value::Object(members)
        }
        other => other.clone(),
    }
}

fn graphql_complaint(schema: &Valid<Schema>, ask: &Ask) -> Option<String> {
    let query = ask.body["query"].as_str()?;
    let document = match ExecutableDocument::parse_and_validate(schema, query, "query") {
        Ok(document) => document,
        Err(error) => return Some(format!("{}", error.errors)),
    };
    let operation = document.operations.get(None).ok()?;
    let variables = ask.body["variables"].to_string();
    let variables = serde_json::from_str(&variables).ok()?;
    apollo_compiler::request::coerce_variable_values(schema, operation, &variables)
        .err()
        .map(|error| format!("the variables: {error:?}"))
}
