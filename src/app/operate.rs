//! The operator's commands: through the running server's socket, or on the data
//! itself when no server runs.

use super::desk::Desk;
use super::load;
use crate::cli::admin::{self, Password, Reply, Request, TokenOrder};
use crate::cli::args::{self, Place};
use crate::cli::audit::{Question, Statement};
use crate::cli::{Failure, password};

/// `keywayd user …`
pub(super) fn user(command: args::User) -> Result<(), Failure> {
    match command {
        args::User::Add(add) => {
            look(&add.place)?;
            let password = Password(password::obtain(add.password_stdin)?);
            act(&add.place, Request::AddAccount { name: add.name, admin: add.admin, password }, false)
        }
        args::User::List(list) => act(&list.place, Request::ListAccounts, list.json),
        args::User::Disable(user) => {
            act(&user.place, Request::SetDisabled { person: user.person, disabled: true }, false)
        }
        args::User::Enable(user) => {
            act(&user.place, Request::SetDisabled { person: user.person, disabled: false }, false)
        }
        args::User::Passwd(user) => {
            look(&user.place)?;
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
            let loaded = load(&export.place.overrides())?;
            let mut desk = Desk::of(&loaded.settings)?;
            let mut after = 0;
            loop {
                let question = Question::Export { after, since: export.since };
                let reply = desk.ask(Request::Audit(question))?;
                admin::show(&reply, false)?;
                match reply {
                    Reply::Audit(Statement::Entries(piece)) if !piece.end => after = piece.last,
                    _ => return Ok(()),
                }
            }
        }
    }
}

/// Whether there is data for an account: nobody thinks of a password for nothing. It is not
/// opened: whoever thinks long keeps no server from starting.
fn look(place: &Place) -> Result<(), Failure> {
    let loaded = load(&place.overrides())?;
    Desk::of(&loaded.settings)?.expect_data()
}

fn act(place: &Place, request: Request, json: bool) -> Result<(), Failure> {
    let loaded = load(&place.overrides())?;
    let reply = Desk::of(&loaded.settings)?.ask(request)?;
    admin::show(&reply, json)
}
