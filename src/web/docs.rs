//! The reference of the API, for people: the description that programs read, as a page.

use super::layout::{failure, wide_document};
use crate::http::{About, Answer, Ctx, Outcome, Route, Verb};
use maud::{Markup, html};
use serde_json::Value;

pub(super) const ROUTES: &[Route] =
    &[Route::new(Verb::Get, "/docs", SHOW, |ctx| Box::pin(show(ctx))).page(failure)];

const SHOW: About = About::page("The reference of the API, for people");

async fn show(ctx: Ctx) -> Answer {
    let page = wide_document("API reference", &reference(ctx.description()));
    ctx.html(Outcome::Fine, page)
}

fn reference(document: &Value) -> Markup {
    let subjects = subjects(document);
    html! {
        p.quiet {
            "Version " (text(&document["info"], "version")) ", for programs at "
            a href="/v1/openapi.json" { code { "/v1/openapi.json" } } "."
        }
        (prose(text(&document["info"], "description")))
        nav aria-label="Calls" {
            @for (subject, operations) in &subjects {
                h2 { a href={ "#" (subject) } { (subject) } }
                ul.calls {
                    @for one in operations {
                        li { a href={ "#" (one.id()) } { code { (one.method) " " (one.path) } } " " (one.summary()) }
                    }
                }
            }
        }
        @for (subject, operations) in &subjects {
            h2 id=(subject) { (subject) }
            @for one in operations { (one.section(document)) }
        }
        h2 id="schemas" { "Types" }
        @for (name, schema) in members(part(document, "/components/schemas")) { (type_section(name, schema)) }
    }
}

/// One call.
struct Operation<'d> {
    method: String,
    path: &'d str,
    about: &'d Value,
}

/// The calls, by what they are about.
fn subjects(document: &Value) -> Vec<(&str, Vec<Operation<'_>>)> {
    let tags = document["tags"].as_array().into_iter().flatten().map(|tag| text(tag, "name"));
    tags.map(|tag| {
        let operations = members(&document["paths"]).flat_map(|(path, methods)| {
            members(methods).map(move |(method, about)| {
                let method = method.to_ascii_uppercase();
                Operation { method, path, about }
            })
        });
        (tag, operations.filter(|one| part(one.about, "/tags/0") == tag).collect())
    })
    .collect()
}

impl<'d> Operation<'d> {
    fn id(&self) -> &'d str {
        text(self.about, "operationId")
    }

    fn summary(&self) -> &'d str {
        text(self.about, "summary")
    }

    fn section(&self, document: &Value) -> Markup {
        let parameters = self.about["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let body = members(part(self.about, "/requestBody/content")).next();
        html! {
            section id=(self.id()) {
                h3 { code { (self.method) " " (self.path) } }
                p { strong { (self.summary()) "." } }
                (prose(text(self.about, "description")))
                @if !parameters.is_empty() {
                    table {
                        thead { tr { th { "parameter" } th { "in" } th { "type" } th { "meaning" } } }
                        tbody {
                            @for one in parameters {
                                tr {
                                    td { code { (text(one, "name")) } @if one["required"] != true { " (optional)" } }
                                    td { (text(one, "in")) }
                                    td { (kind(&one["schema"])) }
                                    td { (inline(text(one, "description"))) }
                                }
                            }
                        }
                    }
                }
                @if let Some((media, content)) = body {
                    h4 { "Body, " code { (media) } }
                    (inline(text(&self.about["requestBody"], "description")))
                    (shape(&content["schema"]))
                    (example(content))
                }
                h4 { "Answers" }
                dl {
                    @for (status, answer) in members(&self.about["responses"]) {
                        (answered(status, resolve(document, answer)))
                    }
                }
            }
        }
    }
}

fn answered(status: &str, answer: &Value) -> Markup {
    let success = status.starts_with('2');
    html! {
        dt { code { (status) } }
        dd {
            (inline(text(answer, "description")))
            @for (media, content) in members(&answer["content"]) {
                @if success {
                    " " code { (media) } ", " (kind(data_of(&content["schema"]))) "."
                    (example(content))
                }
            }
        }
    }
}

