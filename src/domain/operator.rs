//! What the administrator of the machine does: accounts, roles on local repositories,
//! tokens for anybody. Whoever can reach these services owns the data directory, so no
//! role is asked; everything is audited all the same.

use super::activity::operator_entry;
use super::api_keys::{MintedApiKey, NewApiKey};
use super::integrations::forget_connections;
use super::{Error, ErrorKind, Result, Services};
use crate::base::ids::UserId;
use crate::base::{AccountName, ForgeLogin, RepoName, Role, SecretText};
use crate::store::records::{Account, Action, Grant, Source, User};
use crate::store::tables::{
    API_KEY_TOKENS, API_KEYS, GRANTS, GRANTS_BY_USER, Lookup, USER_NAMES, USERS, VAULTS, VAULTS_BY_OWNER,
};
use crate::store::{Batch, Span, StoreError, View};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::ControlFlow;

/// An account as the operator sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountSummary {
    /// The login.
    pub name: String,
    /// Whether it is admin of every local repository.
    pub admin: bool,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Whether it can sign in with a password.
    pub has_password: bool,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// A role given on a local repository, or a vault in an account's own namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepoRole {
    /// `owner/repo`.
    pub repo: RepoName,
    /// The login.
    pub user: String,
    /// The role.
    pub role: Role,
    /// Whether the repository has a vault.
    pub has_vault: bool,
}

/// Whom the operator means.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Person {
    /// The account of that name; if there is none, the forge's user who was last seen under it.
    Named(AccountName),
    /// The forge's user who was last seen under that login.
    OfTheForge(ForgeLogin),
}

impl From<AccountName> for Person {
    fn from(name: AccountName) -> Self {
        Self::Named(name)
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::OfTheForge(login) => write!(f, "github:{login}"),
        }
    }
}

impl Services {
    /// Adds an account; without a password it can be used with API keys only.
    ///
    /// # Errors
    /// Conflict when the name is taken, invalid for a password that is none.
    pub async fn add_account(
        &self,
        name: AccountName,
        admin: bool,
        password: Option<SecretText>,
    ) -> Result<UserId> {
        let password = match password {
            Some(password) => Some(self.hash_password(password).await?),
            None => None,
        };
        let services = self.clone();
        self.store()
            .write(move |view, batch| {
                let lookup = account_lookup(view, &name);
                if view.find(&USER_NAMES, lookup)?.is_some() {
                    return Err(Error::conflict(format!("an account `{name}` exists already")));
                }
                let now = services.now();
                let subject = name.to_string();
                let user = User {
                    id: UserId::new(now),
                    account: Account::Local { name, password, admin },
                    email: None,
                    avatar_url: None,
                    disabled: false,
                    created_at: now,
                };
                batch.put(&USERS, user.id, &user)?;
                batch.put(&USER_NAMES, lookup, &user.id)?;
                batch.audit(operator_entry(now, Action::UserCreated).regarding(subject));
                Ok(user.id)
            })
            .await
    }

