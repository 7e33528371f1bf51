//! `keywayd backup`, `restore`, `verify` and `compact`.

use super::desk::Desk;
use super::{data, load, master};
use crate::base::{Clock, SystemClock, Timestamp};
use crate::cli::admin::Request;
use crate::cli::output::{self, ProgressLine};
use crate::cli::{Failure, admin, args, socket, upkeep};
use crate::config::Settings;
use crate::domain::Error;
use crate::domain::upkeep::{LivingKey, Pace, Watch, living_keys};
use crate::store::{BackupFile, DataDir, DataDirLock, OpenStoreError};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// `keywayd backup`
pub(super) fn backup(asked: args::Backup) -> Result<(), Failure> {
    // The server has another working directory.
    let file = std::path::absolute(&asked.file)
        .map_err(|error| Failure::user(format!("cannot use `{}`: {error}", asked.file.display())))?;
    let loaded = load(&asked.place.overrides())?;
    let reply = Desk::of(&loaded.settings)?.ask(Request::Upkeep(upkeep::Request::Backup { file }))?;
    admin::show(&reply, asked.json)
}

/// `keywayd verify`
pub(super) fn verify(asked: args::Verify) -> Result<(), Failure> {
    let settings = load(&asked.place.overrides())?.settings;
    let dir = data::directory(&settings);
    data::become_owner(&dir)?;
    let (line, pace) = watched();
    let request = Request::Upkeep(upkeep::Request::Verify);
    let reply = match socket::ask(dir.path(), &request, &mut |progress| line.show(progress)) {
        Some(answer) => answer?,
        None => {
            let _lock = data::lock(&dir)?;
            let findings = stored(&dir, &settings)?.verify(&pace).map_err(failed)?;
            admin::Reply::Upkeep(upkeep::Reply::Verified(findings))
        }
    };
    line.clear();
    admin::show(&reply, asked.json)
}

/// `keywayd compact`
pub(super) fn compact(asked: &args::Compact) -> Result<(), Failure> {
    let settings = load(&asked.place.overrides())?.settings;
    let dir = data::directory(&settings);
    data::become_owner(&dir)?;
    let lock = alone(&dir, "compact")?;
    let before = fs::metadata(dir.database()).map_or(0, |about| about.len());
    let (line, pace) = watched();
    let mut stored = stored(&dir, &settings)?;
    require_sound(&mut stored, &dir.database(), &pace)?;
    let after = stored.rewrite(&dir, &lock, &pace).map_err(failed)?;
    line.clear();
    output::words(&format!(
        "{} records; the file had {} and has {} now",
        after.records,
        upkeep::size(before),
        upkeep::size(after.bytes)
    ));
    Ok(())
}

/// `keywayd restore`
pub(super) fn restore(asked: &args::Restore) -> Result<(), Failure> {
    let settings = load(&asked.place.overrides())?.settings;
    let dir = data::directory(&settings);
    dir.create().map_err(Failure::user)?;
    data::become_owner(&dir)?;
    let lock = alone(&dir, "restore")?;
    let there = dir.has_database().map_err(Failure::user)?;
    if there && !asked.force {
        return Err(Failure::user(format!(
            "`{}` holds a database already; nothing was changed\n\n\
             hint: `--force` puts the backup in its place and keeps it under another name",
            dir.path().display()
        )));
    }
    let secret = master::secret(&settings)?;
    let (line, pace) = watched();
    let mut backup = BackupFile::open(&asked.file, &secret).map_err(Failure::user)?;
    require_sound(&mut backup, &asked.file, &pace)?;

    let now = SystemClock.now();
    let in_backup = backup.read(|view| living_keys(view, now))?;
    let until_now = if there { BackupFile::open(&dir.database(), &secret).ok() } else { None };
    let until_now = until_now.and_then(|stored| stored.read(|view| living_keys(view, now)).ok());
    let replace = asked.force.then(|| stamp(now));
    let installed = backup.install(&dir, &lock, replace.as_deref(), &pace).map_err(failed)?;
    line.clear();

    super::serve::runtime()?.block_on(async {
        let services = data::open(&settings, lock, None)?;
        services.note_restored(&asked.file).await?;
        services.close().await;
        Ok::<_, Failure>(())
    })?;
    output::words(&format!("restored {} records from `{}`", installed.records, asked.file.display()));
    if let Some(aside) = installed.replaced {
        output::words(&format!("the database that was there is `{}` now", aside.display()));
    }
    output::words("all sessions have ended; everybody signs in again");
    tell_keys(
        &in_backup.iter().map(|(_, key)| key).collect::<Vec<_>>(),
        until_now.map(|known| {
            let again = |(id, _): &&(_, LivingKey)| !known.iter().any(|(other, _)| other == id);
            in_backup.iter().filter(again).map(|(_, key)| key).collect::<Vec<_>>()
        }),
    );
    Ok(())
}

