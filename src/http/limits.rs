//! Rate limits: how often each client may call.
//!
//! Budgets refill steadily (GCRA, by `governor`): somebody who has used up
//! `100/15m` may call again after nine seconds, not after a quarter of an hour.
//! A caller whose credential was verified has a budget of their own; everybody else,
//! failed credentials included, shares that of their address, which for IPv6 is the
//! /64 a subscriber gets.
//!
//! The credential is verified before anything is charged. So somebody behind the same
//! address cannot lock an honest key out, and guessing is stopped all the same,
//! because each wrong guess costs the address. Only where verifying means to ask
//! somebody else about a stranger's token, the address pays beforehand and gets it back
//! for a good one: else every guess would be put to that other service.

use super::problem::{Problem, ProblemKind, whole_seconds};
use super::router::LimitClass;
use super::settings::RateLimits;
use crate::base::Quota;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most clients one limit remembers; about 40 bytes each. Beyond it those closest to
/// a full budget are forgotten, which gives them at most what they had not used.
const CLIENTS_MAX: usize = 1 << 16;
const SHARDS: usize = 16;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Whose budget is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    Credential([u8; 16]),
    V4([u8; 4]),
    /// The first half of the address.
    V6([u8; 8]),
}

impl Client {
    pub(super) fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// How a client stands after a call was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    limit: u32,
    remaining: u32,
    /// Until the whole budget is there again.
    reset: Duration,
    /// How long to wait, if the call was one too many.
    refused: Option<Duration>,
}

impl Standing {
    /// The call's fate.
    pub(super) fn verdict(&self) -> Result<(), Problem> {
        match self.refused {
            None => Ok(()),
            Some(wait) => {
                let detail = format!("too many requests; try again in {} seconds", whole_seconds(wait));
                Err(Problem::new(ProblemKind::RateLimited, detail).retry_after(wait))
            }
        }
    }

    /// Tells the client.
    pub(super) fn decorate(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset.as_millis().div_ceil(1_000) as u64));
    }
}

/// All limits of the server.
pub(super) struct Limits {
    general: Limiter<DefaultClock>,
    reveal: Limiter<DefaultClock>,
    device_verify: Limiter<DefaultClock>,
}

impl Limits {
    pub(super) fn new(limits: &RateLimits) -> Self {
        let limiter = |quota| Limiter::new(quota, DefaultClock::default());
        Self {
            general: limiter(limits.general),
            reveal: limiter(limits.reveal),
            device_verify: limiter(limits.device_verify),
        }
    }

    /// Charges one call of `class`. `client` pays; `address` pays for what is counted per address.
    pub(super) fn charge(&self, class: LimitClass, client: Client, address: IpAddr) -> Option<Standing> {
        let special = match class {
            LimitClass::Exempt => return None,
            LimitClass::General => None,
            LimitClass::Reveal => Some((&self.reveal, client)),
            LimitClass::DeviceVerify => Some((&self.device_verify, Client::at(address))),
        };
        let general = self.general.charge(client);
        match special {
            // The tighter limit is the one worth telling about, unless the general one refuses.
            Some((limiter, client)) if general.refused.is_none() => Some(limiter.charge(client)),
            _ => Some(general),
        }
    }

    /// Takes back that `address` was charged for a general call.
    pub(super) fn give_back(&self, address: IpAddr) {
        self.general.give_back(Client::at(address));
    }

    /// Forgets clients whose budgets are full again.
    pub(super) fn sweep(&self) {
        for limiter in [&self.general, &self.reveal, &self.device_verify] {
            limiter.inner.retain_recent();
        }
    }
}

/// One limit.
struct Limiter<C: Clock> {
    quota: Quota,
    interval: Duration,
    /// What `inner` works on.
    clients: Clients,
    inner: governor::RateLimiter<Client, Clients, C, StateInformationMiddleware>,
}

impl<C: Clock> Limiter<C> {
    fn new(quota: Quota, clock: C) -> Self {
        // Only a window of zero is refused; a second is the least that makes sense then.
        let rate = governor::Quota::with_period(quota.window / quota.count.get())
            .map_or_else(|| governor::Quota::per_second(quota.count), |rate| rate.allow_burst(quota.count));
        let clients = Clients::default();
        let inner = governor::RateLimiter::new(rate, clients.clone(), clock);
        Self { quota, interval: rate.replenish_interval(), clients, inner }
    }

    /// Takes back one charge that was not refused.
    fn give_back(&self, client: Client) {
        if let Some(state) = self.clients.shard(&client).get_mut(&client) {
            // The state is the moment at which the budget is full again; each charge puts it off.
            *state = state.saturating_sub(self.interval.into());
        }
    }

    fn charge(&self, client: Client) -> Standing {
        let limit = self.quota.count.get();
        match self.inner.check_key(&client) {
            Ok(after) => {
                let remaining = after.remaining_burst_capacity();
                let reset = self.interval.saturating_mul(limit.saturating_sub(remaining));
                Standing { limit, remaining, reset, refused: None }
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.inner.clock().now());
                let reset = self.interval.saturating_mul(limit - 1).saturating_add(wait);
                Standing { limit, remaining: 0, reset, refused: Some(wait) }
            }
        }
    }
}

/// The state `governor` keeps for each client, in a bounded space. Clones are the same.
#[derive(Clone, Default)]
struct Clients(Arc<Shards>);

#[derive(Default)]
struct Shards {
    all: [Mutex<HashMap<Client, Nanos>>; SHARDS],
    hasher: RandomState,
}

impl Clients {
    fn shard(&self, client: &Client) -> MutexGuard<'_, HashMap<Client, Nanos>> {
        let index = self.0.hasher.hash_one(client) % SHARDS as u64;
        #[expect(clippy::indexing_slicing, reason = "there are `SHARDS` of them")]
        let shard = &self.0.all[index as usize];
        lock(shard)
    }
}

