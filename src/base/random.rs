//! Random bytes from the operating system; the only source in the program.

/// Fills `bytes`.
///
/// # Panics
/// If the kernel has no generator. It never fails once it has answered, and
/// starting up already needs it.
#[expect(clippy::disallowed_methods, reason = "the one place that asks for randomness")]
pub fn fill(bytes: &mut [u8]) {
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

    #[test]
    fn text_has_the_length_and_only_the_alphabet() {
        let sample = text(b"abc", 10_000);
        assert_eq!(sample.len(), 10_000);
        assert!(sample.bytes().all(|byte| b"abc".contains(&byte)));
    }
}
