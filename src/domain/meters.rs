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
}
