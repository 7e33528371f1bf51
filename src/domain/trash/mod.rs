//! The trash: what was deleted comes back whole until it is purged, by hand or when
//! its time is over. One file each for secrets, environments and vaults, and one for
//! what destroys them.

mod clock_leap;
mod environments;
mod purge;
mod secrets;
mod vaults;

pub use environments::{RestoredEnvironment, TrashedEnvironment};
pub use purge::Purged;
pub use secrets::{EmptiedTrash, RestoredSecret, TrashedSecretSummary};
pub use vaults::{RestoredVault, TrashedVault};

use super::Settings;
use super::vaults::rfc_3339;
use crate::base::Timestamp;
use crate::store::records::Deletion;
use schemars::JsonSchema;
use serde::Serialize;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// How long something has been in the trash, and how long it stays there.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stay {
    /// When it was deleted.
    #[serde(serialize_with = "rfc_3339")]
    pub deleted_at: Timestamp,
    /// When it will be purged.
    #[serde(serialize_with = "rfc_3339")]
    pub expires_at: Timestamp,
    /// Days until then, begun ones counted whole.
    pub days_remaining: u64,
}

impl Stay {
    fn of(deletion: &Deletion, settings: &Settings, now: Timestamp) -> Self {
        let expires_at = deletion.at.plus(settings.trash_time());
        let left = expires_at.as_millis().saturating_sub(now.as_millis());
        Self { deleted_at: deletion.at, expires_at, days_remaining: left.div_ceil(DAY_MILLIS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begun_days_are_counted_whole() {
        let settings = Settings { trash_days: 30, ..Settings::for_tests() };
        let deletion = Deletion { at: Timestamp::from_millis(5), by: None };
        let days = |now| Stay::of(&deletion, &settings, Timestamp::from_millis(now)).days_remaining;
        let end = 5 + 30 * DAY_MILLIS;
        assert_eq!((days(5), days(6), days(5 + DAY_MILLIS)), (30, 30, 29));
        assert_eq!((days(end - 1), days(end), days(end + DAY_MILLIS)), (1, 0, 0));
    }
}
