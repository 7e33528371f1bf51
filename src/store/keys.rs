//! Table keys: fixed-length parts one after the other, numbers big end first, so that
//! the order of the bytes is the order of the parts.

use super::tables::Lookup;
use crate::base::Timestamp;
use crate::base::ids::{ApiKeyId, ConnectionId, EnvironmentId, SecretId, SessionId, UserId, VaultId};
use std::ops::Bound;

/// One part of a table key.
pub trait KeyPart: Copy {
    /// Its length in bytes, always the same.
    const BYTES: usize;
    /// Appends the part.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads the part from exactly its bytes.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// The key of one record.
pub trait TableKey: Copy {
    /// The key's bytes.
    fn to_bytes(&self) -> Vec<u8>;
    /// The key with these bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! id_parts {
    ($($id:ident)+) => {$(
        impl KeyPart for $id {
            const BYTES: usize = 16;

            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.as_bytes());
            }

            fn read(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_bytes)
            }
        }
    )+};
}

id_parts!(ApiKeyId ConnectionId EnvironmentId SecretId SessionId UserId VaultId);

impl KeyPart for Lookup {
    const BYTES: usize = 32;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

impl KeyPart for u64 {
    const BYTES: usize = 8;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl KeyPart for Timestamp {
    const BYTES: usize = u64::BYTES;

    fn write(&self, out: &mut Vec<u8>) {
        self.as_millis().write(out);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        u64::read(bytes).map(Self::from_millis)
    }
}

impl<A: KeyPart> TableKey for A {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(A::BYTES);
        self.write(&mut out);
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        A::read(bytes)
    }
}

impl<A: KeyPart, B: KeyPart> TableKey for (A, B) {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(A::BYTES + B::BYTES);
        self.0.write(&mut out);
        self.1.write(&mut out);
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (a, b) = bytes.split_at_checked(A::BYTES)?;
        Some((A::read(a)?, B::read(b)?))
    }
}

impl<A: KeyPart, B: KeyPart, C: KeyPart> TableKey for (A, B, C) {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(A::BYTES + B::BYTES + C::BYTES);
        self.0.write(&mut out);
        self.1.write(&mut out);
        self.2.write(&mut out);
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (a, rest) = bytes.split_at_checked(A::BYTES)?;
        let (b, c) = rest.split_at_checked(B::BYTES)?;
        Some((A::read(a)?, B::read(b)?, C::read(c)?))
    }
}

/// A run of keys, and from which end to read it.
#[derive(Clone, Debug)]
pub struct Span {
    pub(super) from: Bound<Vec<u8>>,
    pub(super) to: Bound<Vec<u8>>,
    pub(super) newest_first: bool,
}

impl Span {
    /// All keys.
    #[must_use]
    pub const fn all() -> Self {
        Self { from: Bound::Unbounded, to: Bound::Unbounded, newest_first: false }
    }

    /// The keys whose leading parts are `prefix`.
    #[must_use]
    pub fn under(prefix: impl TableKey) -> Self {
        let from = prefix.to_bytes();
        let mut to = from.clone();
        // The first key behind the prefix: the last byte that can still grow, grown.
        while to.last() == Some(&u8::MAX) {
            to.pop();
        }
        let to = match to.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(to)
            }
            None => Bound::Unbounded,
        };
        Self { from: Bound::Included(from), to, newest_first: false }
    }

    /// Of these keys, those behind `key`.
    #[must_use]
    pub fn after(self, key: impl TableKey) -> Self {
        Self { from: Bound::Excluded(key.to_bytes()), ..self }
    }

    /// Of these keys, those up to and including `key`.
    #[must_use]
    pub fn up_to(self, key: impl TableKey) -> Self {
        Self { to: Bound::Included(key.to_bytes()), ..self }
    }

    /// The same keys, last first.
    #[must_use]
    pub fn newest_first(self) -> Self {
        Self { newest_first: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_round_trip_and_sort_by_their_parts() {
        let vault = VaultId::from_bytes([7; 16]);
        let keys = [(vault, 1u64), (vault, 255), (vault, 256), (VaultId::from_bytes([8; 16]), 0)];
        let bytes: Vec<_> = keys.iter().map(TableKey::to_bytes).collect();
        assert!(bytes.is_sorted());
        for (key, bytes) in keys.iter().zip(&bytes) {
            assert_eq!(<(VaultId, u64)>::from_bytes(bytes), Some(*key));
            assert_eq!(<(VaultId, u64)>::from_bytes(&bytes[1..]), None);
        }
    }

    #[test]
    fn the_end_of_a_prefix_is_its_successor() {
        let high = Span::under(VaultId::from_bytes([0xff; 16]));
        assert_eq!(high.to, Bound::Unbounded);
        let mut bytes = [0u8; 16];
        bytes[15] = 0xff;
        let carried = Span::under(VaultId::from_bytes(bytes));
        assert_eq!(carried.to, Bound::Excluded([&[0u8; 14][..], &[1]].concat()));
    }
}
