//! Sealing anew, called off at every possible place and taken up again, while people read and write.

use super::*;
use crate::base::ids::RequestId;
use crate::base::{AccountName, Agent, EnvironmentName, RepoName, Scope};
use crate::domain::api_keys::NewApiKey;
use crate::domain::pull::Window;
use crate::domain::push::Push;
use crate::domain::{Actor, Origin};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Called off at the `n`th look.
fn until(n: u64) -> Pace {
    let looks = Arc::new(AtomicU64::new(0));
    let look = move |_: &Progress| {
        if looks.fetch_add(1, Ordering::Relaxed) >= n {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    Watch::new(look).at_full_speed()
}

async fn administrator(services: &Services) -> Actor {
    let name = AccountName::parse("root").unwrap();
    services.add_account(name.clone(), true, None).await.unwrap();
    let wanted = NewApiKey::unlimited("all", Scope::ALL.into_iter().collect());
    let minted = services.mint_token(&name, wanted).await.unwrap();
    let origin = Origin {
        request_id: RequestId::new(services.now()),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        user_agent: String::new(),
        agent: Agent::Other,
    };
    services.authenticate(&minted.token, false, origin).await.unwrap()
}

async fn push(services: &Services, actor: &Actor, repo: &RepoName, value: &str) {
    let pairs = (0..5).map(|n| (format!("K{n}"), SecretText::new(format!("{value} {n}"))));
    let (repo, environment) = (repo.clone(), EnvironmentName::parse("production").unwrap());
    let push = Push { repo, environment, secrets: pairs.collect(), if_match: None };
    services.push(actor, push).await.unwrap();
}

#[tokio::test]
async fn sealing_anew_goes_on_where_it_was_called_off() {
    let services = Services::in_memory();
    let actor = administrator(&services).await;
    let repos: Vec<_> = (0..4).map(|n| RepoName::parse(&format!("root/repo-{n}")).unwrap()).collect();
    for repo in &repos {
        services.create_vault(&actor, repo.clone()).await.unwrap();
        push(&services, &actor, repo, "first").await;
        push(&services, &actor, repo, "second").await;
    }
    assert_eq!(services.rotate_root_key(until(u64::MAX)).await.unwrap(), 2);
    assert!(services.store().keyring().has_older_roots());

    let mut tries = 0;
    while let Err(error) = services.reseal(until(1)).await {
        tries += 1;
        assert!(error.kind == ErrorKind::Unavailable && tries < 1_000, "{error:?}");
        let findings = services.verify(until(u64::MAX)).await.unwrap();
        assert!(findings.is_sound(), "{findings:?}");
        push(&services, &actor, &repos[tries % 4], &format!("try {tries}")).await;
        if tries > 30 {
            services.reseal(until(u64::MAX)).await.unwrap();
            break;
        }
    }
    assert!(tries > 10, "it was called off {tries} times only");
    assert!(!services.is_resealing().unwrap() && !services.store().keyring().has_older_roots());
    let findings = services.verify(until(u64::MAX)).await.unwrap();
    assert!(findings.is_sound(), "{findings:?}");
    for repo in &repos {
        let production = EnvironmentName::parse("production").unwrap();
        services.pull(&actor, repo, &production, Window::default(), |_| ()).await.unwrap();
    }
}

#[tokio::test]
async fn one_rotation_at_a_time_and_a_known_key_is_refused() {
    let services = Services::in_memory();
    let key = "ab".repeat(32);
    let new = || NewMasterKey::Key(SecretText::new(key.clone()));
    assert!(services.add_master_key(new()).await.unwrap().starts_with("master key 2 (id `"));
    assert_eq!(services.add_master_key(new()).await.unwrap_err().kind, ErrorKind::Conflict);
    services.drop_older_master_keys().await.unwrap();
    assert!(services.master_key().await.unwrap().starts_with("master key 2"));
    let short = NewMasterKey::Passphrase(SecretText::new("too short".to_owned()));
    assert_eq!(services.add_master_key(short).await.unwrap_err().kind, ErrorKind::Invalid);
}
