//! Data of earlier versions. `tests/stored` has a file of every schema there ever was, made by the first version
//! that wrote it; each is served as it is by this one. A file of a schema yet to come is refused.

use super::harness::{Appliance, disk, snapshot};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What was stored, by schema.
fn stored() -> Vec<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored");
    let entries = fs::read_dir(place).expect("it can be read");
    let mut found: Vec<_> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

/// An appliance whose data is a copy of what lies at `place`, not started.
fn appliance_of(place: &Path) -> Appliance {
    let mut appliance = Appliance::new(&[]);
    let data = appliance.data_dir();
    fs::create_dir(&data).expect("the directory can be made");
    for file in ["keyway.redb", "master.key"] {
        fs::copy(place.join(file), data.join(file)).expect("a file can be copied");
        set_mode(&data.join(file), 0o600);
    }
    appliance.token = text(place, "token").trim().to_owned();
    appliance
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the mode can be changed");
}

fn text(place: &Path, file: &str) -> String {
    fs::read_to_string(place.join(file)).expect("it is there")
}

#[test]
fn data_of_every_schema_there_was_is_served() {
    let all = stored();
    assert!(!all.is_empty(), "there is a file of the first schema");
    for place in all {
        let mut appliance = appliance_of(&place);
        appliance.restart();
        let admin = appliance.admin();
        let pulled = admin.get("/v1/secrets/pull?repo=admin/demo&environment=development").ok();
        assert_eq!(pulled["content"], text(&place, "pulled.env"), "{}", place.display());

        // Its history goes on where it stopped.
        let secrets = admin.get("/v1/vaults/admin/demo/secrets?environment=development").ok();
        let first = secrets.as_array().and_then(|all| all.iter().find(|secret| secret["key"] == "FIRST"));
        let id = first.expect("it is listed")["id"].as_str().expect("it has an id").to_owned();
        let versions = admin.get(&format!("/v1/vaults/admin/demo/secrets/{id}/versions")).ok();
        let count = versions["versions"].as_array().map(Vec::len).expect("there is a list");
        let secret = format!("/v1/vaults/admin/demo/secrets/{id}");
        admin.patch(&secret, &serde_json::json!({ "value": "three" })).ok();
        let versions = admin.get(&format!("{secret}/versions")).ok();
        assert_eq!(versions["versions"].as_array().map(Vec::len), Some(count + 1));
        let trash = admin.get("/v1/vaults/admin/demo/trash").ok();
        assert!(trash.as_array().is_some_and(|all| all.iter().any(|one| one["key"] == "THIRD")), "{trash}");
        assert_eq!(admin.get("/v1/trash/vaults").ok().as_array().map(Vec::len), Some(1));
        assert!(appliance.cli(&["user", "list"]).done().contains("alice"));
        appliance.cli(&["audit", "verify"]).done();
        appliance.cli(&["verify"]).done();

        // And it goes into backups and out of them, as it is and as it was.
        let backup = appliance.home().join("a-backup");
        appliance.cli(&["backup", backup.to_str().expect("paths are text")]).done();
        appliance.stop();
        let old = place.join("keyway.redb");
        for file in [backup.as_path(), old.as_path()] {
            appliance.cli(&["restore", "--force", file.to_str().expect("paths are text")]).done();
            appliance.restart();
            let content = appliance.admin().content("admin/demo", "development");
            assert_eq!(content == text(&place, "pulled.env"), file == old, "{content}");
            appliance.stop();
        }
    }
}

#[test]
fn data_of_a_schema_to_come_is_refused_with_the_version_that_wrote_it() {
    let place = stored().pop().expect("there is a file of the last schema");
    let mut appliance = appliance_of(&place);
    disk::put(&appliance.database(), "meta", b"schema", &u32::MAX.to_be_bytes());
    disk::put(&appliance.database(), "meta", b"written_by", b"9.9.9");
    set_mode(&appliance.data_dir(), 0o700);
    fs::write(appliance.data_dir().join("lock"), "").expect("it can be written");
    set_mode(&appliance.data_dir().join("lock"), 0o600);
    let before = snapshot(&appliance.data_dir());
    let said = appliance.launch().expect_err("it must not start").refused(1);
    assert!(said.contains("it was written by keywayd 9.9.9; use that version or a newer one"), "{said}");
    assert!(snapshot(&appliance.data_dir()) == before, "the start changed something:\n{said}");
}
