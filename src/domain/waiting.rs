//! Sign-ins that were begun and may never be ended, counted: anybody can begin one, so
//! there is a most from one address and a most in all. What the store keeps of them is
//! bounded by that, and goes when its time is over.

use super::attempts::neighbourhood;
use super::{Error, ErrorKind, Result};
use crate::base::Timestamp;
use crate::store::tables::Lookup;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When to come back if there are too many.
const COME_BACK: Duration = Duration::from_secs(60);
/// Most that are waiting at all.
const IN_ALL: usize = 20_000;

/// What is waiting, and something to remember about each.
pub(super) struct Waiting<T> {
    per_address: usize,
    all: Mutex<HashMap<Lookup, One<T>>>,
}

struct One<T> {
    place: [u8; 8],
    ends: Timestamp,
    memory: T,
}

impl<T: Default> Waiting<T> {
    /// Lets each address have so many.
    pub(super) fn new(per_address: usize) -> Self {
        Self { per_address, all: Mutex::default() }
    }

    /// Makes room for one more from `address`.
    ///
    /// # Errors
    /// Rate limited.
    pub(super) fn open(&self, key: Lookup, address: IpAddr, now: Timestamp, ends: Timestamp) -> Result<()> {
        let (place, mut all) = (neighbourhood(address), self.all());
        let from_here = |all: &HashMap<Lookup, One<T>>| all.values().filter(|one| one.place == place).count();
        if all.len() >= IN_ALL || from_here(&all) >= self.per_address {
            all.retain(|_, one| one.ends > now);
        }
        let full = |detail: &str| {
            Err(Error { retry_after: Some(COME_BACK), ..Error::new(ErrorKind::RateLimited, detail) })
        };
        if from_here(&all) >= self.per_address {
            return full("too many sign-ins from this address are waiting; finish one or try again later");
        }
        if all.len() >= IN_ALL {
            return full("too many sign-ins are waiting; try again later");
        }
        all.insert(key, One { place, ends, memory: T::default() });
        Ok(())
    }

    /// It was ended.
    pub(super) fn close(&self, key: &Lookup) {
        self.all().remove(key);
    }

    /// What is remembered about one. Those of before a restart are noted as if they were new.
    pub(super) fn with<R>(
        &self,
        key: Lookup,
        address: IpAddr,
        ends: Timestamp,
        look: impl FnOnce(&mut T) -> R,
    ) -> R {
        let mut all = self.all();
        let place = neighbourhood(address);
        look(&mut all.entry(key).or_insert_with(|| One { place, ends, memory: T::default() }).memory)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Lookup, One<T>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_others_are_not_in_its_way() {
        let waiting = Waiting::<()>::new(2);
        let (now, later) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        let open =
            |key: u8, host: u8, now| waiting.open([key; 32], IpAddr::from([192, 0, 2, host]), now, later);
        assert!(open(1, 1, now).is_ok() && open(2, 1, now).is_ok());
        assert_eq!(open(3, 1, now).unwrap_err().kind, ErrorKind::RateLimited);
        assert!(open(4, 2, now).is_ok());
        waiting.close(&[1; 32]);
        assert!(open(5, 1, now).is_ok());
        assert!(open(6, 1, now).is_err());
        assert!(open(7, 1, later).is_ok(), "their time is over");
    }

    #[test]
    fn there_is_a_most_in_all() {
        let waiting = Waiting::<()>::new(2);
        let (now, later) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        let open = |number: u32, now| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            waiting.open(key, IpAddr::from(number.to_be_bytes()), now, later)
        };
        let number = u32::try_from(IN_ALL).unwrap();
        assert!((0..number).all(|number| open(number, now).is_ok()));
        assert!(open(number, now).is_err() && open(number, later).is_ok());
    }
}
