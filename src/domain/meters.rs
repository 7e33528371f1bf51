//! The numbers that an operator sees of the product's work.

use super::Services;
use crate::base::meter::Meters;

impl Services {
    /// Shows them; some are looked up when the page is read.
    pub fn show(&self, meters: &Meters) {
        self.store().show(meters);
        if let Some(roles) = &self.0.roles {
            meters.show(&roles.answers);
        }
        let services = self.clone();
        meters.gauge("keywayd_healthy", "Whether the store can serve: 1 or 0.", move || {
            f64::from(u8::from(services.health().is_ok()))
        });
        let services = self.clone();
        meters.gauge(
            "keywayd_key_generation",
            "Generation of the root key that new records are sealed with.",
            move || f64::from(services.store().keyring().newest_root().0),
        );
    }

    /// Shows how old the last good backup is, for a server that takes them.
    pub fn show_backups(&self, meters: &Meters) {
        let services = self.clone();
        meters.gauge(
            "keywayd_backup_age_seconds",
            "Time since the last good backup; infinite: there is none.",
            move || match services.backup_state().last_good {
                Some(last) => services.now().since(last).as_secs_f64(),
                None => f64::INFINITY,
            },
        );
        let services = self.clone();
        meters.gauge("keywayd_backup_failures", "Backups that failed since the last good one.", move || {
            services.backup_state().failures as f64
        });
    }
}
