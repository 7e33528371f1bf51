//! Letting a command line in without giving it a password (RFC 8628): it gets a code
//! to poll with and a short one to show; somebody who is signed in types the short
//! one and says yes or no. Both are kept as keyed hashes, and a yes is handed out once.

use super::activity::entry;
use super::attempts::{Neighbourhood, neighbourhood};
use super::auth::check_still_good;
use super::waiting::Waiting;
use super::{Actor, Error, ErrorKind, Origin, Result, Services, SignedIn};
use crate::base::{RepoName, SecretText, Timestamp, random};
use crate::store::records::{Action, DeviceCode, DeviceState};
use crate::store::tables::{DEVICE_CODES, Lookup, USER_CODES, USERS};
use crate::store::{StoreError, View};
use std::net::IpAddr;
use std::time::Duration;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DEVICE_CODE_CHARS: usize = 43;
/// No vowels, so that no code is a word (RFC 8628 §6.1).
const CONSONANTS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const DIGITS: &[u8; 10] = b"0123456789";
/// Most codes one address has outstanding.
const PER_ADDRESS: usize = 20;
/// A poll may come this much early: clocks and networks are not exact.
const FORGIVEN: Duration = Duration::from_secs(1);

/// What a client gets that asks to be let in.
#[derive(Debug)]
pub struct StartedDevice {
    /// What it polls with.
    pub device_code: SecretText,
    /// What it shows.
    pub user_code: SecretText,
    /// How long both are good.
    pub expires_in: Duration,
    /// How long to wait between two polls.
    pub interval: Duration,
}

/// What a client learns that polls.
#[derive(Debug)]
pub enum PolledDevice {
    /// Nobody has said anything yet.
    Pending,
    /// It is in.
    Approved(SignedIn),
    /// It is not let in.
    Denied,
    /// The code is not good, or not any more.
    Expired,
}

/// What somebody sees before they say yes or no.
#[derive(Clone, Debug)]
pub struct DeviceRequest {
    /// The code in its usual form.
    pub user_code: String,
    /// How the client names itself.
    pub user_agent: String,
    /// The repository it named.
    pub repository: Option<RepoName>,
    /// From which address it asks.
    pub address: IpAddr,
    /// Since when.
    pub created_at: Timestamp,
}

/// The codes that are outstanding, and when each was last polled.
pub(super) struct Devices(Waiting<Neighbourhood, Option<Timestamp>>);

impl Default for Devices {
    fn default() -> Self {
        Self(Waiting::new("sign-ins", PER_ADDRESS))
    }
}

impl Devices {
    /// Notes a poll, or says how long the next one has to wait.
    fn poll(
        &self,
        key: Lookup,
        code: &DeviceCode,
        now: Timestamp,
        interval: Duration,
    ) -> Result<(), Duration> {
        self.0.with(key, neighbourhood(code.address), code.expires_at, |polled| {
            let wait = interval.saturating_sub(FORGIVEN);
            match polled.map(|last| now.since(last)) {
                Some(passed) if passed < wait => Err(interval.saturating_sub(passed)),
                _ => {
                    *polled = Some(now);
                    Ok(())
                }
            }
        })
    }
}

impl Services {
    /// Begins: makes a pair of codes.
    ///
    /// # Errors
    /// Rate limited, when too many are outstanding.
    pub async fn start_device(&self, repository: Option<RepoName>, origin: &Origin) -> Result<StartedDevice> {
        let rules = &self.settings().sign_in;
        let (expires_in, interval) = (rules.device_code, rules.device_poll);
        let device_code = SecretText::new(random::text(BASE62, DEVICE_CODE_CHARS));
        let (now, key) = (self.now(), self.device_key(&device_code));
        let expires_at = now.plus(expires_in);
        self.0.devices.0.open(key, neighbourhood(origin.address), now, expires_at)?;
        let (address, user_agent) = (origin.address, origin.user_agent.clone());
        let services = self.clone();
        let made = self.store().write(move |view, batch| {
            let (user_code, lookup) = services.fresh_user_code(view)?;
            let state = DeviceState::Pending;
            let code = DeviceCode {
                user_code: lookup,
                state,
                repository,
                address,
                user_agent,
                created_at: now,
                expires_at,
            };
            batch.put(&DEVICE_CODES, key, &code)?;
            batch.put(&USER_CODES, lookup, &key)?;
            Ok(user_code)
        });
        let made: Result<SecretText> = made.await;
        let user_code = made.inspect_err(|_| self.0.devices.0.close(&key))?;
        Ok(StartedDevice { device_code, user_code, expires_in, interval })
    }

    /// Polls. An approved code hands out its session once.
    ///
    /// # Errors
    /// Rate limited, when it comes too early.
    pub async fn poll_device(&self, device_code: &SecretText, origin: &Origin) -> Result<PolledDevice> {
        let (now, key) = (self.now(), self.device_key(device_code));
        let Some(code) = self.living_device(key)? else { return Ok(PolledDevice::Expired) };
        let interval = self.settings().sign_in.device_poll;
        self.0.devices.poll(key, &code, now, interval).map_err(|wait| Error {
            retry_after: Some(wait),
            ..Error::new(ErrorKind::RateLimited, "polled too early; wait the `interval` between two polls")
        })?;
        match code.state {
            DeviceState::Pending => Ok(PolledDevice::Pending),
            DeviceState::Denied => Ok(PolledDevice::Denied),
            DeviceState::Approved(_) => self.hand_out(key, origin.clone()).await,
        }
    }

