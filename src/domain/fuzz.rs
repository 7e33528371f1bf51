//! What fuzzers try of this room (see `base::fuzz`).

use super::dotenv::{self, naive};
use std::collections::BTreeMap;

/// `.env` text: values are cut at NUL, which none can hold. Each key has one line, and the
/// readers whose rules are short enough to stand here find no other variables, and get
/// what they are promised.
pub fn env_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let pairs: BTreeMap<String, &str> =
        text.split('\0').enumerate().map(|(at, value)| (format!("K{at:05}"), value)).collect();
    let content = dotenv::encode(pairs.iter().map(|(key, value)| (key.as_str(), *value)));
    let content = content.expose();
    assert_eq!(content.split('\n').count(), pairs.len() + 1, "a key does not have one line");
    for (line, key) in content.split('\n').zip(pairs.keys()) {
        assert!(line.starts_with(&format!("{key}=")), "a line belongs to another key");
    }
    let read = naive::read(content);
    assert!(read.keys().eq(pairs.keys()), "the naive reader finds other variables");
    for (key, value) in &pairs {
        let got = read.get(key).map(String::as_str);
        assert_eq!(got, Some(dotenv::naive_reading(value).expose()), "what stands around a value changes it");
        if !value.contains(['\n', '\r']) && !beyond_the_naive(value) {
            assert_eq!(got, Some(*value), "the naive reader does not get a value of one line");
        }
    }
}

/// The exceptions of the table in `domain::dotenv`: a final backslash, and both quotes with
/// what may be another assignment or, to npm, another line.
fn beyond_the_naive(value: &str) -> bool {
    let both = value.contains('\'') && value.contains('"');
    value.ends_with('\\') || both && value.contains(['=', '\u{2028}', '\u{2029}'])
}

#[cfg(test)]
mod tests {
    #[test]
    fn stored_values_are_tried() {
        crate::base::fuzz::replay("env_text", super::env_text);
    }
}
