//! How records become bytes: one byte of format version, then bincode. Each record
//! names its own version, so that a record's shape, or the encoding itself, can be
//! changed one kind at a time. Only bytes whose seal was verified are decoded.

use super::StoreError;
use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// No record may claim more than this while decoding, in bytes.
const DECODE_LIMIT: usize = 64 * 1024 * 1024;

const fn settings() -> Configuration<LittleEndian, Varint, Limit<DECODE_LIMIT>> {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// A shape that is stored.
pub trait Record: Serialize + DeserializeOwned {
    /// What people call it, for error messages.
    const KIND: &'static str;
    /// The version that is written.
    const VERSION: u8 = 1;

    /// Reads a version older than [`Record::VERSION`]. `None`: there never was such a one.
    #[must_use]
    fn upgrade(_version: u8, _body: &[u8]) -> Option<Self> {
        None
    }
}

/// A record that can also be looked at in place.
pub trait InPlace: Record {
    /// The same fields in the same order; text is not copied out of the opened bytes.
    type Seen<'a>: Deserialize<'a>;
}

/// The bytes of `record`, before sealing.
pub(super) fn encode<R: Record>(record: &R) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(512));
    bytes.push(R::VERSION);
    bincode::serde::encode_into_std_write(record, &mut *bytes, settings())
        .map_err(|error| StoreError::damaged(R::KIND, error))?;
    Ok(bytes)
}

/// The record in `bytes`, whose seal has been verified.
pub(super) fn decode<R: Record>(bytes: &[u8]) -> Result<R, StoreError> {
    let (version, body) = split::<R>(bytes)?;
    if version < R::VERSION {
        return R::upgrade(version, body).ok_or_else(|| damaged::<R>("its version is unknown"));
    }
    whole::<R, R>(body, bincode::serde::decode_from_slice(body, settings()))
}

/// Hands the record in `bytes`, whose seal has been verified, to `see` where it lies.
pub(super) fn look<R: InPlace, T>(bytes: &[u8], see: impl FnOnce(R::Seen<'_>) -> T) -> Result<T, StoreError> {
    let (version, body) = split::<R>(bytes)?;
    if version < R::VERSION {
        return Err(damaged::<R>("its version is unknown"));
    }
    whole::<R, _>(body, bincode::serde::borrow_decode_from_slice(body, settings())).map(see)
}

/// The version of what is in `bytes`, and the rest.
fn split<R: Record>(bytes: &[u8]) -> Result<(u8, &[u8]), StoreError> {
    let (&version, body) = bytes.split_first().ok_or_else(|| damaged::<R>("it is empty"))?;
    if version > R::VERSION {
        return Err(damaged::<R>("it was written by a newer version of keywayd"));
    }
    Ok((version, body))
}

/// What was decoded, if it is all of `body`.
fn whole<R: Record, S>(
    body: &[u8],
    decoded: Result<(S, usize), bincode::error::DecodeError>,
) -> Result<S, StoreError> {
    match decoded {
        Ok((record, read)) if read == body.len() => Ok(record),
        Ok(_) => Err(damaged::<R>("bytes are left over")),
        // The error's own text could quote what was decoded.
        Err(_) => Err(damaged::<R>("it does not decode")),
    }
}

fn damaged<R: Record>(problem: &str) -> StoreError {
    StoreError::damaged(R::KIND, problem)
}
