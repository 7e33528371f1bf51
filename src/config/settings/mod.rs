//! The settings, table by table. This is the one place where a key is declared; its
//! documentation is also what the example configuration says about it, so it speaks
//! to operators.

mod identity;
mod integrations;
mod operation;
mod server;
mod vaults;

pub use identity::{Auth, GitHub, Identity, Local, RateLimit};
pub use integrations::{Integrations, Provider};
pub use operation::{Audit, Backup, KeySource, Log, MasterKey, Metrics, Outbound, Storage};
pub use server::{Server, Tls};
pub use vaults::{Secrets, Vaults};

use super::table::declare;

declare! {
    /// Everything that can be set, checked.
    Settings {}
    tables {
        /// Where keywayd listens, and how clients reach it.
        server: Server;
        /// Where the data is.
        storage: Storage;
        /// The key that seals everything else. It is never in the database, and without it the
        /// data cannot be opened: keep a copy of it away from this machine.
        master_key: MasterKey;
        /// Who may sign in.
        identity: Identity;
        /// Sessions, and signing in from a command line.
        auth: Auth;
        /// How often something may be asked, as requests per time. Beyond it the answer is 429.
        rate_limit: RateLimit;
        /// New vaults.
        vaults: Vaults;
        /// Values, their history and the trash.
        secrets: Secrets;
        /// The record of who did what.
        audit: Audit;
        /// Copies of the database, taken while serving.
        backup: Backup;
        /// Services that secrets can be synchronised with.
        integrations: Integrations;
        /// Requests that keywayd makes to others.
        outbound: Outbound;
        /// What keywayd says on its standard error.
        log: Log;
        /// Numbers for Prometheus.
        metrics: Metrics;
    }
}
