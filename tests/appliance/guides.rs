//! What README and the guides tell people to type is typed here, page by page, into a shell with the real binary and
//! a running appliance; what cannot be is listed below with what stands in for it. A command that has gone stale
//! fails, and so does a block that is neither run nor listed.

use crate::harness::{Appliance, GitHub, keywayd, run, skipped};
use crate::services::{Service, TOKEN};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why a block of commands is not run here.
enum Elsewhere {
    /// A script runs what it says; the words are in that script.
    Script(&'static str, &'static str),
    /// Something that tests have not.
    Needs(&'static str),
}
use Elsewhere::{Needs, Script};

/// By page and the block's first line.
static ELSEWHERE: [(&str, &str, Elsewhere); 7] = [
    ("README.md", "cargo run --release -- serve", Needs("a build of its own; `cargo test` is this")),
    (
        "packaging/docs/systemd.md",
        "install -m 755 keywayd /usr/bin/keywayd",
        Script("machine", "in_page 'install -m 755 keywayd /usr/bin/keywayd'"),
    ),
    (
        "packaging/docs/systemd.md",
        "systemctl stop keywayd.service",
        Script("machine", "in_page 'systemctl stop keywayd.service'"),
    ),
    (
        "packaging/docs/systemd.md",
        "# /etc/letsencrypt/renewal-hooks/deploy/keywayd",
        Script("machine", "in_page '# /etc/letsencrypt/renewal-hooks/deploy/keywayd'"),
    ),
    (
        "packaging/docs/systemd.md",
        "systemd-creds encrypt --name=keywayd-master-key /etc/keywayd/master.key /etc/keywayd/master.key.cred",
        Script("machine", "in_page \"$sealing\""),
    ),
    (
        "packaging/docs/systemd.md",
        "systemctl stop keywayd.socket keywayd.service",
        Script("machine", "in_page 'systemctl stop keywayd.socket keywayd.service'"),
    ),
    (
        "packaging/docs/clients.md",
        "keyway login                         # opens <address>/device; sign in there, with GitHub or a local account",
        Needs("the Keyway command line"),
    ),
];

/// The languages that blocks may be in. Commands are in `sh`, or nobody would run them.
const LANGUAGES: [&str; 8] = ["caddyfile", "ini", "json", "nginx", "sh", "text", "toml", "yaml"];

/// What changes the machine outside of the desk, and is therefore run by nobody who tests.
const NOT_HERE: [&str; 9] =
    ["systemctl", "systemd-", "apt-get", "dpkg", "podman", "docker", " /etc/", " /usr/", " /var/"];

const PASSWORD: &str = "correct horse battery";

/// A block of a page, between its fences.
struct Block {
    page: String,
    line: usize,
    language: String,
    text: String,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    fn elsewhere(&self) -> Option<&'static Elsewhere> {
        let first = self.text.lines().next().unwrap_or_default();
        let entry = ELSEWHERE.iter().find(|(page, line, _)| *page == self.page && *line == first);
        entry.map(|(_, _, why)| why)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README and every guide, below the repository's root.
fn pages() -> Vec<String> {
    let guides = fs::read_dir(root().join("packaging/docs")).expect("there are guides");
    let names = guides.map(|entry| entry.expect("an entry can be read").file_name());
    let paths = names.map(|name| format!("packaging/docs/{}", name.to_str().expect("UTF-8")));
    let mut pages: Vec<_> = paths.filter(|path| path.ends_with(".md")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).expect(page)
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut open) = (Vec::new(), None::<(usize, Block)>);
    for (number, line) in read(page).lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                let (page, language) = (page.to_owned(), language.trim().to_owned());
                open = Some((indent, Block { page, line: number + 1, language, text: String::new() }));
            }
            (None, None) => {}
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
            (Some((outer, block)), None) => {
                block.text.push_str(line.get(*outer..).unwrap_or_default());
                block.text.push('\n');
            }
        }
    }
    assert!(open.is_none(), "{page}: a block does not end");
    blocks
}

#[test]
fn every_block_of_commands_is_run_or_listed() {
    let all: Vec<_> = pages().iter().flat_map(|page| blocks(page)).collect();
    for block in &all {
        assert!(LANGUAGES.contains(&block.language.as_str()), "{}: `{}`?", block.place(), block.language);
    }
    for (page, line, why) in &ELSEWHERE {
        let listed = all.iter().filter(|block| {
            block.page == *page && block.language == "sh" && block.text.lines().next() == Some(*line)
        });
        assert_eq!(listed.count(), 1, "the list names a block of {page} that is not there: `{line}`");
        match why {
            Script(script, words) => {
                let text = read(&format!("tests/packaging/{script}"));
                assert!(text.contains(words), "tests/packaging/{script} does not run `{words}`");
            }
            Needs(_) => {}
        }
    }
}

