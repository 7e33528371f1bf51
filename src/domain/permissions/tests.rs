//! Every rule by itself, on a store that holds nothing else: who has a role where, what
//! follows from it, and what narrows it.

use super::*;
use crate::base::ids::{ApiKeyId, OverrideId, RequestId};
use crate::base::{AccountName, Agent, Scope, SecretText};
use crate::domain::actor::{Credential, ForgeToken};
use crate::domain::ports::Repository;
use crate::domain::vaults::new_environment;
use crate::domain::{ErrorKind, Origin};
use crate::store::Store;
use crate::store::records::{ApiKey, Deletion, Grant, KeyEnvironment, KeyRepository};
use crate::store::tables::{API_KEYS, USERS};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const NUMBER: u64 = 4_711;
const HERE: Standing = Standing::Local(Namespaces::Owned);

fn id(number: u64) -> UserId {
    UserId::from_bytes([u8::try_from(number).unwrap(); 16])
}

fn repo(name: &str) -> RepoName {
    RepoName::parse(name).unwrap()
}

fn local(number: u64, admin: bool) -> User {
    let name = AccountName::parse(&format!("user-{number}")).unwrap();
    let account = Account::Local { name, password: None, admin };
    User { id: id(number), account, email: None, avatar_url: None, disabled: false, created_at: NOW }
}

fn of_github(number: u64) -> User {
    let account = Account::GitHub { id: number, login: format!("octo-{number}") };
    User { account, ..local(number, false) }
}

fn origin() -> Origin {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Origin { request_id: RequestId::new(NOW), address, user_agent: String::new(), agent: Agent::Other }
}

/// Somebody of whom nothing is stored, with a credential that limits nothing.
fn actor(user: User) -> Actor {
    let token = ForgeToken { tag: [0; 32], text: SecretText::new("ghp_x".to_owned()) };
    Actor { user, credential: Credential::Forge(token), origin: origin(), unsaved: true }
}

fn key(user: UserId) -> ApiKey {
    ApiKey {
        id: ApiKeyId::new(NOW),
        user,
        name: "key".to_owned(),
        label: "live".to_owned(),
        prefix: "kw_live_".to_owned(),
        token: [0; 32],
        scopes: Scope::ALL.into_iter().collect(),
        allowed_ips: Vec::new(),
        repositories: None,
        environments: None,
        expires_at: None,
        created_at: NOW,
        revoked_at: None,
    }
}

fn vault(name: &str, source: Source) -> Vault {
    let environments = ["local", "production"].map(|name| EnvironmentName::parse(name).unwrap());
    Vault {
        id: VaultId::new(NOW),
        source,
        repo: repo(name),
        private: true,
        avatar_url: None,
        environments: environments.map(|name| new_environment(name, NOW)).to_vec(),
        created_at: NOW,
        created_by: None,
        updated_at: NOW,
        deleted: None,
    }
}

fn deleted() -> Option<Deletion> {
    Some(Deletion { at: NOW, by: None })
}

fn rule(target: OverrideTarget, can_read: bool, can_write: bool) -> Override {
    Override { id: OverrideId::new(NOW), target, can_read, can_write, created_at: NOW }
}

/// What the forge shows of a repository.
fn shown(private: bool, permission: Option<Role>) -> Standing {
    let name = repo("Acme/App");
    Standing::Forge(Some(Repository { id: NUMBER, name, private, avatar_url: None, permission }))
}

async fn keep(store: &Store, vault: &Vault) {
    let vault = vault.clone();
    let put = store.write(move |view, batch| {
        batch.put(&VAULTS, vault.id, &vault)?;
        batch.put(&VAULT_NAMES, vault_lookup(view, &vault), &vault.id)
    });
    put.await.unwrap();
}

async fn grant(store: &Store, name: &str, user: UserId, role: Role) {
    let grant = Grant { repo: repo(name), user, role, created_at: NOW };
    let put =
        store.write(move |view, batch| batch.put(&GRANTS, (repo_lookup(view, &grant.repo), user), &grant));
    put.await.unwrap();
}

/// The role on the vault of `name`, or how it is refused.
fn role(store: &Store, actor: &Actor, name: &str, standing: &Standing) -> Result<Role, ErrorKind> {
    store
        .read(|view| Access::of(view, actor, &repo(name), standing).map(|access| access.role))
        .map_err(|error: Error| error.kind)
}

