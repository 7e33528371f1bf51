//! `keywayd doctor`: looks at a whole installation as it is set up and as it runs, and
//! changes nothing. Each check stands alone: one that fails does not keep the others
//! from being made.

mod files;
mod network;

use super::outside::Outside;
use super::{data, forge, load, master};
use crate::base::ids::InstanceId;
use crate::base::{Clock, SystemClock};
use crate::cli::admin::{Reply, Request};
use crate::cli::doctor::Report;
use crate::cli::{Failure, args, healthcheck, socket};
use crate::config::Settings;
use crate::http::TlsIdentity;
use crate::store::BackupFile;
use std::sync::Arc;

/// What checks have in common.
struct Patient<'a> {
    settings: &'a Settings,
    /// Whether a server runs on this data.
    serving: bool,
    /// Which one, if it says so: it may be of another version.
    instance: Option<InstanceId>,
}

impl Patient<'_> {
    /// Whether this answer of somebody's to `/health` is that of the server on this data,
    /// as far as can be told.
    fn is_its_server(&self, answer: &[u8]) -> bool {
        let answer: Option<serde_json::Value> = serde_json::from_slice(answer).ok();
        answer.is_some_and(|answer| {
            let instance = || answer["instance"].as_str().and_then(InstanceId::parse);
            answer["status"] == "healthy" && (self.instance.is_none() || self.instance == instance())
        })
    }
}

/// `keywayd doctor`
pub(super) fn run(asked: &args::Doctor) -> Result<(), Failure> {
    let mut report = Report::default();
    match load(&asked.place.overrides()) {
        Ok(loaded) => {
            report.good("configuration", "it can be read, and its settings fit together");
            examine(&loaded.settings, &mut report)?;
        }
        Err(error) => {
            report.failed("configuration", error.message, "`keywayd config example` shows every setting");
        }
    }
    report.show(asked.json)
}

fn examine(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let data_dir = &settings.storage.data_dir;
    let serving = socket::is_served(data_dir);
    let instance = match socket::ask(data_dir, &Request::Instance, &mut |_| {}) {
        Some(Ok(Reply::Instance(instance))) => Some(instance),
        _ => None,
    };
    let patient = Patient { settings, serving, instance };
    files::data_directory(&patient, report);
    files::master_key(&patient, report);
    database(&patient, report);
    files::disk_space(&patient, report);
    files::backups(&patient, report);
    files::clock(&patient, report);
    certificate(&patient, report);
    server(&patient, report);
    network::proxies(&patient, report);
    super::serve::runtime()?.block_on(network::outside(&patient, report));
    Ok(())
}

/// Whether the master key opens the database. A server that runs has opened it.
fn database(patient: &Patient<'_>, report: &mut Report) {
    const CHECK: &str = "database";
    let dir = data::directory(patient.settings);
    if patient.serving || !matches!(dir.has_database(), Ok(true)) {
        return;
    }
    let Ok(secret) = master::read(&master::place(patient.settings)) else { return };
    match BackupFile::open(&dir.database(), &secret) {
        Ok(_) => report.good(CHECK, "the master key opens it, and this version reads it"),
        Err(error) => report.failed(CHECK, error, "restore a backup elsewhere, and keep the file as it is"),
    }
}

/// Whether the server answers at every door it should have.
fn server(patient: &Patient<'_>, report: &mut Report) {
    const CHECK: &str = "server";
    let server = &patient.settings.server;
    match healthcheck::ask_server(server) {
        Ok(answers) if patient.serving => {
            match answers.iter().find(|(_, answer)| !patient.is_its_server(answer.as_bytes())) {
                None => report.good(CHECK, format!("healthy at `{}`", server.listen)),
                Some((place, _)) => report.bad(
                    CHECK,
                    format!("the server that answers at `{place}` is not the one that runs on this data"),
                    "`server.listen` and `server.unix_socket` must be what the server listens on, under systemd \
                     what keywayd.socket says",
                ),
            }
        }
        Ok(_) => report.bad(
            CHECK,
            format!("a server answers at `{}`, but none runs on this data", server.listen),
            "check `server.listen` and `storage.data_dir`: one of them is another server's",
        ),
        Err(error) if patient.serving => report.failed(
            CHECK,
            error.message,
            "`server.listen` must be what the server listens on, under systemd what keywayd.socket says",
        ),
        Err(_) => report.warn(CHECK, "no server runs on this data", "start it with `keywayd serve`"),
    }
}

/// How long the certificate is good, and for whom.
fn certificate(patient: &Patient<'_>, report: &mut Report) {
    const CHECK: &str = "certificate";
    let server = &patient.settings.server;
    let (Some(file), Some(key)) = (&server.tls.cert, &server.tls.key) else { return };
    let identity = match TlsIdentity::load(file, key, Arc::new(SystemClock)) {
        Ok(identity) => identity,
        Err(error) => return report.failed(CHECK, error, "renew the certificate"),
    };
    let (now, host) = (SystemClock.now(), server.public_url.host());
    match identity.validity() {
        Some(validity) if now < validity.from => report.bad(
            CHECK,
            format!("`{}` is good only from {}", file.display(), validity.from),
            "set this machine's clock, or wait",
        ),
        Some(validity) if validity.ends_soon(now) => report.warn(
            CHECK,
            format!("`{}` is good only until {}", file.display(), validity.until),
            "renew it; keywayd takes the new one by itself",
        ),
        Some(validity) => report.good(CHECK, format!("good until {}", validity.until)),
        None => report.warn(CHECK, "it does not say how long it is good", "renew it"),
    }
    if !identity.is_for(host) {
        report.bad(
            CHECK,
            format!("`{}` is not for `{host}`, the host in `server.public_url`", file.display()),
            "clients refuse it: get one for that name, or change `server.public_url`",
        );
    }
    if identity.key_is_open_to_others() {
        report.bad(
            CHECK,
            format!("every user of this machine can read `{}`", key.display()),
            format!("run `chmod 640 {}`", key.display()),
        );
    }
}

/// The client for calls to others, if its settings can be used.
fn client(patient: &Patient<'_>, report: &mut Report) -> Option<crate::outbound::Client> {
    match forge::client(patient.settings) {
        Ok(client) => Some(client),
        Err(error) => {
            report.failed("outbound", error.message, "check `outbound.ca_file`");
            None
        }
    }
}

/// Whom the settings let keywayd call: what they are called, and their addresses.
fn others(settings: &Settings) -> Vec<(&'static str, String)> {
    let github = &settings.identity.github;
    let mut all = Vec::new();
    if github.enabled {
        all.push(("github", github.api_url.as_str().to_owned()));
        if github.client_id.is_some() {
            all.push(("github", github.url.as_str().to_owned()));
        }
    }
    all.extend(Outside::services(settings));
    all
}
