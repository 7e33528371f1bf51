//! The schemas of a description: those of what is taken and those of what is given, in
//! one list. What a type reads and what it writes may differ (a member that may be left
//! out is always written), so they come from two generators; a type that is used both
//! ways has to look the same in both, which a test sees to.

use super::super::about::{REQUEST_ID, Shape};
use super::example;
use crate::domain::FieldError;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

pub(super) struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}

impl Default for Schemas {
    fn default() -> Self {
        Self {
            taken: settings().for_deserialize().into_generator(),
            given: settings().for_serialize().into_generator(),
        }
    }
}

impl Schemas {
    /// The schema of what is read as `shape`.
    pub(super) fn taken(&mut self, shape: Shape) -> Value {
        (shape.schema)(&mut self.taken).to_value()
    }

    /// The schema of what is written of `shape`.
    pub(super) fn given(&mut self, shape: Shape) -> Value {
        (shape.schema)(&mut self.given).to_value()
    }

    pub(super) fn taken_example(&self, schema: &Value) -> Value {
        example::of(schema, self.taken.definitions())
    }

    pub(super) fn given_example(&self, schema: &Value) -> Value {
        example::of(schema, self.given.definitions())
    }

    /// `data` in the envelope.
    pub(super) fn envelope(&mut self, data: Value) -> Value {
        let meta = json!({
            "type": "object",
            "properties": { "requestId": self.request_id() },
            "required": ["requestId"],
        });
        enveloped(data, &meta)
    }

    /// A page of a list of `item` in the envelope.
    pub(super) fn list_envelope(&mut self, item: Value) -> Value {
        let count = |example: u64| json!({ "type": "integer", "minimum": 0, "examples": [example] });
        let meta = json!({
            "type": "object",
            "properties": {
                "requestId": self.request_id(),
                "pagination": {
                    "type": "object",
                    "properties": {
                        "total": count(1),
                        "limit": count(25),
                        "offset": count(0),
                        "hasMore": { "type": "boolean", "examples": [false] },
                    },
                    "required": ["total", "limit", "offset", "hasMore"],
                },
            },
            "required": ["requestId", "pagination"],
        });
        enveloped(json!({ "type": "array", "maxItems": 100, "items": item }), &meta)
    }

    /// A problem document (RFC 9457) with this status.
    pub(super) fn problem(&mut self, status: u16) -> Value {
        let fields = self.given(Shape::of::<Vec<FieldError>>());
        json!({
            "type": "object",
            "properties": {
                "type": { "type": "string", "format": "uri", "description": "The kind of failure." },
                "title": { "type": "string", "description": "The same in words." },
                "status": { "const": status },
                "detail": { "type": "string", "description": "What is wrong, and what to do." },
                "instance": { "type": "string", "description": "The request's path, without its query." },
                "requestId": self.request_id(),
                "errors": fields,
            },
            "required": ["type", "title", "status", "detail", "instance", "requestId"],
        })
    }

    fn request_id(&mut self) -> Value {
        self.given(REQUEST_ID)
    }

    /// All that were asked for, by name.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut all = self.taken.take_definitions(true);
        all.extend(self.given.take_definitions(true));
        all
    }
}

fn enveloped(data: Value, meta: &Value) -> Value {
    json!({ "type": "object", "properties": { "data": data, "meta": meta }, "required": ["data", "meta"] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::about::Success;

    #[test]
    fn a_name_stands_for_one_schema_read_or_written() {
        let mut schemas = Schemas::default();
        for route in crate::http::routes().iter().copied().flatten() {
            let about = &route.about;
            about.takes.iter().for_each(|takes| drop(schemas.taken(takes.shape)));
            about.query.iter().for_each(|param| drop(schemas.taken(param.shape)));
            about.or.iter().for_each(|shape| drop(schemas.given(*shape)));
            match about.success {
                Success::Data(_, shape)
                | Success::List(shape)
                | Success::Twice(shape)
                | Success::Bare(shape) => {
                    schemas.given(shape);
                }
                Success::Document(_) | Success::Empty | Success::Redirect(_) => {}
            }
        }
        let (taken, given) = (schemas.taken.definitions(), schemas.given.definitions());
        for (name, schema) in taken {
            assert!(given.get(name).is_none_or(|other| other == schema), "`{name}` is two different things");
        }
        for name in taken.keys().chain(given.keys()) {
            // What the generator does when two types share a name.
            assert!(!name.ends_with(|last: char| last.is_ascii_digit()), "two types are called `{name}`");
        }
    }
}