    async fn hand_out(&self, key: Lookup, origin: Origin) -> Result<PolledDevice> {
        let services = self.clone();
        let outcome = self
            .store()
            .write(move |view, batch| {
                let code = view.find(&DEVICE_CODES, key)?;
                let Some(DeviceCode { state: DeviceState::Approved(user), user_code, .. }) = code else {
                    return Ok(PolledDevice::Expired);
                };
                batch.delete(&DEVICE_CODES, key);
                batch.delete(&USER_CODES, user_code);
                match view.find(&USERS, user)?.filter(|user| services.turns_away(user).is_none()) {
                    Some(user) => {
                        services.begin_session(view, batch, &user, &origin).map(PolledDevice::Approved)
                    }
                    None => Ok(PolledDevice::Expired),
                }
            })
            .await;
        self.0.devices.0.close(&key);
        outcome
    }

    /// What the code asks for that somebody typed; `None` if it is not good.
    ///
    /// # Errors
    /// If the store fails.
    pub fn device_request(&self, typed: &str) -> Result<Option<DeviceRequest>> {
        let Some(user_code) = normal_user_code(typed) else { return Ok(None) };
        let (_, code) = match self.pending_device(&user_code)? {
            Some(found) => found,
            None => return Ok(None),
        };
        let DeviceCode { user_agent, repository, address, created_at, .. } = code;
        Ok(Some(DeviceRequest { user_code, user_agent, repository, address, created_at }))
    }

    /// Lets the client in as `actor`, or turns it away. `false`: the code is not good.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn decide_device(&self, actor: &Actor, typed: &str, approve: bool) -> Result<bool> {
        let Some(user_code) = normal_user_code(typed) else { return Ok(false) };
        let (services, caller) = (self.clone(), actor.clone());
        self.store()
            .write(move |view, batch| {
                let Some((key, mut code)) = services.find_pending(view, &user_code)? else {
                    return Ok(false);
                };
                check_still_good(view, &caller)?;
                let now = services.now();
                let (state, action) = if approve {
                    (DeviceState::Approved(caller.user_id()), Action::DeviceApproved)
                } else {
                    (DeviceState::Denied, Action::DeviceDenied)
                };
                code.state = state;
                batch.put(&DEVICE_CODES, key, &code)?;
                // Typed once: what was decided cannot be decided again.
                batch.delete(&USER_CODES, code.user_code);
                let client = format!("{} at {}", code.user_agent, code.address);
                batch.audit(entry(&caller, now, action).regarding(client));
                Ok(true)
            })
            .await
    }

    fn living_device(&self, key: Lookup) -> Result<Option<DeviceCode>> {
        let found = self.store().read(|view| view.find(&DEVICE_CODES, key))?;
        Ok(found.filter(|code| code.expires_at > self.now()))
    }

    fn pending_device(&self, user_code: &str) -> Result<Option<(Lookup, DeviceCode)>> {
        Ok(self.store().read(|view| self.find_pending(view, user_code))?)
    }

    fn find_pending(
        &self,
        view: View<'_>,
        user_code: &str,
    ) -> Result<Option<(Lookup, DeviceCode)>, StoreError> {
        let Some(key) = view.find(&USER_CODES, user_code_key(view, user_code))? else { return Ok(None) };
        let now = self.now();
        let good = |code: &DeviceCode| code.state == DeviceState::Pending && code.expires_at > now;
        Ok(view.find(&DEVICE_CODES, key)?.filter(good).map(|code| (key, code)))
    }

    fn device_key(&self, device_code: &SecretText) -> Lookup {
        self.store().keyring().index.lookup("device code", &[device_code.expose().as_bytes()])
    }

    /// A short code that is not in use.
    fn fresh_user_code(&self, view: View<'_>) -> Result<(SecretText, Lookup)> {
        for _ in 0..10 {
            let code = format!("{}-{}", random::text(CONSONANTS, 4), random::text(DIGITS, 4));
            let key = user_code_key(view, &code);
            if view.find(&USER_CODES, key)?.is_none() {
                return Ok((SecretText::new(code), key));
            }
        }
        Err(Error::internal("no short code is free"))
    }
}

fn user_code_key(view: View<'_>, user_code: &str) -> Lookup {
    view.keyring().index.lookup("user code", &[user_code.as_bytes()])
}

/// `wdjb3947`, `WDJB 3947` and `WDJB-3947` are one code; what cannot be one is `None`.
fn normal_user_code(typed: &str) -> Option<String> {
    let mut letters = typed.trim().to_ascii_uppercase();
    letters.retain(|letter| !matches!(letter, '-' | ' '));
    let (head, tail) = letters.split_at_checked(4)?;
    let good = head.bytes().all(|byte| CONSONANTS.contains(&byte))
        && tail.len() == 4
        && tail.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| format!("{head}-{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_type_them() {
        for typed in ["WDJB-3947", "wdjb-3947", "wdjb3947", " WDJB 3947 "] {
            assert_eq!(normal_user_code(typed).as_deref(), Some("WDJB-3947"), "{typed}");
        }
        for typed in ["", "WDJB", "WDJB-394", "WDJB-39477", "AEIO-3947", "WDJB-394O", "wdjé3947", "é"] {
            assert_eq!(normal_user_code(typed), None, "{typed}");
        }
    }
}
