//! Sizes and counts that are part of the product, not of a configuration.

/// Most secrets one environment holds, and so one push carries.
pub const SECRETS_PER_ENVIRONMENT: usize = 1_000;
/// Most environments one vault holds.
pub const ENVIRONMENTS_PER_VAULT: usize = 100;
/// Most overrides of one environment.
pub const OVERRIDES_PER_ENVIRONMENT: usize = 500;
/// Largest page of a list.
pub const PAGE_LIMIT_MAX: u64 = 100;
/// Page of a list when the client names none.
pub const PAGE_LIMIT_DEFAULT: u64 = 25;
/// Longest password that is hashed, in bytes; argon2 would take any length.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Shortest password for a local account, in characters (NIST SP 800-63B).
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Most entries in each list of an API key (addresses, repositories, environments).
pub const API_KEY_LIST_MAX: usize = 100;
/// Longest label of an API key, in characters.
pub const API_KEY_NAME_CHARS_MAX: usize = 100;
/// Most living API keys of one user, and the number of all from which on those that ended
/// go, the oldest first.
pub const API_KEYS_PER_USER: usize = 1_000;
/// How many of a user's API keys that have ended stay at least.
pub const ENDED_API_KEYS_KEPT: usize = 100;
