//! `[vaults]` and `[secrets]`: what new vaults hold, how large things may get, and
//! how long the past is kept.

use crate::{
    base::EnvironmentName,
    config::{table::declare, value::Size},
};

declare! {
    /// `[vaults]`: new vaults.
    Vaults {
        /// Environments that a new vault has.
        default_environments: Vec<EnvironmentName> = ["local", "development", "staging", "production"];
    }
}

declare! {
    /// `[secrets]`: values, their history and the trash.
    Secrets {
        /// Old values kept of each secret; the oldest beyond them is gone for good.
        versions_kept: u32 = 10, from 0 to 100;
        /// Days for which deleted secrets, environments and vaults can be restored.
        trash_days: u32 = 30, from 0 to 3650;
        /// Largest value.
        value_limit_bytes: Size = 65536, from "1 KiB" to "1 MiB";
        /// Largest environment, keys and values together.
        environment_limit_bytes: Size = "1 MiB", from "1 KiB" to "64 MiB";
    }
}
