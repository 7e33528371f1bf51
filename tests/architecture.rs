//! Holds the code to the floor plan in `src/lib.rs`: its tables are parsed from there, so the page that explains
//! the rooms and the rule that is enforced cannot drift apart.
//!
//! The sources are read as tokens, not as text and not as syntax: comments and strings do not count, and what
//! stands inside a macro call, which a parser would skip, does.

#![expect(clippy::panic, reason = "a panic that names the file or row at fault is how these tests speak")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "architecture/scanner.rs"]
mod scanner;

use scanner::{Mention, declared_modules};

const MAX_FILE_LINES: usize = 600;

#[test]
fn rooms_enter_only_where_the_floor_plan_lets_them() {
    assert_none(&faults_everywhere(FloorPlan::import_fault));
}

#[test]
fn crates_are_named_only_by_the_rooms_that_own_them() {
    assert_none(&faults_everywhere(FloorPlan::crate_fault));
}

#[test]
fn the_floor_plan_knows_every_room() {
    let plan = FloorPlan::load();
    let files = sources();
    let present: BTreeSet<&str> =
        files.iter().map(SourceFile::room).filter(|room| !matches!(*room, "lib" | "main")).collect();

    let planned: BTreeSet<&str> = plan.imports.keys().map(String::as_str).collect();
    let described: BTreeSet<&str> = plan.described.iter().map(String::as_str).collect();
    assert_eq!(described, planned, "src/lib.rs describes other rooms than its import table lists");

    let unplanned: Vec<_> = present.difference(&planned).collect();
    assert!(unplanned.is_empty(), "rooms without a row in the tables of src/lib.rs: {unplanned:?}");

    let lib = files.iter().find(|file| file.room() == "lib").expect("src/lib.rs exists");
    let declared = declared_modules(&lib.text);
    let declared: BTreeSet<&str> = declared.iter().map(String::as_str).collect();
    assert_eq!(declared, present, "src/lib.rs declares other modules than src/ holds");
}

#[test]
fn the_tables_name_only_rooms_and_crates_that_exist() {
    let plan = FloorPlan::load();
    for (owner, rule) in plan.imports.iter().chain(&plan.crates) {
        for path in &rule.paths {
            assert!(plan.imports.contains_key(&path[0]), "src/lib.rs: `{owner} → {}` names no room", path[0]);
        }
    }

    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml is readable");
    let manifest: toml::Table = manifest.parse().expect("Cargo.toml is TOML");
    let dependencies = manifest["dependencies"].as_table().expect("[dependencies] is a table");
    let idents: BTreeSet<String> = dependencies.keys().map(|name| name.replace('-', "_")).collect();
    for name in plan.crates.keys() {
        assert!(idents.contains(name), "src/lib.rs: the crate table lists `{name}`, which is no dependency");
    }
}

#[test]
fn every_file_opens_with_its_purpose() {
    let faults: Vec<String> = sources()
        .iter()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.at(1, "does not open with `//!`: what it holds, and why it is so"))
        .collect();
    assert_none(&faults);
}

#[test]
fn no_file_outgrows_its_reader() {
    let faults: Vec<String> = sources()
        .iter()
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_FILE_LINES)
        .map(|(file, lines)| file.at(lines, &format!("is longer than {MAX_FILE_LINES} lines")))
        .collect();
    assert_none(&faults);
}

fn faults_everywhere(rule: impl Fn(&FloorPlan, &SourceFile, &Mention) -> Option<String>) -> Vec<String> {
    let plan = FloorPlan::load();
    let mut faults = Vec::new();
    for file in sources() {
        for mention in file.mentions() {
            faults.extend(rule(&plan, &file, &mention).map(|fault| file.at(mention.line, &fault)));
        }
    }
    faults
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

// The floor plan.

/// What stands to the right of an arrow.
#[derive(Debug, PartialEq)]
struct Rule {
    everything: bool,
    paths: Vec<Vec<String>>,
}

impl Rule {
    fn parse(text: &str) -> Self {
        let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "nothing").collect();
        let everything = words == ["everything"];
        let paths = if everything { &[] } else { words.as_slice() };
        Self { everything, paths: paths.iter().map(|path| segments(path)).collect() }
    }

    fn allows(&self, path: &[String]) -> bool {
        self.everything || self.paths.iter().any(|allowed| path.starts_with(allowed))
    }
}

