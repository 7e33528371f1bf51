//! What keeps an appliance alive: backups, verification, the rotation of its keys.
//! Asked for by the machine's operator or by the server's own timetable, never by a client.

use super::activity::operator_entry;
use super::{Error, ErrorKind, Result, Services};
use crate::base::{SecretText, Timestamp};
use crate::crypto::{MasterKey, MasterLabel, MasterSecret};
use crate::store::records::{Action, Entry};
use crate::store::tables::{API_KEYS, USERS};
use crate::store::{FileError, RotateError, Span, StoreError, View};
pub use crate::store::{Findings, Pace, Progress, Watch};
use serde::{Deserialize, Serialize};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Shortest passphrase for a master key or an archive: who has the file can try as many as they like.
pub const PASSPHRASE_CHARS_MIN: usize = 16;

/// A backup that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The file.
    pub path: PathBuf,
    /// Its length, in bytes.
    pub bytes: u64,
    /// How many records it holds; all of them were opened after writing.
    pub records: u64,
}

/// How it stands with backups, since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupState {
    /// When the last good one was taken, also by an earlier run of the server.
    pub last_good: Option<Timestamp>,
    /// Its length, in bytes, if it was taken by this run.
    pub last_bytes: Option<u64>,
    /// How many attempts failed since the last good one.
    pub failures: u64,
}

/// A new master key on its way to the store.
#[derive(Serialize, Deserialize)]
pub enum NewMasterKey {
    /// The key, as 64 hexadecimal digits.
    Key(#[serde(with = "crate::base::secret::exposed")] SecretText),
    /// A passphrase to derive it from.
    Passphrase(#[serde(with = "crate::base::secret::exposed")] SecretText),
}

/// An API key that opens something: neither revoked nor expired nor its owner's account disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingKey {
    /// The first characters of its token.
    pub prefix: String,
    /// What its owner calls it.
    pub name: String,
    /// The owner's login.
    pub user: String,
    /// Until when it lives, if it ends.
    pub expires_at: Option<Timestamp>,
}

/// What this room remembers while it runs.
#[derive(Default)]
pub(super) struct Upkeep {
    backing_up: tokio::sync::Mutex<()>,
    backups: Mutex<BackupState>,
}

impl Services {
    /// Takes a backup to a new file at `path` while serving, and verifies it.
    ///
    /// # Errors
    /// Conflict, when the file exists or another backup is under way; unavailable when
    /// the disk refuses; internal when what is to be copied is damaged.
    pub async fn backup(&self, path: PathBuf, pace: Pace) -> Result<BackupReport> {
        let Ok(_only) = self.0.upkeep.backing_up.try_lock() else {
            return Err(Error::conflict("another backup is under way; wait for it"));
        };
        let (begun, services, file) = (self.now(), self.clone(), path.clone());
        let outcome = tokio::task::spawn_blocking(move || services.store().backup(&file, &pace))
            .await
            .unwrap_or_else(|_| Err(StoreError::Panicked.into()))
            .map_err(Error::from);
        let mut state = self.backup_state();
        match &outcome {
            Ok(made) => {
                state = BackupState { last_good: Some(begun), last_bytes: Some(made.bytes), failures: 0 };
            }
            Err(_) => state.failures += 1,
        }
        self.set_backup_state(state);
        let made = outcome?;
        let note = operator_entry(self.now(), Action::BackupTaken);
        self.note(note.regarding(path.display().to_string())).await?;
        Ok(BackupReport { path, bytes: made.bytes, records: made.records })
    }

