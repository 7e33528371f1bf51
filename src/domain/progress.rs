//! Under which number each task in the background keeps how far it has come, in
//! [`PROGRESS`](crate::store::tables::PROGRESS): one list, so that no two take the same.

/// The number of versions kept when surplus ones were last let go of.
pub(super) const VERSIONS_SWEPT: u64 = 1;
/// Number of the last audit entry that was copied elsewhere.
pub(super) const FORWARDED: u64 = 2;
/// The last time by the clock that was believed, in milliseconds.
pub(super) const CLOCK_BELIEVED: u64 = 3;
/// Since when a later one is doubted, in milliseconds.
pub(super) const CLOCK_DOUBTED: u64 = 4;