#[test]
fn what_the_pages_tell_to_type_works() {
    for program in ["curl", "git", "jq"] {
        if Command::new(program).arg("--version").output().is_err() {
            return skipped(&format!("the commands of README and the guides: {program} is missing"));
        }
    }
    // Nothing is typed while the list is out of date.
    every_block_of_commands_is_run_or_listed();
    for page in pages() {
        let (listed, typed): (Vec<_>, Vec<_>) = blocks(&page)
            .into_iter()
            .filter(|block| block.language == "sh")
            .partition(|block| block.elsewhere().is_some());
        for block in listed {
            if let Some(Needs(what)) = block.elsewhere() {
                skipped(&format!("{}: it needs {what}", block.place()));
            }
        }
        if !typed.is_empty() {
            follow(&page, &typed);
        }
    }
}

/// Types the blocks of a page into one shell, one after the other, as somebody does who follows it.
fn follow(page: &str, blocks: &[Block]) {
    let github = GitHub::start();
    github.user("alice", 11);
    github.repo(7, "acme/app", true, &[("alice", "admin")]);
    github.token("github_pat_alice", "alice");
    let netlify = Service::netlify();
    let connected = match page {
        "packaging/docs/github.md" => github.settings(),
        "packaging/docs/integrations.md" => netlify.settings(),
        _ => Vec::new(),
    };
    let settings: Vec<_> = connected.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let appliance = Appliance::start_with(&settings);
    if !matches!(page, "README.md" | "packaging/docs/github.md") {
        appliance.admin().create_vault("admin/demo");
        appliance.admin().push("admin/demo", "production", &json!({ "GREETING": "hello" })).ok();
    }
    let desk = Desk::new(&appliance, page == "packaging/docs/air-gap.md");
    let script = script(blocks, &appliance, &desk);
    let outcome = run(desk.shell(&appliance).args(["-c", &script]), "");
    assert_eq!(outcome.status, 0, "{page}, after the last place named here: {outcome:#?}");
    if page == "README.md" {
        assert!(outcome.stdout.contains("GREETING='hello, #world'\nPLAIN=1\n"), "{outcome:?}");
    }
    if page == "packaging/docs/integrations.md" {
        assert_eq!(netlify.values("app-0").get("GREETING").map(String::as_str), Some("hello"));
    }
}

/// Somebody with an age key.
fn recipient() -> String {
    age::x25519::Identity::generate().to_public().to_string()
}

/// The blocks with what a reader fills in.
fn script(blocks: &[Block], appliance: &Appliance, desk: &Desk) -> String {
    let here = format!("http://{}", appliance.address());
    let file = |name: &str| desk.place.join(name).to_str().expect("UTF-8").to_owned();
    let mut script = "set -eu\n".to_owned();
    for block in blocks {
        let text = block
            .text
            .replace("https://secrets.example.org", &here)
            .replace("http://127.0.0.1:8490", &here)
            .replace("kw_live_…", &appliance.token)
            .replace("github_pat_…", "github_pat_alice")
            .replace("nfp_…", TOKEN)
            .replace("age1…", &recipient())
            .replace("OWNER/REPO", "admin/demo")
            .replace("/var/backups/keywayd/today.redb", &file("today.redb"))
            .replace("/path/to/backup.redb", &file("today.redb"))
            .replace("/path/to/your/copy/of/master.key", &file("copy-of-master.key"))
            .replace("/etc/keywayd/passphrase", &file("passphrase"));
        assert!(!text.contains('…'), "{}: something is left to fill in", block.place());
        let foreign = NOT_HERE.iter().find(|words| text.contains(**words));
        assert_eq!(foreign, None, "{}: this changes the machine; list it", block.place());
        script.push_str(&format!("echo '{}' >&2\n{text}", block.place()));
    }
    script
}

/// `keywayd` as somebody uses it: types what is asked for at a terminal, and ends a server when it has been seen to
/// serve.
const TYPING: &str = r#"#!/bin/sh
set -eu
case "$1 ${2-}" in
'user add' | 'user passwd' | 'init '*) echo 'PASSWORD' | 'PROGRAM' "$@" --password-stdin ;;
'export '* | 'import '*) echo 'PASSWORD' | 'PROGRAM' "$@" ;;
'serve '*)
    mkfifo "$0.log"
    'PROGRAM' "$@" --listen 127.0.0.1:0 2>"$0.log" &
    exec 3<"$0.log"
    while read -r line <&3; do
        case $line in *'listening on'*) break ;; esac
    done
    kill $!
    wait $!
    ;;
*) exec 'PROGRAM' "$@" ;;
esac
"#;

