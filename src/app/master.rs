//! Where the master key comes from: the four sources of `[master_key]`.

use crate::base::SecretText;
use crate::cli::{Failure, args::KeyPlace, password};
use crate::config::{KeySource, Settings};
use crate::crypto::{MasterKey, MasterKeyError, MasterSecret};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// The directory in which systemd puts credentials for a service.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// What opens the data, from the source in the settings. A passphrase whose file is not
/// there is asked for, if there is a terminal.
pub(super) fn secret(settings: &Settings) -> Result<MasterSecret, Failure> {
    read(&place(settings)).or_else(|problem| match problem {
        Problem::Key(MasterKeyError::Missing(path)) if asks(settings) => {
            let prompt = format!("Passphrase of the master key (there is no `{}`): ", path.display());
            password::ask(&prompt).map(MasterSecret::Passphrase)
        }
        problem => Err(problem.into()),
    })
}

/// The same for data that is about to be made: a key file that is not there is made too.
pub(super) fn secret_for_new_data(settings: &Settings) -> Result<MasterSecret, Failure> {
    match (read(&place(settings)), place(settings)) {
        (Err(Problem::Key(MasterKeyError::Missing(_))), KeyPlace::File(path)) => {
            generate(&path).map(MasterSecret::Key)
        }
        (Err(Problem::Key(MasterKeyError::Missing(_))), KeyPlace::PassphraseFile(_)) => {
            new_passphrase().map(MasterSecret::Passphrase)
        }
        (outcome, _) => Ok(outcome?),
    }
}

/// A fresh key in a new file.
pub(super) fn generate(path: &Path) -> Result<MasterKey, Failure> {
    let fresh = MasterKey::generate();
    let unwritable = |error| {
        Failure::user(format!(
            "cannot write `{}`: {error}\n\n\
             hint: the new master key goes there; make its directory, and let the user that runs keywayd write in it",
            path.display()
        ))
    };
    fresh.store_new(path).map_err(unwritable)?;
    Ok(fresh)
}

/// A passphrase that somebody chooses now.
pub(super) fn new_passphrase() -> Result<SecretText, Failure> {
    password::choose("Passphrase of the master key: ")
}

/// The source in the settings.
pub(super) fn place(settings: &Settings) -> KeyPlace {
    match settings.master_key.source() {
        KeySource::File(path) => KeyPlace::File(path.to_owned()),
        KeySource::Credential(name) => KeyPlace::Credential(name.to_owned()),
        KeySource::PassphraseFile(path) => KeyPlace::PassphraseFile(path.to_owned()),
        KeySource::Variable(name) => KeyPlace::Variable(name.to_owned()),
    }
}

/// The key file, if the key is in one.
pub(super) fn key_file(settings: &Settings) -> Option<PathBuf> {
    match place(settings) {
        KeyPlace::File(path) => Some(path),
        _ => None,
    }
}

/// Why there is no secret.
pub(super) enum Problem {
    Key(MasterKeyError),
    Unset(String),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Key(error) => Self::user(error),
            Problem::Unset(message) => Self::user(message),
        }
    }
}

impl From<MasterKeyError> for Problem {
    fn from(error: MasterKeyError) -> Self {
        Self::Key(error)
    }
}

/// What lies at `place`.
pub(super) fn read(place: &KeyPlace) -> Result<MasterSecret, Problem> {
    match place {
        KeyPlace::File(path) => Ok(MasterSecret::Key(MasterKey::load(path)?)),
        KeyPlace::PassphraseFile(path) => Ok(MasterSecret::load_passphrase(path)?),
        KeyPlace::Credential(name) => {
            let unset = || {
                Problem::Unset(format!(
                    "the master key is the credential `{name}`, but there are no credentials here\n\n\
                     hint: the service manager gives them (`LoadCredential=`, `LoadCredentialEncrypted=`); for a \
                     single command, set ${CREDENTIALS_DIRECTORY} or use `systemd-run --property=LoadCredential=…`"
                ))
            };
            let directory = variable(CREDENTIALS_DIRECTORY).ok_or_else(unset)?;
            Ok(MasterSecret::Key(MasterKey::load_credential(&Path::new(&directory).join(name))?))
        }
        KeyPlace::Variable(name) => {
            let text = variable(name)
                .ok_or_else(|| Problem::Unset(format!("the master key's variable `{name}` is not set")))?;
            Ok(MasterSecret::Key(MasterKey::from_text(
                &format!("the variable `{name}`"),
                &SecretText::new(text),
            )?))
        }
    }
}

fn asks(settings: &Settings) -> bool {
    matches!(place(settings), KeyPlace::PassphraseFile(_)) && io::stdin().is_terminal()
}

#[expect(clippy::disallowed_methods, reason = "the source is a variable, whose name is a setting")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
