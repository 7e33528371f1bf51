//! `keywayd config check`: the settings, and the files and directories that `serve` opens
//! by them. They are looked at as the user that would serve, and left as they are: what
//! `serve` would make is not made here. What only a running service has is told and not
//! held against the configuration.

use super::{data, load, master};
use crate::base::SystemClock;
use crate::cli::args::KeyPlace;
use crate::cli::{Failure, output};
use crate::config::{Forward, Loaded, Overrides, Problem, Problems};
use crate::crypto::MasterKeyError;
use crate::http::TlsIdentity;
use crate::outbound::read_authorities;
use nix::unistd::{AccessFlags, access};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

const DATA_DIR: &str = "storage.data_dir";
const FORWARD: &str = "audit.forward";
const UNIX_SOCKET: &str = "server.unix_socket";
const AS_WHOM: &str = "let the user that runs keywayd use it; run this as that user or as root";

/// `keywayd config check`
pub(super) fn run(overrides: &Overrides) -> Result<(), Failure> {
    let loaded = load(overrides)?;
    let dir = data::directory(&loaded.settings);
    data::become_owner(&dir)?;
    let has_data = dir.has_database().unwrap_or(false);
    let mut look = Look { loaded: &loaded, has_data, problems: Vec::new(), notes: Vec::new() };
    look.at_data_directory();
    look.at_master_key();
    look.at_certificate();
    look.at_authorities();
    look.at_unix_socket();
    look.at_audit_copy();
    let Look { problems, notes, .. } = look;
    notes.iter().for_each(|note| output::words(&format!("note: {note}")));
    if !problems.is_empty() {
        return Err(Failure::user(Problems::new(problems)));
    }
    let source =
        loaded.file.as_deref().map_or("no file, defaults".to_owned(), |file| file.display().to_string());
    output::words(&format!("the configuration is good ({source})"));
    Ok(())
}

struct Look<'a> {
    loaded: &'a Loaded,
    /// Whether there is a database, which the master key must open.
    has_data: bool,
    problems: Vec<Problem>,
    notes: Vec<String>,
}

