//! A clock that leaps ahead destroys nothing at once. What was deleted is kept for some
//! time, and so are audit entries; a clock that is a month ahead for a moment, after a
//! dead battery or a wrong answer from a time server, would end all of that for good.

use crate::base::Timestamp;
use crate::domain::progress::{CLOCK_BELIEVED, CLOCK_DOUBTED};
use crate::domain::{Result, Services};
use crate::store::tables::PROGRESS;
use std::time::Duration;

/// How far time may be ahead of what it was when it was last looked at: a server may have
/// been off for so long.
const LEAP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a clock that leapt has to stand by it.
const PROBATION: Duration = Duration::from_secs(24 * 60 * 60);

/// What is thought of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opinion {
    Believed,
    /// Not yet, since then.
    Doubted(Timestamp),
}

fn opinion(now: Timestamp, believed: Option<Timestamp>, doubted: Option<Timestamp>) -> Opinion {
    // Nothing is overdue by a clock that went back.
    if believed.is_none_or(|believed| now <= believed || now.since(believed) <= LEAP) {
        return Opinion::Believed;
    }
    match doubted {
        Some(since) if since <= now && now.since(since) > LEAP => Opinion::Doubted(now),
        Some(since) if since <= now && now.since(since) >= PROBATION => Opinion::Believed,
        Some(since) if since <= now => Opinion::Doubted(since),
        _ => Opinion::Doubted(now),
    }
}

impl Services {
    /// Whether what is overdue by the clock may be destroyed. `false` for a day after the
    /// clock was found more than a week ahead of when this was last asked. To be asked
    /// about every hour.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn trusts_clock(&self) -> Result<bool> {
        let now = self.now();
        self.store()
            .write(move |view, batch| {
                let time = |key| {
                    Ok::<_, crate::domain::Error>(view.find(&PROGRESS, key)?.map(Timestamp::from_millis))
                };
                let opinion = opinion(now, time(CLOCK_BELIEVED)?, time(CLOCK_DOUBTED)?);
                match opinion {
                    Opinion::Believed => {
                        batch.put(&PROGRESS, CLOCK_BELIEVED, &now.as_millis())?;
                        batch.delete(&PROGRESS, CLOCK_DOUBTED);
                    }
                    Opinion::Doubted(since) => batch.put(&PROGRESS, CLOCK_DOUBTED, &since.as_millis())?,
                }
                Ok(opinion == Opinion::Believed)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 60 * 60 * 1_000;
    const DAY: u64 = 24 * HOUR;

    #[test]
    fn a_clock_that_leaps_is_believed_when_it_stands_by_it_for_a_day() {
        let at = Timestamp::from_millis;
        let start = 20_000 * DAY;
        let ask = |now: u64, doubted: Option<u64>| opinion(at(now), Some(at(start)), doubted.map(at));
        assert_eq!(opinion(at(start), None, None), Opinion::Believed, "the first time");
        assert_eq!(ask(start + HOUR, None), Opinion::Believed);
        assert_eq!(ask(start + 7 * DAY, None), Opinion::Believed, "a week off");
        assert_eq!(ask(start - 400 * DAY, None), Opinion::Believed, "back");
        let ahead = start + 31 * DAY;
        assert_eq!(ask(ahead, None), Opinion::Doubted(at(ahead)));
        assert_eq!(ask(ahead + 23 * HOUR, Some(ahead)), Opinion::Doubted(at(ahead)), "not yet");
        assert_eq!(ask(ahead + 24 * HOUR, Some(ahead)), Opinion::Believed);
        assert_eq!(ask(start + 2 * HOUR, Some(ahead)), Opinion::Believed, "set right again");
        let farther = ahead + 300 * DAY;
        assert_eq!(ask(farther, Some(ahead)), Opinion::Doubted(at(farther)), "another leap begins anew");
    }
}
