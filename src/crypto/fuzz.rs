//! What fuzzers try of this room (see `base::fuzz`).

use super::token::BearerKind;
use super::{Binding, Keyring, MasterKey, MasterSecret, RootKey, envelope};
use crate::base::SecretText;
use std::sync::LazyLock;

const PLACE: Binding<'static> = Binding { table: "things", key: b"one" };

/// Bearer strings: any text has one kind, and none is a session of ours.
pub fn bearers(data: &[u8]) {
    static RING: LazyLock<Keyring> = LazyLock::new(Keyring::generate);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let bearer = SecretText::new(text.to_owned());
    let kind = BearerKind::of(&bearer);
    if kind != BearerKind::Unknown && kind != BearerKind::GitHubInstallation {
        assert!(
            text.bytes().all(|byte| byte.is_ascii_graphic()),
            "a credential has a character out of place"
        );
    }
    assert!(RING.open_session(&bearer, "https://keyway.example").is_none(), "a forged session is good");
}

/// Sealed values: the bytes as such open nothing, and laid over a good one they open it
/// only if they change nothing.
pub fn sealed(data: &[u8]) {
    static GOOD: LazyLock<(RootKey, Vec<u8>)> = LazyLock::new(|| {
        let key = RootKey::generate();
        let sealed = envelope::seal(&key, 1, PLACE, b"a secret value of some length");
        (key, sealed)
    });
    let (key, good) = &*GOOD;
    let _ = envelope::generation(data);
    assert!(envelope::open(key, PLACE, data).is_err() || data == good, "strange bytes open");
    let Some((&at, patch)) = data.split_first() else { return };
    let mut altered = good.clone();
    let at = usize::from(at) % altered.len();
    altered.iter_mut().skip(at).zip(patch).for_each(|(byte, change)| *byte ^= change);
    let opened = envelope::open(key, PLACE, &altered);
    assert_eq!(opened.is_ok(), altered == *good, "an altered value opens");
}

/// The keyring's record, whose head nothing vouches for: no other bytes open it.
pub fn keyring(data: &[u8]) {
    static GOOD: LazyLock<(MasterSecret, Vec<u8>)> = LazyLock::new(|| {
        let secret = MasterSecret::Key(MasterKey::generate());
        let record = Keyring::generate().seal(&[secret.master(1)]);
        (secret, record)
    });
    let (secret, good) = &*GOOD;
    assert!(Keyring::open(secret, data).is_err() || data == good, "a strange record opens");
    let Some((&at, patch)) = data.split_first() else { return };
    let mut altered = good.clone();
    let at = usize::from(at) % altered.len();
    altered.iter_mut().skip(at).zip(patch).for_each(|(byte, change)| *byte ^= change);
    let _ = Keyring::open(secret, &altered);
}

#[cfg(test)]
mod tests {
    use crate::base::fuzz::replay;

    #[test]
    fn stored_credentials_and_sealed_values_are_tried() {
        replay("bearers", super::bearers);
        replay("sealed", super::sealed);
        replay("keyring", super::keyring);
    }
}