fn of_deleted(store: &Store, actor: &Actor, id: VaultId, standing: &Standing) -> Result<Role, ErrorKind> {
    store
        .read(|view| Access::of_deleted(view, actor, id, standing).map(|access| access.role))
        .map_err(|error: Error| error.kind)
}

#[test]
fn the_role_table_by_environment_type() {
    for (role, kind, can_read, can_write) in [
        (Role::Read, EnvironmentKind::Standard, true, false),
        (Role::Triage, EnvironmentKind::Standard, true, false),
        (Role::Write, EnvironmentKind::Standard, true, true),
        (Role::Maintain, EnvironmentKind::Development, true, true),
        (Role::Admin, EnvironmentKind::Development, true, true),
        (Role::Read, EnvironmentKind::Protected, false, false),
        (Role::Triage, EnvironmentKind::Protected, false, false),
        (Role::Write, EnvironmentKind::Protected, true, false),
        (Role::Maintain, EnvironmentKind::Protected, true, false),
        (Role::Admin, EnvironmentKind::Protected, true, true),
    ] {
        assert_eq!(decide(role, kind, &[], id(1)), Rights { can_read, can_write }, "{role} {kind:?}");
    }
}

#[test]
fn a_user_override_beats_a_role_override_beats_the_table() {
    let for_readers = rule(OverrideTarget::Role(Role::Read), false, false);
    let for_one = rule(OverrideTarget::User(id(1)), true, true);
    let rules = [for_readers, for_one];
    let decide = |role, number| decide(role, EnvironmentKind::Standard, &rules, id(number));
    assert_eq!(decide(Role::Read, 1), Rights { can_read: true, can_write: true });
    assert_eq!(decide(Role::Read, 2), Rights::NONE);
    assert_eq!(decide(Role::Triage, 2), Rights { can_read: true, can_write: false }, "exactly that role");
}

