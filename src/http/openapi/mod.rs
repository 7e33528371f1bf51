//! The API's description of itself: one OpenAPI 3.1 document, made from the route table
//! that serves and the types that are read and written.
//!
//! Nothing in it is written twice. What all calls have in common, such as the failures a
//! credential can bring, follows from a route's row; the rest is its [`About`].
//!
//! [`About`]: super::about::About

mod example;
mod links;
mod schemas;

use super::about::{About, Param, Shape, Success};
use super::problem::ProblemKind;
use super::router::{Auth, BodyRule, LimitClass, Route};
use crate::base::ids::RequestId;
use crate::base::names::RepoPart;
use crate::base::{EnvironmentName, OwnerName};
use schemas::Schemas;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const OVERVIEW: &str = "\
Secrets for teams, where access to a repository is access to its secrets.

A success has its data in `data` and the request's id in `meta`; where `data` is an array, `meta.pagination` tells \
which part of the list it is. A failure is a problem document (RFC 9457). Members and parameters that are not \
described here are ignored. Times are RFC 3339, UTC.

A credential is a session's token, a GitHub token or an API key, as `Authorization: Bearer …`; browsers may show a \
session as a cookie, and then say in `Origin` where a change comes from. Scopes bind API keys only; roles are those \
on the repository. Without any role there is 404, whether or not there is a vault.

Every path answers `OPTIONS` with the methods it has, and `HEAD` where it has `GET`; other methods are answered 405.";

/// The document for these tables.
#[must_use]
pub fn description(tables: &[&'static [Route]]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut refusals: BTreeMap<String, Value> = BTreeMap::new();
    for route in tables.iter().copied().flatten() {
        let mut operation = operation(route, &mut schemas, &mut refusals);
        if let Some(links) = links::links(route, tables) {
            let pointer = format!("/responses/{}", route.about.success.status());
            if let Some(answer) = operation.pointer_mut(&pointer) {
                put(answer, "links", links);
            }
        }
        let method = route.verb.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keyway API",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The API of keywayd",
            "description": OVERVIEW,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The server this document comes from" }],
        "tags": tags(&paths),
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "responses": refusals,
            "headers": headers(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A session's token, a GitHub token (`github_pat_`, `ghp_`, `gho_`, `ghu_`) or an \
                                    API key (`kw_live_`, `kw_test_`).",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": super::cookies::SESSION,
                    "description": "A browser's session. What may change something takes an `Origin` of this server \
                                    or a listed site.",
                },
            },
        },
    })
}

fn operation(route: &Route, schemas: &mut Schemas, refusals: &mut BTreeMap<String, Value>) -> Value {
    let about = &route.about;
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [tag(route.path)],
        "summary": about.summary,
        "description": explain(route),
        "security": security(route.auth),
        "parameters": parameters(route, schemas),
        "responses": responses(route, schemas, refusals),
        "x-limits": limits(route.limit),
    });
    if let Auth::Scoped(scope) = route.auth {
        put(&mut operation, "x-scope", json!(scope));
    }
    if let Some(role) = route.role {
        put(&mut operation, "x-role", json!(role));
    }
    if let Some(body) = request_body(route, schemas) {
        put(&mut operation, "requestBody", body);
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '-', '.']).map(|word| word.trim_matches(['{', '}']));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let path = if words.is_empty() { "root".to_owned() } else { words.join("_") };
    format!("{}_{path}", route.verb.as_str().to_ascii_lowercase())
}

/// What a call is about: the resource of a vault, the first word of other paths.
fn tag(path: &str) -> &str {
    let mut words = path.split('/').skip(1);
    match (words.next(), words.next()) {
        (Some("v1"), Some("vaults")) => words.nth(2).unwrap_or("vaults"),
        (Some("v1"), Some("openapi.json")) => "description",
        (Some("v1"), Some(word)) => word,
        (Some("health" | "ready"), None) => "health",
        _ => "pages",
    }
}

fn tags(paths: &BTreeMap<&str, Map<String, Value>>) -> Value {
    let mut tags: Vec<_> = paths.keys().map(|path| tag(path)).collect();
    tags.sort_unstable();
    tags.dedup();
    tags.into_iter().map(|name| json!({ "name": name })).collect()
}

