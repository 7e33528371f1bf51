//! Links: where what an answer names can be used next. A route says which members of its
//! answer are parameters of the paths below its own; the rest follows from the table.

use super::super::router::Route;
use super::operation_id;
use serde_json::{Map, Value, json};

/// The links of an answer of `route`'s to calls in `tables`.
pub(super) fn links(route: &Route, tables: &[&'static [Route]]) -> Option<Value> {
    let leads = route.about.leads;
    let below = tables.iter().copied().flatten().filter(|target| {
        let extends = target.path.strip_prefix(route.path).is_some_and(|rest| rest.starts_with("/{"));
        extends && target.params().all(|name| source(route, name).is_some())
    });
    let links: Map<_, _> = below
        .map(|target| {
            let parameters = target.params().filter_map(|name| Some((name.to_owned(), source(route, name)?)));
            let id = operation_id(target);
            (id.clone(), json!({ "operationId": id, "parameters": parameters.collect::<Map<_, _>>() }))
        })
        .collect();
    (!leads.is_empty() && !links.is_empty()).then_some(Value::Object(links))
}

/// Where the value of a parameter called `name` comes from.
fn source(route: &Route, name: &str) -> Option<Value> {
    let led = route.about.leads.iter().find(|(led, _)| *led == name);
    if let Some((_, pointer)) = led {
        return Some(json!(format!("$response.body#{pointer}")));
    }
    route.params().any(|own| own == name).then(|| json!(format!("$request.path.{name}")))
}