/// Lists API keys that open something again though they did not before, or, when that
/// is not known, all that open something.
fn tell_keys(living: &[&LivingKey], again: Option<Vec<&LivingKey>>) {
    let (words, keys) = match &again {
        Some(again) if again.is_empty() => {
            output::words("no API key lives again that had been revoked or deleted");
            return;
        }
        Some(again) => {
            ("these API keys live again; revoke those that were revoked before:", again.as_slice())
        }
        None if living.is_empty() => return,
        None => ("these API keys are valid; revoke those that were revoked since the backup:", living),
    };
    output::words(words);
    for key in keys {
        let end = key.expires_at.map_or("does not expire".to_owned(), |end| format!("until {end}"));
        output::data(&format!("{}…  {}  {}  {end}", key.prefix, key.user, key.name));
    }
}

/// Takes the data directory, which a running server has.
fn alone(dir: &DataDir, command: &str) -> Result<DataDirLock, Failure> {
    dir.lock().map_err(|error| match error {
        OpenStoreError::InUse(path) => Failure::user(format!(
            "`{command}` needs the data for itself, but a server runs in `{}`\n\n\
             hint: stop the server, run `keywayd {command}` again, start the server",
            path.display()
        )),
        other => Failure::user(other),
    })
}

/// The database, to be looked at.
fn stored(dir: &DataDir, settings: &Settings) -> Result<BackupFile, Failure> {
    if !dir.has_database().map_err(Failure::user)? {
        return Err(Failure::user(OpenStoreError::Missing(dir.path().to_owned())));
    }
    BackupFile::open(&dir.database(), &master::secret(settings)?).map_err(Failure::user)
}

fn require_sound(file: &mut BackupFile, path: &Path, pace: &Pace) -> Result<(), Failure> {
    let findings = file.verify(pace).map_err(failed)?;
    if findings.is_sound() {
        return Ok(());
    }
    findings.problems.iter().for_each(|problem| output::words(problem));
    Err(Failure::user(format!(
        "`{}` is not sound, {}; nothing was changed\n\nhint: take an older backup",
        path.display(),
        findings.count()
    )))
}

fn watched() -> (Arc<ProgressLine>, Pace) {
    let line: Arc<ProgressLine> = Arc::default();
    let shown = Arc::clone(&line);
    let watch = Watch::new(move |progress| {
        shown.show(progress);
        ControlFlow::Continue(())
    });
    (line, watch.at_full_speed())
}

/// The time in a form for file names: `20260115T100000Z`.
pub(super) fn stamp(now: Timestamp) -> String {
    let text = now.to_string();
    let whole = text.split('.').next().unwrap_or(&text);
    whole.chars().filter(|c| !matches!(c, '-' | ':')).chain(['Z']).collect()
}

fn failed(error: crate::store::FileError) -> Failure {
    Failure::from(Error::from(error))
}
