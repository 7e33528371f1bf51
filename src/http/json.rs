//! JSON bodies into types. What is wrong is told by place and by what was expected,
//! never by quoting what was sent: that may be a secret, and answers end up in logs.

use super::problem::Problem;
use crate::base::limits::SECRETS_PER_ENVIRONMENT;
use schemars::JsonSchema;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

const NAME_CHARS_SHOWN: usize = 300;

/// Reads an object.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde would also fill a structure from an array, by position.
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => {}
        None => return Err(Problem::bad_request("the body is missing; send a JSON object")),
        Some(_) => return Err(Problem::bad_request("the body must be a JSON object")),
    }
    let mut source = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut source)
        .map_err(|error| problem(&error.path().to_string(), error.inner()))?;
    source.end().map_err(|error| problem(".", &error))?;
    Ok(value)
}

fn problem(path: &str, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        let (line, column) = (error.line(), error.column());
        return Problem::bad_request(format!("the body is not valid JSON (line {line}, column {column})"));
    }
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let (member, message) = explain(message);
    let field = match (path, member) {
        (".", None) => "body".to_owned(),
        (".", Some(member)) => member.to_owned(),
        (path, None) => path.to_owned(),
        (path, Some(member)) => format!("{path}.{member}"),
    };
    Problem::field(cut(&field), message)
}

/// Names of members are shown, but not at any length.
fn cut(name: &str) -> String {
    name.chars().take(NAME_CHARS_SHOWN).collect()
}

/// The member that serde's message is about, if it names one, and what to say of it.
///
/// Text of the client's can stand only before the last `, expected `; behind it, in
/// the fixed forms below, and in messages of our own types, which all begin with
/// `must`, stands only what this program wrote.
fn explain(message: &str) -> (Option<&str>, String) {
    let named = |prefix: &str| message.strip_prefix(prefix)?.strip_suffix('`');
    if let Some(member) = named("missing field `") {
        return (Some(member), "is required".to_owned());
    }
    if let Some(member) = named("duplicate field `") {
        return (Some(member), "must be given only once".to_owned());
    }
    if message.starts_with("must ") {
        return (None, message.to_owned());
    }
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    match expected {
        Some(expected) => (None, format!("must be {}", plainly(expected))),
        None => (None, "is not valid".to_owned()),
    }
}

/// serde's expectations in the words of JSON.
fn plainly(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "a map" => "an object",
        "a sequence" => "an array",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// The members of an object whose names the client chooses, in their order: as many as an
/// environment holds, so that of more no more is read. A name given twice is refused: which
/// of the two values is meant, readers disagree on.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(with = "BTreeMap<String, V>", inline)]
pub(super) struct Members<V: JsonSchema>(pub(super) Vec<(String, V)>);

impl<'de, V: Deserialize<'de> + JsonSchema> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de> + JsonSchema> Visitor<'de> for MembersVisitor<V> {
    type Value = Members<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        let mut seen = HashSet::new();
        while let Some((name, value)) = source.next_entry::<String, V>()? {
            if members.len() == SECRETS_PER_ENVIRONMENT {
                let message = format_args!("must have at most {SECRETS_PER_ENVIRONMENT} members");
                return Err(A::Error::custom(message));
            }
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("must not name `{}` twice", cut(&name))));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{EnvironmentName, SecretText};
    use serde_json::Value;

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Push {
        environment: EnvironmentName,
        secrets: Members<SecretText>,
        #[serde(default)]
        max_count: Option<u8>,
    }

    fn refusal(body: &str) -> Value {
        let problem = read::<Push>(body.as_bytes()).unwrap_err();
        super::super::tests::body_of(&problem.render("", "", ""))
    }

    #[test]
    fn a_good_body_is_read_in_order() {
        let body = r#" {"environment":"dev","secrets":{"B":"1","A":"2"},"unknown":[1]} "#;
        let push: Push = read(body.as_bytes()).unwrap();
        let names: Vec<_> = push.secrets.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((push.environment.as_str(), names, push.max_count), ("dev", vec!["B", "A"], None));
    }

    #[test]
    fn what_is_wrong_is_told_by_place_and_expectation() {
        for (body, field, message) in [
            (r#"{"secrets":{}}"#, "environment", "is required"),
            (
                r#"{"environment":"dev","environment":"dev","secrets":{}}"#,
                "environment",
                "must be given only once",
            ),
            (
                r#"{"environment":"dev","secrets":{"A":"hunter2","A":"hunter2"}}"#,
                "secrets",
                "must not name `A` twice",
            ),
            (r#"{"environment":"dev","secrets":{"A":17172}}"#, "secrets.A", "must be a string"),
            (r#"{"environment":"dev","secrets":"hunter2"}"#, "secrets", "must be an object"),
            (
                r#"{"environment":"dev","secrets":{},"maxCount":"hunter2, expected x"}"#,
                "maxCount",
                "must be a whole number from 0",
            ),
            (
                r#"{"environment":"dev","secrets":{},"maxCount":17172}"#,
                "maxCount",
                "must be a whole number from 0",
            ),
            (
                r#"{"environment":"hunter2!","secrets":{}}"#,
                "environment",
                "must be 2 to 30 characters: a lower-case letter, then lower-case letters, digits, `_` or `-`",
            ),
        ] {
            let answer = refusal(body);
            assert_eq!(answer["errors"][0]["field"], field, "{answer}");
            assert_eq!(answer["errors"][0]["message"], message, "{answer}");
            assert!(
                !answer.to_string().contains("hunter2") && !answer.to_string().contains("17172"),
                "{answer}"
            );
        }
    }

    #[test]
    fn of_more_members_than_can_be_no_more_is_read() {
        let body = |count: usize| {
            let members: Vec<_> = (0..count).map(|number| format!("\"K{number}\":\"\"")).collect();
            format!("{{\"environment\":\"dev\",\"secrets\":{{{}", members.join(","))
        };
        let good = format!("{}}}}}", body(SECRETS_PER_ENVIRONMENT));
        assert!(
            read::<Push>(good.as_bytes()).is_ok_and(|push| push.secrets.0.len() == SECRETS_PER_ENVIRONMENT)
        );
        // Not closed: it did not come to that.
        let answer = refusal(&body(SECRETS_PER_ENVIRONMENT + 1));
        assert_eq!(answer["errors"][0]["field"], "secrets", "{answer}");
        assert_eq!(answer["errors"][0]["message"], "must have at most 1000 members", "{answer}");
    }

    #[test]
    fn what_is_no_json_object_is_told_without_quoting_it() {
        let deep = format!(r#"{{"x":{}"#, "[".repeat(1_000));
        for body in [
            "",
            " ",
            "hunter2",
            "[]",
            "\"hunter2\"",
            "{",
            "{\"hunter2\"}",
            "{} hunter2",
            "{}{}",
            "\u{feff}{}",
            "null",
            &deep,
            "{\"a\":\"\u{0}\"}",
            "{'a':1}",
            "{\"a\":1,}",
        ] {
            let answer = refusal(body);
            assert_eq!(answer["status"], 400, "{body}");
            assert!(!answer.to_string().contains("hunter2"), "{answer}");
        }
        assert!(read::<Push>(b"{\"environment\":\"\xff\"}").is_err());
        assert!(read::<Push>(br#"{"environment":"dev","secrets":{"A":"\ud800"}}"#).is_err());
    }
}
