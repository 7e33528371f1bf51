//! The readers of `.env` text that people use, for tests of what a pull answers. The real
//! ones are found in the directory that `KEYWAYD_READERS` names (see `install`); without
//! it they answer `None`, loudly.

#![allow(dead_code, reason = "each test that includes this uses its own part of it")]

pub(crate) mod limits;
pub(crate) mod values;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

/// What a reader makes of one file; nothing, if it refuses the file.
pub(crate) type Variables = BTreeMap<String, String>;

/// Readers for `read_with_javascript` that only have to be safe: old majors of dotenv,
/// its `fast` option, and Node's own parser.
pub(crate) const OTHER_JAVASCRIPT: [&str; 7] =
    ["dotenv:fast", "dotenv-4", "dotenv-8", "dotenv-14", "dotenv-15", "dotenv-16", "node"];

/// dotenv from npm, as pinned in `package.json`.
pub(crate) fn read_with_node(contents: &[String]) -> Option<Vec<Variables>> {
    read_with_javascript("dotenv", contents)
}

/// One of the readers that `read.mjs` knows.
pub(crate) fn read_with_javascript(reader: &str, contents: &[String]) -> Option<Vec<Variables>> {
    let directory = directory()?;
    let mut node = Command::new("node");
    node.arg(script("read.mjs")).arg(directory).arg(reader);
    Some(read_with(node, contents))
}

/// python-dotenv, as pinned in `requirements.txt`.
pub(crate) fn read_with_python(contents: &[String]) -> Option<Vec<Variables>> {
    Some(read_with(python(&directory()?), contents))
}

/// An older python-dotenv, as pinned in `requirements-old.txt`.
pub(crate) fn read_with_old_python(contents: &[String]) -> Option<Vec<Variables>> {
    let directory = directory()?;
    let mut python = python(&directory);
    python.arg(directory.join("python-old"));
    Some(read_with(python, contents))
}

/// `docker run --env-file`, by its rules: a line of 64 KiB or a name with white space and
/// the file is refused; white space before a name is dropped; `#` counts at a line's start
/// only; everything behind the first `=` is the value. Names without `=` would come from
/// docker's own environment, which is empty here.
pub(crate) fn read_with_docker_rules(contents: &[String]) -> Vec<Variables> {
    contents.iter().map(|content| docker(content).unwrap_or_default()).collect()
}

fn docker(content: &str) -> Option<Variables> {
    let mut variables = Variables::new();
    for line in content.split('\n') {
        if line.len() >= 64 * 1024 {
            return None;
        }
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        if name.is_empty() || name.contains([' ', '\t']) {
            return None;
        }
        if line.contains('=') {
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
    Some(variables)
}

fn python(directory: &Path) -> Command {
    let mut python = Command::new(directory.join("python/bin/python"));
    // It fills in `${NAME}` from the environment.
    python.env_clear().env("PYTHONUTF8", "1").arg(script("read.py"));
    python
}

#[expect(clippy::disallowed_methods, reason = "tests are configured by the environment")]
fn directory() -> Option<PathBuf> {
    static SAID: Once = Once::new();
    let directory = std::env::var_os("KEYWAYD_READERS").map(PathBuf::from);
    if directory.is_none() {
        // Not by `eprintln!`, which the test harness keeps to itself when a test passes.
        let hint = "run tests/readers/install and set KEYWAYD_READERS";
        SAID.call_once(|| {
            let _ = writeln!(std::io::stderr(), "SKIPPED: the real readers of .env files; {hint}");
        });
    }
    directory
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name)
}

/// Hands all contents to one process as JSON and takes JSON back.
fn read_with(mut command: Command, contents: &[String]) -> Vec<Variables> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the reader is installed");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = serde_json::to_vec(contents).expect("strings are JSON");
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("the reader ends");
    writer.join().expect("writing does not panic").expect("the reader takes all input");
    assert!(output.status.success(), "the reader fails: {}", output.status);
    let read: Vec<Option<Variables>> = serde_json::from_slice(&output.stdout).expect("it answers JSON");
    assert_eq!(read.len(), contents.len());
    read.into_iter().map(Option::unwrap_or_default).collect()
}