struct FloorPlan {
    described: Vec<String>,
    imports: BTreeMap<String, Rule>,
    crates: BTreeMap<String, Rule>,
}

impl FloorPlan {
    fn load() -> Self {
        Self::parse(&fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is readable"))
    }

    fn parse(lib: &str) -> Self {
        let described = table(lib, "# The rooms")
            .iter()
            .map(|row| row.split_whitespace().next().expect("rows are not empty").to_owned())
            .collect();
        let rules = |heading| {
            table(lib, heading)
                .iter()
                .map(|row| row.split_once('→').unwrap_or_else(|| panic!("no arrow in `{row}`")))
                .map(|(left, right)| (left.trim().replace('-', "_"), Rule::parse(right)))
                .collect()
        };
        Self {
            described,
            imports: rules("# Who may enter which"),
            crates: rules("# Who may name which crate"),
        }
    }

    /// Why `file` may not name this path, if it names one of ours that it may not.
    fn import_fault(&self, file: &SourceFile, mention: &Mention) -> Option<String> {
        let path = mention.ours.as_ref()?;
        let shown = path.join("::");
        match file.room() {
            // The library's root declares the rooms and re-exports what the program needs of `app`.
            "lib" => return None,
            "main" => {
                let room = path.first().filter(|name| self.imports.contains_key(*name))?;
                return (room != "app").then(|| format!("`main` may not enter `{shown}`"));
            }
            _ => {}
        }
        let Some(rule) = self.imports.get(file.room()) else {
            return Some(format!("`{}` is a room without a row in src/lib.rs", file.room()));
        };
        if path.first().is_some_and(|room| room == file.room()) || rule.allows(path) {
            return None;
        }
        match path.first() {
            Some(room) if self.imports.contains_key(room) => {
                Some(format!("`{}` may not enter `{shown}`", file.room()))
            }
            _ => {
                Some(format!("`crate::{shown}` is in no room; name the item through the room that holds it"))
            }
        }
    }

    /// Why `file` may not name this crate, if it names one that belongs to another room.
    fn crate_fault(&self, file: &SourceFile, mention: &Mention) -> Option<String> {
        let name = mention.foreign.as_ref()?;
        let rule = self.crates.get(name)?;
        let here = &file.module;
        (!rule.allows(here)).then(|| format!("`{}` may not name the crate `{name}`", here.join("::")))
    }
}

/// The rows of the first fenced block below `heading` in the module documentation.
fn table(lib: &str, heading: &str) -> Vec<String> {
    let rows: Vec<String> = lib
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .skip_while(|line| *line != heading)
        .skip_while(|line| *line != "```text")
        .skip(1)
        .take_while(|line| *line != "```")
        .map(str::to_owned)
        .collect();
    assert!(!rows.is_empty(), "src/lib.rs has no table under `{heading}`");
    rows
}

// The sources.

struct SourceFile {
    /// Below the package's root, for messages.
    path: PathBuf,
    /// `src/store/codec.rs` → `store`, `codec`.
    module: Vec<String>,
    text: String,
}

impl SourceFile {
    fn new(path: PathBuf, text: String) -> Self {
        let inside = path.strip_prefix("src").expect("sources are below src/").with_extension("");
        let mut module: Vec<String> =
            inside.iter().map(|part| part.to_str().expect("file names are UTF-8").to_owned()).collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        Self { path, module, text }
    }

    fn room(&self) -> &str {
        &self.module[0]
    }

    fn mentions(&self) -> Vec<Mention> {
        let is_root = matches!(self.room(), "lib" | "main");
        let module = if is_root { &[] } else { self.module.as_slice() };
        scanner::mentions(&self.text, module).unwrap_or_else(|e| panic!("{}: {e}", self.path.display()))
    }

