//! Examples, made from schemas: an object out of its members', down to types and members
//! that bring one of their own. So an example cannot say other things than the schema.

use serde_json::{Map, Value, json};

/// What texts look like, by the name of the member they stand in: a name means the same
/// everywhere.
const TEXTS: &[(&str, &str)] = &[
    ("actor", "octocat"),
    ("allowedIps", "192.0.2.0/24"),
    ("avatarUrl", "https://avatars.githubusercontent.com/u/583231"),
    ("code", "b6Yk2Qm8vZ0tXw4n"),
    ("connectionId", "0196f3a2-7c41-7d3e-9a55-2f6b1c8e4d07"),
    ("credentialId", "0196f3a2-7c41-7d3e-9a55-2f6b1c8e4d07"),
    ("detail", "vault not found"),
    ("deviceCode", "b6Yk2Qm8vZ0tXw4nR1sHc7Jd"),
    ("different", "DATABASE_URL"),
    ("displayName", "Vercel"),
    ("email", "octocat@example.com"),
    ("environments", "production"),
    ("error", "the service refused some of the secrets"),
    ("failedKeys", "DATABASE_URL"),
    ("field", "name"),
    ("framework", "nextjs"),
    ("githubLogin", "octocat"),
    ("id", "prj_4f9a"),
    ("installUrl", "https://github.com/apps/keyway/installations/new"),
    ("instance", "/v1/vaults/acme/app"),
    ("ip", "192.0.2.7"),
    ("key", "DATABASE_URL"),
    ("keywayToken", "eyJhbGciOiJIUzI1NiIs…"),
    ("linkedRepo", "acme/app"),
    ("login", "octocat"),
    ("maxEnvironmentsPerVault", "unlimited"),
    ("maxPrivateRepos", "unlimited"),
    ("maxProviders", "unlimited"),
    ("maxPublicRepos", "unlimited"),
    ("maxSecretsPerPrivateVault", "unlimited"),
    ("message", "done"),
    ("name", "app"),
    ("onlyInKeyway", "DATABASE_URL"),
    ("onlyInProvider", "DATABASE_URL"),
    ("plan", "team"),
    ("prefix", "kw_live_b6Yk"),
    ("preview", "post••••/app"),
    ("projectId", "prj_4f9a"),
    ("projectName", "app"),
    ("provider", "vercel"),
    ("providerAccountId", "team_4f9a"),
    ("providerEnvironment", "production"),
    ("providerTeamId", "team_4f9a"),
    ("reason", "the service does not take this value"),
    ("repoAvatar", "https://avatars.githubusercontent.com/u/583231"),
    ("repoFullName", "acme/app"),
    ("repoName", "app"),
    ("repoOwner", "acme"),
    ("repository", "acme/app"),
    ("requestId", "550e8400-e29b-41d4-a716-446655440000"),
    ("same", "DATABASE_URL"),
    ("secrets", "postgres://db.internal/app"),
    ("serviceId", "srv_4f9a"),
    ("serviceName", "web"),
    ("status", "healthy"),
    ("subject", "octocat"),
    ("targetUserId", "0196f3a2-7c41-7d3e-9a55-2f6b1c8e4d07"),
    ("teamId", "team_4f9a"),
    ("teamName", "Acme"),
    ("title", "Not Found"),
    ("toCreate", "DATABASE_URL"),
    ("toDelete", "DATABASE_URL"),
    ("toSkip", "DATABASE_URL"),
    ("toUpdate", "DATABASE_URL"),
    ("token", "kw_live_b6Yk2Qm8vZ0tXw4nR1sHc7JdL5pF9gAe3uTiVoBx"),
    ("type", "https://keyway.sh/errors/not-found"),
    ("userAgent", "keyway-cli/1.2.3"),
    ("userCode", "WDJB-3947"),
    ("username", "octocat"),
    ("value", "postgres://db.internal/app"),
    ("verificationUri", "https://keyway.example.com/device"),
    ("verificationUriComplete", "https://keyway.example.com/device?user_code=WDJB-3947"),
    ("version", env!("CARGO_PKG_VERSION")),
];

/// For a name that is not there; a test sees that there is none.
pub(super) const UNKNOWN: &str = "…";

/// How deep schemas are followed; ours are flatter.
const DEPTH_MAX: usize = 12;

/// Something that fits `schema`, whose references lead into `definitions`.
pub(super) fn of(schema: &Value, definitions: &Map<String, Value>) -> Value {
    make("", schema, definitions, DEPTH_MAX)
}

/// The same, for the member called `name`.
fn make(name: &str, schema: &Value, definitions: &Map<String, Value>, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return Value::Null };
    let first = |word: &str| schema.get(word).and_then(|list| list.get(0));
    if let Some(own) = first("examples").or_else(|| schema.get("const")).or_else(|| schema.get("default")) {
        return own.clone();
    }
    if let Some(one) = first("enum") {
        return one.clone();
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.rsplit('/').next().unwrap_or_default();
        return definitions.get(target).map_or(Value::Null, |found| make(name, found, definitions, depth));
    }
    if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
        let parts = all.iter().map(|part| make(name, part, definitions, depth));
        let members = parts.filter_map(|part| match part {
            Value::Object(members) => Some(members),
            _ => None,
        });
        return members.flatten().collect::<Map<_, _>>().into();
    }
    // Beside members of its own it only says which of them go together.
    let alternatives =
        if schema.get("properties").is_some() { None } else { first("anyOf").or_else(|| first("oneOf")) };
    if let Some(one) = alternatives {
        return make(name, one, definitions, depth);
    }
    match kind(schema) {
        "object" => object(name, schema, definitions, depth),
        "array" => match schema.get("items") {
            Some(item) => json!([make(name, item, definitions, depth)]),
            None => json!([]),
        },
        "string" => {
            let text = TEXTS.iter().find(|(known, _)| *known == name);
            json!(text.map_or(UNKNOWN, |(_, text)| text))
        }
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        "boolean" => json!(true),
        _ => Value::Null,
    }
}

/// The first type that is not `null`.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("")
        }
        _ => "",
    }
}

fn object(name: &str, schema: &Value, definitions: &Map<String, Value>, depth: usize) -> Value {
    let mut members = Map::new();
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (member, property) in properties {
            members.insert(member.clone(), make(member, property, definitions, depth));
        }
    } else if let Some(value) = schema.get("additionalProperties").filter(|value| value.is_object()) {
        members.insert("DATABASE_URL".to_owned(), make(name, value, definitions, depth));
    }
    members.into()
}
