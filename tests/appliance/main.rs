//! The appliance as people run it: the real binary, started in a directory of its own, spoken to over real
//! sockets and through its command line. Nothing here knows the inside of the program; what a test does, a
//! client, an operator or an attacker with the disk could do.
//!
//! Each test starts what it needs and waits for events, never for a time. Every answer, whatever the test looks
//! at, is held to the rules that all answers share (`harness/answer.rs`).

#![expect(clippy::panic, reason = "a panic that shows the answer at fault is how these tests speak")]

mod harness;
#[path = "../readers/mod.rs"]
mod readers;
mod service_answers;
mod services;

mod abuse;
mod accounts;
mod api_keys;
mod audit_log;
mod backups;
mod clients;
mod clock;
mod configuration;
mod connecting;
mod connections;
mod device_flow;
mod doctor;
mod durability;
mod github_roles;
mod github_sign_in;
mod github_trouble;
mod guides;
mod history;
mod http_clients;
mod hushed;
mod integrations;
mod keys;
mod limits;
mod many_connections;
mod metrics;
mod mocked;
mod pages;
mod real_values;
mod routes;
mod samples;
mod schemathesis;
mod secrecy;
mod secrets;
mod sign_in;
mod standards;
mod start;
mod sync_failures;
mod sync_preview;
mod transfer;
mod trouble;
mod upgrades;
mod vaults;
mod wire;
