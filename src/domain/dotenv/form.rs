//! Which form a value is written in. Nearly all are raw and decided in one pass over
//! their bytes; for the rest the candidates are weighed against each other.

#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "positions come from searching the same text; fuzzed"
    )
)]

/// How one value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Raw,
    /// Between two of these quotes, line breaks escaped, everything else as it is.
    Quoted(char),
    /// Between double quotes; line breaks, double quotes and backslashes escaped.
    Escaped,
}

/// The form for `value`, by the precedence that the parent module lays down.
pub(super) fn choose(value: &str) -> Form {
    let traits = Traits::of(value);
    if traits.everyone_reads_raw() {
        return Form::Raw;
    }
    if traits.has(BREAK) {
        let quoted = traits.closes('"') && traits.npm_reads('"');
        return if quoted { Form::Quoted('"') } else { Form::Escaped };
    }
    // All three are exact for the naive reader. The last of the best wins, and so no rule is needed for python-dotenv:
    // where npm reads both quoted forms, it reads single quotes if it reads any; where npm reads neither, nor does it.
    let double = traits.closes('"').then(|| (Form::Quoted('"'), traits.quoted_score('"')));
    let single = traits.closes('\'').then(|| (Form::Quoted('\''), traits.quoted_score('\'')));
    let raw = traits.raw_is_safe().then_some((Form::Raw, (false, true, true)));
    let best = [double, single, raw].into_iter().flatten().max_by_key(|&(_, score)| score);
    match best {
        Some((form, _)) => form,
        None if traits.backslash_last && traits.only_docker_reads_raw() => Form::Raw,
        None => Form::Escaped,
    }
}

const BREAK: u8 = 1;
const SINGLE: u8 = 2;
const DOUBLE: u8 = 4;
const HASH: u8 = 8;
const BACKSLASH: u8 = 16;
const BACKTICK: u8 = 64;
/// Perhaps U+2028 or U+2029, which begin with byte E2.
const SEPARATOR: u8 = 32;

const SEPARATORS: [char; 2] = ['\u{2028}', '\u{2029}'];

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    classes[b'\n' as usize] = BREAK;
    classes[b'\r' as usize] = BREAK;
    classes[b'\'' as usize] = SINGLE;
    classes[b'"' as usize] = DOUBLE;
    classes[b'`' as usize] = BACKTICK;
    classes[b'#' as usize] = HASH;
    classes[b'\\' as usize] = BACKSLASH;
    classes[0xe2] = SEPARATOR;
    classes
};

/// What matters about a value.
struct Traits<'a> {
    value: &'a str,
    /// Which classes of characters are in it.
    seen: u8,
    /// Somebody would trim it, or read its start as an opening quote.
    exposed: bool,
    /// Its last character is a backslash.
    backslash_last: bool,
}

impl<'a> Traits<'a> {
    fn of(value: &'a str) -> Self {
        let mut seen = value.bytes().fold(0, |seen, byte| seen | CLASSES[usize::from(byte)]);
        if seen & SEPARATOR != 0 && !value.contains(SEPARATORS) {
            seen &= !SEPARATOR;
        }
        let exposed =
            value.starts_with(|first| is_space(first) || is_quote(first)) || value.ends_with(is_space);
        Self { value, seen, exposed, backslash_last: value.ends_with('\\') }
    }

    const fn has(&self, class: u8) -> bool {
        self.seen & class != 0
    }

    const fn has_quote(&self, quote: char) -> bool {
        self.has(if quote == '"' { DOUBLE } else { SINGLE })
    }

    /// Raw is right for every reader.
    fn everyone_reads_raw(&self) -> bool {
        let plain = !self.exposed && !self.has(BREAK | HASH);
        let parts = self.has(SEPARATOR) && self.has(SINGLE | DOUBLE | BACKTICK);
        plain && !(parts && self.npm_unquotes_inside())
    }