/// The details, and what the row says in words.
fn explain(route: &Route) -> String {
    let mut parts = Vec::new();
    if !route.about.details.is_empty() {
        parts.push(route.about.details.to_owned());
    }
    parts.push(match route.auth {
        Auth::None => "Takes no credential.".to_owned(),
        Auth::Visitor => "Takes no credential, and knows a browser's session.".to_owned(),
        Auth::Any => "Takes any credential.".to_owned(),
        Auth::Scoped(scope) => format!("Takes a credential; an API key needs the scope `{scope}`."),
    });
    if let Some(role) = route.role {
        parts.push(format!("Takes the role `{role}` on the repository, or more."));
    }
    parts.push(match route.limit {
        LimitClass::General => "Counts to the general rate limit.".to_owned(),
        LimitClass::Reveal => "Counts to the general rate limit and to that for revealing values.".to_owned(),
        LimitClass::DeviceVerify => {
            "Counts to the general rate limit and to that for entering device codes.".to_owned()
        }
        LimitClass::Exempt => "Counts to no rate limit.".to_owned(),
    });
    parts.join("\n\n")
}

fn limits(class: LimitClass) -> Value {
    let limit = |setting: &str, default: &str, per: &str| json!({ "setting": format!("rate_limit.{setting}"), "default": default, "per": per });
    let general = limit("general", "100/15m", "credential, or address");
    match class {
        LimitClass::General => json!([general]),
        LimitClass::Reveal => json!([general, limit("reveal", "10/1m", "credential")]),
        LimitClass::DeviceVerify => json!([general, limit("device_verify", "5/1m", "address")]),
        LimitClass::Exempt => json!([]),
    }
}

fn security(auth: Auth) -> Value {
    match auth {
        Auth::None => json!([]),
        Auth::Visitor => json!([{}, { "session": [] }]),
        Auth::Any => json!([{ "bearer": [] }, { "session": [] }]),
        // For schemes other than OAuth these are the roles that are needed.
        Auth::Scoped(scope) => json!([{ "bearer": [scope] }, { "session": [] }]),
    }
}

fn parameters(route: &Route, schemas: &mut Schemas) -> Value {
    let mut list: Vec<Value> = route.params().map(|name| path_parameter(name, schemas)).collect();
    let about = &route.about;
    list.extend(about.query.iter().map(|param| parameter("query", param, schemas)));
    if matches!(about.success, Success::List(_)) {
        list.push(json!({
            "name": "limit", "in": "query", "description": "At most so many.",
            "schema": { "type": "integer", "minimum": 1, "maximum": 100, "default": 25 },
        }));
        list.push(json!({
            "name": "offset", "in": "query", "description": "Without the first so many.",
            "schema": { "type": "integer", "format": "uint64", "minimum": 0, "maximum": u64::MAX, "default": 0 },
        }));
    }
    list.extend(about.headers.iter().map(|param| parameter("header", param, schemas)));
    Value::Array(list)
}

/// Parameters in paths mean the same in all of them.
fn path_parameter(name: &'static str, schemas: &mut Schemas) -> Value {
    let (shape, what) = match name {
        "owner" => (Shape::of::<OwnerName>(), "Who the repository belongs to."),
        "repo" => (Shape::of::<RepoPart>(), "The repository's own name."),
        "name" => (Shape::of::<EnvironmentName>(), "The environment."),
        "id" => (Shape::of::<RequestId>(), "The id."),
        "version" => (Shape::of::<RequestId>(), "The version's id."),
        "provider" => (Shape::of::<str>(), "The service, as `GET /v1/integrations` names it."),
        _ => (Shape::of::<str>(), ""),
    };
    parameter("path", &Param { shape, ..Param::required::<str>(name, what) }, schemas)
}

fn parameter(place: &str, param: &Param, schemas: &mut Schemas) -> Value {
    let mut schema = schemas.taken(param.shape);
    if let Some(default) = param.default {
        // Written as the parameter is; a JSON schema wants numbers and truth values as such.
        let value = serde_json::from_str(default).unwrap_or_else(|_| json!(default));
        schema = if schema.get("$ref").is_some() {
            json!({ "allOf": [schema], "default": value })
        } else {
            put(&mut schema, "default", value);
            schema
        };
    }
    json!({
        "name": param.name, "in": place, "required": param.required, "description": param.what, "schema": schema,
    })
}