/// Where somebody sits: a directory with a `.env`, a copy of the master key and a passphrase, and `keywayd` among the
/// programs.
struct Desk {
    programs: PathBuf,
    place: PathBuf,
    /// The operator's commands find the appliance by its configuration.
    operates: bool,
}

impl Desk {
    fn new(appliance: &Appliance, on_an_empty_machine: bool) -> Self {
        let (programs, place) = (appliance.home().join("programs"), appliance.home().join("desk"));
        for directory in [&programs, &place] {
            fs::create_dir(directory).expect("a directory can be made");
        }
        fs::write(place.join(".env"), "# settings\nPLAIN=1\nexport GREETING='hello, #world'\n")
            .expect("a file");
        fs::write(place.join("passphrase"), PASSWORD).expect("a file");
        fs::set_permissions(place.join("passphrase"), fs::Permissions::from_mode(0o600))
            .expect("our own file");
        fs::copy(appliance.data_dir().join("master.key"), place.join("copy-of-master.key")).expect("a key");
        let git = |words: &str| {
            let done = Command::new("git").arg("-C").arg(&place).args(words.split(' ')).status();
            assert!(done.is_ok_and(|status| status.success()), "git {words}");
        };
        git("init --quiet");
        git("remote add origin https://forge.example/team/demo.git");
        let typing = TYPING.replace("PROGRAM", env!("CARGO_BIN_EXE_keywayd")).replace("PASSWORD", PASSWORD);
        let program = programs.join("keywayd");
        fs::write(&program, typing).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("our own file");
        Self { programs, place, operates: !on_an_empty_machine }
    }

    fn shell(&self, appliance: &Appliance) -> Command {
        let mut shell = appliance.prepared(Command::new("sh"));
        shell.current_dir(&self.place).env("HOME", &self.place);
        shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.programs.display()));
        if self.operates {
            shell.env("KEYWAYD_STORAGE__DATA_DIR", appliance.data_dir());
            shell.env("KEYWAYD_SERVER__LISTEN", appliance.address().to_string());
        }
        shell
    }
}

#[test]
fn configuration_in_the_pages_is_good() {
    let directory = tempfile::tempdir().expect("a scratch directory can be made");
    let (file, authority) = (directory.path().join("keywayd.toml"), directory.path().join("ca.pem"));
    let own = rcgen::generate_simple_self_signed(["acme".to_owned()]).expect("a certificate");
    fs::write(&authority, own.cert.pem()).expect("a file");
    for block in pages().iter().flat_map(|page| blocks(page)).filter(|block| block.language == "toml") {
        // What is named must be there.
        let authority = authority.to_str().expect("UTF-8");
        fs::write(&file, block.text.replace("/etc/ssl/certs/acme-ca.pem", authority)).expect("a file");
        let check = ["config", "check", "--config"];
        let outcome = run(keywayd().args(check).arg(&file).current_dir(directory.path()), "");
        assert_eq!(outcome.status, 0, "{}: {outcome:?}", block.place());
    }
}

#[test]
fn variables_that_the_pages_name_are_settings() {
    let mut names: Vec<_> = pages()
        .iter()
        .flat_map(|page| {
            let text = read(page);
            let words = text.split(|char: char| !(char.is_ascii_uppercase() || char == '_'));
            words.filter(|word| word.starts_with("KEYWAYD_")).map(str::to_owned).collect::<Vec<_>>()
        })
        // Where the configuration is, and a word to the package's own script.
        .filter(|name| !matches!(name.as_str(), "KEYWAYD_CONFIG" | "KEYWAYD_PURGE_DATA"))
        .collect();
    names.sort();
    names.dedup();
    assert!(names.len() > 5, "{names:?}");
    let is_known = |name: &str| {
        let outcome = run(keywayd().args(["config", "check"]).env(name, "?"), "");
        !outcome.stderr.contains(&format!("unknown variable `{name}`"))
    };
    assert!(!is_known("KEYWAYD_SERVER__LISTN"));
    for name in names {
        assert!(is_known(&name), "there is no setting for `{name}`");
    }
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let others = ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned);
    for page in pages().into_iter().chain(others) {
        let text = read(&page);
        let here = Path::new(&page).parent().expect("pages are in directories");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let target = if file.is_empty() { PathBuf::from(&page) } else { here.join(file) };
            assert!(root().join(&target).exists(), "{page}: `{link}` leads nowhere");
            let headings =
                || read(target.to_str().expect("UTF-8")).lines().filter_map(anchor).collect::<Vec<_>>();
            assert!(
                section.is_empty() || headings().iter().any(|heading| heading == section),
                "{page}: `{link}`: there is no such section"
            );
        }
    }
}

/// What a heading is called in links.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading.to_lowercase().replace(' ', "-");
    Some(kept.chars().filter(|&char| char.is_alphanumeric() || matches!(char, '-' | '_')).collect())
}