    /// npm unquotes a part between U+2028 or U+2029 (or the end) as if it were the value.
    fn npm_unquotes_inside(&self) -> bool {
        let ends = |text: &str| text.is_empty() || text.starts_with(SEPARATORS);
        self.value.match_indices(SEPARATORS).any(|(at, separator)| {
            let part = &self.value[at + separator.len()..];
            let Some(quote) = part.chars().next().filter(|&first| is_quote(first)) else { return false };
            part[1..].match_indices(quote).any(|(at, _)| ends(&part[at + 2..]))
        })
    }

    /// Raw is right for the naive reader, and nobody reads a second assignment out of it.
    const fn raw_is_safe(&self) -> bool {
        let comment_ends = self.has(HASH) && self.has(SEPARATOR);
        !self.exposed && !self.has(BREAK) && !comment_ends
    }

    /// Raw is safe, and both kinds of naive reader trim the same off its start.
    fn only_docker_reads_raw(&self) -> bool {
        let rest = self.value.trim_start_matches(is_space);
        let trimmed = &self.value[..self.value.len() - rest.len()];
        !self.has(SEPARATOR)
            && !rest.starts_with(is_quote)
            && !trimmed.contains(|c: char| !c.is_whitespace() || c == '\u{85}')
    }

    /// Between these quotes, no reader goes on into the following lines or finds a second
    /// assignment in this one.
    fn closes(&self, quote: char) -> bool {
        !self.backslash_last
            && (!self.has_quote(quote) || !self.has(SEPARATOR) && !opens_assignment(self.value, quote))
    }

    /// Whether npm and docker get it right between these quotes, and, if not, whether it is
    /// at least not cut short.
    fn quoted_score(&self, quote: char) -> (bool, bool, bool) {
        (self.npm_reads(quote), false, !self.has_quote(quote))
    }

    /// npm takes the longest text up to a quote that has no backslash before it and the
    /// line's end or a comment behind it; failing that, the line up to `#`.
    fn npm_reads(&self, quote: char) -> bool {
        let whole = !self.has_quote(quote) || !self.has(HASH) || all_escaped(self.value, quote);
        whole && !(quote == '"' && self.has_escape(&['n', 'r']))
    }

    /// Whether a backslash stands before one of these.
    fn has_escape(&self, followers: &[char]) -> bool {
        self.has(BACKSLASH)
            && self.value.match_indices('\\').any(|(at, _)| self.value[at + 1..].starts_with(followers))
    }
}

/// White space to any reader: Go, JavaScript (U+FEFF) or Python (U+001C to U+001F).
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}' | '\u{feff}')
}

const fn is_quote(c: char) -> bool {
    matches!(c, '\'' | '"' | '`')
}

fn all_escaped(value: &str, quote: char) -> bool {
    value.match_indices(quote).all(|(at, _)| value[..at].ends_with('\\'))
}

/// Whether Compose or godotenv, which go on right behind the closing quote, find the start
/// of an assignment there. To godotenv a backslash always escapes a quote, to Compose not
/// if it is itself escaped.
fn opens_assignment(value: &str, quote: char) -> bool {
    let backslashes = |at: usize| value[..at].bytes().rev().take_while(|&byte| byte == b'\\').count();
    let first = |closes: fn(usize) -> bool| {
        value.match_indices(quote).map(|(at, _)| at).find(|&at| closes(backslashes(at)))
    };
    [first(|count| count == 0), first(|count| count % 2 == 0)]
        .into_iter()
        .flatten()
        .any(|at| starts_assignment(&value[at + 1..]))
}

/// Whether a name, or nothing, and then `=` or `:` come first. Generous about what is a name.
fn starts_assignment(text: &str) -> bool {
    let in_name = |c: char| {
        c.is_ascii_alphanumeric()
            || !c.is_ascii()
            || is_space(c) && !matches!(c, '\n' | '\r')
            || matches!(c, '_' | '.' | '-' | '[' | ']')
    };
    text.trim_start_matches(in_name).starts_with(['=', ':'])
}
