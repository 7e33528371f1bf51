//! GitHub's own description of its API, to which its answers are held where it is here.

use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// GitHub's own description of its API, if it is here.
pub(super) struct Description(Option<Value>);

impl Description {
    pub(super) fn find() -> Self {
        #[expect(clippy::disallowed_methods, reason = "where the tests find what they are held to")]
        let directory = std::env::var_os("KEYWAYD_API_DESCRIPTIONS");
        let Some(directory) = directory else {
            crate::harness::skipped(
                "GitHub's answers are not held to its API description: `KEYWAYD_API_DESCRIPTIONS` is not set",
            );
            return Self(None);
        };
        let file = PathBuf::from(directory).join("github.openapi.json");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self(Some(serde_json::from_str(&text).expect("it is JSON")))
    }

    /// An object of the schema `name` with these members.
    pub(super) fn made(&self, name: &str, members: &Value) -> Value {
        let mut made = match &self.0 {
            Some(all) => sample(all, &all["components"]["schemas"][name], 0),
            None => json!({"owner": {}}),
        };
        for (member, value) in members.as_object().expect("members") {
            if let Some(all) = &self.0 {
                let described = resolve(all, &all["components"]["schemas"][name]["properties"][member]);
                assert!(!described.is_null(), "GitHub's `{name}` has no `{member}`");
                assert!(fits(described, value), "`{name}.{member}` is described as {described}, not {value}");
            }
            made[member] = value.clone();
        }
        made
    }
}

fn resolve<'a>(all: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let path = reference.strip_prefix('#').expect("references stay in the file");
            resolve(all, all.pointer(path).unwrap_or(&Value::Null))
        }
        None => schema,
    }
}

fn fits(schema: &Value, value: &Value) -> bool {
    match (schema["type"].as_str(), value) {
        (_, Value::Null) => schema["nullable"] == true,
        (Some("integer"), value) => value.is_u64(),
        (Some("boolean"), value) => value.is_boolean(),
        (Some("string"), value) => value.is_string(),
        (Some("array"), value) => value.is_array(),
        (Some("object"), value) => value.is_object(),
        _ => true,
    }
}

/// Something of the described shape: every required member is there.
fn sample(all: &Value, schema: &Value, depth: usize) -> Value {
    let schema = resolve(all, schema);
    if depth > 8 || schema["nullable"] == true {
        return Value::Null;
    }
    for choice in ["allOf", "anyOf", "oneOf"] {
        if let Some(first) = schema[choice].get(0) {
            return sample(all, first, depth + 1);
        }
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("string") => json!("text"),
        _ => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let member = |name: &Value| {
                let name = name.as_str().unwrap_or_default();
                (name.to_owned(), sample(all, &schema["properties"][name], depth + 1))
            };
            Value::Object(required.iter().map(member).collect())
        }
    }
}
