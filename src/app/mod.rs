//! The composition root: the only room that knows all others. It turns settings into
//! each room's own small struct, opens the store, and decides what starts and stops
//! in which order.

mod archive;
mod background;
mod backups;
mod certificate;
mod check;
mod data;
mod desk;
mod doctor;
mod env_files;
mod first_start;
mod forge;
mod forward;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod keys;
mod master;
mod operate;
mod outside;
mod serve;
mod sockets;
mod supervisor;
mod transfer;
mod upkeep;

use crate::cli::{Arguments, Command, Failure, args, healthcheck, output, parse};
use crate::config::{self, Loaded, Overrides};
use crate::telemetry;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs one command line, the program's name first, with the process's environment.
pub fn run(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Whatever this process makes is nobody else's.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    telemetry::hide_expected_panics();
    match parse(line) {
        Ok(arguments) => match dispatch(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        },
        Err(usage) => {
            let is_help = !usage.use_stderr();
            let _ = usage.print();
            if is_help { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Serve(serve) => serve::run(load(&serve.place.overrides())?),
        Command::Init(init) => first_start::init(&load(&init.place.overrides())?, &init),
        Command::User(user) => operate::user(user),
        Command::Repo(repo) => operate::repo(repo),
        Command::Token(args::Token::Create(token)) => operate::create_token(token),
        Command::Audit(audit) => operate::audit(audit),
        Command::Backup(backup) => upkeep::backup(backup),
        Command::Restore(restore) => upkeep::restore(&restore),
        Command::Verify(verify) => upkeep::verify(verify),
        Command::Compact(compact) => upkeep::compact(&compact),
        Command::Export(export) => transfer::export(&export),
        Command::Import(import) => transfer::import(&import),
        Command::Key(args::Key::Rotate(rotate)) => keys::rotate(&rotate),
        Command::Config(command) => configuration(command),
        Command::Healthcheck(check) => {
            healthcheck::run(&load(&check.place.overrides())?.settings.server, check.json)
        }
        Command::Doctor(asked) => doctor::run(&asked),
        Command::Version(version) => {
            let number = env!("CARGO_PKG_VERSION");
            output::data(&if version.json {
                serde_json::json!({ "name": "keywayd", "version": number }).to_string()
            } else {
                format!("keywayd {number}")
            });
            Ok(())
        }
    }
}

fn configuration(command: args::Config) -> Result<(), Failure> {
    match command {
        args::Config::Check(place) => check::run(&place.overrides())?,
        args::Config::Show(place) => output::data(&load(&place.overrides())?.show()),
        args::Config::Example => output::data(&config::example()),
    }
    Ok(())
}

/// The settings in force.
pub(crate) fn load(overrides: &Overrides) -> Result<Loaded, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the one place that hands the environment to `config`")]
    let variables = std::env::vars_os();
    let read = |path: &Path| std::fs::read_to_string(path);
    config::load(overrides, variables, &read).map_err(Failure::user)
}
