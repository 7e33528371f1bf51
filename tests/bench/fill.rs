//! Data to measure on: made through the product's own services, a hundred at a time,
//! because over HTTP, one after the other, a gigabyte would take too long.

use crate::Outcome;
use keywayd::base::ids::RequestId;
use keywayd::base::{
    AccountName, Agent, EnvironmentName, RepoName, Scope, SecretText, SystemClock, Timestamp,
};
use keywayd::crypto::{MasterKey, MasterSecret};
use keywayd::domain::api_keys::NewApiKey;
use keywayd::domain::integrations::Integrations;
use keywayd::domain::push::Push;
use keywayd::domain::{Actor, Origin, ReadAudit, Services, Settings};
use keywayd::store::{DataDir, Store};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Who owns all vaults.
const OWNER: &str = "bench";
/// The environment that is filled and measured.
pub(crate) const ENVIRONMENT: &str = "production";
/// Secrets in each.
pub(crate) const SECRETS: usize = 50;
const AT_ONCE: usize = 200;

/// The name of one vault's repository.
pub(crate) fn repo(number: usize) -> String {
    format!("{OWNER}/service-{number:06}")
}

/// Keys and values of a service's environment, 3 KB together. `stamp` ends the first
/// `stamped` values.
pub(crate) fn secrets(stamp: &str, stamped: usize) -> Vec<(String, String)> {
    let pair = |number: usize| {
        let key = format!("SERVICE_SETTING_{number:02}");
        let stamp = if number < stamped { stamp } else { "9999999999" };
        (key, format!("postgres://app:k3y{number:02}@db.internal/{stamp}"))
    };
    (0..SECRETS).map(pair).collect()
}

/// Makes a data directory with `vaults` vaults, each with one filled environment.
/// Returns a token for all of them.
pub(crate) fn make(path: &Path, vaults: usize) -> Outcome<String> {
    let dir = DataDir::at(path.to_owned());
    dir.create()?;
    let master = MasterKey::generate();
    master.store_new(&path.join("master.key"))?;
    let lock = dir.lock()?;
    let store = Store::create(&dir, lock, &MasterSecret::Key(master), 256 << 20)?;
    let services =
        Services::new(store, Arc::new(SystemClock), Settings::default(), None, Integrations::none());
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let account = AccountName::parse(OWNER)?;
        services.add_account(account.clone(), false, None).await?;
        let token = services.mint_token(&account, everything()).await?.token;
        let actor = recognise(&services, &token).await?;
        let mut work = JoinSet::new();
        for first in 0..AT_ONCE.min(vaults) {
            let (services, actor) = (services.clone(), actor.clone());
            let own = (first..vaults).step_by(AT_ONCE);
            work.spawn(async move { fill(&services, &actor, own).await });
        }
        while let Some(done) = work.join_next().await {
            done??;
        }
        services.close().await;
        Ok(token.expose().to_owned())
    })
}

/// Adds people with a password to a data directory that nobody serves.
pub(crate) fn add_accounts(path: &Path, names: impl Iterator<Item = String>, password: &str) -> Outcome<()> {
    let services = open(path)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        for name in names {
            let password = Some(SecretText::new(password.to_owned()));
            services.add_account(AccountName::parse(&name)?, false, password).await?;
        }
        services.close().await;
        Ok(())
    })
}

/// Opens a data directory that nobody serves.
pub(crate) fn open(path: &Path) -> Outcome<Services> {
    let dir = DataDir::at(path.to_owned());
    let master = MasterSecret::Key(MasterKey::load(&path.join("master.key"))?);
    let store = Store::open(&dir, dir.lock()?, &master, 16 << 20)?;
    Ok(Services::new(
        store,
        Arc::new(SystemClock),
        Settings { read_audit: ReadAudit::Relaxed, ..Settings::default() },
        None,
        Integrations::none(),
    ))
}

/// Whose token this is.
pub(crate) async fn recognise(services: &Services, token: &SecretText) -> Outcome<Actor> {
    let origin = Origin {
        request_id: RequestId::new(Timestamp::from_millis(0)),
        address: Ipv4Addr::LOCALHOST.into(),
        user_agent: String::new(),
        agent: Agent::Other,
    };
    Ok(services.authenticate(token, false, origin).await?)
}

async fn fill(services: &Services, actor: &Actor, numbers: impl Iterator<Item = usize>) -> Outcome<()> {
    for number in numbers {
        let repo = RepoName::parse(&repo(number))?;
        services.create_vault(actor, repo.clone()).await?;
        let secrets = secrets("9999999999", 0).into_iter().map(|(key, value)| (key, value.into())).collect();
        let environment = EnvironmentName::parse(ENVIRONMENT)?;
        services.push(actor, Push { repo, environment, secrets, if_match: None }).await?;
    }
    Ok(())
}

fn everything() -> NewApiKey {
    NewApiKey::unlimited(OWNER, Scope::ALL.into_iter().collect())
}
