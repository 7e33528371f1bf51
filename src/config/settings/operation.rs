//! What matters to whoever runs the machine: where data and key lie, the audit log,
//! backups, logs, metrics, and the network around.

use crate::config::{
    table::declare,
    value::{AuditReads, Forward, LogFilter, LogFormat, Size},
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

declare! {
    /// `[storage]`: where the data is.
    Storage {
        /// Directory of the database. Only its owner can enter it.
        data_dir: PathBuf = "./keyway-data";
        /// Memory for parts of the database that are often used.
        cache_bytes: Size = "16 MiB", from "1 MiB" to "64 GiB";
    }
}

declare! {
    /// `[master_key]`: the key that seals everything else. One of four sources.
    MasterKey {
        /// File that holds the key. It is `master.key` in the data directory unless given; better
        /// give a place that is not copied together with the data.
        file: PathBuf = "./keyway-data/master.key";
        /// Name of a systemd credential that holds the key.
        credential: Option<String>, like "keywayd-master-key";
        /// File with a passphrase, from which the key is derived. If it is not there and keywayd is
        /// started on a terminal, it asks.
        passphrase_file: Option<PathBuf>, like "/etc/keywayd/passphrase";
        /// Name of an environment variable that holds the key.
        env: Option<String>, like "KEYWAYD_ROOT_KEY";
    }
}

/// Where the master key is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource<'a> {
    /// In a file.
    File(&'a Path),
    /// In the systemd credential of that name.
    Credential(&'a str),
    /// Derived from the passphrase in a file.
    PassphraseFile(&'a Path),
    /// In the environment variable of that name.
    Variable(&'a str),
}

impl MasterKey {
    /// The one source that was set, or the default file.
    #[must_use]
    pub fn source(&self) -> KeySource<'_> {
        match self {
            Self { credential: Some(name), .. } => KeySource::Credential(name),
            Self { passphrase_file: Some(path), .. } => KeySource::PassphraseFile(path),
            Self { env: Some(name), .. } => KeySource::Variable(name),
            Self { file, .. } => KeySource::File(file),
        }
    }
}

declare! {
    /// `[audit]`: the record of who did what.
    Audit {
        /// When the record of a read is on disk: `durable`, before the values leave, or `relaxed`,
        /// at most a second later, which is faster and can lose that second in a power failure.
        reads: AuditReads = "durable";
        /// Days that entries are kept.
        retention_days: u32 = 365, from 1 to 36500;
        /// Where entries are copied to: `syslog`, or a file.
        forward: Option<Forward>, like "/var/log/keywayd/audit.jsonl";
    }
}

declare! {
    /// `[backup]`: copies of the database, taken while serving.
    Backup {
        /// Directory for them, best on another disk. Without it there are none. Each is verified, and
        /// the log says so when the last good one is older than two of them should be.
        dir: Option<PathBuf>, like "/var/backups/keywayd";
        /// Time between two copies.
        every: Duration = "24h", from "1m" to "365d";
        /// How many copies are kept.
        keep: u32 = 14, from 1 to 10000;
    }
}

declare! {
    /// `[outbound]`: requests that keywayd makes to others.
    Outbound {
        /// File with further certificate authorities to trust, PEM.
        ca_file: Option<PathBuf>, like "/etc/ssl/certs/acme-ca.pem";
        /// Seconds that another service gets to answer.
        timeout_secs: u32 = 10, from 1 to 120;
    }
}

declare! {
    /// `[log]`: what keywayd says on its standard error.
    Log {
        /// `text` for people, `json` for programs.
        format: LogFormat = "text";
        /// The least severe lines that are written: `error`, `warn`, `info`, `debug` or `trace`;
        /// with other levels for single rooms of the program, as in `info,store=debug,http=warn`.
        level: LogFilter = "info";
    }
}

declare! {
    /// `[metrics]`: numbers for Prometheus.
    Metrics {
        /// Address and port where they are served. Without it they are not.
        listen: Option<SocketAddr>, like "127.0.0.1:9490";
    }
}
