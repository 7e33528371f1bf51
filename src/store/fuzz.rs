//! What fuzzers try of this room (see `base::fuzz`).

use super::codec::{Record, decode, encode};
use super::records::{
    ApiKey, ApiKeyUsage, Connection, DeviceCode, Entry, Environment, ForgeGrant, Grant, Link, PendingSignIn,
    Revision, Session, SignInCode, TrashedSecret, User, Vault, VaultKeys, Version,
};

/// Records: the first byte says of which kind. Whatever decodes can be written, and comes
/// back as the same bytes from then on.
pub fn records(data: &[u8]) {
    const KINDS: &[fn(&[u8])] = &[
        tried::<User>,
        tried::<Grant>,
        tried::<ApiKey>,
        tried::<ApiKeyUsage>,
        tried::<Vault>,
        tried::<VaultKeys>,
        tried::<Environment>,
        tried::<Version>,
        tried::<TrashedSecret>,
        tried::<Revision>,
        tried::<Entry>,
        tried::<Session>,
        tried::<DeviceCode>,
        tried::<PendingSignIn>,
        tried::<SignInCode>,
        tried::<ForgeGrant>,
        tried::<Connection>,
        tried::<Link>,
    ];
    let Some((&kind, bytes)) = data.split_first() else { return };
    KINDS[usize::from(kind) % KINDS.len()](bytes);
}

fn tried<R: Record>(bytes: &[u8]) {
    let Ok(record) = decode::<R>(bytes) else { return };
    let written = encode(&record).expect("what was read can be written");
    let again =
        decode::<R>(&written).and_then(|record| encode(&record)).expect("what was written can be read");
    assert_eq!(written, again, "a {} changes from writing to writing", R::KIND);
}

#[cfg(test)]
mod tests {
    #[test]
    fn stored_records_are_tried() {
        crate::base::fuzz::replay("records", super::records);
    }
}