impl StateStore for Clients {
    type Key = Client;

    fn measure_and_replace<T, F, E>(&self, client: &Client, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut shard = self.shard(client);
        let known = shard.get_mut(client);
        let (outcome, next) = measure(known.as_deref().copied())?;
        match known {
            Some(state) => *state = next,
            None => {
                make_room(&mut shard);
                shard.insert(*client, next);
            }
        }
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<Client> for Clients {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.0.all {
            lock(shard).retain(|_, state| *state > drop_below);
        }
    }

    fn len(&self) -> usize {
        self.0.all.iter().map(|shard| lock(shard).len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Drops the half with the fullest budgets from a shard at its bound. Half, so that a
/// flood of fresh addresses pays for the work only every so often.
fn make_room(shard: &mut HashMap<Client, Nanos>) {
    if shard.len() < CLIENTS_MAX / SHARDS {
        return;
    }
    let mut states: Vec<Nanos> = shard.values().copied().collect();
    let middle = states.len() / 2;
    let (_, median, _) = states.select_nth_unstable(middle);
    let median = *median;
    shard.retain(|_, state| *state > median);
}

/// A map of numbers is whole whatever its last user died of.
fn lock(shard: &Mutex<HashMap<Client, Nanos>>) -> MutexGuard<'_, HashMap<Client, Nanos>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    const ALICE: Client = Client::Credential([1; 16]);
    const BOB: Client = Client::Credential([2; 16]);

    fn limiter(count: u32, secs: u64) -> (Limiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let quota = Quota { count: count.try_into().unwrap(), window: Duration::from_secs(secs) };
        (Limiter::new(quota, clock.clone()), clock)
    }

    #[test]
    fn a_budget_is_spent_and_refills_steadily() {
        let (limiter, clock) = limiter(3, 30);
        for remaining in [2, 1, 0] {
            let standing = limiter.charge(ALICE);
            assert_eq!((standing.limit, standing.remaining, standing.refused), (3, remaining, None));
            assert_eq!(standing.reset, Duration::from_secs(10 * u64::from(3 - remaining)));
        }
        let standing = limiter.charge(ALICE);
        assert_eq!(standing.refused, Some(Duration::from_secs(10)));
        assert_eq!(standing.reset, Duration::from_secs(30));
        assert_eq!(standing.verdict().unwrap_err().kind(), ProblemKind::RateLimited);
        assert_eq!(limiter.charge(BOB).refused, None);
        clock.advance(Duration::from_secs(10));
        assert_eq!(limiter.charge(ALICE).refused, None);
        assert!(limiter.charge(ALICE).refused.is_some());
    }

    #[test]
    fn what_is_given_back_can_be_spent_again_and_nothing_more() {
        let (limiter, clock) = limiter(3, 30);
        for _ in 0..100 {
            assert_eq!(limiter.charge(ALICE).remaining, 2);
            limiter.give_back(ALICE);
        }
        for _ in 0..3 {
            limiter.charge(ALICE);
        }
        clock.advance(Duration::from_secs(5));
        limiter.give_back(ALICE);
        assert_eq!(limiter.charge(ALICE).refused, None);
        assert_eq!(limiter.charge(ALICE).refused, Some(Duration::from_secs(5)));
        limiter.give_back(BOB);
        assert_eq!(limiter.charge(BOB).remaining, 2, "nothing was charged");
    }

    #[test]
    fn clients_with_full_budgets_are_forgotten() {
        let (limiter, clock) = limiter(3, 30);
        limiter.charge(ALICE);
        clock.advance(Duration::from_secs(25));
        limiter.charge(BOB);
        limiter.inner.retain_recent();
        assert_eq!(limiter.inner.len(), 1);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_those_who_spent_most_stay_known() {
        let (limiter, _clock) = limiter(3, 30);
        for _ in 0..3 {
            limiter.charge(ALICE);
        }
        for address in 0..200_000_u32 {
            limiter.charge(Client::V4(address.to_be_bytes()));
        }
        assert!(limiter.inner.len() <= CLIENTS_MAX);
        assert!(limiter.charge(ALICE).refused.is_some());
    }

    #[test]
    fn neighbours_in_a_slash_64_share_a_budget() {
        let at = |address: &str| Client::at(address.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::1"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("192.0.2.1"), at("::ffff:192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }

    #[test]
    fn special_limits_come_on_top_of_the_general_one() {
        let quota =
            |count: u32| Quota { count: count.try_into().unwrap(), window: Duration::from_secs(3600) };
        let settings = RateLimits { general: quota(4), reveal: quota(2), device_verify: quota(1) };
        let (limits, address) = (Limits::new(&settings), IpAddr::from([192, 0, 2, 1]));
        let charge = |class, client| {
            limits.charge(class, client, address).map(|standing| (standing.limit, standing.refused.is_some()))
        };
        assert_eq!(charge(LimitClass::Exempt, ALICE), None);
        assert_eq!(charge(LimitClass::Reveal, ALICE), Some((2, false)));
        assert_eq!(charge(LimitClass::Reveal, ALICE), Some((2, false)));
        assert_eq!(charge(LimitClass::Reveal, ALICE), Some((2, true)));
        assert_eq!(charge(LimitClass::General, ALICE), Some((4, false)));
        assert_eq!(charge(LimitClass::Reveal, ALICE), Some((4, true)));
        assert_eq!(charge(LimitClass::DeviceVerify, BOB), Some((1, false)));
        assert_eq!(charge(LimitClass::DeviceVerify, Client::at(address)), Some((1, true)));
    }
}