    fn at(&self, line: usize, fault: &str) -> String {
        format!("{}:{line}: {fault}", self.path.display())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<SourceFile> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src/ is readable") {
            let path = entry.expect("src/ is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                let path = path.strip_prefix(root()).expect("found below the root").to_owned();
                files.push(SourceFile::new(path, text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

// The checker itself.

const SAMPLE: &str = "\
//! # The rooms
//! ```text
//! base      words
//! ```
//! # Who may enter which
//! ```text
//! base      → nothing
//! store     → base
//! domain    → base store
//! providers → base domain::ports
//! app       → everything
//! ```
//! # Who may name which crate
//! ```text
//! redb    → store
//! bincode → store::codec
//! ```
";

/// What is wrong with `code` as the file `path`, by the sample plan; without the line numbers.
fn faults(path: &str, code: &str) -> Vec<String> {
    let plan = FloorPlan::parse(SAMPLE);
    let file = SourceFile::new(PathBuf::from(path), code.to_owned());
    let check = |m: &Mention| plan.import_fault(&file, m).or_else(|| plan.crate_fault(&file, m));
    file.mentions().iter().filter_map(check).collect()
}

#[test]
fn a_forbidden_room_is_seen_however_it_is_written() {
    let ways = [
        "use crate::store::Writer;",
        "pub use crate::{base::Id, store::Writer};",
        "use crate::{base::{self, ids::{A, B}}, store::{self as s, x}};",
        "use crate::store;",
        "use crate::store::*;",
        "use {crate::store::Writer, std::fmt};",
        "fn f() { crate::store::open::<u8>() }",
        "fn f(x: Vec<crate::store::X>) {}",
        "fn f() { info!(n = crate::store::COUNT, \"…\") }",
        "macro_rules! m { () => { $crate::store::open() } }",
        "#[serde(with = \"crate::store::hex\")] struct S;",
        "use super::store::X;",
        "mod tests { use super::super::store::X; }",
        "mod a { mod b {} fn f() { super::super::store::x() } }",
        "use keywayd::store::X;",
        "impl crate::r#store::T for X {}",
    ];
    for code in ways {
        let found = faults("src/base/mod.rs", code);
        let right = !found.is_empty() && found.iter().all(|f| f.starts_with("`base` may not enter `store"));
        assert!(right, "{code}: {found:?}");
    }
}

#[test]
fn what_is_allowed_or_only_talked_about_is_no_fault() {
    let ways = [
        "use crate::base::{Id, names::Name as N};",
        "use crate::{base, domain::error::Error, store::codec};",
        "use super::error::Error; use self::x::Y; mod x { pub use super::Z; }",
        "// crate::http::x\n/// [`crate::http`]\nfn f() -> &'static str { \"see crate::http\" }",
        "pub(crate) fn f() { Self::redb::<u8>(); x.redb::<u8>(); a::redb::b(); }",
        "fn f() -> impl Iterator + use<'_> { time::now() }",
    ];
    for code in ways {
        assert_eq!(faults("src/domain/vaults.rs", code), Vec::<String>::new(), "{code}");
    }
    assert!(faults("src/app.rs", "use crate::{base, store, providers::Vercel};").is_empty());
}

#[test]
fn a_rule_may_open_one_module_of_a_room() {
    assert!(faults("src/providers/fly.rs", "use crate::domain::ports::{Forge, Error};").is_empty());
    for code in ["use crate::domain::Error;", "use crate::domain;", "use crate::domain::{self};"] {
        assert_eq!(faults("src/providers/fly.rs", code).len(), 1, "{code}");
    }
    assert!(faults("src/store/codec.rs", "fn f() { bincode::serde::encode(); }").is_empty());
    assert!(faults("src/store/codec/v1.rs", "use bincode::config;").is_empty());
    assert_eq!(faults("src/store/writer.rs", "use bincode::config;").len(), 1);
}

#[test]
fn a_crate_in_the_wrong_room_is_seen_however_it_is_written() {
    let ways = [
        "use redb::Database;",
        "use ::redb::Database;",
        "use redb as r;",
        "use {redb, std::fmt};",
        "extern crate redb;",
        "fn f() { let x = redb::Database::open(); }",
        "fn f(x: &::redb::Database) {}",
        "fn f() { assert!(redb::x()) }",
    ];
    for code in ways {
        let found = faults("src/domain/vaults.rs", code);
        assert_eq!(found, ["`domain::vaults` may not name the crate `redb`"], "{code}");
    }
}

#[test]
fn the_crate_root_is_no_way_around() {
    for code in ["use crate as c;", "use crate::*;", "use crate::helper;", "extern crate self as me;"] {
        assert_eq!(faults("src/domain/mod.rs", code).len(), 1, "{code}");
    }
    assert!(!faults("src/cellar/mod.rs", "use crate::base;").is_empty(), "an unknown room");
    assert!(faults("src/main.rs", "fn main() -> ExitCode { keywayd::run(keywayd::app::args()) }").is_empty());
    assert_eq!(faults("src/main.rs", "use keywayd::store::Writer;").len(), 1);
}
