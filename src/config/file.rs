//! The configuration file: TOML in, values by key with their lines out.

use super::{Origin, layers::Layers, suggest, table::join, value::Given};
use std::path::Path;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Reads `text`, the content of `path`, into `layers`.
pub(super) fn read(path: &Path, text: &str, layers: &mut Layers) {
    let file = File { path, text };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let origin = file.origin(error.span().map_or(0, |span| span.start));
        // The message alone: the library's full report repeats the line, which may hold a secret.
        layers.problem(origin, format!("not valid TOML: {}", error.message()), "correct the line");
    }
    // What was recovered from a broken file is a guess; complaints about it would be noise.
    if errors.is_empty() {
        file.table("", document.get_ref(), layers);
    }
}

/// The file that is read.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(offset);
        Origin::File { path: self.path.to_owned(), line: 1 + before.filter(|byte| **byte == b'\n').count() }
    }

    fn table(&self, path: &str, table: &DeTable<'_>, layers: &mut Layers) {
        for (name, value) in table {
            self.value(&join(path, name.get_ref()), name.span().start, value, layers);
        }
    }

    fn value(&self, path: &str, offset: usize, value: &Spanned<DeValue<'_>>, layers: &mut Layers) {
        let origin = self.origin(offset);
        match value.get_ref() {
            DeValue::Table(inner) if layers.is_table(path) && !inner.is_empty() => {
                self.table(path, inner, layers)
            }
            DeValue::Table(_) if layers.is_table(path) => {}
            other if layers.is_key(path) => layers.set(path, Given::toml(other), origin),
            _ if layers.is_table(path) => {
                let hint = format!("write a line `[{path}]`, and its settings below it");
                layers.problem(origin, format!("`{path}` is a table, not a setting"), hint);
            }
            _ if layers.is_not_yet(path) => layers.refuse(path, origin),
            other => {
                let what = if matches!(other, DeValue::Table(_)) { "table" } else { "setting" };
                let hint = suggest::key(path, layers.supported());
                layers.problem(origin, format!("unknown {what} `{path}`"), hint);
            }
        }
    }
}