#[tokio::test]
async fn a_local_role_is_owned_granted_or_the_administrator_s() {
    let store = Store::in_memory();
    keep(&store, &vault("user-1/app", Source::Local { owner: Some(id(1)) })).await;
    keep(&store, &vault("team/app", Source::Local { owner: None })).await;
    grant(&store, "team/app", id(2), Role::Triage).await;
    grant(&store, "user-1/app", id(2), Role::Write).await;
    let (owner, guest, other) = (actor(local(1, false)), actor(local(2, false)), actor(local(3, false)));
    let admin = actor(local(4, true));
    let role = |actor, name, standing: &Standing| role(&store, actor, name, standing).ok();
    assert_eq!(role(&owner, "user-1/app", &HERE), Some(Role::Admin));
    assert_eq!(role(&owner, "USER-1/App", &HERE), Some(Role::Admin), "however it is spelt");
    assert_eq!(role(&owner, "team/app", &HERE), None);
    assert_eq!(role(&guest, "user-1/app", &HERE), Some(Role::Write));
    assert_eq!(role(&guest, "team/app", &HERE), Some(Role::Triage));
    assert_eq!(role(&other, "user-1/app", &HERE), None);
    assert_eq!(role(&admin, "team/app", &HERE), Some(Role::Admin));
    // With a forge connected, the name may be somebody else's there.
    let foreign = Standing::Local(Namespaces::Foreign);
    assert_eq!(role(&owner, "user-1/app", &foreign), None);
    assert_eq!(role(&guest, "user-1/app", &foreign), Some(Role::Write));
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_yours_read_the_same() {
    let store = Store::in_memory();
    keep(&store, &vault("team/app", Source::Local { owner: None })).await;
    let stranger = actor(local(3, false));
    let words = |name: &str| {
        let refusal = |view: View<'_>| Access::of(view, &stranger, &repo(name), &HERE).map(|_| ());
        let error = store.read(refusal).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        error.detail.replace(name, "it")
    };
    assert_eq!(words("team/app"), words("team/no"));
}

#[tokio::test]
async fn the_forge_s_role_counts_for_the_repository_of_that_number() {
    let store = Store::in_memory();
    keep(&store, &vault("acme/app", Source::GitHub { repository_id: NUMBER })).await;
    let member = actor(of_github(1));
    let role = |standing: &Standing| role(&store, &member, "acme/app", standing).ok();
    assert_eq!(role(&shown(true, Some(Role::Read))), Some(Role::Read));
    assert_eq!(role(&shown(false, Some(Role::Read))), None, "everybody reads a public repository");
    assert_eq!(role(&shown(false, Some(Role::Triage))), Some(Role::Triage));
    assert_eq!(role(&shown(true, None)), None);
    assert_eq!(role(&Standing::Forge(None)), None);
    assert_eq!(role(&HERE), None, "this appliance gives no roles on it");
    let Standing::Forge(Some(same_name)) = shown(true, Some(Role::Admin)) else { unreachable!() };
    let other = Standing::Forge(Some(Repository { id: NUMBER + 1, ..same_name }));
    assert_eq!(role(&other), None, "another repository has the name now");
    // Not even for an administrator here, nor by a grant that was given for the name.
    grant(&store, "acme/app", id(2), Role::Write).await;
    for somebody in [actor(local(1, true)), actor(local(2, false))] {
        assert_eq!(super::tests::role(&store, &somebody, "acme/app", &HERE), Err(ErrorKind::NotFound));
    }
}

#[tokio::test]
async fn a_reader_of_a_public_repository_has_what_an_override_gives_and_nothing_else() {
    let store = Store::in_memory();
    let mut vault = vault("acme/app", Source::GitHub { repository_id: NUMBER });
    vault.environments[0].overrides = vec![
        rule(OverrideTarget::User(id(1)), true, false),
        rule(OverrideTarget::Role(Role::Read), true, true),
    ];
    let [first, second] = [0, 1].map(|at: usize| vault.environments[at].clone());
    keep(&store, &vault).await;
    let (invited, stranger) = (actor(of_github(1)), actor(of_github(2)));
    let standing = shown(false, Some(Role::Read));
    assert_eq!(role(&store, &stranger, "acme/app", &standing), Err(ErrorKind::NotFound));
    let look = |view: View<'_>| {
        let access = Access::of(view, &invited, &repo("acme/app"), &standing)?;
        assert_eq!(access.rights(&first), Rights { can_read: true, can_write: false });
        assert_eq!(access.rights(&second), Rights::NONE, "not even what its role could read");
        assert_eq!(access.read(&first)?.environment(), first.id);
        assert_eq!(access.write(&first).err().unwrap().kind, ErrorKind::Forbidden);
        assert_eq!(access.manage().err().unwrap().kind, ErrorKind::Forbidden);
        Ok::<_, Error>(())
    };
    store.read(look).unwrap();
    // Whoever has a role is nobody's guest, and an override for the user is not all that counts.
    let member = |view: View<'_>| {
        let access = Access::of(view, &invited, &repo("acme/app"), &shown(true, Some(Role::Write)))?;
        assert_eq!(access.rights(&second), Rights { can_read: true, can_write: true });
        Ok::<_, Error>(())
    };
    store.read(member).unwrap();
    // An invitation into an environment that is in the trash is none.
    vault.environments[0].deleted = deleted();
    keep(&store, &vault).await;
    assert_eq!(role(&store, &invited, "acme/app", &standing), Err(ErrorKind::NotFound));
}

#[tokio::test]
async fn a_vault_in_the_trash_is_found_there_alone_and_by_whoever_had_a_role() {
    let store = Store::in_memory();
    let here = Vault { deleted: deleted(), ..vault("team/app", Source::Local { owner: None }) };
    let there = Vault { deleted: deleted(), ..vault("acme/app", Source::GitHub { repository_id: NUMBER }) };
    let living = vault("team/living", Source::Local { owner: None });
    for vault in [&here, &there, &living] {
        keep(&store, vault).await;
    }
    grant(&store, "team/app", id(1), Role::Maintain).await;
    let (granted, stranger, admin) = (actor(local(1, false)), actor(local(2, false)), actor(local(3, true)));
    assert_eq!(role(&store, &admin, "team/app", &HERE), Err(ErrorKind::NotFound));
    assert_eq!(of_deleted(&store, &granted, here.id, &HERE), Ok(Role::Maintain));
    assert_eq!(of_deleted(&store, &stranger, here.id, &HERE), Err(ErrorKind::NotFound));
    assert_eq!(of_deleted(&store, &admin, living.id, &HERE), Err(ErrorKind::NotFound), "it lives");
    let member = actor(of_github(1));
    assert_eq!(role(&store, &member, "acme/app", &shown(true, Some(Role::Admin))), Err(ErrorKind::NotFound));
    assert_eq!(of_deleted(&store, &member, there.id, &shown(true, Some(Role::Write))), Ok(Role::Write));
    assert_eq!(
        of_deleted(&store, &member, there.id, &shown(false, Some(Role::Read))),
        Err(ErrorKind::NotFound)
    );
    assert_eq!(of_deleted(&store, &member, there.id, &Standing::Forge(None)), Err(ErrorKind::NotFound));
    assert_eq!(
        of_deleted(&store, &member, here.id, &shown(true, Some(Role::Admin))),
        Err(ErrorKind::NotFound),
        "a role at the forge is none on a local vault"
    );
    let Standing::Forge(Some(same_name)) = shown(true, Some(Role::Admin)) else { unreachable!() };
    let other = Standing::Forge(Some(Repository { id: NUMBER + 1, ..same_name }));
    assert_eq!(of_deleted(&store, &member, there.id, &other), Err(ErrorKind::NotFound));
    assert_eq!(of_deleted(&store, &admin, there.id, &HERE), Err(ErrorKind::NotFound));
}

