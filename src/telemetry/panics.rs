//! A panic is logged by its place alone. The message stays out: a failed slice or
//! `expect` quotes the text it failed on, and that text may be a secret.

use crate::base::panics;

/// Keeps panics from standard error that are caught and told as what they mean.
pub fn hide_expected_panics() {
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panics::is_expected() {
            show(panic);
        }
    }));
}

/// Sends panics to the log instead of printing them with their message.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if panics::is_expected() {
            return;
        }
        let place = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(place, thread = thread.name().unwrap_or("unnamed"), "panic");
    }));
}