    /// All local accounts, by name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn accounts(&self) -> Result<Vec<AccountSummary>> {
        let mut accounts = self.store().read(|view| {
            let mut accounts = Vec::new();
            view.scan(&USERS, &Span::all(), |_, user| {
                accounts.extend(account_summary(&user));
                Ok(ControlFlow::Continue(()))
            })?;
            Ok::<_, Error>(accounts)
        })?;
        accounts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(accounts)
    }

    /// Disables or enables an account or a user of the forge; a disabled one's sessions end
    /// and its other credentials are refused at once.
    ///
    /// # Errors
    /// Not found.
    pub async fn set_disabled(&self, person: impl Into<Person>, disabled: bool) -> Result<()> {
        let action = if disabled { Action::UserDisabled } else { Action::UserEnabled };
        self.change_user(person.into(), find_person, action, move |user| user.disabled = disabled).await
    }

    /// Gives an account a new password and ends its sessions.
    ///
    /// # Errors
    /// Not found, invalid for a password that is none.
    pub async fn set_account_password(&self, name: AccountName, password: SecretText) -> Result<()> {
        let hash = self.hash_password(password).await?;
        self.change_user(name, find_account, Action::UserPasswordChanged, move |user| {
            if let Account::Local { password, .. } = &mut user.account {
                *password = Some(hash);
            }
        })
        .await
    }

    /// Deletes an account, its API keys and its roles. Its vaults go to `heir`.
    ///
    /// # Errors
    /// Not found; conflict when it owns vaults and no heir is named.
    pub async fn delete_account(&self, name: AccountName, heir: Option<AccountName>) -> Result<()> {
        let services = self.clone();
        self.store()
            .write(move |view, batch| {
                let user = find_account(view, &name)?;
                let heir = heir.map(|heir| find_account(view, &heir)).transpose()?;
                if heir.as_ref().is_some_and(|heir| heir.id == user.id) {
                    return Err(Error::invalid("transfer", "must name another account"));
                }
                transfer_vaults(view, batch, &user, heir.as_ref())?;
                delete_keys(view, batch, user.id)?;
                delete_grants(view, batch, user.id)?;
                super::sessions::forget_user(view, batch, user.id)?;
                forget_connections(view, batch, user.id)?;
                batch.delete(&USER_NAMES, account_lookup(view, &name));
                batch.delete(&USERS, user.id);
                let subject = match heir {
                    Some(heir) => format!("{name}; its vaults went to {}", heir.username()),
                    None => name.to_string(),
                };
                batch.audit(operator_entry(services.now(), Action::UserDeleted).regarding(subject));
                Ok(())
            })
            .await
    }

    /// Gives an account a role on a local repository, and says whether that has a vault.
    ///
    /// # Errors
    /// Not found.
    pub async fn grant_role(&self, repo: RepoName, name: AccountName, role: Role) -> Result<bool> {
        let services = self.clone();
        self.store()
            .write(move |view, batch| {
                let (user, now) = (find_account(view, &name)?.id, services.now());
                let lookup = super::permissions::repo_lookup(view, &repo);
                let grant = Grant { repo: repo.clone(), user, role, created_at: now };
                batch.put(&GRANTS, (lookup, user), &grant)?;
                batch.index(&GRANTS_BY_USER, (user, lookup));
                let note = operator_entry(now, Action::RoleGranted).regarding(format!("{role} to {name}"));
                batch.audit(note.about_repo(&repo));
                Ok(super::permissions::find_vault(view, &repo)?.is_some())
            })
            .await
    }

    /// Takes an account's role on a local repository away.
    ///
    /// # Errors
    /// Not found, when the account or the role is not there.
    pub async fn revoke_role(&self, repo: RepoName, name: AccountName) -> Result<()> {
        let services = self.clone();
        self.store()
            .write(move |view, batch| {
                let user = find_account(view, &name)?.id;
                let lookup = super::permissions::repo_lookup(view, &repo);
                if view.find(&GRANTS, (lookup, user))?.is_none() {
                    return Err(Error::not_found(format!("`{name}` has no granted role on `{repo}`")));
                }
                batch.delete(&GRANTS, (lookup, user));
                batch.unindex(&GRANTS_BY_USER, (user, lookup));
                let note = operator_entry(services.now(), Action::RoleRevoked).regarding(name.to_string());
                batch.audit(note.about_repo(&repo));
                Ok(())
            })
            .await
    }

    /// All roles on local repositories: those given, and those of accounts on the
    /// vaults in their own namespace. By repository, then login.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn repo_roles(&self) -> Result<Vec<RepoRole>> {
        let mut roles: Vec<RepoRole> = self.store().read(|view| {
            let mut grants = Vec::new();
            view.scan(&GRANTS, &Span::all(), |_, grant| {
                grants.push(grant);
                Ok(ControlFlow::Continue(()))
            })?;
            let mut roles = Vec::new();
            for Grant { repo, user, role, .. } in grants {
                let has_vault = super::permissions::find_vault(view, &repo)?.is_some();
                let user = view.find(&USERS, user)?;
                roles.extend(user.map(|user| RepoRole {
                    repo,
                    user: user.username().to_owned(),
                    role,
                    has_vault,
                }));
            }
            let mut owned = Vec::new();
            view.scan(&VAULTS, &Span::all(), |_, vault| {
                if let (Source::Local { owner: Some(owner) }, None) = (vault.source, vault.deleted) {
                    owned.push((vault.repo, owner));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            for (repo, owner) in owned {
                let user = view.find(&USERS, owner)?.map(|user| user.username().to_owned());
                roles.extend(user.map(|user| RepoRole { repo, user, role: Role::Admin, has_vault: true }));
            }
            Ok::<_, Error>(roles)
        })?;
        roles.sort_by_key(|role| (role.repo.folded(), role.user.clone()));
        Ok(roles)
    }

    /// Mints an API key for an account.
    ///
    /// # Errors
    /// Not found, or invalid.
    pub async fn mint_token(&self, name: &AccountName, wanted: NewApiKey) -> Result<MintedApiKey> {
        let user = self.store().read(|view| find_account(view, name))?;
        self.mint_for(user, wanted).await
    }

    /// Notes that the appliance was set up.
    ///
    /// # Errors
    /// If the write fails.
    pub async fn note_initialised(&self) -> Result<()> {
        let note = operator_entry(self.now(), Action::ApplianceInitialised);
        self.store()
            .write(move |_, batch| {
                batch.audit(note);
                Ok(())
            })
            .await
    }

    async fn change_user<P: fmt::Display + Send + 'static>(
        &self,
        person: P,
        find: fn(View<'_>, &P) -> Result<User>,
        action: Action,
        change: impl FnOnce(&mut User) + Send + 'static,
    ) -> Result<()> {
        let services = self.clone();
        self.store()
            .write(move |view, batch| {
                let mut user = find(view, &person)?;
                change(&mut user);
                batch.put(&USERS, user.id, &user)?;
                if action != Action::UserEnabled {
                    super::sessions::end_all(view, batch, user.id)?;
                }
                batch.audit(operator_entry(services.now(), action).regarding(person.to_string()));
                Ok(())
            })
            .await
    }
}

/// The lookup key of a local account.
pub(super) fn account_lookup(view: View<'_>, name: &AccountName) -> Lookup {
    view.keyring().index.lookup("local account", &[name.as_str().as_bytes()])
}

fn find_account(view: View<'_>, name: &AccountName) -> Result<User> {
    let id = view.find(&USER_NAMES, account_lookup(view, name))?;
    let user = id.map(|id| view.find(&USERS, id)).transpose()?.flatten();
    user.ok_or_else(|| {
        Error::not_found(format!("there is no account `{name}`; `keywayd user list` shows all"))
    })
}

fn find_person(view: View<'_>, person: &Person) -> Result<User> {
    match person {
        Person::Named(name) => match find_account(view, name) {
            Err(error) if error.kind == ErrorKind::NotFound => {
                find_of_the_forge(view, name.as_str())?.ok_or(error)
            }
            found => found,
        },
        Person::OfTheForge(login) => find_of_the_forge(view, login.as_str())?.ok_or_else(|| {
            Error::not_found(format!(
                "nobody with the login `{login}` at the forge has done anything here yet"
            ))
        }),
    }
}

/// The forge's user who was last seen under `login`.
fn find_of_the_forge(view: View<'_>, login: &str) -> Result<Option<User>> {
    // Logins are taken over by others; the one who came last is the one meant.
    let mut found: Option<User> = None;
    view.scan(&USERS, &Span::all(), |_, user| {
        let is_meant = matches!(&user.account,
            Account::GitHub { login: known, .. } if known.eq_ignore_ascii_case(login));
        if is_meant && found.as_ref().is_none_or(|other| other.created_at < user.created_at) {
            found = Some(user);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn transfer_vaults(view: View<'_>, batch: &mut Batch<'_>, from: &User, heir: Option<&User>) -> Result<()> {
    let mut owned = Vec::new();
    view.scan_index(&VAULTS_BY_OWNER, &Span::under(from.id), |(_, vault)| {
        owned.push(vault);
        ControlFlow::Continue(())
    })?;
    for id in owned {
        let Some(mut vault) = view.find(&VAULTS, id)? else { continue };
        let heir = heir.ok_or_else(|| {
            Error::conflict(format!(
                "`{}` owns vaults, `{}` among them; name who gets them with `--transfer NAME`",
                from.username(),
                vault.repo
            ))
        })?;
        vault.source = Source::Local { owner: Some(heir.id) };
        batch.put(&VAULTS, id, &vault)?;
        batch.unindex(&VAULTS_BY_OWNER, (from.id, id));
        batch.index(&VAULTS_BY_OWNER, (heir.id, id));
    }
    Ok(())
}

fn delete_keys(view: View<'_>, batch: &mut Batch<'_>, user: UserId) -> Result<(), StoreError> {
    for id in super::api_keys::key_ids(view, user)? {
        if let Some(key) = view.find(&API_KEYS, id)? {
            batch.delete(&API_KEY_TOKENS, key.token);
        }
        super::api_keys::forget_key(batch, user, id);
    }
    Ok(())
}

fn delete_grants(view: View<'_>, batch: &mut Batch<'_>, user: UserId) -> Result<(), StoreError> {
    let mut repos = Vec::new();
    view.scan_index(&GRANTS_BY_USER, &Span::under(user), |(_, repo)| {
        repos.push(repo);
        ControlFlow::Continue(())
    })?;
    for repo in repos {
        batch.delete(&GRANTS, (repo, user));
        batch.unindex(&GRANTS_BY_USER, (user, repo));
    }
    Ok(())
}

fn account_summary(user: &User) -> Option<AccountSummary> {
    match &user.account {
        Account::Local { name, password, admin } => Some(AccountSummary {
            name: name.to_string(),
            admin: *admin,
            disabled: user.disabled,
            has_password: password.is_some(),
            created_at: user.created_at.to_string(),
        }),
        Account::GitHub { .. } => None,
    }
}
