//! What the service manager is told, by the protocol of sd_notify(3): that we are
//! ready, that we reload or stop, and, while the store can serve, that we are alive.
//! Where there is no service manager, nothing happens.

use crate::domain::Services;
use sd_notify::NotifyState;
use std::time::Duration;

/// Serving; `status` says on what.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reading files again; [`reloaded`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the service manager was not told of a reload"),
    }
}

/// Done with that.
pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// Stopping, which may take as long as `patience`.
pub(super) fn stopping(patience: Duration) {
    let patience = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(patience)]);
}

/// Says that we are alive, as often as the service manager wants to hear it, for ever.
/// It is not said while the store cannot serve: a fresh process may succeed where this
/// one cannot.
pub(super) async fn watchdog(services: Services) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval(limit / 3);
    loop {
        ticks.tick().await;
        match services.health() {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(error) => tracing::error!(%error, "not well; the service manager will restart this server"),
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how we are");
    }
}
