//! What fuzzers try of this room (see `base::fuzz`).

use super::backup::BackupFile;
use super::codec::{Record, decode, encode};
use super::engine::definition;
use super::open::open_backend;
use super::overlay::Overlay;
use super::records::{
    ApiKey, ApiKeyUsage, Connection, DeviceCode, Entry, Environment, ForgeGrant, Grant, Link, PendingSignIn,
    Revision, Session, SignInCode, TrashedSecret, User, Vault, VaultKeys, Version,
};
use super::tables::{API_KEYS, META, SHEETS, SealedBy, Sheet, USERS, VAULT_KEYS, VAULTS};
use super::view::View;
use super::watch::Watch;
use super::{OpenStoreError, Span, StoreError};
use crate::base::{SecretText, panics};
use crate::crypto::{Binding, MasterKey, MasterSecret, envelope};
use redb::Database;
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{LazyLock, Once};

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

/// What is tried of files: one that an appliance wrote, with one of everything.
const GOOD: &[u8] = include_bytes!("../../tests/stored/schema-1/keyway.redb");
static KEY: LazyLock<MasterSecret> = LazyLock::new(|| {
    let text = SecretText::new(include_str!("../../tests/stored/schema-1/master.key").to_owned());
    MasterSecret::Key(MasterKey::from_text("stored", &text).expect("the stored key is one"))
});
const NAME: &str = "stored.redb";

/// Files that somebody may offer as a backup: what they hold is looked at before anything
/// vouches for it. The first byte says what the rest is.
///
/// Whatever it is, the file is refused in words, or looked at to its end with every damage a
/// finding; and only one that is sound can be gone through as a restore does.
pub fn backups(data: &[u8]) {
    bear_with_the_engine();
    let Some((&kind, rest)) = data.split_first() else { return };
    let opened = match kind % 4 {
        0 => written(rest).and_then(|database| BackupFile::of(Path::new(NAME), database, &KEY)),
        1 => written(&patched(rest)).and_then(|database| BackupFile::of(Path::new(NAME), database, &KEY)),
        2 => with_record(rest, false),
        _ => with_record(rest, true),
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(refusal) => {
            let told = refusal.to_string();
            assert!(told.contains(NAME), "it is not said which file is refused: {told}");
            return;
        }
    };
    let findings = file.verify(&Watch::nobody().at_full_speed()).expect("nobody calls it off");
    let told = findings.summary();
    assert!(!findings.is_sound() || findings.problems.is_empty(), "{told}");
    if findings.is_sound() {
        let all = |view: View<'_>| {
            view.scan(&USERS, &Span::all(), |_, _| Ok(ControlFlow::Continue(())))?;
            view.scan(&API_KEYS, &Span::all(), |_, _| Ok(ControlFlow::Continue(())))?;
            view.scan(&VAULTS, &Span::all(), |_, _| Ok::<_, StoreError>(ControlFlow::Continue(())))
        };
        assert!(file.read(all).is_ok(), "a sound file cannot be read");
    }
}

/// A fuzzer takes every panic for a find. Where a stranger's pages make the engine panic, it
/// is caught, which is what is tried here.
fn bear_with_the_engine() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panics::is_expected() {
                show(panic);
            }
        }));
    });
}

/// A file with these bytes, opened as a backup is.
fn written(bytes: &[u8]) -> Result<Database, OpenStoreError> {
    let failed = |error| OpenStoreError::Io(NAME.into(), error);
    open_backend(Path::new(NAME), Overlay::new(on_disk(bytes).map_err(failed)?).map_err(failed)?, 1 << 20)
}

