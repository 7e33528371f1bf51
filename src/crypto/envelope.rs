//! Sealing: XChaCha20-Poly1305 with a random 24-byte nonce. What the sealed bytes
//! belong to (table and key) is authenticated with them, so a value that was moved
//! to another place does not open.
//!
//! ```text
//! 0        1                5           29                     n-16      n
//! ├ format ┼ key generation ┼ nonce     ┼ ciphertext           ┼ tag     ┤
//! │ u8 = 1 │ u32, big end   │ 24 bytes  │                      │ 16 bytes│
//! ```

use super::keys::SealingKey;
use crate::base::random;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const GENERATION_END: usize = 5;
const HEADER_BYTES: usize = 29;
const TAG_BYTES: usize = 16;

/// What sealing adds to the length of the plaintext, in bytes.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// The place a sealed value belongs to.
#[derive(Clone, Copy)]
pub struct Binding<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The record's full key.
    pub key: &'a [u8],
}

/// Why sealed bytes did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than any sealed value.
    #[error("the sealed value is cut short")]
    Truncated,
    /// Written by a newer version, or not sealed at all.
    #[error("the sealed value has an unknown format")]
    UnknownFormat,
    /// Sealed under a key generation that the keyring does not hold.
    #[error("the sealed value needs key generation {0}, which the keyring does not hold")]
    UnknownGeneration(u32),
    /// Altered, moved from another place, or sealed under another key.
    #[error("the sealed value was altered, moved from another place, or sealed under another key")]
    NotAuthentic,
}

/// Seals `plaintext` under `key`, which is its generation `generation`.
#[must_use]
#[cfg_attr(not(test), expect(clippy::expect_used, reason = "nothing here is that long"))]
pub fn seal(key: &impl SealingKey, generation: u32, binding: Binding<'_>, plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
    sealed.push(FORMAT);
    sealed.extend_from_slice(&generation.to_be_bytes());
    let mut nonce = [0u8; HEADER_BYTES - GENERATION_END];
    random::fill(&mut nonce);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let (header, body) = sealed.split_at_mut(HEADER_BYTES);
    let associated = associated_data(key.label(), &header[..GENERATION_END], binding);
    let tag = cipher(key)
        .encrypt_inout_detached(&XNonce::from(nonce), &associated, body.into())
        .expect("the cipher takes up to 256 GiB, the database far less");
    sealed.extend_from_slice(&tag);
    sealed
}

/// The generation of the key that sealed these bytes.
///
/// # Errors
/// If the bytes are no sealed value.
pub fn generation(sealed: &[u8]) -> Result<u32, OpenError> {
    if sealed.len() < OVERHEAD_BYTES {
        return Err(OpenError::Truncated);
    }
    match sealed {
        [FORMAT, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => Err(OpenError::UnknownFormat),
    }
}

/// Opens what [`seal`] made for the same key and place.
///
/// # Errors
/// If the bytes are cut, altered, from another place or under another key.
pub fn open(
    key: &impl SealingKey,
    binding: Binding<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    generation(sealed)?;
    let (header, rest) = sealed.split_at(HEADER_BYTES);
    let (body, tag) = rest.split_at(rest.len() - TAG_BYTES);
    let nonce = XNonce::try_from(&header[GENERATION_END..]).map_err(|_| OpenError::Truncated)?;
    let tag = Tag::try_from(tag).map_err(|_| OpenError::Truncated)?;
    let associated = associated_data(key.label(), &header[..GENERATION_END], binding);
    let mut plaintext = Zeroizing::new(body.to_vec());
    cipher(key)
        .decrypt_inout_detached(&nonce, &associated, plaintext.as_mut_slice().into(), &tag)
        .map_err(|_| OpenError::NotAuthentic)?;
    Ok(plaintext)
}

fn cipher(key: &impl SealingKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.bytes().into())
}

/// Every part but the last has a fixed length or its length before it, so no two
/// places share their associated data.
fn associated_data(label: &str, header: &[u8], binding: Binding<'_>) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(label.len() + header.len() + binding.table.len() + binding.key.len() + 2);
    for part in [label.as_bytes(), binding.table.as_bytes()] {
        out.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(part);
    }
    out.extend_from_slice(header);
    out.extend_from_slice(binding.key);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{RootKey, VaultKey};

    const HERE: Binding<'static> = Binding { table: "things", key: b"one" };

    #[test]
    fn a_sealed_value_opens_at_its_place_only() {
        let key = RootKey::generate();
        let sealed = seal(&key, 7, HERE, b"plain");
        assert_eq!(generation(&sealed), Ok(7));
        assert_eq!(open(&key, HERE, &sealed).unwrap().as_slice(), b"plain");
        for elsewhere in [Binding { key: b"two", ..HERE }, Binding { table: "thing", key: b"sone" }] {
            assert_eq!(open(&key, elsewhere, &sealed).unwrap_err(), OpenError::NotAuthentic);
        }
        assert_eq!(open(&RootKey::generate(), HERE, &sealed).unwrap_err(), OpenError::NotAuthentic);
        let empty = seal(&key, 7, HERE, b"");
        assert_eq!((empty.len(), generation(&empty)), (OVERHEAD_BYTES, Ok(7)));
        assert_eq!(open(&key, HERE, &empty).unwrap().as_slice(), b"");
        assert_eq!(generation(&empty[..OVERHEAD_BYTES - 1]), Err(OpenError::Truncated));
        let same_bytes = VaultKey::from_bytes(*key.expose());
        assert_eq!(open(&same_bytes, HERE, &sealed).unwrap_err(), OpenError::NotAuthentic);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let key = RootKey::generate();
        let sealed = seal(&key, 1, HERE, b"a secret value");
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, HERE, &altered).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(open(&key, HERE, &sealed[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn sealing_twice_never_gives_the_same_bytes() {
        let key = RootKey::generate();
        assert_ne!(seal(&key, 1, HERE, b"x"), seal(&key, 1, HERE, b"x"));
    }

    /// The construction is XChaCha20-Poly1305 as in draft-irtf-cfrg-xchacha-03,
    /// appendix A.3.1: key, nonce and ciphertext from there.
    #[test]
    fn the_cipher_is_the_one_of_the_draft() {
        let key: [u8; 32] = std::array::from_fn(|i| 0x80 + u8::try_from(i).unwrap());
        let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + u8::try_from(i).unwrap());
        let associated = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let mut text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
                         the future, sunscreen would be it."
            .to_vec();
        let tag = XChaCha20Poly1305::new(&key.into())
            .encrypt_inout_detached(&nonce.into(), &associated, text.as_mut_slice().into())
            .unwrap();
        assert_eq!(&text[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
        assert_eq!(&tag[..4], [0xc0, 0x87, 0x59, 0x24]);
    }
}
