//! Texts that people read and that are generated: the help of every command, the
//! example configuration, the list of all calls, the description of the API. They are compared with what is in the repository, so that a
//! change of either is seen in review. After an intended change,
//! `KEYWAYD_UPDATE_GOLDEN=1 cargo test --test golden` writes them anew.

use clap::{Command, CommandFactory};
use keywayd::http::{self, Auth, BodyRule, LimitClass, Route};
use keywayd::{cli::Arguments, config, web};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Compares `text` with the file at `path`, below the package's directory.
fn compare(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting")]
    let update = std::env::var_os("KEYWAYD_UPDATE_GOLDEN").is_some();
    if update {
        fs::write(&file, text).expect(path);
    }
    let stored = fs::read_to_string(&file).unwrap_or_default();
    let first = stored.lines().zip(text.lines()).position(|(old, new)| old != new);
    let line = first.unwrap_or_else(|| stored.lines().count().min(text.lines().count())) + 1;
    assert!(
        stored == text,
        "`{path}` is out of date from line {line}; if the change is meant, \
         run `KEYWAYD_UPDATE_GOLDEN=1 cargo test --test golden` and commit the file"
    );
}

/// All commands, each with the words that call it; those with subcommands first.
fn commands() -> Vec<(String, Command)> {
    fn collect(command: &Command, words: &str, list: &mut Vec<(String, Command)>) {
        list.push((words.to_owned(), command.clone()));
        for inner in command.get_subcommands() {
            collect(inner, &format!("{words} {}", inner.get_name()), list);
        }
    }
    let mut root = Arguments::command().term_width(100);
    root.build();
    let mut list = Vec::new();
    collect(&root, "keywayd", &mut list);
    list
}

#[test]
fn the_example_configuration_is_what_the_program_prints() {
    compare("config/keywayd.toml", &config::example());
}

#[test]
fn the_help_is_what_the_program_prints() {
    let mut text = String::new();
    for (words, mut command) in commands() {
        // Set width again: a copy of an inner command does not carry its parent's.
        command = command.term_width(100);
        text.push_str(&format!("$ {words} --help\n{}\n", command.render_long_help()));
    }
    let trimmed: Vec<_> = text.lines().map(str::trim_end).collect();
    compare("tests/golden/help.txt", &format!("{}\n", trimmed.join("\n").trim_end()));
}

const CALLS_HEAD: &str = "\
# Calls

Every call the server answers, made from the table that serves them. *Credential* is what a caller shows: `none`,
`any` valid one, or, for an API key, the scope it must have; other credentials need no scope. *Role* is the least
role on the repository. *Limits* names the rate limits a call counts to besides the general one.

| call | credential | role | limits | body |
|---|---|---|---|---|
";

#[test]
fn the_list_of_calls_is_what_the_server_serves() {
    let mut routes: Vec<&Route> = http::routes().iter().copied().flatten().collect();
    routes.sort_by_key(|route| (route.path, route.verb));
    let lines = routes.into_iter().map(|route| {
        let credential = match route.auth {
            Auth::None => "none".to_owned(),
            Auth::Visitor => "a browser's session, if any".to_owned(),
            Auth::Any => "any".to_owned(),
            Auth::Scoped(scope) => format!("`{scope}`"),
        };
        let limits = match route.limit {
            LimitClass::General => "",
            LimitClass::Reveal => "reveal",
            LimitClass::DeviceVerify => "device verify",
            LimitClass::Exempt => "none at all",
        };
        let body = match (route.about.takes_a_body(), route.body) {
            (false, _) => "",
            (true, BodyRule::Standard) => "JSON",
            (true, BodyRule::Push) => "JSON, large",
            (true, BodyRule::Form) => "form",
        };
        let role = route.role.map_or("", |role| role.as_str());
        format!("| `{} {}` | {credential} | {role} | {limits} | {body} |\n", route.verb.as_str(), route.path)
    });
    compare("packaging/docs/calls.md", &format!("{CALLS_HEAD}{}", lines.collect::<String>()));
}

#[test]
fn the_description_of_the_api_is_what_the_server_answers() {
    let document = http::description(&[http::routes(), web::routes()].concat());
    let text = serde_json::to_string_pretty(&document).expect("a JSON value can be written");
    compare("tests/golden/openapi.json", &format!("{text}\n"));
}

#[test]
fn every_command_and_every_argument_has_help() {
    for (words, command) in commands() {
        assert!(command.get_about().is_some(), "`{words}` has no description");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "`{words}` has no help for `{}`", argument.get_id());
        }
    }
}

