//! Which values a reader cannot get, said a second time and without regard to speed: of
//! all safe ways to write a value, the one that the most important readers take right.

const BREAKS: [char; 2] = ['\n', '\r'];
const SEPARATORS: [char; 2] = ['\u{2028}', '\u{2029}'];
const QUOTES: [char; 3] = ['\'', '"', '`'];

/// Longest line that docker reads, without its end, in bytes.
const DOCKER_LINE_BYTES_MAX: usize = 65_535;

/// Who reads it right, by precedence: naive, npm, python-dotenv, docker.
type Right = (bool, bool, bool, bool);

/// The naive reader gets something else.
pub(crate) fn naive_cannot(value: &str) -> bool {
    !best(value).0
}

/// dotenv (npm) gets something else.
pub(crate) fn dotenv_npm_cannot(value: &str) -> bool {
    !best(value).1
}

/// python-dotenv gets something else or nothing.
pub(crate) fn python_cannot(value: &str) -> bool {
    !best(value).2 || interpolates(value)
}

/// `docker --env-file` gets something else, or refuses the file, under a name of that length.
pub(crate) fn docker_cannot(name_bytes: usize, value: &str) -> bool {
    !best(value).3 || name_bytes + 1 + value.len() > DOCKER_LINE_BYTES_MAX
}

fn best(value: &str) -> Right {
    // Escaping is always safe; a final backslash then costs even python-dotenv.
    let escaped = (false, false, !value.ends_with('\\'), false);
    [raw(value), quoted(value, '\''), quoted(value, '"')].into_iter().flatten().fold(escaped, Right::max)
}

fn raw(value: &str) -> Option<Right> {
    let body = value.trim_matches(is_space);
    let opens_quote = body.starts_with(QUOTES);
    let ends_comment = value.contains('#') && value.contains(SEPARATORS);
    if value.contains(BREAKS) || opens_quote || ends_comment {
        return None;
    }
    if body.len() < value.len() {
        // White space is lost, but to both naive readers the same must be.
        let same = value.trim() == body && trim_js(value) == body && !value.contains(SEPARATORS);
        return same.then_some((false, false, false, true));
    }
    let comment = value.contains('#');
    let is_space = |c| is_space(c) && c != '\u{feff}';
    let spaced_comment = value.split('#').rev().skip(1).any(|before| before.ends_with(is_space));
    Some((true, !comment && !npm_unquotes_inside(value), !spaced_comment, true))
}

fn quoted(value: &str, quote: char) -> Option<Right> {
    let lines = value.contains(BREAKS);
    let inner = value.contains(quote);
    let closes_early = inner && (value.contains(SEPARATORS) || assigns_behind(value, quote));
    if lines && quote == '\'' || value.ends_with('\\') || closes_early {
        return None;
    }
    let escape = |letters: &str| letters.chars().any(|letter| value.contains(&format!("\\{letter}")));
    let all_escaped = value.replace(&format!("\\{quote}"), "").find(quote).is_none();
    let (npm_escapes, python_escapes) = if quote == '"' { ("nr", "\\'\"abfnrtv\n\r") } else { ("", "\\'") };
    let npm = (!inner || all_escaped || !value.contains('#')) && !escape(npm_escapes);
    Some((!lines, npm, !inner && !escape(python_escapes), false))
}

/// Whether the text behind a closing quote reads like an assignment to readers that do
/// not need a line end between two.
fn assigns_behind(value: &str, quote: char) -> bool {
    let mut behind = Vec::new();
    let (mut parity, mut previous) = (false, ' ');
    for (at, c) in value.char_indices() {
        if c == quote {
            // One kind of reader looks at the character before, the other counts backslashes.
            behind.push((previous != '\\', !parity, &value[at + 1..]));
        }
        parity = c == '\\' && !parity;
        previous = c;
    }
    let looks_before = behind.iter().find(|(closes, _, _)| *closes);
    let counts = behind.iter().find(|(_, closes, _)| *closes);
    looks_before.into_iter().chain(counts).any(|(_, _, text)| {
        let stop = text.find(|c: char| {
            c.is_ascii()
                && !c.is_ascii_alphanumeric()
                && !"_.-[] \t\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{1f}".contains(c)
        });
        stop.is_some_and(|at| text[at..].starts_with(['=', ':']))
    })
}

/// npm removes quotes around text that stands between line ends, and to it U+2028 is one.
fn npm_unquotes_inside(value: &str) -> bool {
    let starts = value.match_indices(SEPARATORS).map(|(at, separator)| &value[at + separator.len()..]);
    starts.into_iter().any(|text| {
        QUOTES.into_iter().any(|quote| {
            let Some(inside) = text.strip_prefix(quote) else { return false };
            inside.ends_with(quote) || SEPARATORS.iter().any(|end| inside.contains(&format!("{quote}{end}")))
        })
    })
}

/// python-dotenv fills in `${NAME}` and `${NAME:-default}`.
fn interpolates(value: &str) -> bool {
    value.match_indices("${").any(|(at, _)| {
        let name = &value[at + 2..];
        name.find(['}', ':']).is_some_and(|end| {
            let behind = &name[end..];
            behind.starts_with('}') || behind.starts_with(":-") && behind.contains('}')
        })
    })
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c) || c == '\u{feff}'
}

fn trim_js(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\u{feff}' || c != '\u{85}' && c.is_whitespace())
}
