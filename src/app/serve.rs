//! `keywayd serve`: what starts in which order, and stops in the opposite one.
//!
//! Up: sockets, certificate, data, services, the operator's socket, the front. Down: no
//! new connections, requests under way, the operator's commands, what is still in
//! memory, the store.

use super::backups::Timetable;
use super::forward::Forwarder;
use super::outside::Outside;
use super::sockets::{Passed, Sockets};
use super::{background, certificate, data, first_start, forge, master, supervisor};
use crate::base::meter::Meters;
use crate::base::{AccountName, Clock, SystemClock};
use crate::cli::Failure;
use crate::cli::socket::AdminSocket;
use crate::config::{self, Loaded, Settings};
use crate::domain::Services;
use crate::http::{self, Drained, Front, HttpSettings, RateLimits, Timeouts, TlsIdentity};
use crate::telemetry::{self, Log, LogFormat, LogLevel};
use crate::web;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long operator's commands may go on after the last request.
const OPERATOR_GRACE: Duration = Duration::from_secs(5);
/// How long everything else may take at the end: what is in memory, closing the store.
const CLOSING_GRACE: Duration = Duration::from_secs(15);

/// After so many turns of connections a thread looks whose sockets have become readable. By
/// itself the runtime does at every sixty-first: long after, when turns are long.
const TURNS_UNTIL_LOOK: u32 = 8;

/// The runtime of a command.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_multi_thread().enable_all().event_interval(TURNS_UNTIL_LOOK).build();
    runtime.map_err(|error| Failure::ours(format!("cannot start: {error}")))
}

/// Serves until told to stop.
pub(super) fn run(mut loaded: Loaded) -> Result<(), Failure> {
    let _log = start_telemetry(&loaded.settings)?;
    raise_open_files();
    forbid_core_dumps();
    // Before any thread is there: the environment, user and group are a matter of the
    // whole process.
    let passed = Passed::take()?;
    data::become_owner(&data::directory(&loaded.settings))?;
    runtime()?.block_on(async {
        // Before the data: a start that must fail for want of an address changes nothing.
        let sockets = Sockets::open(&mut loaded.settings, passed).await?;
        let identity = certificate::load(&loaded.settings)?;
        let meters = Meters::default();
        let services = open_or_set_up(&loaded, &meters).await?;
        let outcome = serve(&loaded.settings, sockets, identity, &services, meters).await;
        services.close().await;
        outcome
    })
}

async fn open_or_set_up(loaded: &Loaded, meters: &Meters) -> Result<Services, Failure> {
    let settings = &loaded.settings;
    let dir = data::directory(settings);
    let new = loaded.file.is_none() && matches!(dir.has_database(), Ok(false));
    let outside = Outside::connect(settings)?;
    outside.show(meters);
    if !new {
        return data::open(settings, data::lock(&dir)?, Some(outside));
    }
    let services = data::create(settings, Some(outside))?;
    let name = AccountName::parse("admin").map_err(Failure::ours)?;
    let first = first_start::set_up(&services, name, None).await?;
    first_start::announce(settings, &first)?;
    Ok(services)
}

