//! The operator's commands: through the running server's socket, or on the data
//! itself when no server runs.

use super::{data, load};
use crate::cli::admin::{self, Password, Reply, Request, TokenOrder};
use crate::cli::args::{self, Place};
use crate::cli::audit::{Question, Statement};
use crate::cli::{Failure, password, socket};
use crate::config::Settings;
use crate::domain::Services;
use crate::store::DataDir;
use tokio::runtime::Runtime;

/// `keywayd user …`
pub(super) fn user(command: args::User) -> Result<(), Failure> {
    match command {
        args::User::Add(add) => {
            let password = Password(password::obtain(add.password_stdin)?);
            act(&add.place, Request::AddAccount { name: add.name, admin: add.admin, password }, false)
        }
        args::User::List(list) => act(&list.place, Request::ListAccounts, list.json),
        args::User::Disable(user) => {
            act(&user.place, Request::SetDisabled { name: user.name, disabled: true }, false)
        }
        args::User::Enable(user) => {
            act(&user.place, Request::SetDisabled { name: user.name, disabled: false }, false)
        }
        args::User::Passwd(user) => {
            let password = Password(password::obtain(user.password_stdin)?);
            act(&user.place, Request::SetPassword { name: user.name, password }, false)
        }
        args::User::Delete(user) => {
            act(&user.place, Request::DeleteAccount { name: user.name, transfer: user.transfer }, false)
        }
    }
}

/// `keywayd repo …`
pub(super) fn repo(command: args::Repo) -> Result<(), Failure> {
    match command {
        args::Repo::Grant(grant) => {
            let request = Request::Grant { repo: grant.repository, user: grant.user, role: grant.role };
            act(&grant.place, request, false)
        }
        args::Repo::Revoke(revoke) => {
            act(&revoke.place, Request::Revoke { repo: revoke.repository, user: revoke.user }, false)
        }
        args::Repo::List(list) => act(&list.place, Request::ListRoles, list.json),
    }
}

/// `keywayd token create`
pub(super) fn create_token(token: args::TokenCreate) -> Result<(), Failure> {
    let order = TokenOrder {
        user: token.user,
        name: token.name,
        scopes: token.scopes,
        lifetime: token.expires,
        repositories: token.repositories,
        environments: token.environments,
        allowed_ips: token.allowed_ips,
    };
    act(&token.place, Request::CreateToken(order), token.json)
}

/// `keywayd audit …`
pub(super) fn audit(command: args::Audit) -> Result<(), Failure> {
    match command {
        args::Audit::Verify(verify) => {
            let question = Question::Verify { checkpoint: verify.head };
            act(&verify.place, Request::Audit(question), verify.json)
        }
        args::Audit::Head(head) => act(&head.place, Request::Audit(Question::Head), false),
        args::Audit::Export(export) => {
            let mut appliance = Appliance::at(&export.place)?;
            let mut after = 0;
            loop {
                let question = Question::Export { after, since: export.since };
                let reply = appliance.ask(Request::Audit(question))?;
                admin::show(&reply, false)?;
                match reply {
                    Reply::Audit(Statement::Entries(piece)) if !piece.end => after = piece.last,
                    _ => return Ok(()),
                }
            }
        }
    }
}

fn act(place: &Place, request: Request, json: bool) -> Result<(), Failure> {
    let reply = Appliance::at(place)?.ask(request)?;
    admin::show(&reply, json)
}

/// The data of a place: within reach through the server that runs there, or opened by
/// this process, from the first request on that finds no server.
struct Appliance {
    settings: Settings,
    dir: DataDir,
    opened: Option<(Runtime, Services)>,
}

impl Appliance {
    fn at(place: &Place) -> Result<Self, Failure> {
        let settings = load(&place.overrides())?.settings;
        let dir = data::directory(&settings);
        data::become_owner(&dir)?;
        Ok(Self { settings, dir, opened: None })
    }

    fn ask(&mut self, request: Request) -> Result<Reply, Failure> {
        if self.opened.is_none() {
            if let Some(answer) = socket::ask(self.dir.path(), &request) {
                return answer;
            }
            let runtime = super::serve::runtime()?;
            let services = data::open(&self.settings, data::lock(&self.dir)?, None)?;
            self.opened = Some((runtime, services));
        }
        match &self.opened {
            Some((runtime, services)) => runtime.block_on(admin::execute(services, request)),
            None => Err(Failure::ours("the data was opened and is not open")),
        }
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if let Some((runtime, services)) = &self.opened {
            runtime.block_on(services.close());
        }
    }
}
