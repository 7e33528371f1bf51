//! Panics that are expected: a library that panics over a damaged file is called where
//! the panic is caught and told as what it means. Whoever prints panics asks here whether
//! it is one of these.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// What `act` returns; `None` if it panics.
pub fn caught<T>(act: impl FnOnce() -> T) -> Option<T> {
    let before = EXPECTED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(act));
    EXPECTED.set(before);
    outcome.ok()
}

/// Whether a panic of this thread is caught by [`caught`].
#[must_use]
pub fn is_expected() -> bool {
    EXPECTED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_expected_only_where_it_is_caught() {
        assert_eq!(caught(is_expected), Some(true));
        assert_eq!(caught(|| -> () { panic!("of a library") }), None);
        assert!(!is_expected());
    }
}