async fn serve(
    settings: &Settings,
    sockets: Sockets,
    identity: Option<TlsIdentity>,
    services: &Services,
    meters: Meters,
) -> Result<(), Failure> {
    show_numbers(settings, services, identity.as_ref(), &meters);
    let socket = AdminSocket::bind(&settings.storage.data_dir)
        .map_err(|error| Failure::ours(format!("cannot make the operator's socket: {error}")))?;
    let forwarder = settings.audit.forward.as_ref().map(Forwarder::new).transpose()?;
    let grace = Duration::from_secs(u64::from(settings.server.shutdown_grace_secs));
    let stop = stop_signals(grace + OPERATOR_GRACE + CLOSING_GRACE)?;
    let hangups = listen_for(SignalKind::hangup())?;
    let routes = [http::routes(), web::routes()].concat();
    let front = Front::new(http_settings(settings), services.clone(), Arc::new(SystemClock), &routes, meters)
        .map_err(Failure::ours)?;

    let timetable = Timetable::of(settings, Arc::new(SystemClock));
    let (tasks, quit) = (TaskTracker::new(), CancellationToken::new());
    let operators = TaskTracker::new();
    let until_quit = || quit.clone();
    let socket = socket.serve(services.clone(), operators.clone(), quit.clone());
    tasks.spawn(until_quit().run_until_cancelled_owned(socket));
    background::start(services, forwarder, timetable, &tasks, &quit);
    tasks.spawn(until_quit().run_until_cancelled_owned(supervisor::watchdog(services.clone())));
    tasks.spawn(until_quit().run_until_cancelled_owned(certificate::keep_fresh(identity.clone(), hangups)));
    tasks.close();
    warn_about(settings);
    forge::warn_about(settings);
    if let Some(awaited) = services.awaited_master_key().await {
        tracing::warn!(
            "the change of the master key is not finished: {awaited} opens the data too; start keywayd with that \
             one, or run `keywayd key rotate` again"
        );
    }
    if services.accounts().await.is_ok_and(|accounts| accounts.is_empty()) {
        tracing::warn!("there is no account yet; make one with `keywayd user add --admin NAME`");
    }
    let listening = format!("listening on {}", sockets.describe(identity.is_some()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "{listening}");

    let (listeners, _own_file) = sockets.into_listeners(identity.as_ref());
    supervisor::ready(&listening);
    let drained = http::serve(listeners, Arc::new(front), stop, grace).await;
    if let Drained::CutOff { connections, mutations } = drained {
        tracing::warn!(connections, mutations, "the grace time ended before these were finished");
    }
    quit.cancel();
    tasks.wait().await;
    operators.close();
    let _ = tokio::time::timeout(OPERATOR_GRACE, operators.wait()).await;
    tracing::info!("stopped");
    Ok(())
}

/// What this room and the services put on the page of numbers.
fn show_numbers(settings: &Settings, services: &Services, identity: Option<&TlsIdentity>, meters: &Meters) {
    services.show(meters);
    if settings.backup.dir.is_some() {
        services.show_backups(meters);
    }
    if let Some(identity) = identity.cloned() {
        let help = "When the certificate in use ends, in seconds since 1970.";
        meters.gauge("keywayd_certificate_end_timestamp_seconds", help, move || {
            identity.validity().map_or(f64::NAN, |validity| validity.until.as_millis() as f64 / 1_000.0)
        });
    }
    let version = ("version", env!("CARGO_PKG_VERSION"));
    meters.fact("keywayd_build_info", "Always 1; the version is the label.", version);
    let started = SystemClock.now().as_millis() as f64 / 1_000.0;
    let help = "When this server started, in seconds since 1970.";
    meters.gauge("keywayd_start_timestamp_seconds", help, move || started);
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::ours(format!("cannot listen for signals: {error}")))
}

/// Ready when somebody wants us to stop, which may take as long as `patience`.
fn stop_signals(patience: Duration) -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        supervisor::stopping(patience);
        tracing::info!("stopping; finishing what is under way");
    })
}

fn http_settings(settings: &Settings) -> HttpSettings {
    let server = &settings.server;
    let request = Duration::from_secs(u64::from(server.request_timeout_secs));
    let times = Timeouts::default();
    let limits = &settings.rate_limit;
    HttpSettings {
        errors_base_url: server.errors_base_url.as_str().to_owned(),
        allowed_origins: server.allowed_origins.iter().map(|origin| origin.as_str().to_owned()).collect(),
        trusted_proxies: server.trusted_proxies.clone(),
        hsts: server.tls.cert.is_some() && server.tls.hsts,
        max_connections: usize::try_from(server.max_connections).unwrap_or(usize::MAX),
        body_limit_bytes: server.body_limit_bytes.as_usize(),
        push_body_limit_bytes: server.push_body_limit_bytes.as_usize(),
        timeouts: Timeouts { request, body: times.body.min(request.mul_f32(0.8)), ..times },
        rate_limits: limits.enabled.then_some(RateLimits {
            general: limits.general,
            reveal: limits.reveal,
            device_verify: limits.device_verify,
        }),
        ..HttpSettings::new(server.public_url.as_str())
    }
}

fn start_telemetry(settings: &Settings) -> Result<Log, Failure> {
    let format = match settings.log.format {
        config::LogFormat::Text => LogFormat::Text,
        config::LogFormat::Json => LogFormat::Json,
    };
    let level = |word| match word {
        config::LogLevel::Error => LogLevel::Error,
        config::LogLevel::Warn => LogLevel::Warn,
        config::LogLevel::Info => LogLevel::Info,
        config::LogLevel::Debug => LogLevel::Debug,
        config::LogLevel::Trace => LogLevel::Trace,
    };
    let filter = &settings.log.level;
    let rooms: Vec<_> = filter.rooms.iter().map(|(room, word)| (*room, level(*word))).collect();
    let log = telemetry::start(format, level(filter.level), &rooms).map_err(Failure::ours)?;
    tracing::debug!(level = ?filter.level, ?rooms, "logging");
    Ok(log)
}

/// As many open files as the system lets us have: every connection is one.
fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, "cannot raise the limit of open files from {soft}");
    }
}

/// Memory holds keys and values; a dump of it would be a file of them.
fn forbid_core_dumps() {
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(%error, "cannot forbid core dumps");
    }
}

fn warn_about(settings: &Settings) {
    if let Some(key) = master::key_file(settings)
        && key.parent() == Some(settings.storage.data_dir.as_path())
    {
        tracing::warn!(
            "the master key lies beside the data; keep a copy elsewhere, and see `master_key` for better places"
        );
    }
    if !settings.server.listen.ip().is_loopback() && settings.server.insecure_http {
        tracing::warn!("secrets travel in the clear: plain HTTP on an address that others can reach");
    }
}