/// What is in the envelope, where there is one.
fn data_of(schema: &Value) -> &Value {
    let enveloped = schema["allOf"].get(1).unwrap_or(schema);
    enveloped["properties"].get("data").unwrap_or(schema)
}

fn type_section(name: &str, schema: &Value) -> Markup {
    html! {
        section id={ "type-" (name) } {
            h3 { code { (name) } }
            (prose(text(schema, "description")))
            (shape(schema))
        }
    }
}

/// The members of an object, or what else a type is.
fn shape(schema: &Value) -> Markup {
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|list| list.iter().any(|one| one == name));
    html! {
        @if schema["properties"].is_object() {
            table {
                thead { tr { th { "member" } th { "type" } th { "meaning" } } }
                tbody {
                    @for (name, member) in members(&schema["properties"]) {
                        tr {
                            td { code { (name) } @if !required(name) { " (optional)" } }
                            td { (kind(member)) }
                            td { (inline(text(member, "description"))) }
                        }
                    }
                }
            }
        } @else {
            p { (kind(schema)) }
        }
    }
}

/// A type in a few words.
fn kind(schema: &Value) -> Markup {
    let alternatives = ["anyOf", "oneOf", "allOf"].iter().find_map(|name| schema[*name].as_array());
    let values = schema["enum"].as_array();
    html! {
        @if let Some(target) = schema["$ref"].as_str() {
            @let name = target.rsplit('/').next().unwrap_or_default();
            a href={ "#type-" (name) } { (name) }
        } @else if let Some(values) = values {
            @for (at, value) in values.iter().enumerate() {
                @if at > 0 { " " }
                code { (value.as_str().unwrap_or_default()) }
            }
        } @else if let Some(value) = schema["const"].as_str() {
            code { (value) }
        } @else if let Some(list) = alternatives {
            @for (at, one) in list.iter().enumerate() {
                @if at > 0 { " or " }
                (kind(one))
            }
        } @else if schema["items"].is_object() {
            "list of " (kind(&schema["items"]))
        } @else if schema["additionalProperties"].is_object() {
            "object of " (kind(&schema["additionalProperties"]))
        } @else {
            (plain(schema))
            @if let Some(format) = schema["format"].as_str() { " (" (format) ")" }
            @if let Some(pattern) = schema["pattern"].as_str() { " " code { (pattern) } }
            @if let Some(default) = schema.get("default") { ", else " code { (default.to_string()) } }
        }
    }
}

fn plain(schema: &Value) -> String {
    match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    }
}

fn example(content: &Value) -> Markup {
    let Some(example) = content.get("example") else { return html! {} };
    let text = serde_json::to_string_pretty(example).unwrap_or_default();
    html! { details { summary { "Example" } pre { code { (text) } } } }
}

/// Paragraphs.
fn prose(text: &str) -> Markup {
    html! { @for part in text.split("\n\n").filter(|part| !part.is_empty()) { p { (inline(part)) } } }
}

/// Text with code between backticks.
fn inline(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn part<'d>(value: &'d Value, pointer: &str) -> &'d Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text<'d>(value: &'d Value, name: &str) -> &'d str {
    value[name].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_call_is_on_the_page_and_every_link_leads_somewhere() {
        let tables = [crate::http::routes(), super::super::routes()].concat();
        let page = reference(&crate::http::description(&tables)).into_string();
        for route in tables.iter().copied().flatten() {
            let call = format!("<h3><code>{} {}</code></h3>", route.verb.as_str(), route.path);
            assert!(page.contains(&call), "{call}");
        }
        let named = |prefix: &str| -> Vec<String> {
            page.split(prefix)
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap_or_default().to_owned())
                .collect()
        };
        let ids = named("id=\"");
        let set: HashSet<_> = ids.iter().cloned().collect();
        assert_eq!(set.len(), ids.len(), "an id stands twice");
        for link in named("href=\"#") {
            assert!(set.contains(&link), "{link}");
        }
    }
}