#[tokio::test]
async fn an_api_key_narrows_and_never_widens() {
    let store = Store::in_memory();
    let (mine, other) = (
        vault("user-1/app", Source::Local { owner: Some(id(1)) }),
        vault("user-1/two", Source::Local { owner: Some(id(1)) }),
    );
    let forge = vault("acme/app", Source::GitHub { repository_id: NUMBER });
    let gone = Vault { deleted: deleted(), ..vault("user-1/gone", Source::Local { owner: Some(id(1)) }) };
    let gone_there =
        Vault { deleted: deleted(), ..vault("acme/gone", Source::GitHub { repository_id: NUMBER + 1 }) };
    for vault in [&mine, &other, &forge, &gone, &gone_there] {
        keep(&store, vault).await;
    }
    let [first, second] = [0, 1].map(|at: usize| mine.environments[at].clone());
    let confined = ApiKey {
        repositories: Some(vec![KeyRepository { vault: mine.id, name: mine.repo.clone() }]),
        environments: Some(vec![KeyEnvironment { id: first.id, name: first.name.clone() }]),
        ..key(id(1))
    };
    let (user, stored) = (local(1, false), confined.clone());
    let put = store.write(move |_, batch| {
        batch.put(&USERS, user.id, &user)?;
        batch.put(&API_KEYS, stored.id, &stored)
    });
    put.await.unwrap();
    let by_key = Actor::with_api_key(local(1, false), &confined, origin());
    assert_eq!(role(&store, &by_key, "user-1/app", &HERE), Ok(Role::Admin));
    assert_eq!(role(&store, &by_key, "user-1/two", &HERE), Err(ErrorKind::NotFound));
    assert_eq!(of_deleted(&store, &by_key, gone.id, &HERE), Err(ErrorKind::NotFound));
    let at_forge = shown(true, Some(Role::Admin));
    assert_eq!(role(&store, &by_key, "acme/app", &at_forge), Err(ErrorKind::NotFound));
    let Standing::Forge(Some(shown)) = at_forge else { unreachable!() };
    let at_forge = Standing::Forge(Some(Repository { id: NUMBER + 1, ..shown }));
    assert_eq!(of_deleted(&store, &by_key, gone_there.id, &at_forge), Err(ErrorKind::NotFound));
    let look = |view: View<'_>| {
        let access = Access::of(view, &by_key, &mine.repo, &HERE)?;
        assert_eq!(access.rights(&first), Rights { can_read: true, can_write: true });
        assert_eq!(access.rights(&second), Rights::NONE);
        let refusal = access.read(&second).err().unwrap();
        assert_eq!(refusal.kind, ErrorKind::Forbidden);
        assert!(refusal.detail.contains("this API key is not for environment `production`"), "{refusal:?}");
        assert_eq!(access.write(&second).err().unwrap().kind, ErrorKind::Forbidden);
        assert_eq!(access.manage().err().unwrap().kind, ErrorKind::Forbidden);
        assert_eq!(access.purge().err().unwrap().kind, ErrorKind::Forbidden);
        Ok::<_, Error>(())
    };
    store.read(look).unwrap();
    let revoked = ApiKey { revoked_at: Some(NOW), ..confined };
    store.write(move |_, batch| batch.put(&API_KEYS, revoked.id, &revoked)).await.unwrap();
    assert_eq!(role(&store, &by_key, "user-1/app", &HERE), Err(ErrorKind::Unauthorized));
    assert_eq!(of_deleted(&store, &by_key, gone.id, &HERE), Err(ErrorKind::Unauthorized));
}