fn request_body(route: &Route, schemas: &mut Schemas) -> Option<Value> {
    let about = &route.about;
    let most = match route.body {
        BodyRule::Standard | BodyRule::Form => "`server.body_limit_bytes`, 1 MiB unless configured",
        BodyRule::Push => "`server.push_body_limit_bytes`, 8 MiB unless configured",
    };
    let description = format!("At most {most}.");
    if let Some(takes) = about.takes {
        let schema = schemas.taken(takes.shape);
        let example = schemas.taken_example(&schema);
        return Some(json!({
            "required": takes.required,
            "description": description,
            "content": { "application/json": { "schema": schema, "example": example } },
        }));
    }
    (!about.form.is_empty()).then(|| {
        let fields = about.form.iter().map(|field| {
            let mut schema = schemas.taken(field.shape);
            put(&mut schema, "description", json!(field.what));
            (field.name.to_owned(), schema)
        });
        let properties: Map<_, _> = fields.collect();
        let required: Vec<_> =
            about.form.iter().filter(|field| field.required).map(|field| field.name).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": required });
        json!({
            "required": true,
            "description": description,
            "content": { "application/x-www-form-urlencoded": { "schema": schema } },
        })
    })
}

fn responses(route: &Route, schemas: &mut Schemas, refusals: &mut BTreeMap<String, Value>) -> Value {
    let about = &route.about;
    let mut responses = Map::new();
    let (status, answer) = success(route, schemas);
    responses.insert(status.to_string(), answer);
    for (status, what) in about.also {
        let mut headers = common_headers(route);
        match status {
            302 | 303 => headers.insert("Location".to_owned(), header("Where to go on.", true)),
            _ => own_headers(about, &mut headers),
        };
        responses.insert(status.to_string(), json!({ "description": what, "headers": headers }));
    }
    for kind in route.refusals() {
        let (status, slug, _) = kind.parts();
        let page = route.failure_page.is_some();
        let name = if page { format!("{slug}-page") } else { slug.to_owned() };
        let status = status.as_u16().to_string();
        if page && responses.contains_key(&status) {
            continue;
        }
        responses.insert(status, json!({ "$ref": format!("#/components/responses/{name}") }));
        refusals.entry(name).or_insert_with(|| refusal(kind, page, schemas));
    }
    Value::Object(responses)
}

fn success(route: &Route, schemas: &mut Schemas) -> (u16, Value) {
    let about = &route.about;
    let mut headers = common_headers(route);
    own_headers(about, &mut headers);
    let json = |schemas: &Schemas, schema: Value| {
        let example = schemas.given_example(&schema);
        json!({ "application/json": { "schema": schema, "example": example } })
    };
    let (what, content) = match about.success {
        Success::Data(_, shape) => {
            let mut data = schemas.given(shape);
            if let Some(other) = about.or {
                data = json!({ "oneOf": [data, schemas.given(other)] });
            }
            let schema = schemas.envelope(data);
            ("Done; the data are in `data`.", Some(json(schemas, schema)))
        }
        Success::List(shape) => {
            let item = schemas.given(shape);
            let schema = schemas.list_envelope(item);
            ("A page of the list.", Some(json(schemas, schema)))
        }
        Success::Twice(shape) => {
            let data = schemas.given(shape);
            let schema = json!({ "allOf": [data.clone(), schemas.envelope(data)] });
            ("Done; the data are in `data` and beside it.", Some(json(schemas, schema)))
        }
        Success::Bare(shape) => {
            let schema = schemas.given(shape);
            ("Done; without an envelope.", Some(json(schemas, schema)))
        }
        Success::Document(kind) => {
            ("The document.", Some(json!({ kind: { "schema": { "type": "string" } } })))
        }
        Success::Empty => ("Done; there is nothing to tell.", None),
        Success::Redirect(_) => {
            headers.insert("Location".to_owned(), header("Where to go on.", true));
            ("On to another address.", None)
        }
    };
    let mut answer = json!({ "description": what, "headers": headers });
    if let Some(content) = content {
        put(&mut answer, "content", content);
    }
    (about.success.status(), answer)
}

