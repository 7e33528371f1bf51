//! What the server does without being asked: writing what is counted in memory,
//! purging what was deleted long ago, letting old audit entries go, copying new ones,
//! backups, and what is left of a change of keys.

use super::backups::Timetable;
use super::forward::Forwarder;
use crate::domain::Services;
use crate::domain::upkeep::Watch;
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often what is counted in memory is written.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How often new audit entries are copied.
const FORWARD_EVERY: Duration = Duration::from_secs(1);
/// How often what is overdue is looked for; also at start, and when something was purged by hand.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// How often ended sessions and unused codes are deleted.
const SIGN_INS_EVERY: Duration = Duration::from_secs(10 * 60);

/// Starts everything; it ends with `quit`.
pub(super) fn start(
    services: &Services,
    forwarder: Option<Forwarder>,
    timetable: Option<Timetable>,
    tasks: &TaskTracker,
    quit: &CancellationToken,
) {
    tasks.spawn(quit.clone().run_until_cancelled_owned(flush(services.clone())));
    tasks.spawn(quit.clone().run_until_cancelled_owned(sweep(services.clone())));
    tasks.spawn(quit.clone().run_until_cancelled_owned(sweep_sign_ins(services.clone())));
    if let Some(forwarder) = forwarder {
        tasks.spawn(forward(services.clone(), forwarder, quit.clone()));
    }
    if let Some(timetable) = timetable {
        tasks.spawn(timetable.run(services.clone(), quit.clone()));
    }
    tasks.spawn(go_on_resealing(services.clone(), quit.clone()));
}

/// Finishes sealing anew what a stop or a crash cut off.
async fn go_on_resealing(services: Services, quit: CancellationToken) {
    if !matches!(services.is_resealing(), Ok(true)) {
        return;
    }
    tracing::info!("going on with sealing every record anew");
    let called_off = quit.clone();
    let watch = Watch::new(move |_| {
        if called_off.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match services.reseal(watch.gently()).await {
        Ok(()) => tracing::info!("every record is sealed anew; the keys before are gone from the keyring"),
        Err(_) if quit.is_cancelled() => {}
        Err(error) => tracing::error!(
            %error, cause = ?error.cause,
            "records cannot be sealed anew; `keywayd verify` may tell why"
        ),
    }
}

async fn flush(services: Services) {
    let mut ticks = interval(FLUSH_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = services.flush_usage().await {
            tracing::warn!(%error, "the use of API keys could not be written; trying again");
        }
    }
}

async fn sweep_sign_ins(services: Services) {
    let mut ticks = interval(SIGN_INS_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = services.sweep_sign_ins().await {
            tracing::warn!(%error, "ended sessions could not be deleted; trying again");
        }
    }
}

async fn sweep(services: Services) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = services.sweep_wanted() => {}
        }
        match services.trusts_clock().await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(
                    "the clock is more than a week ahead of when the server was last seen running; nothing is purged \
                     until it has stood by that for a day, so set it right if it is wrong"
                );
                continue;
            }
            Err(error) => {
                tracing::error!(%error, cause = ?error.cause, "what is overdue could not be looked for");
                continue;
            }
        }
        match services.purge_overdue().await {
            Ok(purged) if purged.is_something() => tracing::info!(
                secrets = purged.secrets,
                environments = purged.environments,
                vaults = purged.vaults,
                versions = purged.versions,
                "purged what was overdue"
            ),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, cause = ?error.cause, "the trash could not be purged"),
        }
        match services.prune_audit().await {
            Ok(0) => {}
            Ok(entries) => tracing::info!(entries, "let audit entries go that were past their retention"),
            Err(error) => tracing::error!(
                %error, cause = ?error.cause,
                "audit entries past their retention are kept; run `keywayd audit verify`"
            ),
        }
    }
}

async fn forward(services: Services, mut forwarder: Forwarder, quit: CancellationToken) {
    let mut ticks = interval(FORWARD_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    while quit.run_until_cancelled(ticks.tick()).await.is_some() {
        match forwarder.round(&services).await {
            Ok(()) => failing = false,
            // Once is enough: what is missing is copied as soon as it works again.
            Err(_) if failing => {}
            Err(error) => {
                failing = true;
                tracing::error!(error = %error.message, "audit entries are not copied; trying again every second");
            }
        }
    }
    if let Err(error) = forwarder.round(&services).await {
        tracing::error!(error = %error.message, "the last audit entries are copied at the next start");
    }
}
