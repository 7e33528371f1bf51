//! Keeping the certificate fresh: read at start, and again when its files change or
//! somebody asks with SIGHUP. Whatever is wrong with new files, serving goes on with
//! the certificate in use.

use super::supervisor;
use crate::base::{Clock, SystemClock, Timestamp};
use crate::cli::Failure;
use crate::config::Settings;
use crate::http::{Fingerprint, TlsIdentity};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the files are looked at. Certificates are replaced weeks before they end.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often the log is told that a certificate is about to end.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The certificate of the settings; `None` if they name none.
pub(super) fn load(settings: &Settings) -> Result<Option<TlsIdentity>, Failure> {
    let tls = &settings.server.tls;
    let (Some(certificate), Some(key)) = (&tls.cert, &tls.key) else { return Ok(None) };
    let identity = TlsIdentity::load(certificate, key, Arc::new(SystemClock)).map_err(Failure::user)?;
    let host = settings.server.public_url.host();
    if !identity.is_for(host) {
        tracing::warn!(
            "the certificate is not for `{host}`, the host in `server.public_url`: clients will refuse it"
        );
    }
    if identity.key_is_open_to_others() {
        tracing::warn!("every user of this machine can read `{0}`; run `chmod 640 {0}`", key.display());
    }
    Ok(Some(identity))
}

/// Reads the certificate again whenever there is reason to, for ever. What is in use is
/// looked at now, not when the task gets to run: by then it may have been renewed.
pub(super) fn keep_fresh(identity: Option<TlsIdentity>, hangups: Signal) -> impl Future<Output = ()> {
    let used = identity.as_ref().and_then(TlsIdentity::fingerprint);
    async move { Keeper { identity, hangups, looks: patient(LOOK_EVERY), reminded: None }.run(used).await }
}

fn patient(every: Duration) -> Interval {
    let mut looks = interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

struct Keeper {
    identity: Option<TlsIdentity>,
    hangups: Signal,
    looks: Interval,
    reminded: Option<Timestamp>,
}

impl Keeper {
    async fn run(mut self, mut used: Option<Fingerprint>) {
        let mut before = used;
        loop {
            tokio::select! {
                _ = self.hangups.recv() => {
                    supervisor::reloading();
                    used = self.look().await;
                    self.reload().await;
                    supervisor::reloaded();
                }
                _ = self.looks.tick() => {
                    let now = self.look().await;
                    // Unchanged since the last look: whoever writes two files one after
                    // the other has written both.
                    if now.is_some() && now != used && now == before {
                        used = now;
                        self.reload().await;
                    }
                    before = now;
                    self.remind();
                }
            }
        }
    }

    async fn look(&self) -> Option<Fingerprint> {
        let identity = self.identity.clone()?;
        spawn_blocking(move || identity.fingerprint()).await.ok().flatten()
    }

    async fn reload(&self) {
        let Some(identity) = self.identity.clone() else {
            return tracing::info!(
                "nothing to reload: no certificate; for other settings, restart the server"
            );
        };
        match spawn_blocking(move || identity.reload()).await {
            Ok(Ok(())) => tracing::info!("read the certificate again; new connections get it"),
            Ok(Err(error)) => {
                tracing::error!(%error, "the certificate was not replaced; still using the old one")
            }
            Err(_) => tracing::error!("the certificate was not replaced; still using the old one"),
        }
    }

    fn remind(&mut self) {
        let now = SystemClock.now();
        let Some(validity) = self.identity.as_ref().and_then(TlsIdentity::validity) else { return };
        let is_quiet = self.reminded.is_some_and(|last| now.since(last) < REMIND_EVERY);
        if is_quiet || !validity.ends_soon(now) {
            return;
        }
        self.reminded = Some(now);
        if validity.until < now {
            tracing::error!("the certificate expired at {}: clients refuse it; renew it", validity.until);
        } else {
            tracing::warn!("the certificate is good only until {}; renew it", validity.until);
        }
    }
}
