//! Forms by class, and properties over adversarial values. `tests/dotenv_readers.rs` has the
//! real readers.

use super::form::{Form, choose};
use super::{encode, naive, naive_reading};
use proptest::prelude::*;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

fn text(pairs: &[(&str, &str)]) -> String {
    encode(pairs.iter().copied()).expose().to_owned()
}

fn written(value: &str) -> String {
    let line = text(&[("K", value)]);
    line.strip_prefix("K=").unwrap().strip_suffix('\n').unwrap().to_owned()
}

#[test]
fn an_environment_is_one_line_per_key_in_the_given_order() {
    assert_eq!(text(&[]), "");
    assert_eq!(text(&[("A", "1"), ("B", ""), ("C", "x\ny")]), "A=1\nB=\nC=\"x\\ny\"\n");
}

#[test]
fn every_class_has_its_form() {
    for (value, expected) in [
        // Raw: all readers agree.
        ("", ""),
        ("postgres://u:p$w@h/db?a=1&b=2", "postgres://u:p$w@h/db?a=1&b=2"),
        (r#"it's a "test" \n $(id) `id`"#, r#"it's a "test" \n $(id) `id`"#),
        (r"C:\dir\", r"C:\dir\"),
        ("a\u{2028}b=c", "a\u{2028}b=c"),
        // Something at an end or a `#` asks for quotes.
        (" a", "' a'"),
        ("a\u{feff}", "'a\u{feff}'"),
        ("\u{85}a", "'\u{85}a'"),
        ("\u{1f}a", "'\u{1f}a'"),
        ("#a", "'#a'"),
        ("a#b", "'a#b'"),
        (r#""a""#, r#"'"a"'"#),
        ("`a", "'`a'"),
        ("'a'", "\"'a'\""),
        ("it's #1", "\"it's #1\""),
        ("'", "\"'\""),
        // Both kinds of quotes: no quote inside may look like the closing one.
        (r#" it's "a""#, r#"' it's "a"'"#),
        (r#""it's: a""#, r#"""it's: a"""#),
        (r#" 'A=1 "B=2"#, r#"" 'A=1 \"B=2""#),
        (r#" x'A=1 "B=2"#, r#"" x'A=1 \"B=2""#),
        // npm would cut at the `#` in any form, so the readers below it count.
        (r##"it's "a"#b"##, r##"it's "a"#b"##),
        (r"pass#word\", r"pass#word\"),
        (r#"it's \n"#, r#"it's \n"#),
        (r#" it's \n"#, r#"' it's \n'"#),
        (r"'a\n#", r##""'a\n#""##),
        // Line breaks.
        ("a\r\nb", r#""a\r\nb""#),
        ("{\n  \"a\": 1\n}\n", r#""{\n  "a": 1\n}\n""#),
        ("\"#\n", r##""\"#\n""##),
        ("a\\n\n", r#""a\\n\n""#),
        ("\"A=1\n", r#""\"A=1\n""#),
        // A backslash at the end of a quoted form would swallow the next line.
        (r" a\", r" a\"),
        (r"'a\", r#""'a\u005c""#),
        ("a\nb\\", r#""a\nb\u005c""#),
        // U+2028 ends npm's lines: behind it npm may find a whole value in quotes, or the end of a comment.
        ("a\u{2028}''", "\"a\u{2028}''\""),
        ("a\u{2028}\"b\"\u{2029}c", "'a\u{2028}\"b\"\u{2029}c'"),
        ("a\u{2028}``", "'a\u{2028}``'"),
        ("a\u{2028}'", "a\u{2028}'"),
        ("a\u{2028}'b'c", "a\u{2028}'b'c"),
        ("it's \"#\u{2028}A=1", "\"it's \\\"#\u{2028}A=1\""),
        // Cases of one rule against another.
        ("#\"'", "#\"'"),
        ("\\n#'", "\\n#'"),
        ("\\a#", "'\\a#'"),
        ("\\\n", "\"\\\\n\""),
        ("#\\\"'", "\"#\\\"'\""),
        ("\"\\'=", "'\"\\'='"),
        ("\"\\\\'=", "\"\"\\\\'=\""),
        ("' =\"", "\"' =\"\""),
        ("\"\n=", "\"\"\\n=\""),
    ] {
        assert_eq!(written(value), expected, "{value:?}");
    }
}

/// What moves a growing `String` leaves a copy of the secrets behind.
#[test]
fn no_text_outgrows_the_room_made_for_it() {
    let many = format!("{}\n", "\"#".repeat(20));
    for value in [&many, "", "plain", " a b", "it's #1", "a\nb", "\"\"\"\n", "\r\n\\\"", "'a\\", "\n\\"] {
        let form = choose(value);
        let mut line = String::with_capacity(super::longest(value, form));
        let room = line.capacity();
        super::write(&mut line, value, form);
        assert!(line.len() <= room && line.capacity() == room, "{value:?}");
    }
    let mut text = Zeroizing::new(String::with_capacity(8));
    text.push_str("abc");
    super::make_room(&mut text, 5);
    assert_eq!((text.as_str(), text.capacity()), ("abc", 8), "there is room");
    super::make_room(&mut text, 6);
    assert_eq!((text.as_str(), text.capacity()), ("abc", 16), "one byte more");
    super::make_room(&mut text, 100);
    assert_eq!((text.as_str(), text.capacity()), ("abc", 103));
}

#[test]
fn the_two_naive_readers_trim_the_same() {
    // A raw form that one of them trims and the other does not would make a push of an
    // unchanged environment look like a change.
    for value in [" \u{feff}a\\", "\u{85}a\\", "\u{1c}a\\", " a\\"] {
        let raw = choose(value) == Form::Raw;
        assert_eq!(raw, value.starts_with(" a"), "{value:?}");
    }
}

#[test]
fn the_naive_reader_skips_comments_and_keeps_lone_quotes() {
    let read = naive::read(" A = 'x' \r\n#B=1\n\nC\nD='\nE=\"a'\nF=a=b\nF=c\n");
    let expected = [("A", "x"), ("D", "'"), ("E", "\"a'"), ("F", "c")];
    assert_eq!(read, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}

/// `docker --env-file`: everything behind the first `=`, `#` only at a line's start.
fn docker(content: &str) -> BTreeMap<String, String> {
    content
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line).trim_start())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once('=').expect("every line is an assignment"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Trims as JavaScript does.
fn trim_js(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\u{feff}' || c != '\u{85}' && c.is_whitespace())
}

const PIECES: &[&str] = &[
    "'",
    "\"",
    "`",
    "\\",
    "#",
    " ",
    "=",
    ":",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\u{b}",
    "\u{c}",
    "\u{1c}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{2029}",
    "\u{feff}",
    "a",
    "n",
    "r",
    "EVIL=1",
    "export EVIL=1",
    "K1=x",
    "é",
    "😀",
    "$",
    "${K0}",
    "\\n",
    "\\\"",
    "\\'",
    " #",
    "-",
    "[",
];

fn value() -> impl Strategy<Value = String> {
    let adversarial = prop::collection::vec(prop::sample::select(PIECES), 0..10).prop_map(|all| all.concat());
    prop_oneof![4 => adversarial, 1 => "[^\\x00]{0,20}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_added_lost_or_changed(values in prop::collection::vec(value(), 0..6)) {
        let keys: Vec<_> = (0..values.len()).map(|at| format!("K{at}")).collect();
        let pairs = || keys.iter().map(String::as_str).zip(values.iter().map(String::as_str));
        let content = encode(pairs());
        let content = content.expose();
        prop_assert_eq!(content.matches('\n').count(), values.len());
        prop_assert!(!content.contains(['\r', '\0']));
        for (line, (key, _)) in content.lines().zip(pairs()) {
            prop_assert_eq!(line.split_once('=').unwrap().0, key);
            let text = &line[key.len() + 1..];
            prop_assert_eq!(naive::value(text), naive::value(trim_js(text)));
            prop_assert_eq!(text.trim(), trim_js(text));
        }
        let read = naive::read(content);
        prop_assert_eq!(read.len(), values.len());
        let docker_read = docker(content);
        prop_assert_eq!(docker_read.len(), values.len());
        for (key, value) in pairs() {
            let reading = naive_reading(value);
            prop_assert_eq!(&read[key], reading.expose());
            if choose(value) == Form::Raw {
                prop_assert_eq!(&docker_read[key], value);
            }
        }
    }

    #[test]
    fn a_single_line_is_exact_for_the_naive_reader(value in value()) {
        prop_assume!(!value.contains(['\n', '\r']));
        let exact = naive_reading(&value).expose() == value;
        // The two exceptions that safety asks for.
        let pinned = value.ends_with('\\')
            && value.starts_with(|c: char| c.is_whitespace() || "'\"`\u{feff}\u{1c}".contains(c));
        let both_quotes = value.contains('\'') && value.contains('"');
        let line_ends = value.contains(['\u{2028}', '\u{2029}']);
        prop_assert!(exact || pinned || both_quotes && value.contains(['=', ':']) || line_ends);
    }

    #[test]
    fn a_quoted_form_ends_in_its_only_way_out(value in value()) {
        let text = written(&value);
        prop_assert!(!text.starts_with('`'));
        if let Some(quote) = text.chars().next().filter(|first| "'\"".contains(*first)) {
            prop_assert!(text.len() > 1 && text.ends_with(quote));
            prop_assert!(!text[..text.len() - 1].ends_with('\\'));
        }
    }
}
