//! Opening the data: as the right user, under the lock, with the right key.

use super::master;
use super::outside::Outside;
use crate::base::SystemClock;
use crate::cli::Failure;
use crate::config::{AuditReads, Settings};
use crate::domain::{self, ForgeSettings, ReadAudit, Services, SignInSettings};
use crate::store::{DataDir, DataDirLock, OpenStoreError, Store};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The data directory of these settings.
pub(super) fn directory(settings: &Settings) -> DataDir {
    DataDir::at(settings.storage.data_dir.clone())
}

/// Run as root, becomes the owner of the data directory for good, so that nothing is
/// left behind that the service cannot open.
pub(super) fn become_owner(dir: &DataDir) -> Result<(), Failure> {
    let Ok(about) = fs::metadata(dir.path()) else { return Ok(()) };
    if !Uid::effective().is_root() || about.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(about.uid()), Gid::from_raw(about.gid()));
    setgroups(&[group]).and_then(|()| setgid(group)).and_then(|()| setuid(user)).map_err(|error| {
        Failure::ours(format!("cannot become user {user}, who owns `{}`: {error}", dir.path().display()))
    })
}

/// Opens existing data. `None` for commands of the operator, in which nobody outside is
/// asked for roles.
pub(super) fn open(
    settings: &Settings,
    lock: DataDirLock,
    outside: Option<Outside>,
) -> Result<Services, Failure> {
    let dir = directory(settings);
    expect(&dir)?;
    let master = master::secret(settings)?;
    close_to_others(&dir)?;
    let store = Store::open(&dir, lock, &master, settings.storage.cache_bytes.as_usize()).map_err(refused)?;
    services(store, settings, outside)
}

/// Whether there is a database.
pub(super) fn expect(dir: &DataDir) -> Result<(), Failure> {
    if dir.has_database().map_err(refused)? {
        Ok(())
    } else {
        Err(refused(OpenStoreError::Missing(dir.path().to_owned())))
    }
}

/// Makes the data of a new appliance, and its key file unless there is one.
pub(super) fn create(settings: &Settings, outside: Option<Outside>) -> Result<Services, Failure> {
    let dir = directory(settings);
    dir.create().map_err(refused)?;
    become_owner(&dir)?;
    let lock = dir.lock().map_err(refused)?;
    if dir.has_database().map_err(refused)? {
        return Err(refused(OpenStoreError::Exists(dir.path().to_owned())));
    }
    close_to_others(&dir)?;
    let master = master::secret_for_new_data(settings)?;
    let store =
        Store::create(&dir, lock, &master, settings.storage.cache_bytes.as_usize()).map_err(refused)?;
    services(store, settings, outside)
}

/// Takes the data directory for this process.
pub(super) fn lock(dir: &DataDir) -> Result<DataDirLock, Failure> {
    dir.lock().map_err(refused)
}

fn services(store: Store, settings: &Settings, outside: Option<Outside>) -> Result<Services, Failure> {
    let rules = rules(settings);
    let outside = match outside {
        Some(outside) => outside,
        None => Outside::without_forge(settings)?,
    };
    Ok(Services::new(store, Arc::new(SystemClock), rules, outside.forge, outside.integrations))
}

fn rules(settings: &Settings) -> domain::Settings {
    domain::Settings {
        default_environments: settings.vaults.default_environments.clone(),
        versions_kept: u64::from(settings.secrets.versions_kept),
        trash_days: u64::from(settings.secrets.trash_days),
        value_limit_bytes: settings.secrets.value_limit_bytes.as_usize(),
        environment_limit_bytes: settings.secrets.environment_limit_bytes.as_usize(),
        read_audit: match settings.audit.reads {
            AuditReads::Durable => ReadAudit::Durable,
            AuditReads::Relaxed => ReadAudit::Relaxed,
        },
        audit_days: u64::from(settings.audit.retention_days),
        sign_in: sign_in_rules(settings),
        forge: forge_rules(settings),
    }
}

fn sign_in_rules(settings: &Settings) -> SignInSettings {
    let (secs, days) = (|secs: u32| Duration::from_secs(secs.into()), settings.auth.session_days);
    SignInSettings {
        issuer: settings.server.public_url.as_str().to_owned(),
        local_accounts: settings.identity.local.enabled,
        session: Duration::from_secs(u64::from(days) * 24 * 3_600),
        device_code: secs(settings.auth.device_code_secs),
        device_poll: secs(settings.auth.device_poll_secs),
        redirect_origins: settings.server.redirect_origins.iter().map(ToString::to_string).collect(),
    }
}

fn forge_rules(settings: &Settings) -> ForgeSettings {
    let (github, secs) = (&settings.identity.github, |secs: u32| Duration::from_secs(secs.into()));
    ForgeSettings {
        connected: github.enabled,
        allowed_owners: github.allowed_owners.clone(),
        role_cache: secs(github.role_cache_secs),
        stale_grace: secs(github.stale_grace_secs),
        webhook_secret: github.webhook_secret.clone(),
    }
}

/// The directory holds a database: nobody else has any business in it.
fn close_to_others(dir: &DataDir) -> Result<(), Failure> {
    let closed = |path: &Path| {
        let mode = fs::metadata(path)?.mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, Permissions::from_mode(0o700))?;
        }
        Ok::<_, std::io::Error>(())
    };
    closed(dir.path()).map_err(|error| {
        Failure::user(format!("cannot close `{}` to other users: {error}", dir.path().display()))
    })
}

fn refused(error: OpenStoreError) -> Failure {
    Failure::user(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appliance_without_a_configuration_does_what_the_rooms_do_by_themselves() {
        assert_eq!(rules(&Settings::default()), domain::Settings::default());
    }
}
