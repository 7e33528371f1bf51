//! The clock goes back by a year: an appliance whose newest records are from next year, in the hands of the program
//! with the clock of today.
//!
//! No test may set a machine's clock, and a static program cannot be told another, so the data is made by the
//! program's own library, with a clock that is ahead. Nothing else in these tests is.

use super::harness::Appliance;
use keywayd::base::ids::RequestId;
use keywayd::base::{
    AccountName, Agent, Clock, EnvironmentName, RepoName, Scope, SecretText, SystemClock, Timestamp,
};
use keywayd::crypto::{MasterKey, MasterSecret};
use keywayd::domain::api_keys::NewApiKey;
use keywayd::domain::integrations::Integrations;
use keywayd::domain::push::Push;
use keywayd::domain::{Origin, Services, Settings};
use keywayd::store::{DataDir, Store};
use serde_json::json;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

const REPO: &str = "admin/app";
const YEAR_MILLIS: u64 = 365 * 24 * 3_600 * 1_000;

/// A year ahead.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().as_millis() + YEAR_MILLIS)
    }
}

/// Data with a vault in which something was changed and deleted, all of it next year.
fn from_next_year() -> Appliance {
    let mut appliance = Appliance::new(&[]);
    let dir = DataDir::at(appliance.data_dir());
    dir.create().expect("a directory can be made");
    let master = MasterKey::generate();
    master.store_new(&appliance.data_dir().join("master.key")).expect("it can be written");
    let lock = dir.lock().expect("nobody else has it");
    let store = Store::create(&dir, lock, &MasterSecret::Key(master), 16 << 20).expect("a database");
    let services = Services::new(store, Arc::new(Ahead), Settings::default(), None, Integrations::none());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    appliance.token = runtime.block_on(fill(&services)).expect("the data can be made");
    appliance
}

async fn fill(services: &Services) -> keywayd::domain::Result<String> {
    let account = AccountName::parse("admin").expect("a name");
    services.add_account(account.clone(), true, None).await?;
    let wanted = NewApiKey::unlimited("everything", Scope::ALL.into_iter().collect());
    let token = services.mint_token(&account, wanted).await?.token;
    let origin = Origin {
        request_id: RequestId::new(Ahead.now()),
        address: Ipv4Addr::LOCALHOST.into(),
        user_agent: String::new(),
        agent: Agent::Other,
    };
    let actor = services.authenticate(&token, false, origin).await?;
    let repo = RepoName::parse(REPO).expect("a name");
    services.create_vault(&actor, repo.clone()).await?;
    for secrets in [&[("A", "1"), ("GONE", "x")][..], &[("A", "2"), ("B", "3")]] {
        let pair = |&(key, value): &(&str, &str)| (key.to_owned(), SecretText::new(value.to_owned()));
        let environment = EnvironmentName::parse("production").expect("a name");
        let secrets = secrets.iter().map(pair).collect();
        services.push(&actor, Push { repo: repo.clone(), environment, secrets, if_match: None }).await?;
    }
    services.close().await;
    Ok(token.expose().to_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

#[test]
fn a_year_back_everything_goes_on() {
    let mut appliance = from_next_year();
    let backups = appliance.home().join("backups");
    fs::create_dir(&backups).expect("it can be made");
    let year = &(Ahead.now()).to_string()[..4];
    let ahead = backups.join(format!("keyway-000007-{year}1231T235959Z.redb"));
    appliance.cli(&["backup", text(&ahead)]).done();
    appliance.set("KEYWAYD_BACKUP__DIR", text(&backups));
    appliance.restart();
    let admin = appliance.admin();
    assert_eq!(admin.secrets(REPO, "production"), json!({ "A": "2", "B": "3" }));
    admin.push(REPO, "production", &json!({ "A": "4", "B": "3" })).ok();
    let secrets = admin.get(&format!("/v1/vaults/{REPO}/secrets?environment=production")).ok();
    let id = secrets[0]["id"].as_str().expect("an id");
    let versions = admin.get(&format!("/v1/vaults/{REPO}/secrets/{id}/versions")).ok();
    assert!(versions["versions"].as_array().is_some_and(|all| all.len() >= 2), "{versions}");
    let trash = admin.get(&format!("/v1/vaults/{REPO}/trash")).ok();
    assert_eq!(trash[0]["key"], "GONE");
    let actions: Vec<_> = admin
        .get(&format!("/v1/activity?repo={REPO}"))
        .ok()
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["action"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(actions.len() >= 4, "{actions:?}");
    // The backup that is dated next year does not keep the next one from being taken, and stays the older one.
    appliance.log().wait_for("backup taken").expect("one is taken at once");
    let mut names: Vec<_> = fs::read_dir(&backups)
        .expect("it can be read")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert!(names.len() == 2 && names[1].starts_with("keyway-000008-"), "{names:?}");
    appliance.cli(&["audit", "verify"]).done();
    appliance.cli(&["verify"]).done();
    appliance.kill();
    appliance.restart();
    assert_eq!(appliance.admin().secrets(REPO, "production"), json!({ "A": "4", "B": "3" }));
}

#[test]
fn a_year_back_every_command_does_its_work() {
    let mut appliance = from_next_year();
    let outside = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str| text(&outside.path().join(name)).to_owned();
    fs::create_dir_all(outside.path().join("env/admin/new")).expect("directories can be made");
    fs::write(outside.path().join("env/admin/new/production.env"), "C=5\n").expect("it can be written");
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    for command in [
        &["verify"][..],
        &["backup", &file("backup")],
        &["export", &file("archive"), "--recipient", &recipient],
        &["import", &file("env")],
        &["key", "rotate", "--root", "--data"],
        &["compact"],
        &["audit", "verify"],
        &["verify"],
    ] {
        appliance.cli(command).done();
    }
    appliance.restart();
    assert_eq!(appliance.admin().secrets(REPO, "production"), json!({ "A": "2", "B": "3" }));
    assert_eq!(appliance.admin().secrets("admin/new", "production"), json!({ "C": "5" }));
    appliance.stop();
    let entries = fs::read_dir(appliance.data_dir()).expect("it can be read");
    let mut files = entries.map(|entry| entry.expect("an entry").path());
    let old = files.find(|path| path.to_string_lossy().contains("master.key.")).expect("the key before");
    fs::rename(old, appliance.data_dir().join("master.key")).expect("it can be moved");
    appliance.cli(&["restore", &file("backup"), "--force"]).done();
    appliance.cli(&["audit", "verify"]).done();
    appliance.restart();
    assert_eq!(appliance.admin().secrets(REPO, "production"), json!({ "A": "2", "B": "3" }));
}
