//! `.env` text: what a pull answers. There is no one grammar for such files, so every
//! value is written in the form that the most important readers take for what it is.
//!
//! In this order of precedence:
//! 1. No value creates or changes another variable, in any reader: the naive one, dotenv
//!    (npm, all majors, also `fast`), Node's own, python-dotenv (before and after 1.2.2),
//!    `docker --env-file`, Docker Compose, godotenv. A reader that does not understand a
//!    line may leave that variable out or refuse the file.
//! 2. [`naive`], which the shipped clients use, gets every value without line break.
//! 3. dotenv (npm). 4. python-dotenv. 5. `docker --env-file`.
//!
//! `✓` the value itself, `≠` something else, `–` no such variable:
//!
//! | value | written | naive | npm | python | docker |
//! |---|---|---|---|---|---|
//! | anything not below; empty | raw | ✓ | ✓ | ✓ | ✓ |
//! | *guarded*: white space at an end, a quote or backtick at the start, or `#` | `'…'` | ✓ | ✓ | ✓ ¹ | ≠ |
//! | guarded, `'` in it | `"…"` | ✓ | ✓ | ✓ ¹ | ≠ |
//! | guarded, both quotes ² | `'…'` or `"…"`, nothing escaped | ✓ | ✓ unless `#` | – | ≠ |
//! | guarded by `#` alone, both quotes ² or final `\` | raw | ✓ | ≠ | ✓ unless white space before `#` | ✓ |
//! | line break (`\n`, `\r`) | `"…"`, breaks escaped | ≠ | ✓ | ✓ ¹, but – if `"` | ≠ |
//! | the same, and `"` with `#`, or backslash and `n` or `r` | `"…"`, breaks, `"`, `\` escaped | ≠ | ≠ | ✓ | ≠ |
//! | both quotes, each followed by what looks like `NAME=`, not raw | the same | ≠ | ≠ | ✓ | ≠ |
//! | white space at the start and final `\` | raw | ≠ | ≠ | ≠ | ✓ |
//! | quote or backtick at the start, or a line break, and final `\` | `"…\u005c"` | ≠ | ≠ | ≠ | ≠ |
//!
//! ¹ Unless python-dotenv knows a backslash sequence in it: `\\`, in `"…"` also `\n`, `\t` and
//! the like. It also replaces `${NAME}` in any form, which changes that value alone.
//! ² Or `'` and, as two characters, `\n` or `\r`, which npm would take for breaks in `"…"`.
//!
//! Why the odd rows are as they are:
//! - A quoted form never ends in a backslash: npm and python-dotenv take `\'` for an
//!   escaped quote and read on through the following lines.
//! - A raw form never starts with a quote or backtick: same reason.
//! - npm takes U+2028 and U+2029 for line ends. They are dangerous behind a `#` or a
//!   quote that npm accepts as the closing one, so forms that allow this are not used.
//! - Compose and godotenv start the next assignment right behind a closing quote, so the
//!   text behind a quote of the form's own kind must not look like one.
//! - `\r` counts as a line break: npm, python-dotenv and old Mac tools break lines there.
//!
//! One reader is not covered: gotenv (Go, in Viper) looks for the closing quote in the
//! wrong place when white space follows the opening one, and may find a backslash there.
//! A shell is no reader: it would run `$(…)`. Nothing here makes `source .env` safe.

#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "positions come from searching the same text; fuzzed"
    )
)]

mod form;
pub mod naive;
pub mod reader;
#[cfg(test)]
mod tests;

use crate::base::SecretText;
use form::Form;
use std::mem;
use zeroize::Zeroizing;

/// The whole environment as `.env` text, one line per pair.
///
/// Pairs must be in ascending key order with each key once; keys are POSIX names
/// (`^[A-Za-z_][A-Za-z0-9_]{0,255}$`); values are without NUL. All of this has been
/// checked when the values came in.
#[must_use]
pub fn encode<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> SecretText {
    let mut out = Zeroizing::new(String::with_capacity(4_096));
    for (key, value) in pairs {
        let form = form::choose(value);
        make_room(&mut out, key.len() + 2 + longest(value, form));
        out.push_str(key);
        out.push('=');
        write(&mut out, value, form);
        out.push('\n');
    }
    SecretText::new(mem::take(&mut *out))
}

/// What the naive reader makes of the line [`encode`] writes for `value`, whatever stands
/// around it: the value that a shipped client pushes back after a pull.
#[must_use]
pub fn naive_reading(value: &str) -> SecretText {
    let form = form::choose(value);
    let mut line = Zeroizing::new(String::with_capacity(longest(value, form)));
    write(&mut line, value, form);
    SecretText::new(naive::value(&line).to_owned())
}

/// Most bytes that `value` takes: each may need a backslash, the last five more, plus quotes.
const fn longest(value: &str, form: Form) -> usize {
    match form {
        Form::Raw => value.len(),
        Form::Quoted(_) | Form::Escaped => 2 * value.len() + 7,
    }
}

/// Grows `out` by hand: `String` would leave the secrets it moved behind in memory.
fn make_room(out: &mut Zeroizing<String>, bytes: usize) {
    let needed = out.len() + bytes;
    if needed > out.capacity() {
        let mut larger = Zeroizing::new(String::with_capacity(needed.max(2 * out.capacity())));
        larger.push_str(out);
        *out = larger;
    }
}

fn write(out: &mut String, value: &str, form: Form) {
    match form {
        Form::Raw => out.push_str(value),
        Form::Quoted(quote) => {
            out.push(quote);
            escape(out, value, &['\n', '\r']);
            out.push(quote);
        }
        Form::Escaped => {
            // No reader knows this escape; a final backslash would be worse (see above).
            let (body, end) = value.strip_suffix('\\').map_or((value, ""), |body| (body, "\\u005c"));
            out.push('"');
            escape(out, body, &['\n', '\r', '"', '\\']);
            out.push_str(end);
            out.push('"');
        }
    }
}

/// Appends `text` with a backslash before each of `special`.
fn escape(out: &mut String, text: &str, special: &[char]) {
    let mut rest = text;
    while let Some(at) = rest.find(special) {
        out.push_str(&rest[..at]);
        out.push('\\');
        out.push(match rest.as_bytes()[at] {
            b'\n' => 'n',
            b'\r' => 'r',
            byte => char::from(byte),
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}
