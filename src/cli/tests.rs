//! Command lines as people type them.

use super::{
    args::{Config, Repo, Token, TokenCreate, User},
    *,
};
use crate::base::{Role, Scope};
use clap::CommandFactory;
use std::{path::Path, time::Duration};

fn read(line: &str) -> Result<Command, String> {
    let words = std::iter::once("keywayd").chain(line.split_whitespace()).map(Into::into);
    parse(words).map(|arguments| arguments.command).map_err(|error| error.to_string())
}

fn token(line: &str) -> TokenCreate {
    match read(line) {
        Ok(Command::Token(Token::Create(token))) => token,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_grammar_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_form_of_the_contract_is_read() {
    for line in [
        "serve",
        "serve --config /c --data-dir /d --listen localhost:1",
        "init --data-dir /d --admin root-1 --password-stdin",
        "user add alice --admin --password-stdin --config /c",
        "user list --json",
        "user disable alice",
        "user enable alice",
        "user disable github:octocat_acme",
        "user enable github:octocat_acme",
        "user passwd alice --password-stdin",
        "user delete alice --transfer bob --data-dir /d",
        "repo grant acme/app alice write",
        "repo revoke acme/app alice",
        "repo list --json --config /c",
        "audit verify --json --data-dir /d",
        "audit export --since 30d --format jsonl",
        "audit export --since 2026-01-15T10:00:00Z",
        "audit head --config /c",
        "backup /b --json --data-dir /d",
        "restore /b --force --config /c",
        "verify --json",
        "compact --data-dir /d",
        "key rotate",
        "key rotate --root --data",
        "key rotate --to file:/k",
        "export /x --config /c",
        "export - --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        "import /x --dry-run --json --data-dir /d",
        "import /x --identity /i",
        "config check --config /c",
        "config show --data-dir /d",
        "config example",
        "healthcheck --json",
        "version --json",
    ] {
        assert!(read(line).is_ok(), "{line}");
    }
}

#[test]
fn flags_over_the_configuration() {
    let Ok(Command::Serve(serve)) = read("serve --data-dir /d --listen [::1]:9") else { panic!() };
    let overrides = serve.place.overrides();
    assert_eq!(overrides.data_dir.as_deref(), Some(Path::new("/d")));
    assert_eq!(overrides.listen.unwrap().port(), 9);
    assert_eq!(overrides.config, None);
    let Ok(Command::Config(Config::Check(place))) = read("config check --config /c") else { panic!() };
    assert_eq!(place.overrides().config.as_deref(), Some(Path::new("/c")));
}

#[test]
fn a_token_says_what_it_is_for() {
    let plain = token("token create --user alice");
    assert!(plain.scopes.contains(Scope::ReadSecrets) && plain.scopes.contains(Scope::WriteSecrets));
    assert_eq!((plain.scopes.iter().count(), plain.expires), (2, None));
    let narrow = token(
        "token create --user alice --name ci --scopes all --expires 30d --repo acme/app --repo acme/web \
         --env production --allow-ip 10.0.0.0/8 --allow-ip ::1 --json",
    );
    assert_eq!(narrow.scopes.iter().count(), 4);
    assert_eq!(narrow.expires, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!((narrow.repositories.len(), narrow.environments.len()), (2, 1));
    assert_eq!(narrow.allowed_ips[1].to_string(), "::1/128");
    assert!(narrow.json);
}

#[test]
fn arguments_arrive_as_types() {
    let Ok(Command::Repo(Repo::Grant(grant))) = read("repo grant Acme/App alice maintain") else { panic!() };
    assert_eq!((grant.repository.to_string().as_str(), grant.role), ("Acme/App", Role::Maintain));
    let Ok(Command::User(User::Delete(delete))) = read("user delete alice") else { panic!() };
    assert_eq!(delete.transfer, None);
}

#[test]
fn what_is_wrong_is_said_in_words() {
    for (line, words) in [
        ("repo grant acme alice write", "must be `owner/repo`"),
        ("repo grant acme/app alice owner", "must be one of `read`, `triage`"),
        ("user add Alice", "lower-case letters"),
        ("token create", "--user <NAME>"),
        ("token create --user a --scopes read", "must be `all`, or some of"),
        ("token create --user a --expires 30", "must be a whole number and a unit"),
        ("token create --user a --allow-ip here", "an address or a network"),
        ("key rotate --to /etc/key", "must be `file:PATH`"),
        ("serve --listen 8490", "write an IP address and a port"),
        ("srve", "'serve'"),
    ] {
        let message = read(line).unwrap_err();
        assert!(message.contains(words), "{line}\n{message}");
    }
}

#[test]
fn commands_that_are_not_there_are_not_pretended() {
    assert!(read("audit prune").is_err());
}
