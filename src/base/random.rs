//! Random bytes from the operating system; the only source in the program.
//!
//! Asking for them costs as much as sealing a small record, and every record takes a
//! nonce, so small requests are served out of a block that each thread fetches now and
//! then. Bytes are wiped from the block as they are given out.

use std::cell::RefCell;
use zeroize::Zeroize;

const BLOCK_BYTES: usize = 512;
/// Larger requests go to the operating system directly.
const SMALL_BYTES: usize = 32;

thread_local! {
    static BLOCK: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK_BYTES], left: 0 }) };
}

struct Block {
    bytes: [u8; BLOCK_BYTES],
    /// The first so many bytes have not been given out.
    left: usize,
}

impl Block {
    fn give(&mut self, wanted: &mut [u8]) {
        if self.left < wanted.len() {
            fetch(&mut self.bytes);
            self.left = BLOCK_BYTES;
        }
        let given = &mut self.bytes[self.left - wanted.len()..self.left];
        wanted.copy_from_slice(given);
        given.zeroize();
        self.left -= wanted.len();
    }
}

/// Fills `bytes`.
///
/// # Panics
/// If the kernel has no generator. It never fails once it has answered, and
/// starting up already needs it.
pub fn fill(bytes: &mut [u8]) {
    if bytes.len() > SMALL_BYTES {
        return fetch(bytes);
    }
    // A thread that is ending may have no block any more.
    if BLOCK.try_with(|block| block.borrow_mut().give(bytes)).is_err() {
        fetch(bytes);
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks for randomness")]
#[cfg_attr(not(test), expect(clippy::expect_used, reason = "without randomness there is no going on"))]
fn fetch(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel's random generator answers");
}

/// `length` characters out of `alphabet`, each equally likely.
///
/// # Panics
/// If `alphabet` is empty or longer than 256.
#[must_use]
pub fn text(alphabet: &[u8], length: usize) -> String {
    assert!((1..=256).contains(&alphabet.len()), "an alphabet has 1 to 256 characters");
    // Bytes from the ragged end of the range would favour the first characters.
    let fair = 256 - 256 % alphabet.len();
    let mut out = String::with_capacity(length);
    let mut pool = [0u8; 64];
    while out.len() < length {
        fill(&mut pool);
        let fresh = pool.iter().map(|&byte| usize::from(byte)).filter(|&byte| byte < fair);
        out.extend(fresh.take(length - out.len()).map(|byte| char::from(alphabet[byte % alphabet.len()])));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_bytes_are_given_out_twice() {
        let mut seen = HashSet::new();
        for _ in 0..10 * BLOCK_BYTES {
            let mut bytes = [0; 24];
            fill(&mut bytes);
            assert!(seen.insert(bytes));
        }
    }

    #[test]
    fn requests_of_any_size_are_filled() {
        for length in [1, SMALL_BYTES, SMALL_BYTES + 1, 3 * BLOCK_BYTES] {
            let mut bytes = vec![0; length];
            let changed = (0..64).any(|_| {
                fill(&mut bytes);
                bytes[length - 1] != 0
            });
            assert!(changed, "{length}");
        }
    }

    #[test]
    fn text_has_the_length_and_only_the_alphabet() {
        let sample = text(b"abc", 10_000);
        assert_eq!(sample.len(), 10_000);
        assert!(sample.bytes().all(|byte| b"abc".contains(&byte)));
    }
}
