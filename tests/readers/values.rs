//! Values to try the readers with: those that people have, and those that readers stumble over.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Values as they stand in real files, and a few that are only possible.
pub(crate) fn realistic() -> Vec<String> {
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n";
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n", line.repeat(26));
    let account = "{\n  \"type\": \"service_account\",\n  \"project_id\": \"p-1\",\n  \"client_email\": \"a@b.example\"\n}\n";
    let fixed = [
        "",
        "true",
        "postgres://user:p%40ss$word@db.example:5432/app?sslmode=require&a=b",
        "https://hooks.example/T00/B00#fragment",
        "redis://:p#ss@host/0",
        "$(rm -rf /)",
        "`id`",
        "${HOME}",
        "$HOME",
        "a=b=c==",
        "two words",
        "  padded  ",
        "\ttab",
        "it's",
        "say \"hi\"",
        "it's \"both\"",
        "\"quoted\"",
        "'quoted'",
        "`quoted`",
        "'",
        "\"",
        "`",
        "''",
        "'\"",
        "C:\\Program Files\\app\\",
        "C:\\new\\report\\table",
        "\\",
        "\\\\",
        "\\n",
        "'\\",
        " \\",
        "# not a comment",
        "#",
        "a #b",
        "export A=1",
        "K1=other",
        "line\r\nline",
        "\n",
        "\r",
        "\n\nK1=other\n",
        "'\nK1=other\n'",
        "\"\nK1=other\n\"",
        "{\"a\":\"b\"}",
        "{\"it's\":\"b #1\"}",
        "{'a': \"b\"}",
        "[1, 2]",
        "emoji 🔑🚀",
        "ünï çødé 漢字",
        "\u{a0}nbsp\u{a0}",
        "\u{feff}bom\u{feff}",
        "\u{85}nel\u{85}",
        "\u{2028}K1=other",
        "#\u{2028}K1=other",
        "it's \"#\u{2028}K1=other",
        "a\u{b}b\u{c}c\u{1c}d",
        "\u{1b}[31mred\u{1b}[0m",
        "^(?:[a-z]+)\\s*#\\d{2}$",
        "* * * * *",
        "-----BEGIN KEY-----\\nabc\\n-----END KEY-----\\n",
        "pa$$word!&|;<>()%^~",
    ];
    let mut values: Vec<_> = fixed.map(str::to_owned).to_vec();
    values.extend([
        key.clone(),
        account.to_owned(),
        account.replace("p-1", "p#1"),
        key.replace('\n', "\r\n"),
    ]);
    values
}

/// As many values that are made to be misread, the same ones every time.
pub(crate) fn adversarial(count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let values = strategy();
    let mut draw = || values.new_tree(&mut runner).expect("nothing is rejected").current();
    std::iter::repeat_with(&mut draw).take(count).collect()
}

/// What readers stumble over, alone and in combination.
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
    "EVIL: 1",
    "export EVIL=1",
    "K1=x",
    "é",
    "🔑",
    "$",
    "${K0}",
    "${A:-b}",
    "\\n",
    "\\\"",
    "\\'",
    " #",
    "-",
    "[",
    "}",
    "it's",
    "\"#",
];

fn strategy() -> impl Strategy<Value = String> {
    let pieces = |most| {
        prop::collection::vec(prop::sample::select(PIECES), 0..=most).prop_map(|pieces| pieces.concat())
    };
    let quotes =
        prop::collection::vec(prop::sample::select(&["'", "\"", "\\", "#", " ", "A=", "\u{2028}"]), 0..8);
    prop_oneof![
        3 => pieces(4),
        3 => pieces(12),
        3 => quotes.prop_map(|pieces| pieces.concat()),
        1 => "[ -~]{0,12}",
        1 => "[^\\x00]{0,12}",
    ]
}