#[tokio::test]
async fn rights_are_for_the_vault_and_environment_they_were_asked_for() {
    let store = Store::in_memory();
    let mut vault = vault("team/app", Source::Local { owner: None });
    vault.environments[1].kind = EnvironmentKind::Protected;
    let [open, guarded] = [0, 1].map(|at: usize| vault.environments[at].clone());
    keep(&store, &vault).await;
    for (number, role) in [(1, Role::Read), (2, Role::Write), (3, Role::Maintain), (4, Role::Admin)] {
        grant(&store, "team/app", id(number), role).await;
    }
    let check = |number, info: &EnvironmentInfo, reads: bool, writes: bool, manages: bool| {
        let actor = actor(local(number, false));
        let look = |view: View<'_>| {
            let access = Access::of(view, &actor, &vault.repo, &HERE)?;
            let read = access.read(info).map(|right| (right.vault(), right.environment()));
            assert_eq!(read.as_ref().ok(), reads.then_some(&(vault.id, info.id)), "{number}");
            let write = access.write(info).map(|right| (right.read().vault(), right.read().environment()));
            assert_eq!(write.as_ref().ok(), writes.then_some(&(vault.id, info.id)), "{number}");
            if let Err(refusal) = write {
                let role = access.role;
                assert_eq!(refusal.kind, ErrorKind::Forbidden);
                let words =
                    format!("your role `{role}` may not write environment `{}` of `team/app`", info.name);
                assert_eq!(refusal.detail, words);
            }
            let manage = access.manage().map(|right| right.vault());
            assert_eq!(manage.as_ref().ok(), manages.then_some(&vault.id), "{number}");
            let purge = access.purge().map(|right| right.vault());
            assert_eq!(purge.as_ref().ok(), manages.then_some(&vault.id), "{number}");
            Ok::<_, Error>(())
        };
        store.read(look).unwrap();
    };
    check(1, &open, true, false, false);
    check(2, &open, true, true, false);
    check(1, &guarded, false, false, false);
    check(2, &guarded, true, false, false);
    check(3, &guarded, true, false, false);
    check(4, &guarded, true, true, true);
    let operator = CanWrite::of_operator(&vault, &open);
    assert_eq!((operator.read().vault(), operator.read().environment()), (vault.id, open.id));
}

#[tokio::test]
async fn an_environment_is_found_by_its_name_while_it_lives() {
    let store = Store::in_memory();
    let mut vault = vault("user-1/app", Source::Local { owner: Some(id(1)) });
    vault.environments[1].deleted = deleted();
    keep(&store, &vault).await;
    let owner = actor(local(1, false));
    let found = |name: &str| {
        let name = EnvironmentName::parse(name).unwrap();
        store.read(|view| {
            let access = Access::of(view, &owner, &vault.repo, &HERE)?;
            access.environment(&name).map(|info| info.id)
        })
    };
    assert_eq!(found("local").ok(), Some(vault.environments[0].id));
    for gone in ["production", "staging"] {
        assert_eq!(found(gone).err().map(|error: Error| error.kind), Some(ErrorKind::NotFound), "{gone}");
    }
}

#[test]
fn what_is_deleted_may_be_destroyed_by_anybody_when_its_time_is_over_and_not_before() {
    let (vault, settings) = (VaultId::new(NOW), Settings::for_tests());
    let over = NOW.plus(settings.trash_time());
    let may = |now| CanPurge::overdue(vault, NOW, &settings, now).map(|right| right.vault());
    assert_eq!(may(over), Some(vault));
    let a_moment_before = NOW.plus(settings.trash_time() - Duration::from_millis(1));
    assert_eq!(may(a_moment_before), None);
}

#[tokio::test]
async fn who_is_known_to_be_admin_of_a_vault() {
    let store = Store::in_memory();
    let (owned, team) = (
        vault("user-1/app", Source::Local { owner: Some(id(1)) }),
        vault("team/app", Source::Local { owner: None }),
    );
    let forge = vault("acme/app", Source::GitHub { repository_id: NUMBER });
    grant(&store, "team/app", id(2), Role::Admin).await;
    grant(&store, "team/app", id(3), Role::Maintain).await;
    grant(&store, "acme/app", id(2), Role::Admin).await;
    let knows = |number, admin, vault: &Vault| {
        store.read(|view| is_admin_of(view, &local(number, admin), vault)).unwrap()
    };
    assert!(knows(1, false, &owned) && !knows(2, false, &owned));
    assert!(knows(2, false, &team) && !knows(3, false, &team) && !knows(1, false, &team));
    assert!(knows(9, true, &owned) && knows(9, true, &team));
    assert!(!knows(2, false, &forge) && !knows(9, true, &forge));
}
