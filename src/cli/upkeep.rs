//! The commands that take care of the data itself, as data: backups, verification, keys.
//! They take long, so they tell how far they are.

use super::output::{self, Failure};
use crate::domain::Services;
use crate::domain::upkeep::{BackupReport, Findings, NewMasterKey, Pace};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Take a backup.
    Backup {
        /// To this file, an absolute path.
        file: PathBuf,
    },
    /// Open every record and follow every reference.
    Verify,
    /// Add a master key.
    AddMasterKey(NewMasterKey),
    /// Let the newest master key be the only one.
    DropOlderMasterKeys,
    /// Make a new root key.
    RotateRootKey,
    /// Seal every record anew.
    Reseal,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// A backup.
    Backup(BackupReport),
    /// What was found.
    Verified(Findings),
    /// What the master key is called.
    MasterKey(String),
    /// The root key's generation.
    RootKey(u32),
    /// Every record is sealed anew.
    Resealed,
}

impl Request {
    /// Whether it goes on when whoever asked for it goes away.
    #[must_use]
    pub const fn outlives_its_caller(&self) -> bool {
        matches!(self, Self::Reseal | Self::RotateRootKey)
    }
}

/// Does what is asked.
///
/// # Errors
/// What the services answer.
pub async fn execute(services: &Services, request: Request, pace: Pace) -> Result<Reply, Failure> {
    Ok(match request {
        Request::Backup { file } => Reply::Backup(services.backup(file, pace).await?),
        Request::Verify => Reply::Verified(services.verify(pace).await?),
        Request::AddMasterKey(new) => Reply::MasterKey(services.add_master_key(new).await?),
        Request::DropOlderMasterKeys => Reply::MasterKey(services.drop_older_master_keys().await?),
        Request::RotateRootKey => Reply::RootKey(services.rotate_root_key(pace).await?),
        Request::Reseal => {
            services.reseal(pace).await?;
            Reply::Resealed
        }
    })
}

/// Shows what came of it.
///
/// # Errors
/// If something that was looked at is not sound.
pub fn show(reply: &Reply, json: bool) -> Result<(), Failure> {
    match reply {
        Reply::Backup(made) if json => output::json(made)?,
        Reply::Backup(made) => output::words(&format!(
            "backed up to `{}`: {} records, {}, verified\n\
             it opens with the master key of today only: keep that in another place",
            made.path.display(),
            made.records,
            size(made.bytes)
        )),
        Reply::Verified(findings) if json => {
            output::json(findings)?;
            sound(findings)?;
        }
        Reply::Verified(findings) => {
            findings.problems.iter().for_each(|problem| output::words(problem));
            sound(findings)?;
            output::words(&format!(
                "{} records, every one opens and every reference holds",
                findings.records
            ));
        }
        Reply::MasterKey(label) => output::words(&format!("the data opens with {label}")),
        Reply::RootKey(generation) => output::words(&format!(
            "root key {generation} seals what is written from now on; vault keys are sealed anew, \
             and everybody has to sign in again"
        )),
        Reply::Resealed => {
            output::words("every record is sealed anew; the keys before are gone from the keyring")
        }
    }
    Ok(())
}

fn sound(findings: &Findings) -> Result<(), Failure> {
    if findings.is_sound() {
        return Ok(());
    }
    let hint = "keep the data as it is, and restore the newest good backup";
    Err(Failure::user(format!("the data is not sound, {}\n\nhint: {hint}", findings.count())))
}

/// A number of bytes for people.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes.div_ceil(1_024)),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}
