//! Accounts, roles and keys by the command line: against the running server, and on the data when none runs.

use super::harness::{Appliance, disk, is_time, keywayd, run};
use serde_json::{Value, json};

fn json_of(appliance: &Appliance, arguments: &[&str]) -> Value {
    serde_json::from_str(&appliance.cli(arguments).done()).expect("it prints JSON")
}

#[test]
fn accounts_are_kept_with_and_without_a_server() {
    let mut appliance = Appliance::start();
    for server in [true, false] {
        if !server {
            assert!(appliance.stop().0.success());
        }
        let name = if server { "bob" } else { "carol" };
        let add = ["user", "add", name, "--admin", "--password-stdin"];
        let said = appliance.cli_with(&add, "correct horse\n");
        assert!(said.stderr.contains(name), "{said:?}");
        assert_eq!(said.done(), "");
        assert!(appliance.cli_with(&add, "correct horse\n").refused(1).contains("exists already"));
        assert!(
            appliance
                .cli_with(&["user", "add", "dora", "--password-stdin"], "short\n")
                .refused(1)
                .contains("8")
        );
        appliance.cli_with(&["user", "add", "dora", "--password-stdin"], "").refused(1);

        let list = json_of(&appliance, &["user", "list", "--json"]);
        let account = list.as_array().expect("a list").iter().find(|account| account["name"] == name);
        let account = account.unwrap_or_else(|| panic!("no {name} in {list}"));
        assert!(is_time(&account["createdAt"]), "{account}");
        assert_eq!(account["admin"], true);
        assert_eq!((&account["disabled"], &account["hasPassword"]), (&json!(false), &json!(true)));
        let table = appliance.cli(&["user", "list"]).done();
        assert!(table.lines().any(|line| line.starts_with(name)), "{table}");

        appliance.cli(&["user", "disable", name]).done();
        assert!(appliance.cli(&["user", "list"]).done().contains("disabled"));
        appliance.cli(&["user", "enable", name]).done();
        appliance.cli_with(&["user", "passwd", name, "--password-stdin"], "another password\n").done();
        appliance.cli(&["user", "delete", name]).done();
        assert!(!appliance.cli(&["user", "list"]).done().contains(name));
        for unknown in [
            &["user", "disable", name][..],
            &["user", "delete", name],
            &["repo", "grant", "acme/app", name, "read"],
            &["token", "create", "--user", name],
        ] {
            assert!(appliance.cli(unknown).refused(1).contains("no account"), "{unknown:?}");
        }
    }
}

#[test]
fn a_disabled_account_is_out_at_once_and_back_when_enabled() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    alice.create_vault("alice/app");
    appliance.cli(&["user", "disable", "alice"]).done();
    alice.get("/v1/users/me").refused(401);
    alice.push("alice/app", "local", &json!({})).refused(401);
    appliance.cli(&["user", "enable", "alice"]).done();
    alice.get("/v1/users/me").ok();
}

#[test]
fn roles_are_given_and_taken_away() {
    let appliance = Appliance::start();
    let alice = appliance.account("alice");
    appliance.admin().create_vault("acme/app");
    // The repository's name is compared without regard to case.
    appliance.cli(&["repo", "grant", "ACME/App", "alice", "read"]).done();
    assert_eq!(alice.get("/v1/vaults/acme/app").ok()["permission"], "read");
    // A second role takes the place of the first.
    let said = appliance.cli(&["repo", "grant", "acme/app", "alice", "write"]);
    assert_eq!(said.stderr, "`alice` has the role `write` on `acme/app`\n");
    assert_eq!(alice.get("/v1/vaults/acme/app").ok()["permission"], "write");
    // A name that was mistyped looks like a vault that comes later.
    let said = appliance.cli(&["repo", "grant", "acme/later", "alice", "admin"]);
    assert!(said.stderr.contains("`acme/later` has no vault yet: check the name"), "{said:?}");
    assert!(said.stderr.contains("POST /v1/vaults"), "{said:?}");
    said.done();
    let roles = json_of(&appliance, &["repo", "list", "--json"]);
    let expected = json!([
        { "repo": "acme/app", "user": "alice", "role": "write", "hasVault": true },
        { "repo": "acme/later", "user": "alice", "role": "admin", "hasVault": false },
    ]);
    assert_eq!(roles, expected);
    assert!(appliance.cli(&["repo", "list"]).done().contains("acme/later"));

    appliance.cli(&["repo", "revoke", "acme/APP", "alice"]).done();
    alice.get("/v1/vaults/acme/app").refused(404);
    assert!(appliance.cli(&["repo", "revoke", "acme/app", "alice"]).refused(1).contains("no granted role"));
    for wrong in [
        &["repo", "grant", "acme/app", "alice", "owner"][..],
        &["repo", "grant", "acme", "alice", "read"],
        &["repo", "grant", "acme/app", "Alice", "read"],
    ] {
        appliance.cli(wrong).refused(1);
    }
}

