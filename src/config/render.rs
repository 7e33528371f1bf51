//! Settings as text: the commented example, and what is in force with its origins.

use super::{
    Origin, Settings,
    not_yet::{NOT_YET, covers},
    table::{Item, Key, Section},
};
use std::fmt::Write;

/// Opens the example.
const PREAMBLE: &str = "\
# Configuration of keywayd. Every setting is here with its default, commented out.
# This file is the output of `keywayd config example`.
#
# It is read from the place that `--config` names, else from the one in $KEYWAYD_CONFIG,
# else from /etc/keywayd/keywayd.toml. Each setting can also come from the environment,
# which counts over this file: `listen` in [server] is KEYWAYD_SERVER__LISTEN, lists are
# written `a,b,c`, and KEYWAYD_SERVER__LISTEN_FILE would name a file that holds the value.
#
# Sizes are bytes, or have a unit: 64 KiB, 1 MiB. Times have a unit (90s, 15m, 24h, 30d)
# unless the setting's name ends in one. Relative paths start in the directory that
# keywayd is started in. `keywayd config check` finds mistakes, and `keywayd config show`
# tells what is in force and where it comes from.
";

/// The example configuration: every supported setting, documented and commented out.
#[must_use]
pub fn example() -> String {
    let mut text = PREAMBLE.to_owned();
    for table in tables(&Settings::default()) {
        text.push('\n');
        comment(&mut text, table.docs);
        put(&mut text, format_args!("[{}]", table.path));
        for key in &table.keys {
            text.push('\n');
            example_key(&mut text, key);
        }
    }
    text
}

fn example_key(text: &mut String, key: &Key) {
    comment(text, key.docs);
    if let Some((low, high)) = key.range {
        let plain = |literal: &str| literal.trim_matches('"').to_owned();
        put(text, format_args!("# From {} to {}.", plain(low), plain(high)));
    }
    if key.value.is_none() {
        put(text, format_args!("# Not set by default; for example:"));
    }
    let value = key.value.as_deref().or(key.like).unwrap_or("\"\"");
    put(text, format_args!("#{} = {value}", key.name()));
}

/// The settings in force, each with where it comes from; secrets are not shown.
pub(super) fn show(settings: &Settings, origin: impl Fn(&str) -> Origin) -> String {
    let mut text = String::new();
    for table in tables(settings) {
        if !text.is_empty() {
            text.push('\n');
        }
        put(&mut text, format_args!("[{}]", table.path));
        for key in &table.keys {
            match &key.value {
                Some(value) => {
                    put(&mut text, format_args!("{} = {value}  # {}", key.name(), origin(&key.path)))
                }
                None => put(&mut text, format_args!("# {} is not set", key.name())),
            }
        }
    }
    text
}

/// A table with its own supported keys.
struct Table {
    path: String,
    docs: &'static [&'static str],
    keys: Vec<Key>,
}

/// The tables that have supported keys, in the order of the declaration.
fn tables(settings: &Settings) -> Vec<Table> {
    let mut items = Vec::new();
    settings.describe("", &mut items);
    let mut tables: Vec<Table> = Vec::new();
    for item in items {
        match (item, tables.last_mut()) {
            (Item::Table { path, docs }, _) => tables.push(Table { path, docs, keys: Vec::new() }),
            (Item::Key(key), Some(table)) if !covers(NOT_YET, &key.path) => table.keys.push(key),
            (Item::Key(_), _) => {}
        }
    }
    tables.retain(|table| !table.keys.is_empty());
    tables
}

fn comment(text: &mut String, docs: &[&str]) {
    for line in docs {
        put(text, format_args!("#{line}"));
    }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}
