//! What was begun and may never be ended, counted: anybody can begin a sign-in, and any
//! user a connection, so there is a most from one place and a most in all. What the store
//! keeps of them is bounded by that, and goes when its time is over.

use super::{Error, ErrorKind, Result};
use crate::base::Timestamp;
use crate::store::tables::Lookup;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When to come back if there are too many.
const COME_BACK: Duration = Duration::from_secs(60);
/// Most that are waiting at all.
const IN_ALL: usize = 20_000;

/// What is waiting, from places `P`, and something to remember about each.
pub(super) struct Waiting<P, T> {
    /// What they are, in the plural.
    title: &'static str,
    per_place: usize,
    all: Mutex<HashMap<Lookup, One<P, T>>>,
}

struct One<P, T> {
    place: P,
    ends: Timestamp,
    memory: T,
}

impl<P: Copy + Eq, T: Default> Waiting<P, T> {
    /// Lets each place have so many of what `title` calls them.
    pub(super) fn new(title: &'static str, per_place: usize) -> Self {
        Self { title, per_place, all: Mutex::default() }
    }

    /// Makes room for one more from `place`.
    ///
    /// # Errors
    /// Rate limited.
    pub(super) fn open(&self, key: Lookup, place: P, now: Timestamp, ends: Timestamp) -> Result<()> {
        let (title, mut all) = (self.title, self.all());
        if all.len() >= IN_ALL || from_here(&all, place) >= self.per_place {
            all.retain(|_, one| one.ends > now);
        }
        let full = |detail: String| {
            Err(Error { retry_after: Some(COME_BACK), ..Error::new(ErrorKind::RateLimited, detail) })
        };
        if from_here(&all, place) >= self.per_place {
            return full(format!("too many {title} are waiting from here; finish one or try again later"));
        }
        if all.len() >= IN_ALL {
            return full(format!("too many {title} are waiting; try again later"));
        }
        all.insert(key, One { place, ends, memory: T::default() });
        Ok(())
    }

    /// Gives up the one from `place` that ends first, if it has no room for another.
    pub(super) fn give_up_oldest(&self, place: P) -> Option<Lookup> {
        let mut all = self.all();
        if from_here(&all, place) < self.per_place {
            return None;
        }
        let here = all.iter().filter(|(_, one)| one.place == place);
        let oldest = here.min_by_key(|(_, one)| one.ends).map(|(key, _)| *key)?;
        all.remove(&oldest);
        Some(oldest)
    }

    /// It was ended.
    pub(super) fn close(&self, key: &Lookup) {
        self.all().remove(key);
    }

    /// What is remembered about one. Those of before a restart are noted as if they were new.
    pub(super) fn with<R>(
        &self,
        key: Lookup,
        place: P,
        ends: Timestamp,
        look: impl FnOnce(&mut T) -> R,
    ) -> R {
        let mut all = self.all();
        look(&mut all.entry(key).or_insert_with(|| One { place, ends, memory: T::default() }).memory)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Lookup, One<P, T>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn from_here<P: Eq, T>(all: &HashMap<Lookup, One<P, T>>, place: P) -> usize {
    all.values().filter(|one| one.place == place).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_so_many_and_others_are_not_in_its_way() {
        let waiting = Waiting::<u8, ()>::new("tries", 2);
        let (now, later) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        let open = |key: u8, place: u8, now| waiting.open([key; 32], place, now, later);
        assert!(open(1, 1, now).is_ok() && open(2, 1, now).is_ok());
        assert_eq!(open(3, 1, now).unwrap_err().kind, ErrorKind::RateLimited);
        assert!(open(4, 2, now).is_ok());
        waiting.close(&[1; 32]);
        assert!(open(5, 1, now).is_ok());
        assert!(open(6, 1, now).is_err());
        assert!(open(7, 1, later).is_ok(), "their time is over");
    }

    #[test]
    fn the_oldest_of_a_place_makes_room() {
        let waiting = Waiting::<u8, ()>::new("tries", 2);
        let now = Timestamp::from_millis(1_000);
        let open =
            |key: u8, place: u8, ends: u64| waiting.open([key; 32], place, now, Timestamp::from_millis(ends));
        assert!(open(9, 2, 1_001).is_ok() && open(1, 1, 3_000).is_ok());
        assert_eq!(waiting.give_up_oldest(1), None, "there is room");
        assert!(open(2, 1, 2_000).is_ok() && open(3, 1, 4_000).is_err());
        assert_eq!(waiting.give_up_oldest(1), Some([2; 32]));
        assert!(open(3, 1, 4_000).is_ok());
        assert_eq!(waiting.give_up_oldest(1), Some([1; 32]));
    }

    #[test]
    fn there_is_a_most_in_all() {
        let waiting = Waiting::<u32, ()>::new("tries", 2);
        let (now, later) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        let open = |number: u32, now| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            waiting.open(key, number, now, later)
        };
        let number = u32::try_from(IN_ALL).unwrap();
        assert!((0..number).all(|number| open(number, now).is_ok()));
        assert!(open(number, now).is_err() && open(number, later).is_ok());
    }
}
