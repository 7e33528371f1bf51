//! All values from all sources, by key; of several for one key the last one counts.
//! Taking a value out checks it, and notes the problem if there is one, so that
//! everything wrong is reported at once.

use super::{
    Origin, Problem,
    not_yet::covers,
    table::{Item, Section},
    value::{Fault, Given, Setting, literal},
};
use std::collections::{BTreeMap, BTreeSet};

/// Values by key, and the problems met on the way.
pub(super) struct Layers {
    keys: Vec<String>,
    tables: Vec<String>,
    not_yet: &'static [&'static str],
    values: BTreeMap<String, (Given, Origin)>,
    problems: Vec<Problem>,
    wrong: BTreeSet<String>,
}

impl Layers {
    /// No values yet. `S` declares which keys exist; those that `not_yet` covers are refused.
    pub(super) fn new<S: Section>(not_yet: &'static [&'static str]) -> Self {
        let mut items = Vec::new();
        S::default().describe("", &mut items);
        let (mut keys, mut tables) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::Table { path, .. } => tables.push(path),
                Item::Key(key) => keys.push(key.path),
            }
        }
        Self { keys, tables, not_yet, values: BTreeMap::new(), problems: Vec::new(), wrong: BTreeSet::new() }
    }

    /// Whether there is such a key.
    pub(super) fn is_key(&self, path: &str) -> bool {
        self.keys.iter().any(|key| key == path)
    }

    /// Whether there is such a table.
    pub(super) fn is_table(&self, path: &str) -> bool {
        self.tables.iter().any(|table| table == path)
    }

    /// The keys and tables that somebody may set, for suggestions.
    pub(super) fn supported(&self) -> impl Iterator<Item = &str> {
        let all = self.keys.iter().chain(&self.tables);
        all.map(String::as_str).filter(|path| !covers(self.not_yet, path))
    }

    /// How many keys somebody may set.
    #[cfg(test)]
    pub(super) fn supported_keys(&self) -> usize {
        self.keys.iter().filter(|path| !covers(self.not_yet, path)).count()
    }

    /// Whether keys in `path`, or `path` itself, are refused for now.
    pub(super) fn is_not_yet(&self, path: &str) -> bool {
        covers(self.not_yet, path)
    }

    /// Sets a key, over whatever an earlier source said.
    pub(super) fn set(&mut self, path: &str, given: Given, origin: Origin) {
        if self.is_not_yet(path) {
            self.refuse(path, origin);
        } else {
            self.values.insert(path.to_owned(), (given, origin));
        }
    }

    /// Notes that `path` cannot be set in this version.
    pub(super) fn refuse(&mut self, path: &str, origin: Origin) {
        let cause = format!("`{path}` is not supported by this version");
        self.problem(origin, cause, "remove it");
    }

    /// Notes a problem.
    pub(super) fn problem(&mut self, origin: Origin, cause: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem { origin, cause: cause.into(), hint: hint.into() });
    }

    /// Where the value of `path` comes from.
    pub(super) fn origin(&self, path: &str) -> Origin {
        self.values.get(path).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Whether somebody set `path`.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.values.contains_key(path)
    }

    /// Whether the values of all `paths` are good. Where one is not, its default stands in
    /// for it, and rules that compare it with others would report what is not there.
    pub(super) fn are_good(&self, paths: &[&str]) -> bool {
        paths.iter().all(|path| !self.wrong.contains(*path))
    }

    /// The value of `path`, or `default`.
    pub(super) fn take<T: Setting>(&mut self, path: &str, default: T) -> T {
        let Some((given, _)) = self.values.get(path) else { return default };
        match T::take(given) {
            Ok(value) => value,
            Err(fault) => {
                self.fault(path, fault);
                default
            }
        }
    }

    /// The value of `path`, or `default`; between the literals `low` and `high`.
    pub(super) fn take_within<T: Setting + PartialOrd>(
        &mut self,
        path: &str,
        default: T,
        low: &'static str,
        high: &'static str,
    ) -> T {
        let Some((given, _)) = self.values.get(path) else { return default };
        let fault = match T::take(given) {
            Ok(value) if literal::<T>(low) <= value && value <= literal(high) => return value,
            Ok(value) => Fault {
                cause: format!("`{}` is out of range", value.show().unwrap_or_default().trim_matches('"')),
                hint: format!(
                    "give a value from `{}` to `{}`",
                    low.trim_matches('"'),
                    high.trim_matches('"')
                ),
            },
            Err(fault) => fault,
        };
        self.fault(path, fault);
        default
    }

    fn fault(&mut self, path: &str, fault: Fault) {
        let origin = self.origin(path);
        self.wrong.insert(path.to_owned());
        self.problem(origin, format!("`{path}`: {}", fault.cause), fault.hint);
    }

    /// The problems noted, and where each value that was set came from.
    pub(super) fn finish(self) -> (Vec<Problem>, BTreeMap<String, Origin>) {
        let origins = self.values.into_iter().map(|(path, (_, origin))| (path, origin)).collect();
        (self.problems, origins)
    }
}
