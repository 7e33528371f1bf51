//! `keywayd key rotate`. The new master key is laid where it belongs, then opens the
//! data beside the old one, and only when it is certain to be found does the old one stop
//! opening it: at no moment is there a key missing, whatever is cut off where.

use super::desk::Desk;
use super::{load, master};
use crate::cli::args::{KeyPlace, KeyRotate};
use crate::cli::upkeep::{Reply, Request, show};
use crate::cli::{Failure, output};
use crate::crypto::{MasterKey, MasterSecret};
use crate::domain::upkeep::NewMasterKey;
use crate::store::{sync_parent, with_suffix};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// `keywayd key rotate`
pub(super) fn rotate(asked: &KeyRotate) -> Result<(), Failure> {
    let settings = load(&asked.place.overrides())?.settings;
    let mut desk = Desk::of(&settings)?;
    match &asked.to {
        Some(place) => move_to(place, &mut desk)?,
        None => replace(&master::place(&settings), &mut desk)?,
    }
    if asked.root {
        show(&desk.upkeep(Request::RotateRootKey)?, false)?;
    }
    if asked.data {
        show(&desk.upkeep(Request::Reseal)?, false)?;
        output::words(
            "what is gone from the data stays in free space of the file until `keywayd compact`, and in old backups",
        );
    }
    Ok(())
}

/// Puts a new master key in the old one's place.
fn replace(place: &KeyPlace, desk: &mut Desk<'_>) -> Result<(), Failure> {
    match place {
        KeyPlace::File(path) => {
            let old = MasterKey::load(path).map_err(Failure::user)?;
            let fresh = MasterKey::generate();
            let new = with_suffix(path, ".new");
            clear(&new)?;
            let laid = fresh.store_new(&new).map_err(|error| unwritable(&new, &error));
            let added = laid.and_then(|()| add(NewMasterKey::Key(fresh.to_text()), desk));
            // The old key opens the data still, so a new one that came to nothing may go.
            added.inspect_err(|_| drop(fs::remove_file(&new)))?;
            let id = MasterSecret::Key(old).id().map(|id| id.to_string()).unwrap_or_default();
            let kept = with_suffix(path, &format!(".{id}"));
            exchange(path, &new, &kept)?;
            show(&desk.upkeep(Request::DropOlderMasterKeys)?, false)?;
            output::words(&format!(
                "it is in `{}`: keep a copy in another place\nthe one before is `{}`; older backups need it",
                path.display(),
                kept.display()
            ));
        }
        KeyPlace::PassphraseFile(path) => {
            let words = master::new_passphrase()?;
            let new = with_suffix(path, ".new");
            let in_file = path.exists();
            if in_file {
                clear(&new)?;
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
                file.and_then(|mut file| {
                    file.write_all(words.expose().as_bytes())?;
                    file.write_all(b"\n")?;
                    file.sync_all()
                })
                .map_err(|error| unwritable(&new, &error))?;
            }
            add(NewMasterKey::Passphrase(words), desk).inspect_err(|_| drop(fs::remove_file(&new)))?;
            if in_file {
                fs::rename(&new, path)
                    .and_then(|()| sync_parent(path))
                    .map_err(|error| unwritable(path, &error))?;
            }
            show(&desk.upkeep(Request::DropOlderMasterKeys)?, false)?;
            output::words("remember the passphrase before as well: older backups need it");
        }
        KeyPlace::Credential(_) | KeyPlace::Variable(_) => {
            return Err(Failure::user(
                "the master key comes from a place that keywayd cannot write\n\n\
                 hint: make a new key (`openssl rand -hex 32`), put it into another credential or variable, and \
                 name that with `--to credential:NAME` or `--to env:NAME`",
            ));
        }
    }
    Ok(())
}

/// Adds the master key at another place; the old one goes on opening the data until
/// keywayd is started with the new one.
fn move_to(place: &KeyPlace, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let new = match place {
        KeyPlace::File(path) if !path.exists() => {
            let key = master::generate(path)?;
            sync_parent(path).map_err(|error| unwritable(path, &error))?;
            MasterSecret::Key(key)
        }
        KeyPlace::PassphraseFile(path) if !path.exists() => {
            MasterSecret::Passphrase(master::new_passphrase()?)
        }
        place => master::read(place)?,
    };
    let label = add(
        match new {
            MasterSecret::Key(key) => NewMasterKey::Key(key.to_text()),
            MasterSecret::Passphrase(words) => NewMasterKey::Passphrase(words),
        },
        desk,
    )?;
    let (setting, value) = match place {
        KeyPlace::File(path) => ("file", path.display().to_string()),
        KeyPlace::PassphraseFile(path) => ("passphrase_file", path.display().to_string()),
        KeyPlace::Credential(name) => ("credential", name.clone()),
        KeyPlace::Variable(name) => ("env", name.clone()),
    };
    output::words(&format!(
        "{label} opens the data from now on\n\n\
         To finish, put this into the configuration and start keywayd again:\n\n  \
         [master_key]\n  {setting} = \"{value}\"\n\n\
         Until then the key before opens the data too. Keep it: older backups need it."
    ));
    Ok(())
}

fn add(new: NewMasterKey, desk: &mut Desk<'_>) -> Result<String, Failure> {
    match desk.upkeep(Request::AddMasterKey(new))? {
        Reply::MasterKey(label) => Ok(label),
        _ => Err(Failure::ours("adding a master key gave something else")),
    }
}

/// Gives the new key file the old one's name, which goes on under `kept`.
fn exchange(path: &Path, new: &Path, kept: &Path) -> Result<(), Failure> {
    match fs::hard_link(path, kept) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            fs::copy(path, kept).map_err(|error| unwritable(kept, &error))?;
        }
        _ => {}
    }
    sync_parent(path)
        .and_then(|()| fs::rename(new, path))
        .and_then(|()| sync_parent(path))
        .map_err(|error| unwritable(path, &error))
}

/// Removes what an unfinished rotation left: a key that is not the data's only one, for
/// it was never given the name under which keywayd looks.
fn clear(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(path, &error)),
        _ => Ok(()),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::user(format!(
        "cannot write `{}`: {error}\n\nhint: the data opens with the key it opened with before",
        path.display()
    ))
}
