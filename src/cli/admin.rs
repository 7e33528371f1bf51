//! The operator's commands as data: what is asked, how it is done, and how the answer
//! is shown. The same [`execute`] runs inside the server, for requests that come in
//! through its socket, and in the command itself when no server runs.

use super::audit;
use super::output::{self, Failure};
use super::{transfer, upkeep};
use crate::base::ids::InstanceId;
use crate::base::secret::exposed;
use crate::base::{AccountName, EnvironmentName, RepoName, Role, Scopes, SecretText, SystemClock};
use crate::base::{Clock, Timestamp};
use crate::domain::api_keys::{Label, NewApiKey};
use crate::domain::operator::{AccountSummary, Person, RepoRole};
use crate::domain::upkeep::Pace;
use crate::domain::{Error, ErrorKind, Services};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the operator wants done.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Tell which server this is.
    Instance,
    /// Add an account.
    AddAccount {
        /// The login.
        name: AccountName,
        /// Whether it is admin of every local repository.
        admin: bool,
        /// The password.
        password: Password,
    },
    /// List the accounts.
    ListAccounts,
    /// Disable or enable somebody.
    SetDisabled {
        /// Whom.
        person: Person,
        /// Which of the two.
        disabled: bool,
    },
    /// Give an account a new password.
    SetPassword {
        /// The login.
        name: AccountName,
        /// The password.
        password: Password,
    },
    /// Delete an account.
    DeleteAccount {
        /// The login.
        name: AccountName,
        /// Who gets its vaults.
        transfer: Option<AccountName>,
    },
    /// Give a role.
    Grant {
        /// On which repository.
        repo: RepoName,
        /// To whom.
        user: AccountName,
        /// Which.
        role: Role,
    },
    /// Take a role away.
    Revoke {
        /// On which repository.
        repo: RepoName,
        /// From whom.
        user: AccountName,
    },
    /// List roles on repositories.
    ListRoles,
    /// Mint an API key.
    CreateToken(TokenOrder),
    /// Ask about the audit log.
    Audit(audit::Question),
    /// Take care of the data itself.
    Upkeep(upkeep::Request),
    /// Bring environments out or in.
    Transfer(transfer::Request),
}

/// A password on its way to the server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(#[serde(with = "exposed")] pub SecretText);

/// The API key that is wanted.
#[derive(Debug, Serialize, Deserialize)]
pub struct TokenOrder {
    /// Whose it is to be.
    pub user: AccountName,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// How long it lives.
    pub lifetime: Option<Duration>,
    /// On which repositories; empty: all.
    pub repositories: Vec<RepoName>,
    /// In which environments; empty: all.
    pub environments: Vec<EnvironmentName>,
    /// From where; empty: anywhere.
    pub allowed_ips: Vec<IpNet>,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Which server this is.
    Instance(InstanceId),
    /// Done; words for people.
    Done(String),
    /// The accounts.
    Accounts(Vec<AccountSummary>),
    /// Roles on repositories.
    Roles(Vec<RepoRole>),
    /// A new API key.
    Token {
        /// The token.
        token: Password,
        /// What is kept about it.
        record: serde_json::Value,
    },
    /// About the audit log.
    Audit(audit::Statement),
    /// The data was taken care of.
    Upkeep(upkeep::Reply),
    /// Environments came out or in.
    Transfer(transfer::Reply),
}

impl Request {
    /// Whether it goes on when whoever asked for it goes away.
    #[must_use]
    pub const fn outlives_its_caller(&self) -> bool {
        matches!(self, Self::Upkeep(request) if request.outlives_its_caller())
    }
}

/// Does what is asked; `pace` is for what takes long.
///
/// # Errors
/// What the services answer.
pub async fn execute(services: &Services, request: Request, pace: Pace) -> Result<Reply, Failure> {
    let done = |text: String| Ok(Reply::Done(text));
    match request {
        Request::Instance => Ok(Reply::Instance(services.instance())),
        Request::AddAccount { name, admin, password } => {
            services.add_account(name.clone(), admin, Some(password.0)).await?;
            done(format!("added account `{name}`"))
        }
        Request::ListAccounts => Ok(Reply::Accounts(services.accounts().await?)),
        Request::SetDisabled { person, disabled } => {
            services.set_disabled(person.clone(), disabled).await?;
            done(format!("account `{person}` is {}", if disabled { "disabled" } else { "enabled" }))
        }
        Request::SetPassword { name, password } => {
            services.set_account_password(name.clone(), password.0).await?;
            done(format!("account `{name}` has a new password"))
        }
        Request::DeleteAccount { name, transfer } => {
            services.delete_account(name.clone(), transfer).await.map_err(in_flags)?;
            done(format!("deleted account `{name}`"))
        }
        Request::Grant { repo, user, role } => {
            let has_vault = services.grant_role(repo.clone(), user.clone(), role).await?;
            let vault = if has_vault { String::new() } else { format!("\n{}", without_vault(&repo)) };
            done(format!("`{user}` has the role `{role}` on `{repo}`{vault}"))
        }
        Request::Revoke { repo, user } => {
            services.revoke_role(repo.clone(), user.clone()).await?;
            done(format!("`{user}` has no granted role on `{repo}` any more"))
        }
        Request::ListRoles => Ok(Reply::Roles(services.repo_roles().await?)),
        Request::CreateToken(order) => create_token(services, order).await,
        Request::Audit(question) => audit::answer(services, question).await.map(Reply::Audit),
        Request::Transfer(request) => transfer::execute(services, request).await.map(Reply::Transfer),
        Request::Upkeep(request) => upkeep::execute(services, request, pace).await.map(Reply::Upkeep),
    }
}

