//! The grammar of the command line. The comments on commands and flags are what
//! `--help` prints.
#![expect(missing_docs, reason = "clap forbids comments on flattened arguments; help is tested instead")]

mod upkeep;

pub use upkeep::{Backup, Compact, Export, Import, Key, KeyPlace, KeyRotate, Restore, Verify};

use super::{audit, values};
use crate::{
    base::{AccountName, EnvironmentName, RepoName, Role, Scopes, Timestamp},
    config::Overrides,
    domain::{audit_log::Head, operator::Person},
};
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

/// Reads a command line, the program's name first.
///
/// # Errors
/// If it is not one of ours, and for `--help` and `--version`, whose texts are "errors"
/// that go to standard output: [`clap::Error::use_stderr`] tells them apart.
pub fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line)
}

/// A secrets server: access to a repository is access to its secrets.
///
/// keywayd keeps the secrets of teams, sealed, in one file, and serves them over the
/// Keyway API. `keywayd serve` in an empty directory is all it takes to try it.
#[derive(Debug, Parser)]
#[command(name = "keywayd", version, disable_help_subcommand = true, after_help = AFTER_HELP)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Settings come from /etc/keywayd/keywayd.toml (or --config, or $KEYWAYD_CONFIG), then from \
variables such as KEYWAYD_SERVER__LISTEN, then from flags; `keywayd config example` prints them all.

Exit status: 0 done, 1 something you can put right, 2 a fault of keywayd.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(Serve),
    Init(Init),
    /// Manage local accounts.
    #[command(subcommand, disable_help_subcommand = true)]
    User(User),
    /// Manage roles on local repositories.
    #[command(subcommand, disable_help_subcommand = true)]
    Repo(Repo),
    /// Make API keys.
    #[command(subcommand, disable_help_subcommand = true)]
    Token(Token),
    /// Verify and export the record of who did what.
    #[command(subcommand, disable_help_subcommand = true)]
    Audit(Audit),
    Backup(Backup),
    Restore(Restore),
    Verify(Verify),
    Compact(Compact),
    Export(Export),
    Import(Import),
    /// Change the keys that seal the data.
    #[command(subcommand, disable_help_subcommand = true)]
    Key(Key),
    /// Check and show the configuration.
    #[command(subcommand, disable_help_subcommand = true)]
    Config(Config),
    Healthcheck(Healthcheck),
    Doctor(Doctor),
    Version(Version),
}

/// Where configuration and data are.
#[derive(Args, Clone, Debug, Default)]
pub struct Place {
    /// Configuration file [default: $KEYWAYD_CONFIG, or /etc/keywayd/keywayd.toml if present].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the data, over the configuration [default: ./keyway-data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl Place {
    /// What the flags say over the configuration.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides { config: self.config.clone(), data_dir: self.data_dir.clone(), listen: None }
    }
}

/// Where configuration and data are, and where the server listens.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerPlace {
    #[command(flatten)]
    pub place: Place,
    /// Address and port the server listens on, over the configuration [default: 127.0.0.1:8490].
    #[arg(long, value_name = "ADDR", value_parser = values::listen)]
    pub listen: Option<SocketAddr>,
}

impl ServerPlace {
    /// What the flags say over the configuration.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides { listen: self.listen, ..self.place.overrides() }
    }
}

/// Run the server.
///
/// With neither configuration nor data it sets itself up: a data directory, a key file in
/// it, an account `admin` and one API key for it: shown once on a terminal, otherwise written to
/// the file `first-login` in it.
#[derive(Args, Debug)]
pub struct Serve {
    #[command(flatten)]
    pub place: ServerPlace,
}

/// Set up a data directory without starting the server.
///
/// Makes the directory, the master key's file unless there is one, an empty database, an
/// administrator whose password is asked for, and an API key for it. Without a terminal to ask on,
/// it makes the password up, and writes both to the file `first-login` in the directory.
#[derive(Args, Debug)]
pub struct Init {
    #[command(flatten)]
    pub place: Place,
    /// Name of the first administrator.
    #[arg(long, value_name = "NAME", value_parser = values::account, default_value = "admin")]
    pub admin: AccountName,
    /// Read the password from standard input, one line, instead of asking for it.
    #[arg(long)]
    pub password_stdin: bool,
}