/// What people read: pages, the example configuration, and the source with its messages; each with its name and on
/// one line.
fn texts() -> Vec<(String, String)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> =
        ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|page| here.join(page)).into();
    for (dir, endings) in [("packaging", &["md", "toml"][..]), ("config", &["toml"]), ("src", &["rs"])] {
        files(&here.join(dir), endings, &mut paths);
    }
    let one_line = |text: String| text.replace("\\\n", " ").replace('\n', " ");
    let read = |path: &Path| one_line(fs::read_to_string(path).expect("our own file"));
    paths.into_iter().map(|path| (path.display().to_string(), read(&path))).collect()
}

/// Every file with one of these endings below `dir`.
fn files(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory of the package").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, endings, found);
        } else if path.extension().is_some_and(|own| endings.iter().any(|ending| own == *ending)) {
            found.push(path);
        }
    }
}

/// What is wrong with `keywayd WORDS…` as a text quotes it; `a|b` is either.
fn fault(root: &Command, quoted: &str) -> Option<String> {
    let mut reached = vec![root];
    for word in quoted.split_whitespace().skip(1).map(|word| word.trim_matches(['[', ']', '…', '.'])) {
        if word.is_empty() || word.contains('{') {
            // Whatever it is called.
            return None;
        }
        if let Some(flag) = word.strip_prefix("--").map(|flag| flag.split('=').next().unwrap_or_default()) {
            let knows = |command: &&Command| {
                flag == "help" || command.get_arguments().any(|argument| argument.get_long() == Some(flag))
            };
            if !reached.iter().any(knows) {
                return Some(format!("there is no flag `--{flag}`"));
            }
        } else if reached.iter().all(|command| command.has_subcommands()) {
            let inner = |name: &str| reached.iter().find_map(|command| command.find_subcommand(name));
            match word.split('|').map(inner).collect::<Option<Vec<_>>>() {
                Some(all) => reached = all,
                None => return Some(format!("there is no command `{word}`")),
            }
        }
    }
    None
}

/// A message that sends people to a command that has another name by now is worse than none.
#[test]
fn every_command_that_a_text_names_exists() {
    let mut root = Arguments::command();
    root.build();
    let (mut named, mut wrong) = (0, Vec::new());
    for (path, text) in texts() {
        for quoted in text.split('`').filter(|quoted| quoted.starts_with("keywayd ")) {
            named += 1;
            wrong.extend(fault(&root, quoted).map(|why| format!("{path}: `{quoted}`: {why}")));
        }
    }
    assert!(named > 100, "only {named} were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        fault(&root, "keywayd user ad NAME").is_some() && fault(&root, "keywayd backup --to X").is_some()
    );
}

/// All settings, such as `server.listen`, and the tables they are in.
fn settings() -> BTreeSet<String> {
    let (mut found, mut table) = (BTreeSet::new(), String::new());
    for line in config::example().lines() {
        let bare = line.trim_start_matches(['#', ' ']);
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = name.to_owned();
            found.insert(table.clone());
        } else if let Some((key, _)) = bare.split_once(" = ") {
            found.insert(format!("{table}.{key}"));
        }
    }
    found
}

#[test]
fn every_setting_that_a_text_names_exists() {
    let settings = settings();
    let tables: BTreeSet<_> = settings.iter().filter_map(|name| name.split('.').next()).collect();
    let is_name = |text: &str| {
        text.contains('.') && text.chars().all(|char| char.is_ascii_lowercase() || "._*{}".contains(char))
    };
    let (mut named, mut wrong) = (0, Vec::new());
    // What tests make up is none, nor is a host.
    for (path, text) in texts().into_iter().filter(|(path, _)| !path.ends_with("tests.rs")) {
        for quoted in text.split('`').filter(|quoted| is_name(quoted) && !quoted.ends_with(".example.org")) {
            let mut parts = quoted.split('.');
            if !parts.next().is_some_and(|first| tables.contains(first)) {
                continue;
            }
            named += 1;
            // Whichever service, and whichever setting of a table.
            let whole = quoted.replace("integrations.{name}", "integrations.vercel").replace('*', "vercel");
            let whole = whole.trim_end_matches(".{name}");
            if !settings.contains(whole) {
                wrong.push(format!("{path}: there is no setting `{quoted}`"));
            }
        }
    }
    assert!(named > 100, "only {named} were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