fn refusal(kind: ProblemKind, page: bool, schemas: &mut Schemas) -> Value {
    let (status, slug, title) = kind.parts();
    let mut headers = Map::new();
    let mut refer = |name: &str, component: &str| {
        headers.insert(name.to_owned(), json!({ "$ref": format!("#/components/headers/{component}") }));
    };
    refer("X-Request-ID", "X-Request-ID");
    for name in RATE_HEADERS {
        refer(name, name);
    }
    match kind {
        ProblemKind::Unauthorized if !page => refer("WWW-Authenticate", "WWW-Authenticate"),
        ProblemKind::RateLimited | ProblemKind::ServiceUnavailable => refer("Retry-After", "Retry-After"),
        _ => {}
    }
    let schema = schemas.problem(status.as_u16());
    let example = json!({
        "type": format!("https://keyway.sh/errors/{slug}"),
        "title": title,
        "status": status.as_u16(),
        "detail": kind.meaning(),
        "instance": "/v1/vaults/acme/app",
        "requestId": "550e8400-e29b-41d4-a716-446655440000",
    });
    let mut content = json!({ "application/problem+json": { "schema": schema, "example": example } });
    if page {
        // Programs are told as everywhere, people by a page.
        put(&mut content, "text/html", json!({ "schema": { "type": "string" } }));
    }
    json!({ "description": kind.meaning(), "headers": headers, "content": content })
}

const RATE_HEADERS: [&str; 3] = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];

/// What every answer of this route has.
fn common_headers(route: &Route) -> Map<String, Value> {
    let rated: &[&str] = if route.limit == LimitClass::Exempt { &[] } else { &RATE_HEADERS };
    let names = ["X-Request-ID"].iter().chain(rated);
    names
        .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
        .collect()
}

fn own_headers(about: &About, headers: &mut Map<String, Value>) -> Option<Value> {
    for (name, what) in about.answers_with {
        headers.insert((*name).to_owned(), header(what, false));
    }
    None
}

fn header(what: &str, required: bool) -> Value {
    json!({ "description": what, "required": required, "schema": { "type": "string" } })
}

fn headers() -> Value {
    let number = |what: &str, required: bool, example: u32| {
        let schema = json!({ "type": "integer", "minimum": 0 });
        json!({ "description": what, "required": required, "schema": schema, "example": example })
    };
    json!({
        "X-Request-ID": {
            "description": "The request's id: the client's own `X-Request-ID` if that is a UUID.",
            "required": true,
            "schema": { "type": "string", "format": "uuid" },
            "example": "550e8400-e29b-41d4-a716-446655440000",
        },
        "X-RateLimit-Limit": number("How many calls the limit allows; while rate limits are on.", false, 100),
        "X-RateLimit-Remaining": number("How many of them are left.", false, 99),
        "X-RateLimit-Reset": number("In how many seconds all are there again.", false, 9),
        "Retry-After": number("In how many seconds to come back.", true, 9),
        "WWW-Authenticate": {
            "description": "How to show a credential (RFC 6750).",
            "required": true,
            "schema": { "type": "string" },
            "example": "Bearer",
        },
    })
}

/// Adds a member to what is an object.
fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::router::Verb;
    use super::*;

    fn own() -> Value {
        description(super::super::routes())
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_says_what_it_does() {
        let document = own();
        let operations = document["paths"].as_object().unwrap().values();
        let operations: Vec<_> = operations.flat_map(|path| path.as_object().unwrap().values()).collect();
        let mut ids: Vec<_> = operations.iter().map(|one| one["operationId"].as_str().unwrap()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        for operation in operations {
            let summary = operation["summary"].as_str().unwrap();
            assert!(summary.starts_with(char::is_uppercase) && !summary.ends_with('.'), "{summary}");
            for parameter in operation["parameters"].as_array().unwrap() {
                assert_ne!(parameter["description"], "", "{parameter} of {}", operation["operationId"]);
            }
        }
    }

    #[test]
    fn every_example_is_whole() {
        let text = own().to_string();
        let at = text.find(&format!("\"{}\"", example::UNKNOWN));
        assert!(at.is_none(), "no example for {:?}", at.map(|at| &text[at.saturating_sub(200)..at]));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, document: &Value) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(target)) = members.get("$ref") {
                        let pointer = target.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{target}");
                    }
                    members.values().for_each(|member| walk(member, document));
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, document)),
                _ => {}
            }
        }
        let document = own();
        walk(&document, &document);
    }

    #[test]
    fn whatever_takes_a_body_says_what() {
        for route in super::super::routes().iter().copied().flatten() {
            if matches!(route.verb, Verb::Put | Verb::Patch) {
                assert!(route.about.takes.is_some(), "{} {}", route.verb.as_str(), route.path);
            }
            if !route.verb.mutates() {
                assert!(route.about.takes.is_none(), "{} {}", route.verb.as_str(), route.path);
            }
        }
    }
}
