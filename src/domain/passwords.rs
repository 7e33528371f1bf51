//! Passwords of local accounts. Hashing takes 19 MiB and tens of milliseconds on
//! purpose, so it is put aside, and only a few at a time: a storm of sign-ins queues
//! instead of eating the memory, and is turned away when the queue has become longer than
//! anybody would wait. Whoever is turned away hears of it a moment later.

use super::operator::account_lookup;
use super::{Error, ErrorKind, Result, Services};
use crate::base::ids::UserId;
use crate::base::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use crate::base::{AccountName, Aside, SecretText};
use crate::crypto::{HashMemory, PasswordHash};
use crate::store::records::Account;
use crate::store::tables::{USER_NAMES, USERS};
use crate::store::{StoreError, View};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Most hashes at one time.
const AT_ONCE: usize = 2;
/// Sign-ins that are checked or wait to be: a few seconds' worth.
const IN_LINE: usize = 64;
/// When to come back if there are more.
const COME_BACK: Duration = Duration::from_secs(5);
/// How long it takes to be told so: those who do not care could else ask ten thousand
/// times a second, with a hundred connections.
const MOMENT: Duration = Duration::from_millis(250);

pub(super) struct Passwords {
    hashing: Aside,
    /// What the hashes were worked out in; never more than run at one time.
    memory: Arc<Mutex<Vec<HashMemory>>>,
    line: Semaphore,
    /// Passwords checked so far.
    #[cfg(test)]
    pub(super) checked: std::sync::atomic::AtomicU32,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            hashing: Aside::new(AT_ONCE),
            memory: Arc::default(),
            line: Semaphore::new(IN_LINE),
            #[cfg(test)]
            checked: std::sync::atomic::AtomicU32::default(),
        }
    }
}

impl Passwords {
    async fn check(&self, hash: PasswordHash, password: SecretText) -> Result<Option<PasswordHash>> {
        let Ok(_place) = self.line.try_acquire() else {
            sleep(MOMENT).await;
            return Err(Error {
                retry_after: Some(COME_BACK),
                ..Error::new(ErrorKind::Unavailable, "too many people are signing in at once; try again")
            });
        };
        #[cfg(test)]
        self.checked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.run(move |memory| hash.matches(&password, memory).then_some(hash)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T> {
        let kept = Arc::clone(&self.memory);
        let work = move || {
            let mut memory = lock(&kept).pop().unwrap_or_default();
            let done = work(&mut memory);
            lock(&kept).push(memory);
            done
        };
        self.hashing.run(work).await.map_err(Error::internal)
    }
}

fn lock(memory: &Mutex<Vec<HashMemory>>) -> MutexGuard<'_, Vec<HashMemory>> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Services {
    /// Checks the rules for new passwords.
    ///
    /// # Errors
    /// Invalid.
    pub fn check_new_password(password: &SecretText) -> Result<()> {
        if password.expose().chars().count() < PASSWORD_CHARS_MIN {
            return Err(Error::invalid(
                "password",
                format!("must have at least {PASSWORD_CHARS_MIN} characters"),
            ));
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(Error::invalid("password", format!("must have at most {PASSWORD_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    /// Hashes a new password after checking that it is one.
    pub(super) async fn hash_password(&self, password: SecretText) -> Result<PasswordHash> {
        Self::check_new_password(&password)?;
        self.0.passwords.run(move |memory| PasswordHash::of(&password, memory)).await
    }

    /// Whose name and password these are, and the hash that says so. An unknown name, and
    /// what is no name at all, costs the same hash as a known one.
    ///
    /// # Errors
    /// Unavailable when too many sign in at once. A wrong password is `None`.
    pub(super) async fn check_password(
        &self,
        name: Option<&AccountName>,
        password: SecretText,
    ) -> Result<Option<(UserId, PasswordHash)>> {
        let known = match name {
            Some(name) => self.store().read(|view| local_account(view, name))?,
            None => None,
        };
        let (id, hash) = match known {
            Some((id, Some(hash))) => (Some(id), hash),
            _ => (None, PasswordHash::of_nobody()),
        };
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(None);
        }
        let matching = self.0.passwords.check(hash, password).await?;
        Ok(id.zip(matching))
    }
}

fn local_account(
    view: View<'_>,
    name: &AccountName,
) -> Result<Option<(UserId, Option<PasswordHash>)>, StoreError> {
    let Some(id) = view.find(&USER_NAMES, account_lookup(view, name))? else { return Ok(None) };
    let user = view.find(&USERS, id)?.filter(|user| !user.disabled);
    Ok(user.and_then(|user| match user.account {
        Account::Local { password, .. } => Some((user.id, password)),
        Account::GitHub { .. } => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_storm_is_turned_away() {
        let passwords = Passwords::default();
        let storm = u32::try_from(IN_LINE).unwrap();
        let all = passwords.line.try_acquire_many(storm).unwrap();
        let password = || SecretText::new("correct horse".to_owned());
        let refused = passwords.check(PasswordHash::of_nobody(), password()).await.err().unwrap();
        assert_eq!((refused.kind, refused.retry_after), (ErrorKind::Unavailable, Some(COME_BACK)));
        drop(all);
        assert!(passwords.check(PasswordHash::of_nobody(), password()).await.unwrap().is_none());
    }
}
