//! The recovery drill, followed to the letter: the commands are taken from the page that people read.

use super::harness::{Appliance, run};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../../packaging/docs/backup-and-recovery.md");

/// The commands in the first block of a chapter of the page.
fn commands(chapter: &str) -> String {
    let (_, behind) = PAGE.split_once(&format!("\n## {chapter}\n")).expect("the page has the chapter");
    let (_, block) = behind.split_once("```sh\n").expect("it has commands");
    block.split_once("```").expect("they end").0.to_owned()
}

#[test]
fn the_recovery_drill_works_as_it_is_written() {
    let lost = Appliance::start();
    let admin = lost.admin();
    admin.create_vault("admin/app");
    admin.push("admin/app", "production", &json!({ "A": "1" })).ok();
    let kept = tempfile::tempdir().unwrap();
    let backup = kept.path().join("today.redb");
    let take =
        commands("Taking backups").replace("/var/backups/keywayd/today.redb", backup.to_str().unwrap());
    let mut shell = Command::new("/bin/bash");
    shell.args(["-ec", &with_program(&take)]).env("KEYWAYD_STORAGE__DATA_DIR", lost.data_dir());
    run(&mut shell, "").done();
    let key = kept.path().join("master.key");
    fs::copy(lost.data_dir().join("master.key"), &key).unwrap();
    let token = lost.token.clone();
    drop(lost);

    // An empty machine.
    let mut found = Appliance::start();
    found.stop();
    fs::remove_dir_all(found.data_dir()).unwrap();
    let drill = commands("The drill")
        .replace("/path/to/your/copy/of/master.key", key.to_str().unwrap())
        .replace("/path/to/backup.redb", backup.to_str().unwrap())
        .replace("keyway-data", found.data_dir().to_str().unwrap());
    let (prepare, serve) = drill.trim_end().rsplit_once('\n').expect("it has several commands");
    assert!(serve.starts_with("keywayd serve --data-dir "), "{serve}");
    let outcome = run(Command::new("/bin/bash").args(["-ec", &with_program(prepare)]), "");
    assert!(outcome.stderr.contains("all sessions have ended"), "{outcome:?}");
    assert!(outcome.done().contains(&token[..8]), "API keys that live again are listed");
    found.restart();
    assert_eq!(found.client(&token).secrets("admin/app", "production"), json!({ "A": "1" }));
}

/// The commands, where `keywayd` is the program under test.
fn with_program(commands: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_keywayd")).display();
    format!("keywayd() {{ {program} \"$@\"; }}\n{commands}")
}