    /// How it stands with backups.
    #[must_use]
    pub fn backup_state(&self) -> BackupState {
        *self.0.upkeep.backups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is known about backups from before this run.
    pub fn set_backup_state(&self, state: BackupState) {
        *self.0.upkeep.backups.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Opens every record and follows every reference.
    ///
    /// # Errors
    /// If the store cannot be read, or the work is called off.
    pub async fn verify(&self, pace: Pace) -> Result<Findings> {
        let services = self.clone();
        let findings = tokio::task::spawn_blocking(move || services.store().verify(&pace)).await;
        Ok(findings.unwrap_or(Err(StoreError::Panicked))?)
    }

    /// Adds a master key; until [`Services::drop_older_master_keys`] or a start with the
    /// new one, the old one goes on opening the data. Answers what the new one is called.
    ///
    /// # Errors
    /// Invalid for a key that is none; conflict for one that opens the data already.
    pub async fn add_master_key(&self, new: NewMasterKey) -> Result<String> {
        let secret = new.read()?;
        let label = self.store().add_master(secret, self.key_note("a new master key")).await?;
        Ok(label.to_string())
    }

    /// Makes the newest master key the only one.
    ///
    /// # Errors
    /// Conflict when this process does not know the newest.
    pub async fn drop_older_master_keys(&self) -> Result<String> {
        Ok(self.store().drop_older_masters().await?.to_string())
    }

    /// What the master key is called that opens the data.
    pub async fn master_key(&self) -> Option<String> {
        self.store().master().await.as_ref().map(MasterLabel::to_string)
    }

    /// What a master key is called that the data is being changed to, while this process
    /// runs with the one before.
    pub async fn awaited_master_key(&self) -> Option<String> {
        self.store().awaited_master().await.as_ref().map(MasterLabel::to_string)
    }

    /// Makes a new root key and a new session key, and seals vault keys anew.
    ///
    /// # Errors
    /// Conflict when another rotation is under way.
    pub async fn rotate_root_key(&self, pace: Pace) -> Result<u32> {
        Ok(self.store().rotate_root(self.key_note("a new root key and session key"), &pace).await?)
    }

    /// Gives vaults new keys and seals every record anew; goes on where it stopped before.
    ///
    /// # Errors
    /// Conflict when another rotation is under way.
    pub async fn reseal(&self, pace: Pace) -> Result<()> {
        Ok(self.store().reseal(self.key_note("new vault keys, every record sealed anew"), &pace).await?)
    }

    /// Whether sealing anew was begun and is not finished.
    ///
    /// # Errors
    /// If the store fails.
    pub fn is_resealing(&self) -> Result<bool> {
        Ok(self.store().is_resealing()?)
    }

    /// Notes in the audit log that a backup was put in the database's place.
    ///
    /// # Errors
    /// If the write fails.
    pub async fn note_restored(&self, file: &Path) -> Result<()> {
        let note = operator_entry(self.now(), Action::BackupRestored);
        self.note(note.regarding(file.display().to_string())).await
    }

    fn key_note(&self, what: &str) -> Entry {
        operator_entry(self.now(), Action::KeysRotated).regarding(what.to_owned())
    }
}

impl NewMasterKey {
    fn read(&self) -> Result<MasterSecret> {
        match self {
            Self::Key(text) => {
                let key = MasterKey::from_text("the new place", text);
                key.map(MasterSecret::Key).map_err(|problem| Error::invalid("key", problem))
            }
            Self::Passphrase(words) if words.expose().chars().count() < PASSPHRASE_CHARS_MIN => {
                let least =
                    format!("must have at least {PASSPHRASE_CHARS_MIN} characters; a few random words do");
                Err(Error::invalid("passphrase", least))
            }
            Self::Passphrase(words) => Ok(MasterSecret::Passphrase(words.clone())),
        }
    }
}

impl std::fmt::Debug for NewMasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// All API keys that open something at `now`, by owner and name.
///
/// # Errors
/// If the store fails.
pub fn living_keys(view: View<'_>, now: Timestamp) -> Result<Vec<(crate::base::ids::ApiKeyId, LivingKey)>> {
    let mut keys = Vec::new();
    view.scan(&API_KEYS, &Span::all(), |id, key| {
        let ended = key.revoked_at.is_some() || key.expires_at.is_some_and(|end| end <= now);
        if !ended && let Some(user) = view.find(&USERS, key.user)?.filter(|user| !user.disabled) {
            let user = user.username().to_owned();
            let living = LivingKey { prefix: key.prefix, name: key.name, user, expires_at: key.expires_at };
            keys.push((id, living));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    keys.sort_by(|(_, a), (_, b)| (&a.user, &a.name).cmp(&(&b.user, &b.name)));
    Ok(keys)
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Store(error) => error.into(),
            FileError::Exists(_) => Self::conflict(error.to_string()),
            FileError::Write(_, ref cause) => {
                Self::new(ErrorKind::Unavailable, format!("{error}{}", place_hint(cause)))
            }
            FileError::Full(_) | FileError::Open(_) => Self::new(ErrorKind::Unavailable, error.to_string()),
            FileError::Unsound { .. } | FileError::Incomplete { .. } => Self::internal(error),
        }
    }
}

/// What may be wrong with the place of a file.
fn place_hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => "\n\nhint: make its directory first",
        io::ErrorKind::PermissionDenied => {
            "\n\nhint: the user that runs keywayd writes it; let that user write there, or name another place"
        }
        _ => "",
    }
}

impl From<RotateError> for Error {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Store(error) => error.into(),
            other => Self::conflict(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
