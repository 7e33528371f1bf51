//! How often passwords may be tried. Three counts run at once, over a quarter of an
//! hour each: tries of one account from one address, of one address on any account,
//! and of one account by strangers from anywhere.
//!
//! The last one stops a guess that is spread over many addresses, and could serve to
//! lock somebody out. So a browser that once signed in as an account shows a mark of
//! that and is counted by itself, whatever strangers do (OWASP calls it a device
//! cookie). Accounts that do not exist are counted like all others.

use crate::base::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(15 * 60);
const PER_ACCOUNT_AND_ADDRESS: u32 = 10;
const PER_ADDRESS: u32 = 30;
const PER_ACCOUNT: u32 = 100;
const PER_KNOWN_BROWSER: u32 = 10;
/// Most counts kept; about a hundred bytes each.
const COUNTS_MAX: usize = 50_000;

/// Who tries.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    /// The keyed hash of the account's name.
    pub(super) account: [u8; 32],
    /// From where.
    pub(super) address: IpAddr,
    /// The browser's mark, if it is a good one for that account.
    pub(super) browser: Option<[u8; 32]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Count {
    Pair([u8; 32], [u8; 8]),
    Address([u8; 8]),
    Account([u8; 32]),
    Browser([u8; 32]),
}

#[derive(Clone, Copy)]
struct Tries {
    since: Timestamp,
    number: u32,
}

/// The counts.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<Count, Tries>>);

impl Attempt {
    fn counts(&self) -> Vec<(Count, u32)> {
        if let Some(browser) = self.browser {
            return vec![(Count::Browser(browser), PER_KNOWN_BROWSER)];
        }
        let place = neighbourhood(self.address);
        vec![
            (Count::Pair(self.account, place), PER_ACCOUNT_AND_ADDRESS),
            (Count::Address(place), PER_ADDRESS),
            (Count::Account(self.account), PER_ACCOUNT),
        ]
    }
}

impl Attempts {
    /// Counts a try, or says how long to wait before the next one. Counted beforehand,
    /// so that many at once are as many.
    pub(super) fn begin(&self, attempt: &Attempt, now: Timestamp) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() > COUNTS_MAX {
            all.retain(|_, tries| now.since(tries.since) < WINDOW);
        }
        // Whoever fills the table with names that nobody has wipes out no count that is high.
        let (room, mut low) = (if all.len() > COUNTS_MAX { COUNTS_MAX / 2 } else { COUNTS_MAX }, 1);
        while all.len() > room {
            all.retain(|_, tries| tries.number > low);
            low *= 2;
        }
        let counts = attempt.counts();
        let wait = |(count, most): &(Count, u32)| {
            let tries = all.get(count).filter(|tries| now.since(tries.since) < WINDOW)?;
            (tries.number >= *most).then(|| WINDOW.saturating_sub(now.since(tries.since)))
        };
        if let Some(wait) = counts.iter().filter_map(wait).max() {
            return Err(wait.max(Duration::from_secs(1)));
        }
        for (count, _) in counts {
            let tries = all.entry(count).or_insert(Tries { since: now, number: 0 });
            if now.since(tries.since) >= WINDOW {
                *tries = Tries { since: now, number: 0 };
            }
            tries.number += 1;
        }
        Ok(())
    }

    /// Takes a try back: it was the right password, or none was looked at.
    pub(super) fn take_back(&self, attempt: &Attempt) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (count, _) in attempt.counts() {
            if let Some(tries) = all.get_mut(&count) {
                tries.number = tries.number.saturating_sub(1);
            }
        }
    }
}

/// Where somebody calls from, as far as anybody can choose it.
pub(super) type Neighbourhood = [u8; 8];

/// An IPv4 address, or the /64 that an IPv6 subscriber gets.
pub(super) fn neighbourhood(address: IpAddr) -> Neighbourhood {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            // No network of the global unicast range begins like this.
            [0xff, 0xff, 0xff, 0xff, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            [a, b, c, d, e, f, g, h]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(account: u8, address: u32, browser: Option<u8>) -> Attempt {
        let address = IpAddr::from(address.to_be_bytes());
        Attempt { account: [account; 32], address, browser: browser.map(|mark| [mark; 32]) }
    }

    #[test]
    fn one_address_gets_ten_tries_of_an_account_and_again_later() {
        let (attempts, start) = (Attempts::default(), Timestamp::from_millis(1_000_000));
        for _ in 0..PER_ACCOUNT_AND_ADDRESS {
            attempts.begin(&from(1, 1, None), start).unwrap();
        }
        assert_eq!(attempts.begin(&from(1, 1, None), start), Err(WINDOW));
        attempts.begin(&from(1, 2, None), start).unwrap();
        attempts.begin(&from(1, 1, None), start.plus(WINDOW)).unwrap();
    }

    #[test]
    fn right_passwords_cost_nothing() {
        let (attempts, now) = (Attempts::default(), Timestamp::from_millis(0));
        for _ in 0..1_000 {
            attempts.begin(&from(1, 1, None), now).unwrap();
            attempts.take_back(&from(1, 1, None));
        }
    }

    #[test]
    fn an_address_cannot_try_one_account_after_the_other() {
        let (attempts, now) = (Attempts::default(), Timestamp::from_millis(0));
        let refused = (0..=PER_ADDRESS)
            .find(|&number| attempts.begin(&from(u8::try_from(number).unwrap(), 1, None), now).is_err());
        assert_eq!(refused, Some(PER_ADDRESS));
    }

    #[test]
    fn a_spread_guess_is_stopped_and_does_not_lock_the_owner_out() {
        let (attempts, now) = (Attempts::default(), Timestamp::from_millis(0));
        let refused =
            (0..=PER_ACCOUNT).find(|&address| attempts.begin(&from(1, address, None), now).is_err());
        assert_eq!(refused, Some(PER_ACCOUNT));
        attempts.begin(&from(1, 1, Some(1)), now).unwrap();
    }

    #[test]
    fn a_flood_of_made_up_names_wipes_out_no_count_of_many_tries() {
        let (attempts, now) = (Attempts::default(), Timestamp::from_millis(0));
        for address in 0..PER_ACCOUNT {
            attempts.begin(&from(1, address, None), now).unwrap();
        }
        for number in 1_000..1_000 + u32::try_from(COUNTS_MAX).unwrap() {
            let mut made_up = from(0, number, None);
            made_up.account[..4].copy_from_slice(&number.to_be_bytes());
            attempts.begin(&made_up, now).unwrap();
        }
        assert!(attempts.0.lock().unwrap().len() <= COUNTS_MAX + 3);
        assert!(attempts.begin(&from(1, 999, None), now).is_err(), "it is still stopped");
    }
}
