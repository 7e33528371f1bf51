//! How often something may be done: so many times within a window.

use super::duration;
use std::{fmt, num::NonZeroU32, time::Duration};

/// `count` requests within any `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests allowed.
    pub count: NonZeroU32,
    /// The time they are counted over; never zero.
    pub window: Duration,
}

/// Why a text is not a quota; fit to be shown to whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number of requests and a time, such as `100/15m`")]
pub struct QuotaError;

impl Quota {
    /// Reads `100/15m`: a hundred requests in fifteen minutes.
    ///
    /// # Errors
    /// If the text has another form, or one of the two halves is zero.
    pub fn parse(text: &str) -> Result<Self, QuotaError> {
        let (count, window) = text.split_once('/').ok_or(QuotaError)?;
        let count = count.parse().map_err(|_| QuotaError)?;
        let window = duration::parse(window).map_err(|_| QuotaError)?;
        if window.is_zero() { Err(QuotaError) } else { Ok(Self { count, window }) }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, duration::show(self.window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_per_time() {
        let quota = Quota::parse("100/15m").unwrap();
        assert_eq!((quota.count.get(), quota.window), (100, Duration::from_secs(900)));
        assert_eq!(quota.to_string(), "100/15m");
        for bad in ["", "100", "0/1m", "100/0s", "100/15", "-1/1m", "1/1m/1m"] {
            assert_eq!(Quota::parse(bad), Err(QuotaError), "{bad}");
        }
    }
}