/// The same file over and over; it has no name, and is gone with the process.
fn on_disk(bytes: &[u8]) -> io::Result<File> {
    thread_local!(static FILE: RefCell<Option<File>> = const { RefCell::new(None) });
    FILE.with_borrow_mut(|slot| {
        let mut file = match slot.take() {
            Some(file) => file,
            None => {
                let name = format!("keywayd-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
                let path = std::env::temp_dir().join(name);
                let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
                std::fs::remove_file(&path)?;
                file
            }
        };
        file.set_len(0)?;
        io::Seek::rewind(&mut file)?;
        file.write_all(bytes)?;
        let shared = file.try_clone()?;
        *slot = Some(file);
        Ok(shared)
    })
}

/// The good file with bytes overwritten: of each patch three bytes say where, and the fourth
/// how many follow; its highest bit cuts the file off there.
fn patched(patches: &[u8]) -> Vec<u8> {
    let (mut file, mut rest) = (GOOD.to_vec(), patches);
    while let Some((&[a, b, c, shape], behind)) = rest.split_first_chunk() {
        let at = u32::from_be_bytes([0, a, b, c]) as usize % file.len().max(1);
        let (bytes, next) = behind.split_at(usize::from(shape & 0x7f).min(behind.len()));
        file.iter_mut().skip(at).zip(bytes).for_each(|(old, new)| *old = *new);
        if shape & 0x80 != 0 {
            file.truncate(at);
        }
        rest = next;
    }
    file
}

/// The good file with one record more, or another one in its place: which table, how long the
/// key is, the key, the value. With `sealed` as whoever has the keys would write it, in the
/// oldest vault where it is a vault's.
fn with_record(data: &[u8], sealed: bool) -> Result<BackupFile, OpenStoreError> {
    let good = || BackupFile::of(Path::new(NAME), written(GOOD)?, &KEY);
    let Some((&[table, length], rest)) = data.split_first_chunk() else { return good() };
    let (key, value) = rest.split_at(usize::from(length).min(rest.len()));
    let sheet = SHEETS.get(usize::from(table) % (SHEETS.len() + 1));
    let (key, value) = match sheet {
        Some(sheet) if sealed => good()?.read(|view| seal(view, sheet, key, value)).unwrap_or_default(),
        _ => (key.to_vec(), value.to_vec()),
    };
    let database = written(GOOD)?;
    let put = |database: &Database| {
        let table = definition(sheet.map_or(META, |sheet| sheet.name));
        let transaction = database.begin_write()?;
        transaction.open_table(table)?.insert(key.as_slice(), value.as_slice())?;
        Ok::<_, redb::Error>(transaction.commit()?)
    };
    put(&database).map_err(|error| super::open::damaged(Path::new(NAME), error))?;
    BackupFile::of(Path::new(NAME), database, &KEY)
}

fn seal(view: View<'_>, sheet: &Sheet, key: &[u8], plain: &[u8]) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let table = sheet.name;
    Ok(match sheet.sealed_by {
        SealedBy::Root => {
            let (generation, root) = view.keyring.newest_root();
            (key.to_vec(), envelope::seal(root, generation, Binding { table, key }, plain))
        }
        SealedBy::Vault => {
            let mut keys = None;
            view.scan(&VAULT_KEYS, &Span::all(), |vault, found| {
                keys = Some((vault, found));
                Ok::<_, StoreError>(ControlFlow::Break(()))
            })?;
            let (vault, keys) = keys.ok_or_else(|| StoreError::damaged("stored file", "it has no vault"))?;
            let key = [vault.as_bytes(), key].concat();
            let newest = keys.0.last().ok_or_else(|| StoreError::damaged("vault keys", "there is none"))?;
            let sealed = envelope::seal(&newest.1, newest.0, Binding { table, key: &key }, plain);
            (key, sealed)
        }
        SealedBy::Nobody => (key.to_vec(), plain.to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fuzz::{replay, replay_slow};

    #[test]
    fn stored_records_are_tried() {
        replay("records", records);
    }

    #[test]
    fn stored_backups_are_tried() {
        let mut whole = BackupFile::of(Path::new(NAME), written(GOOD).unwrap(), &KEY).unwrap();
        let findings = whole.verify(&Watch::nobody().at_full_speed()).unwrap();
        assert!(findings.is_sound() && findings.records > 10, "{}", findings.summary());
        replay_slow("backups", backups, 20);
    }
}
