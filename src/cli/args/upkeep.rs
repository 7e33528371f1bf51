//! The grammar of the commands that take care of the data itself: backups and keys.

use super::{Place, values};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Take a backup, also while the server runs.
///
/// The file is a consistent copy of everything, sealed as it is, and every record in it is
/// opened once before the file gets its name. The master key is not in it. A running server
/// writes the file itself, as its own user.
#[derive(Args, Debug)]
pub struct Backup {
    /// File to write; it must not exist yet.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

/// Put a backup in the database's place.
///
/// The server must be stopped. The backup is verified first, and nothing is touched if it is
/// not sound. Everybody has to sign in again afterwards, and API keys that were revoked since
/// the backup live again: they are listed.
#[derive(Args, Debug)]
pub struct Restore {
    /// File that `keywayd backup` wrote.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Replace the database that is there; it is kept under another name.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub place: Place,
}

/// Open every record and follow every reference.
///
/// On the running server this looks at the records; with the server stopped, at every page of
/// the file as well.
#[derive(Args, Debug)]
pub struct Verify {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

/// Write the database anew, without free space and without traces of what was deleted.
///
/// The server must be stopped, and the disk needs room for a second copy meanwhile.
#[derive(Args, Debug)]
pub struct Compact {
    #[command(flatten)]
    pub place: Place,
}

/// Write all vaults to an archive for another appliance.
///
/// The archive is an age file, under a passphrase (asked for, or one line on standard input) or for
/// the holders of age keys. It has every repository, environment, type, override and present secret;
/// no accounts, API keys, old values, trash or audit log, which a backup keeps.
#[derive(Args, Debug)]
pub struct Export {
    /// File to write; it must not exist yet. `-` is standard output.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Seal it for the holder of this age key, `age1…`, instead of under a passphrase; can be repeated.
    #[arg(long = "recipient", value_name = "KEY", value_parser = values::recipient)]
    pub recipients: Vec<String>,
    #[command(flatten)]
    pub place: Place,
}

/// Take secrets from an archive or from `.env` files.
///
/// An archive is what `keywayd export` wrote. A directory is searched for
/// `OWNER/REPO/ENVIRONMENT.env`. Vaults and environments that are not there are made; keys are
/// added and changed, never deleted, and a changed key keeps its old value as a version. Every name
/// that is taken, changed or refused is listed.
#[derive(Args, Debug)]
pub struct Import {
    /// Archive, or directory of `.env` files.
    #[arg(value_name = "FILE|DIR")]
    pub source: PathBuf,
    /// Say what would be done and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// File with the age private keys that open the archive, instead of a passphrase.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

/// `keywayd key`.
#[derive(Debug, Subcommand)]
pub enum Key {
    Rotate(KeyRotate),
}

/// Change keys, also while the server runs.
///
/// The master key is changed: a key file is replaced, and the file before it kept under its id,
/// for older backups need it. `--root` and `--data` change the keys below it as well. After a leak
/// of the master key: `keywayd key rotate --root --data`, stop the server, `keywayd compact`.
#[derive(Args, Debug)]
pub struct KeyRotate {
    /// Make a new root key and seal the vaults' keys with it; everybody has to sign in again.
    #[arg(long)]
    pub root: bool,
    /// Give every vault a new key and seal every record anew, in the background of a server.
    #[arg(long)]
    pub data: bool,
    /// Take the new master key from another place: `file:PATH` (made if it is not there),
    /// `passphrase_file:PATH` (asked for if it is not there), `credential:NAME` or `env:NAME`.
    /// Both keys open the data until keywayd is started with the new one.
    #[arg(long, value_name = "SOURCE", value_parser = values::key_place)]
    pub to: Option<KeyPlace>,
    #[command(flatten)]
    pub place: Place,
}

/// Where a master key lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In this file.
    File(PathBuf),
    /// In the systemd credential of that name.
    Credential(String),
    /// Derived from the passphrase in this file, or asked for.
    PassphraseFile(PathBuf),
    /// In the environment variable of that name.
    Variable(String),
}