#[test]
fn an_account_with_vaults_is_deleted_only_if_somebody_takes_them() {
    let appliance = Appliance::start();
    let (alice, bob) = (appliance.account("alice"), appliance.account("bob"));
    alice.create_vault("alice/app");
    alice.push("alice/app", "local", &json!({ "A": "1" })).ok();
    assert!(appliance.cli(&["user", "delete", "alice"]).refused(1).contains("--transfer"));
    alice.get("/v1/users/me").ok();
    let said = appliance.cli(&["user", "delete", "alice", "--transfer", "alice"]).refused(1);
    assert!(said.contains("`--transfer` must name another account"), "{said}");
    appliance.cli(&["user", "delete", "alice", "--transfer", "nobody"]).refused(1);
    bob.get("/v1/vaults/alice/app").refused(404);
    appliance.cli(&["user", "delete", "alice", "--transfer", "bob"]).done();
    alice.get("/v1/users/me").refused(401);
    assert_eq!(bob.get("/v1/vaults/alice/app").ok()["permission"], "admin");
    assert_eq!(bob.content("alice/app", "local"), "A=1\n");

    // An account that is made later under the same name is somebody else.
    let other = appliance.account("alice");
    other.get("/v1/vaults/alice/app").refused(404);
    assert_eq!(other.get("/v1/vaults").ok(), json!([]));
    other.post("/v1/vaults", &json!({ "repoFullName": "alice/app" })).refused(409);
}

#[test]
fn keys_are_made_with_and_without_a_server() {
    let mut appliance = Appliance::start();
    appliance.account("alice").create_vault("alice/app");
    let mut tokens = Vec::new();
    for server in [true, false] {
        if !server {
            appliance.stop();
        }
        let token = appliance.cli(&["token", "create", "--user", "alice"]).done();
        assert!(token.starts_with("kw_live_") && token.lines().count() == 1, "only the token is printed");
        tokens.push(token.trim().to_owned());
        let options = [
            "token",
            "create",
            "--user",
            "alice",
            "--name",
            "deploy",
            "--scopes",
            "read:secrets",
            "--expires",
            "30d",
            "--repo",
            "alice/app",
            "--env",
            "staging",
            "--env",
            "local",
            "--allow-ip",
            "10.0.0.0/8",
            "--json",
        ];
        let key = json_of(&appliance, &options);
        assert!(key["token"].as_str().is_some_and(|token| token.starts_with("kw_live_")), "{key}");
        assert!(is_time(&key["expiresAt"]), "{key}");
        assert_eq!((&key["name"], &key["scopes"]), (&json!("deploy"), &json!(["read:secrets"])));
        assert_eq!(key["repositories"], json!(["alice/app"]));
        assert_eq!(key["environments"], json!(["local", "staging"]));
        assert_eq!(key["allowedIps"], json!(["10.0.0.0/8"]));
        // What is wrong is named as it was typed, not as the API calls it.
        for (flag, value) in [("--repo", "alice/ghost"), ("--env", "missing")] {
            let said = appliance.cli(&["token", "create", "--user", "alice", flag, value]).refused(1);
            assert!(said.contains(&format!("`{flag}` names `{value}`")), "{said}");
        }
        appliance.cli(&["token", "create", "--user", "alice", "--scopes", "everything"]).refused(1);
    }
    appliance.restart();
    for token in tokens {
        let client = appliance.client(&token);
        client.push("alice/app", "local", &json!({ "A": "1" })).ok();
        assert_eq!(client.content("alice/app", "local"), "A=1\n");
        client.delete("/v1/vaults/alice/app").refused(403);
        client.get("/v1/api-keys").refused(403);
    }
}

#[test]
fn commands_without_data_say_what_to_do() {
    let home = tempfile::tempdir().expect("a scratch directory can be made");
    let missing = home.path().join("nothing");
    for arguments in [
        &["user", "list"][..],
        &["repo", "list"],
        &["token", "create", "--user", "alice"],
        // Before a password is asked for, and so before there must be a terminal to ask on.
        &["user", "add", "alice"],
        &["user", "passwd", "alice"],
        &["user", "add", "alice", "--password-stdin"],
    ] {
        let outcome = run(keywayd().args(arguments).arg("--data-dir").arg(&missing), "");
        assert!(outcome.refused(1).contains("keywayd init"));
        assert!(!missing.exists(), "a command that fails leaves nothing behind");
    }
}

#[test]
fn a_backup_to_a_place_that_is_not_there_says_what_to_do() {
    let appliance = Appliance::start();
    let said = appliance.cli(&["backup", "/nowhere/today.redb"]).refused(1);
    assert!(
        said.contains("/nowhere/today.redb") && said.contains("hint: make its directory first"),
        "{said}"
    );
}

#[test]
fn a_command_that_meets_a_damaged_record_says_what_to_do() {
    let mut appliance = Appliance::start();
    appliance.account("alice");
    appliance.stop();
    for (key, mut sealed) in disk::records(&appliance.database(), "users") {
        sealed[40] ^= 1;
        disk::put(&appliance.database(), "users", &key, &sealed);
    }
    for server in [false, true] {
        if server {
            appliance.restart();
        }
        let said = appliance.cli(&["user", "list"]).refused(2);
        assert!(said.contains("a damaged record of kind `user`"), "{said}");
        let hint = said.split("\n\nhint: ").nth(1).unwrap_or_default();
        assert!(hint.contains("`keywayd verify`") && hint.contains("backup"), "{said}");
    }
}

#[test]
fn the_health_check_tells_by_its_exit_status() {
    let mut appliance = Appliance::start();
    let listen = appliance.address().to_string();
    let check =
        |json: &[&str]| run(appliance.command().args(["healthcheck", "--listen", &listen]).args(json), "");
    assert_eq!(check(&[]).done().trim(), "healthy");
    let answer: Value = serde_json::from_str(&check(&["--json"]).done()).expect("it prints JSON");
    assert_eq!(answer["status"], "healthy");
    appliance.stop();
    assert!(
        run(appliance.command().args(["healthcheck", "--listen", &listen]), "")
            .refused(1)
            .contains("no answer")
    );
}