impl Look<'_> {
    /// Something that a setting names cannot be used; the error may bring its own hint.
    fn problem(&mut self, setting: &str, error: impl ToString, hint: &str) {
        let text = error.to_string();
        let (cause, hint) = text.split_once("\n\nhint: ").unwrap_or((&text, hint));
        self.problems.push(Problem {
            origin: self.loaded.origin(setting),
            cause: format!("`{setting}`: {cause}"),
            hint: hint.to_owned(),
        });
    }

    fn at_data_directory(&mut self) {
        let dir = &self.loaded.settings.storage.data_dir;
        let shown = dir.display();
        match fs::metadata(dir) {
            Ok(about) if !about.is_dir() => {
                let cause = format!("`{shown}` is no directory");
                self.problem(DATA_DIR, cause, "name a directory for keywayd alone");
            }
            Ok(_) => match usable(dir) {
                Err(error) => self.problem(DATA_DIR, format!("cannot use `{shown}`: {error}"), AS_WHOM),
                Ok(()) if self.loaded.file.is_some() && !self.has_data => self.note_missing_data(),
                Ok(()) => {}
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => match usable(nearest(dir)) {
                Err(error) => self.problem(
                    DATA_DIR,
                    format!(
                        "`{shown}` is not there, and cannot be made in `{}`: {error}",
                        nearest(dir).display()
                    ),
                    "make it, for the user that runs keywayd, or run this as root",
                ),
                Ok(()) if self.loaded.file.is_some() => self.note_missing_data(),
                Ok(()) => {}
            },
            Err(error) => self.problem(DATA_DIR, format!("cannot look at `{shown}`: {error}"), AS_WHOM),
        }
    }

    /// With a configuration, `serve` makes no data: a slip in a path must not look like a
    /// new appliance.
    fn note_missing_data(&mut self) {
        let dir = self.loaded.settings.storage.data_dir.display();
        self.notes.push(format!("there is no database in `{dir}` yet; `keywayd init` makes it"));
    }

    fn at_master_key(&mut self) {
        let place = master::place(&self.loaded.settings);
        let Err(problem) = master::read(&place) else { return };
        if let KeyPlace::File(path) = &place
            && path.parent() == Some(self.loaded.settings.storage.data_dir.as_path())
            && !self.problems.is_empty()
        {
            // What is wrong with the directory has been said.
            return;
        }
        match (&place, problem) {
            (KeyPlace::File(path), master::Problem::Key(MasterKeyError::Missing(_))) if !self.has_data => {
                self.at_directory_of("master_key.file", path);
            }
            (KeyPlace::PassphraseFile(path), master::Problem::Key(MasterKeyError::Missing(_))) => {
                self.notes.push(format!(
                    "`master_key.passphrase_file`: `{}` is not there; keywayd asks for the passphrase on a \
                     terminal, and does not start without one",
                    path.display()
                ));
            }
            (KeyPlace::Credential(name), master::Problem::Unset(_)) => self.notes.push(format!(
                "`master_key.credential`: whether there is a `{name}` is seen when the service manager starts \
                 keywayd"
            )),
            (place, problem) => {
                let setting = match place {
                    KeyPlace::File(_) => "master_key.file",
                    KeyPlace::PassphraseFile(_) => "master_key.passphrase_file",
                    KeyPlace::Credential(_) => "master_key.credential",
                    KeyPlace::Variable(_) => "master_key.env",
                };
                let hint = "without the key the data cannot be read; give it where keywayd starts";
                self.problem(setting, Failure::from(problem).message, hint);
            }
        }
    }

    fn at_certificate(&mut self) {
        let tls = &self.loaded.settings.server.tls;
        let (Some(certificate), Some(key)) = (&tls.cert, &tls.key) else { return };
        if let Err(error) = TlsIdentity::load(certificate, key, Arc::new(SystemClock)) {
            let setting = if error.is_of_the_key() { "server.tls.key" } else { "server.tls.cert" };
            self.problem(setting, error, "get a certificate in PEM, with the chain of its issuers");
        }
    }

    fn at_authorities(&mut self) {
        let Some(path) = &self.loaded.settings.outbound.ca_file else { return };
        if let Err(error) = read_authorities(path) {
            let hint =
                "name a file of certificates in PEM that the user running keywayd can read, or leave it out";
            self.problem("outbound.ca_file", error, hint);
        }
    }

    fn at_unix_socket(&mut self) {
        let Some(path) = &self.loaded.settings.server.unix_socket else { return };
        match fs::symlink_metadata(path) {
            // A server's, or left behind by one.
            Ok(about) if about.file_type().is_socket() => {}
            Ok(_) => {
                let cause = format!("there is another file at `{}`", path.display());
                self.problem(UNIX_SOCKET, cause, "name a path of its own");
            }
            // Directories in /run come with the service, and sockets may be handed to it.
            Err(_) => {
                if let Err(error) = usable(directory_of(path)) {
                    self.notes.push(format!(
                        "`{UNIX_SOCKET}`: this user cannot make `{}` now: {error}; systemd makes `/run/keywayd` \
                         with the service, or the socket by a unit of its own",
                        path.display()
                    ));
                }
            }
        }
    }

    fn at_audit_copy(&mut self) {
        let path = match &self.loaded.settings.audit.forward {
            None => return,
            Some(Forward::Syslog) => {
                if let Err(error) = super::forward::system_log() {
                    self.problem(FORWARD, error.message, "start the machine's system log, or name a file");
                }
                return;
            }
            Some(Forward::File(path)) => path,
        };
        // As it will be opened, but for making it.
        match OpenOptions::new().read(true).append(true).open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.at_directory_of(FORWARD, path),
            Err(error) => {
                self.problem(FORWARD, format!("cannot write `{}`: {error}", path.display()), AS_WHOM)
            }
        }
    }

    /// A file that is to be made wants its directory.
    fn at_directory_of(&mut self, setting: &str, file: &Path) {
        let dir = directory_of(file);
        // The data directory is made by keywayd, and was looked at.
        if dir == self.loaded.settings.storage.data_dir {
            return;
        }
        if let Err(error) = usable(dir) {
            let cause = format!("cannot make `{}`: {error} (`{}`)", file.display(), dir.display());
            self.problem(
                setting,
                cause,
                "make the directory, and let the user that runs keywayd write in it",
            );
        }
    }
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether this user can read, write and enter a directory.
fn usable(dir: &Path) -> io::Result<()> {
    Ok(access(dir, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK)?)
}

/// The directory that is there, of those that lead to `path`.
fn nearest(path: &Path) -> &Path {
    let named = |dir: &&Path| !dir.as_os_str().is_empty();
    path.ancestors().filter(named).find(|dir| dir.exists()).unwrap_or(Path::new("."))
}