/// A role can be given before there is something to use it on; a slip of the pen looks the same.
fn without_vault(repo: &RepoName) -> String {
    format!(
        "`{repo}` has no vault yet: check the name, or let somebody with the role `admin` on it make the vault, \
         by `keyway init` in the repository or `POST /v1/vaults`"
    )
}

async fn create_token(services: &Services, order: TokenOrder) -> Result<Reply, Failure> {
    let user = order.user.clone();
    let minted = services.mint_token(&user, order.into_key(SystemClock.now())).await.map_err(in_flags)?;
    let record = serde_json::to_value(&minted.key).map_err(Failure::ours)?;
    Ok(Reply::Token { token: Password(minted.token), record })
}

/// What the services call a part of a request, and which flag says it.
const FLAGS: [(&str, &str); 7] = [
    ("name", "--name"),
    ("scopes", "--scopes"),
    ("expiresInDays", "--expires"),
    ("allowedIps", "--allow-ip"),
    ("repositories", "--repo"),
    ("environments", "--env"),
    ("transfer", "--transfer"),
];

/// The error in the words of the command line.
fn in_flags(mut error: Error) -> Error {
    if error.kind != ErrorKind::Invalid || error.fields.is_empty() {
        return error;
    }
    for field in &mut error.fields {
        let flag = FLAGS.iter().find(|(name, _)| *name == field.field);
        field.field = flag.map_or(std::mem::take(&mut field.field), |(_, flag)| (*flag).to_owned());
    }
    Error::invalid_fields(error.fields)
}

impl TokenOrder {
    /// A key with everything its owner may do, for a first start.
    #[must_use]
    pub fn unlimited(user: AccountName, name: &str) -> Self {
        Self {
            user,
            name: name.to_owned(),
            scopes: crate::base::Scope::ALL.into_iter().collect(),
            lifetime: None,
            repositories: Vec::new(),
            environments: Vec::new(),
            allowed_ips: Vec::new(),
        }
    }

    fn into_key(self, now: Timestamp) -> NewApiKey {
        NewApiKey {
            name: self.name,
            label: Label::Live,
            scopes: self.scopes,
            expires_at: self.lifetime.map(|lifetime| now.plus(lifetime)),
            allowed_ips: self.allowed_ips,
            repositories: Some(self.repositories).filter(|list| !list.is_empty()),
            environments: Some(self.environments).filter(|list| !list.is_empty()),
        }
    }
}

/// Shows an answer, as JSON where a script wants it.
///
/// # Errors
/// If the answer does not become JSON.
pub fn show(reply: &Reply, json: bool) -> Result<(), Failure> {
    let pretty = |value: &serde_json::Value| {
        serde_json::to_string_pretty(value).map(|text| output::data(&text)).map_err(Failure::ours)
    };
    match reply {
        Reply::Done(text) => output::words(text),
        Reply::Accounts(accounts) if json => pretty(&serde_json::json!(accounts))?,
        Reply::Accounts(accounts) => output::data(&accounts_table(accounts)),
        Reply::Roles(roles) if json => pretty(&serde_json::json!(roles))?,
        Reply::Roles(roles) => output::data(&roles_table(roles)),
        Reply::Token { token, record } if json => {
            let mut record = record.clone();
            if let Some(record) = record.as_object_mut() {
                record.insert("token".to_owned(), token.0.expose().into());
            }
            pretty(&record)?;
        }
        Reply::Token { token, .. } => output::data(token.0.expose()),
        Reply::Audit(statement) => audit::show(statement, json)?,
        Reply::Upkeep(reply) => upkeep::show(reply, json)?,
        // Whoever asks for these puts them to use.
        Reply::Instance(_) | Reply::Transfer(_) => {}
    }
    Ok(())
}

fn accounts_table(accounts: &[AccountSummary]) -> String {
    let mut lines = vec![["NAME", "ADMIN", "STATE", "CREATED"].map(str::to_owned)];
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    lines.extend(accounts.iter().map(|account| {
        let state = if account.disabled { "disabled" } else { "active" };
        [account.name.clone(), yes(account.admin), state.to_owned(), account.created_at.clone()]
    }));
    table(&lines)
}

fn roles_table(roles: &[RepoRole]) -> String {
    let mut lines = vec![["REPOSITORY", "USER", "ROLE", "VAULT"].map(str::to_owned)];
    lines.extend(roles.iter().map(|role| {
        let vault = if role.has_vault { "yes" } else { "no" };
        [role.repo.to_string(), role.user.clone(), role.role.to_string(), vault.to_owned()]
    }));
    table(&lines)
}

fn table<const N: usize>(lines: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0));
    let mut out = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}
