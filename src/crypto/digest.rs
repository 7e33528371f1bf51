//! Keyed hashes (HMAC-SHA-256, RFC 2104): lookup keys for names, and the chain that
//! holds the audit log together.

use super::keys::{AuditKey, IndexKey};
use crate::base::SecretText;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

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

/// The `S256` challenge of a PKCE verifier (RFC 7636 §4.2).
#[must_use]
pub fn pkce_challenge(verifier: &SecretText) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose().as_bytes()))
}

/// Whether `signature`, written `sha256=<hex>`, is the HMAC-SHA-256 of `message` under
/// `secret`: how webhooks prove where they come from.
#[must_use]
pub fn is_signed(secret: &SecretText, message: &[u8], signature: &str) -> bool {
    let Some(hex) = signature.strip_prefix("sha256=").filter(|hex| hex.len() == 2 * DIGEST_BYTES) else {
        return false;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    let Some(claimed) = hex.as_bytes().chunks_exact(2).map(pair).collect::<Option<Vec<u8>>>() else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
    mac.update(message);
    mac.verify_slice(&claimed).is_ok()
}

/// An HMAC of `parts` under a raw key; for identifying a key without showing it.
pub(super) fn fingerprint(key: &[u8; 32], label: &str) -> [u8; DIGEST_BYTES] {
    let mut mac = keyed(key);
    absorb(&mut mac, label.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg_attr(not(test), expect(clippy::expect_used, reason = "it takes keys of any length"))]
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

    /// The example of RFC 7636, appendix B.
    #[test]
    fn challenges_follow_the_rfc() {
        let verifier = SecretText::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
        assert_eq!(pkce_challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    /// The example of GitHub's page on validating webhook deliveries.
    #[test]
    fn signed_messages_are_told_from_others() {
        let secret = SecretText::new("It's a Secret to Everybody".to_owned());
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(&secret, b"Hello, World!", good));
        for (message, signature) in [
            (b"Hello, World?".as_slice(), good),
            (b"Hello, World!", &good[7..]),
            (b"Hello, World!", &good[..70]),
            (b"Hello, World!", &good.replace('7', "8")),
            (b"Hello, World!", &good.replace('7', "g")),
            (b"Hello, World!", "sha256="),
            (b"Hello, World!", ""),
        ] {
            assert!(!is_signed(&secret, message, signature), "{signature}");
        }
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
