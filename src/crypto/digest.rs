//! Keyed hashes (HMAC-SHA-256, RFC 2104): lookup keys for names, and the chain that
//! holds the audit log together.

use super::keys::{AuditKey, IndexKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Length of every keyed hash, in bytes.
pub const DIGEST_BYTES: usize = 32;

/// One link of the audit chain.
pub type ChainMac = [u8; DIGEST_BYTES];

impl IndexKey {
    /// The lookup key of `parts` within the index called `index`. Without the key,
    /// nobody can tell which name it stands for, nor test a guess.
    #[must_use]
    pub fn lookup(&self, index: &str, parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        let mut mac = keyed(self.expose());
        absorb(&mut mac, b"keywayd index");
        absorb(&mut mac, index.as_bytes());
        for part in parts {
            absorb(&mut mac, part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl AuditKey {
    /// The link for entry number `sequence`, which follows the one with link `previous`.
    #[must_use]
    pub fn link(&self, previous: &ChainMac, sequence: u64, entry: &[u8]) -> ChainMac {
        let mut mac = keyed(self.expose());
        absorb(&mut mac, b"keywayd audit");
        absorb(&mut mac, previous);
        absorb(&mut mac, &sequence.to_be_bytes());
        absorb(&mut mac, entry);
        mac.finalize().into_bytes().into()
    }
}

/// An HMAC of `parts` under a raw key; for identifying a key without showing it.
pub(super) fn fingerprint(key: &[u8; 32], label: &str) -> [u8; DIGEST_BYTES] {
    let mut mac = keyed(key);
    absorb(&mut mac, label.as_bytes());
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Length first, so that no two lists of parts read the same.
fn absorb(mac: &mut Hmac<Sha256>, part: &[u8]) {
    mac.update(&(part.len() as u64).to_be_bytes());
    mac.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_differ_by_key_index_and_the_cut_between_parts() {
        let key = IndexKey::generate();
        let base = key.lookup("users", &[b"ab", b"c"]);
        assert_eq!(base, key.lookup("users", &[b"ab", b"c"]));
        assert_ne!(base, key.lookup("users", &[b"a", b"bc"]));
        assert_ne!(base, key.lookup("vaults", &[b"ab", b"c"]));
        assert_ne!(base, IndexKey::generate().lookup("users", &[b"ab", b"c"]));
    }

    #[test]
    fn a_link_depends_on_everything_before_it() {
        let key = AuditKey::generate();
        let link = key.link(&[0; 32], 1, b"entry");
        assert_ne!(link, key.link(&[1; 32], 1, b"entry"));
        assert_ne!(link, key.link(&[0; 32], 2, b"entry"));
        assert_ne!(link, key.link(&[0; 32], 1, b"other"));
    }
}