/// `keywayd user`.
#[derive(Debug, Subcommand)]
pub enum User {
    Add(UserAdd),
    List(UserList),
    /// Lock an account out; its sessions end at once.
    Disable(UserName),
    /// Let a disabled account in again.
    Enable(UserName),
    Passwd(UserPasswd),
    Delete(UserDelete),
}

/// Add an account; its password is asked for.
#[derive(Args, Debug)]
pub struct UserAdd {
    /// Name of the account: lower-case letters, digits and hyphens.
    #[arg(value_name = "NAME", value_parser = values::account)]
    pub name: AccountName,
    /// Make it an administrator of every local repository.
    #[arg(long)]
    pub admin: bool,
    /// Read the password from standard input, one line, instead of asking for it.
    #[arg(long)]
    pub password_stdin: bool,
    #[command(flatten)]
    pub place: Place,
}

/// List the accounts.
#[derive(Args, Debug)]
pub struct UserList {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

/// An account that exists.
#[derive(Args, Debug)]
pub struct UserName {
    /// Name of the account, or `github:LOGIN` for somebody of GitHub who has been here.
    #[arg(value_name = "NAME", value_parser = values::person)]
    pub person: Person,
    #[command(flatten)]
    pub place: Place,
}

/// Change an account's password; its sessions end at once.
#[derive(Args, Debug)]
pub struct UserPasswd {
    /// Name of the account.
    #[arg(value_name = "NAME", value_parser = values::account)]
    pub name: AccountName,
    /// Read the password from standard input, one line, instead of asking for it.
    #[arg(long)]
    pub password_stdin: bool,
    #[command(flatten)]
    pub place: Place,
}

/// Delete an account with its sessions and API keys.
///
/// An account that owns vaults is deleted only if another one takes them over.
#[derive(Args, Debug)]
pub struct UserDelete {
    /// Name of the account.
    #[arg(value_name = "NAME", value_parser = values::account)]
    pub name: AccountName,
    /// Account that takes over its vaults.
    #[arg(long, value_name = "NAME", value_parser = values::account)]
    pub transfer: Option<AccountName>,
    #[command(flatten)]
    pub place: Place,
}

/// `keywayd repo`.
#[derive(Debug, Subcommand)]
pub enum Repo {
    Grant(RepoGrant),
    Revoke(RepoRevoke),
    List(RepoList),
}

/// Give an account a role on a repository, in place of the one it had.
#[derive(Args, Debug)]
pub struct RepoGrant {
    /// The repository.
    #[arg(value_name = "OWNER/REPO", value_parser = values::repository)]
    pub repository: RepoName,
    /// The account.
    #[arg(value_name = "USER", value_parser = values::account)]
    pub user: AccountName,
    /// One of `read`, `triage`, `write`, `maintain`, `admin`.
    #[arg(value_name = "ROLE", value_parser = values::role)]
    pub role: Role,
    #[command(flatten)]
    pub place: Place,
}

/// Take an account's role on a repository away.
#[derive(Args, Debug)]
pub struct RepoRevoke {
    /// The repository.
    #[arg(value_name = "OWNER/REPO", value_parser = values::repository)]
    pub repository: RepoName,
    /// The account.
    #[arg(value_name = "USER", value_parser = values::account)]
    pub user: AccountName,
    #[command(flatten)]
    pub place: Place,
}

/// List the repositories, and who has which role on them.
#[derive(Args, Debug)]
pub struct RepoList {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

/// `keywayd token`.
#[derive(Debug, Subcommand)]
pub enum Token {
    Create(TokenCreate),
}

/// Make an API key for an account, and print it.
///
/// Only the key goes to standard output, and it cannot be shown again. It does no more than
/// its owner may do, and only what its scopes, repositories and environments allow.
#[derive(Args, Debug)]
pub struct TokenCreate {
    /// Account that the key acts for.
    #[arg(long, value_name = "NAME", value_parser = values::account)]
    pub user: AccountName,
    /// What the key is called in lists.
    #[arg(long, value_name = "NAME", value_parser = values::label, default_value = "cli")]
    pub name: String,
    /// What it may be used for: `all`, or some of `read:secrets`, `write:secrets`,
    /// `delete:secrets`, `admin:api-keys` with commas between.
    #[arg(long, value_name = "SCOPES", value_parser = values::scopes)]
    #[arg(default_value = "read:secrets,write:secrets")]
    pub scopes: Scopes,
    /// How long it lasts, such as `12h` or `30d` [default: until it is revoked].
    #[arg(long, value_name = "TIME", value_parser = values::lifetime)]
    pub expires: Option<Duration>,
    /// Repository it is limited to; can be repeated [default: all of its owner's].
    #[arg(long = "repo", value_name = "OWNER/REPO", value_parser = values::repository)]
    pub repositories: Vec<RepoName>,
    /// Environment it is limited to; can be repeated [default: all].
    #[arg(long = "env", value_name = "NAME", value_parser = values::environment)]
    pub environments: Vec<EnvironmentName>,
    /// Address or network it may be used from; can be repeated [default: anywhere].
    #[arg(long = "allow-ip", value_name = "CIDR", value_parser = values::network)]
    pub allowed_ips: Vec<IpNet>,
    /// Print JSON: the key, and what was recorded about it.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

/// `keywayd audit`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    Verify(AuditVerify),
    Export(AuditExport),
    Head(AuditHead),
}

/// Check that the audit log is as it was written.
///
/// Walks the whole chain and tells the first place where an entry was altered, removed, added or
/// moved, and up to where the log is sound. That the newest entries were cut off, or the whole
/// file put back to an older state, is found with a checkpoint that was kept elsewhere.
#[derive(Args, Debug)]
pub struct AuditVerify {
    /// Checkpoint that `keywayd audit head` once printed.
    #[arg(long, value_name = "CHECKPOINT", value_parser = audit::checkpoint)]
    pub head: Option<Head>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

/// Print the audit log, oldest entry first.
#[derive(Args, Debug)]
pub struct AuditExport {
    /// Leave out what is older: a time, a day such as `2026-01-15`, or how long ago, such as `30d`.
    #[arg(long, value_name = "TIME", value_parser = audit::moment)]
    pub since: Option<Timestamp>,
    /// How entries are written: `jsonl`, one JSON document per line.
    #[arg(long, value_name = "FORMAT", default_value = "jsonl", hide_default_value = true)]
    #[arg(value_parser = ["jsonl"], hide_possible_values = true)]
    pub format: String,
    #[command(flatten)]
    pub place: Place,
}

/// Print where the audit log ends, as a checkpoint for `keywayd audit verify`.
///
/// Keep it where whoever can write the data directory cannot.
#[derive(Args, Debug)]
pub struct AuditHead {
    #[command(flatten)]
    pub place: Place,
}

/// `keywayd config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check the configuration and the files it names.
    ///
    /// Tells everything that would keep `keywayd serve` from starting, and changes nothing. Files are
    /// looked at as the user that owns the data, so run it as that user or as root.
    Check(ServerPlace),
    /// Print the settings in force and where each comes from; secrets are left out.
    Show(ServerPlace),
    /// Print a configuration file with every setting, its default and what it does.
    Example,
}

/// Ask the running server whether it is well.
///
/// Exits with 0 if it is. Takes the address from the configuration, so that it works unchanged
/// in the server's container.
#[derive(Args, Debug)]
pub struct Healthcheck {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: ServerPlace,
}

/// Look at the whole installation and say what to do.
///
/// Permissions, ownership, clock, disk space, names, certificate, forge and services, public
/// address, proxies, backups, master key. Changes nothing; calls the forge and the services that
/// the configuration names, and the server by its public address. Exits with 1 if there are
/// problems; warnings do not count.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: ServerPlace,
}

/// Print the version.
#[derive(Args, Debug)]
pub struct Version {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
