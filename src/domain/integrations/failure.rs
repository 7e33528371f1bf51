//! What a service's failures are to our clients, and what of a service's own words may
//! be repeated to them.

use crate::base::SecretText;
use crate::domain::ports::provider::{Profile, ProviderError};
use crate::domain::{Error, ErrorKind};

/// Longest reason that is handed on, in characters.
const REASON_CHARS: usize = 300;
/// Most characters of a service's words that are looked at: more than the longest value,
/// so that none is cut in a place where it cannot be recognised.
const QUOTE_CHARS: usize = 128 << 10;
/// Shortest part of a value that is recognised when a service quotes one cut off.
const QUOTED_CHARS: usize = 6;

/// The failure of a whole request, in words that hold none of `hidden`: what was sent to
/// the service, which may quote it.
pub(super) fn explain(profile: &Profile, error: ProviderError, hidden: &[&SecretText]) -> Error {
    let title = profile.title;
    let plain = |words: &str| plain(words, hidden);
    let upstream = |detail: String| Error::new(ErrorKind::Upstream, detail);
    match error {
        ProviderError::BadToken => upstream(format!(
            "{title} does not accept this connection's access any more; connect {title} again"
        )),
        ProviderError::Forbidden(reason) => upstream(format!("{title} refused: {}", plain(&reason))),
        ProviderError::NotFound(what) => {
            Error::not_found(format!("{what} does not exist at {title}, or this connection may not see it"))
        }
        ProviderError::NoSuchEnvironment(known) => Error::invalid(
            "providerEnvironment",
            if known.is_empty() {
                format!("names an environment that does not exist at {title}")
            } else {
                format!(
                    "names an environment that does not exist at {title}; there are: {}",
                    known.join(", ")
                )
            },
        ),
        ProviderError::Rejected(reason) => {
            upstream(format!("{title} rejected the request: {}", plain(&reason)))
        }
        ProviderError::RateLimited(wait) => Error {
            retry_after: wait,
            ..Error::new(ErrorKind::Unavailable, format!("{title} takes no more requests for now; try again"))
        },
        ProviderError::OutOfTime => Error::new(
            ErrorKind::Unavailable,
            format!("{title} did not answer everything within the time of one request; try again"),
        ),
        ProviderError::Failed(reason) => upstream(format!("{title} cannot be used: {}", plain(&reason))),
    }
}

/// Why one variable was not written, in words that hold none of `values`.
pub(super) fn reason(error: &ProviderError, values: &[&SecretText]) -> String {
    let text = match error {
        ProviderError::BadToken => "the access was revoked or has expired; connect again".to_owned(),
        ProviderError::RateLimited(_) => "not reached: too many requests; synchronise again".to_owned(),
        ProviderError::OutOfTime => "not reached in the time of one request; synchronise again".to_owned(),
        other => other.to_string(),
    };
    plain(&text, values)
}

/// One line of ordinary length without `hidden`.
fn plain(text: &str, hidden: &[&SecretText]) -> String {
    let text: String = text.chars().take(QUOTE_CHARS).collect();
    scrub(&one_line(&text), hidden).trim().chars().take(REASON_CHARS).collect()
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// As in a JSON text.
fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.trim_matches('"').to_owned()
}

/// Takes every whole value out of `text`, and every word that is a part of one.
fn scrub(text: &str, values: &[&SecretText]) -> String {
    let mut text = text.to_owned();
    // As they stand in `text`, which is one line, and as they stand in a body that is quoted.
    let plain = values.iter().map(|value| one_line(value.expose()));
    let escaped = values.iter().map(|value| escaped(value.expose()));
    let values: Vec<SecretText> = plain.chain(escaped).map(SecretText::new).collect();
    let mut wholes: Vec<&str> =
        values.iter().map(SecretText::expose).filter(|value| !value.is_empty()).collect();
    wholes.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for whole in &wholes {
        if whole.chars().count() >= QUOTED_CHARS {
            text = text.replace(whole, "[redacted]");
        }
    }
    let is_part = |word: &str| {
        let long = word.chars().count() >= QUOTED_CHARS;
        wholes.iter().any(|whole| word == *whole || (long && whole.contains(word)))
    };
    let cut = |letter: char| letter.is_whitespace() || "\"'`,;:()<>…".contains(letter);
    let mut clean = String::with_capacity(text.len());
    for piece in text.split_inclusive(cut) {
        let word = piece.trim_end_matches(cut);
        let core = word.trim_end_matches(['.', '!', '?']);
        if !core.is_empty() && (is_part(word) || is_part(core)) {
            clean.push_str("[redacted]");
            clean.push_str(piece.strip_prefix(word).unwrap_or_default());
        } else {
            clean.push_str(piece);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_out_of_what_a_service_says_whole_cut_short_or_split() {
        let values = [
            "sk_live_4242424242",
            "tiny",
            "two words here",
            "line one\nline two",
            "-----BEGIN\nMIIEabcdef\n",
        ];
        let values: Vec<SecretText> =
            values.iter().map(|value| SecretText::new((*value).to_owned())).collect();
        let values: Vec<&SecretText> = values.iter().collect();
        let scrubbed = |text: &str| reason(&ProviderError::Rejected(text.to_owned()), &values);
        for (text, clean) in [
            ("value \"sk_live_4242424242\" is bad", "value \"[redacted]\" is bad"),
            ("value sk_live_424242... is too long", "value [redacted] is too long"),
            ("tiny: not allowed, use a tiny one", "[redacted]: not allowed, use a [redacted] one"),
            ("bad: two words here", "bad: [redacted]"),
            ("KEY is reserved", "KEY is reserved"),
        ] {
            assert_eq!(scrubbed(text), clean);
        }
        assert!(!scrubbed("cannot take line one\nline two").contains("line two"));
        for quoted in [r#"bad body {"A":"line one\nline two"}"#, r#"bad body {"A":"-----BEGIN\nMIIEabc"#] {
            let clean = scrubbed(quoted);
            assert!(!clean.contains("line one") && !clean.contains("MIIE"), "{clean}");
        }
        assert_eq!(scrubbed(&"x ".repeat(400)).chars().count(), REASON_CHARS);
    }
}
