//! A panic is logged by its place alone. The message stays out: a failed slice or
//! `expect` quotes the text it failed on, and that text may be a secret.

/// Sends panics to the log instead of printing them with their message.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(place, thread = thread.name().unwrap_or("unnamed"), "panic");
    }));
}
