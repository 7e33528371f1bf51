//! What fuzzers try of this room, and how stored inputs are tried again without one.
//!
//! Each room has such a file: a function for each parser that the network or the disk
//! reaches, which takes any bytes and holds what must be true of them. The fuzzer's side
//! is in `tests/fuzz`, with the inputs worth keeping; `cargo test` gives each of them, and
//! changed copies of it, to the same functions.

use super::names::RepoPart;
use super::{AccountName, EnvironmentName, NameError, OwnerName, Quota, RepoName, Role, Scope, SecretName};
use super::{Timestamp, duration};

/// Names of every kind.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    fn same<T: std::fmt::Display>(text: &str, parse: fn(&str) -> Result<T, NameError>) -> bool {
        let Ok(name) = parse(text) else { return false };
        assert_eq!(name.to_string(), text, "a name is shown as it was given");
        // What reaches paths, file formats and logs unescaped.
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "a name has a character out of place");
        true
    }
    same(text, OwnerName::parse);
    same(text, RepoPart::parse);
    same(text, EnvironmentName::parse);
    let secret = same(text, SecretName::parse);
    assert!(secret || SecretName::parse_strict(text).is_err(), "the strict form is a form");
    let account = same(text, AccountName::parse);
    assert!(!account || OwnerName::parse(text).is_ok(), "an account is an owner");
    if same(text, RepoName::parse) {
        let folded = RepoName::parse(text).map(|name| name.folded());
        let again = folded.clone().and_then(|name| RepoName::parse(&name)).map(|name| name.folded());
        assert_eq!(folded, again, "folding is done once");
    }
    assert!(Role::parse(text).is_none_or(|role| role.as_str() == text));
    assert!(Scope::parse(text).is_none_or(|scope| scope.as_str() == text));
}

/// Times, spans of time and quotas.
pub fn times(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(moment) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment), "{text}");
    }
    if let Ok(span) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::show(span)).ok(), Some(span), "{text}");
    }
    let _ = Quota::parse(text);
}

/// Tries `run` on what is stored for `target`, and on copies of that with some bytes
/// changed: `KEYWAYD_TEST_MUTATIONS` for each, 300 if it does not say.
#[cfg(test)]
pub(crate) fn replay(target: &str, run: fn(&[u8])) {
    replay_slow(target, run, 1);
}

/// The same for what takes `times` as long as other things, with so many copies less.
#[cfg(test)]
pub(crate) fn replay_slow(target: &str, run: fn(&[u8]), times: u32) {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files =
        std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut seeds: Vec<Vec<u8>> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(!seeds.is_empty(), "nothing is stored for `{target}`");
    seeds.sort();
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting")]
    let count: u32 =
        std::env::var("KEYWAYD_TEST_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for seed in &seeds {
        tried(target, run, seed);
        for _ in 0..count / times {
            tried(target, run, &dice.changed(seed, &seeds));
        }
    }
}

/// Says what was tried when it fails.
#[cfg(test)]
fn tried(target: &str, run: fn(&[u8]), input: &[u8]) {
    if let Err(cause) = std::panic::catch_unwind(|| run(input)) {
        eprintln!("`{target}` fails for {}", input.escape_ascii());
        std::panic::resume_unwind(cause);
    }
}

/// Numbers that are the same in every run (xorshift64*).
#[cfg(test)]
struct Dice(u64);

#[cfg(test)]
impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }

    /// `seed` after one to four small accidents.
    fn changed(&mut self, seed: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        const ODD: [&[u8]; 12] = [
            b"\0",
            b"\xff",
            b"\r\n",
            b"%00",
            b"\"",
            b"\\",
            b"'",
            b"=",
            b"#",
            b"9999999999",
            b"\xed\xa0\x80",
            b"..",
        ];
        let mut input = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            match self.below(6) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 if at < input.len() => drop(input.remove(at)),
                2 => drop(input.splice(at..at, ODD[self.below(ODD.len())].iter().copied())),
                3 => input.truncate(at),
                4 => {
                    let piece = input[at..input.len().min(at + 16)].to_vec();
                    drop(input.splice(at..at, piece));
                }
                _ => {
                    let other = &others[self.below(others.len())];
                    let from = self.below(other.len() + 1);
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
            }
        }
        input
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_and_times_are_tried() {
        replay("names", names);
        replay("times", times);
    }
}
