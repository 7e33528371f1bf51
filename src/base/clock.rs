//! Time, handed to whoever needs it so that tests can set it.

use crate::base::schema::described;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// The end of the year 9999: RFC 3339 has four digits for years.
const LAST_MILLIS: u64 = 253_402_300_799_999;

/// A moment: milliseconds since the start of 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

// As the wire has it; numbers stand in records only.
described!(Timestamp, {
    "type": "string",
    "format": "date-time",
    "examples": ["2026-01-15T10:00:00.000Z"],
});

impl Timestamp {
    /// The moment `millis` milliseconds after the start of 1970.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the start of 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment and `later`; the far end of time instead of an overflow.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This moment less `earlier`; the start of 1970 instead of an underflow.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(earlier.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it is still to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads an RFC 3339 time from 1970 to 9999, UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()?;
        (millis <= LAST_MILLIS).then_some(Self(millis))
    }

    /// Reads the time in a `Date` header (RFC 9110 §5.6.7), as servers of today write it.
    #[must_use]
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        u64::try_from(moment.unix_timestamp()).ok().map(|seconds| Self(seconds.saturating_mul(1_000)))
    }
}

/// RFC 3339, UTC, three decimals: `2026-01-15T10:00:00.000Z`. What lies beyond its years
/// is shown as their end.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0.min(LAST_MILLIS)) * 1_000_000;
        let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        let (date, time) = (moment.date(), moment.time());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        )
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks for the wall clock")]
    fn now(&self) -> Timestamp {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_as_rfc_3339() {
        let moment = Timestamp::from_millis(1_736_935_200_007);
        assert_eq!(moment.to_string(), "2025-01-15T10:00:00.007Z");
        assert_eq!(Timestamp::parse("2025-01-15T11:00:00.007+01:00"), Some(moment));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    /// A zone west of Greenwich carried the last hours of 9999 into a year that cannot be
    /// written, and writing it ended in a panic.
    #[test]
    fn the_end_of_time_can_be_written() {
        let last = "9999-12-31T23:59:59.999Z";
        assert_eq!(Timestamp::parse(last).unwrap().to_string(), last);
        assert_eq!(Timestamp::parse("9999-12-31T23:59:59.999999999-23:59"), None);
        assert_eq!(Timestamp::from_millis(u64::MAX).to_string(), last);
    }
}
