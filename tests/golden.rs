//! Texts that people read and that are generated: the help of every command, and the
//! example configuration. They are compared with what is in the repository, so that a
//! change of either is seen in review. After an intended change,
//! `KEYWAYD_UPDATE_GOLDEN=1 cargo test --test golden` writes them anew.

use clap::{Command, CommandFactory};
use keywayd::{cli::Arguments, config};
use std::{fs, path::Path};

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

#[test]
fn every_command_and_every_argument_has_help() {
    for (words, command) in commands() {
        assert!(command.get_about().is_some(), "`{words}` has no description");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "`{words}` has no help for `{}`", argument.get_id());
        }
    }
}
