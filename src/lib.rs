//! keywayd: secrets for teams, where access to a repository is access to its secrets.
//!
//! This page is the floor plan. The program is one package, cut into rooms; a room is a folder or a file of
//! `src/`, and what it may know of the others is decided here and checked by `tests/architecture.rs`, which
//! reads the tables below. Nothing is global: what a room needs is handed to it by `app`.
//!
//! # The rooms
//!
//! ```text
//! base       vocabulary without I/O: ids, names, roles, clock, randomness, secret types, limits, instruments, threads
//! config     raw TOML and environment → validated settings; the commented example is generated from it
//! telemetry  logs, access lines, what is counted of requests, redaction
//! crypto     keyring, envelope (seal and open), password, token, digest, rotation
//! store      table catalogue, record codec, the writer (group commit), the spool, snapshots, migrations, backup
//! domain     actor, permissions, errors, ports; one file for each subject the product speaks of
//! outbound   one HTTPS client: names, certificates, proxies, timeouts, limits
//! identity   the forge that keeps the repositories: GitHub
//! providers  services that secrets are synchronised with; they implement `domain::ports::provider`
//! http       server, router, request, auth, respond, problem, limits; `api/` has one file per resource
//! web        the pages people see
//! cli        arguments, output, the operator's commands
//! app        the composition root: the only room that knows every other; start and stop order
//! ```
//!
//! # Who may enter which
//!
//! A room may always name itself; beyond that, only what stands to the right of its arrow. `domain::ports`
//! would mean that module and nothing else of `domain`. A room that is not built yet may have its row already;
//! a room without a row fails the test.
//!
//! ```text
//! base       → nothing
//! config     → base
//! telemetry  → base
//! crypto     → base
//! store      → base crypto
//! domain     → base crypto store
//! outbound   → base
//! identity   → base outbound domain::ports
//! providers  → base outbound domain::ports
//! http       → base telemetry domain
//! web        → base domain http
//! cli        → base config domain
//! app        → everything
//! ```
//!
//! Two absences carry the design. `http` cannot name `store` or `crypto`: whatever a client sends passes through
//! `domain`, and so through its permissions. And `domain` cannot name whoever implements its ports: the centre
//! never learns the name of a forge or a provider. Settings are read by `app` and `cli` alone; every other room
//! gets a small struct of its own.
//!
//! # Who may name which crate
//!
//! A crate listed here shapes the code around it, or is dangerous in many hands; replacing it must stay the work
//! of one room. All others are free.
//!
//! ```text
//! redb              → store
//! bincode           → store::codec
//! argon2            → crypto
//! chacha20poly1305  → crypto
//! age               → crypto::archive
//! hmac              → crypto
//! jsonwebtoken      → crypto::session
//! getrandom         → base::random
//! prometheus        → base::meter
//! hyper             → http
//! hyper-util        → http
//! http-body-util    → http
//! matchit           → http
//! governor          → http
//! rustls            → http cli outbound
//! tokio-rustls      → http
//! x509-cert         → http
//! listenfd          → app
//! sd-notify         → app
//! maud              → web
//! ureq              → cli outbound
//! hickory-resolver  → outbound
//! toml              → config
//! ```
//!
//! # The life of a request
//!
//! Bytes enter at `http`, are recognised (router, auth) and become types once; below that nothing is a raw
//! string. The handler, a screenful at most, parses, calls one service of `domain` and shapes the answer. The
//! service asks `permissions` for a capability, such as writing one environment, and the call that touches data
//! requires that capability by type: a forgotten check does not compile. `store` seals the data and commits it
//! together with its audit entry, and only then does the answer leave; what was read leaves when its audit entry
//! is on the disk, in the spool, from where the next commit takes it over. A mutation, once begun, outlives the
//! client's disconnect.
//!
//! Errors climb the same stairs and are converted once per floor (`StoreError`, then [`domain::Error`], then the
//! problem document). What the client may read and what the log may read are separate fields all the way up.

// What can panic is said to be impossible where it stands, with the reason. Rooms on the way of a request also do
// without indexing.
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::unreachable))]

pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod http;
pub mod identity;
pub mod outbound;
pub mod providers;
pub mod store;
pub mod telemetry;
pub mod web;
