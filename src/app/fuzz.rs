//! What fuzzers try of this room (see `base::fuzz`): what `keywayd import` reads.

use super::archive::{self, Totals};
use super::env_files;
use crate::base::{SecretText, Timestamp};
use crate::crypto::archive::{ArchiveKey, ArchiveLock, Identity, SealedArchive};
use crate::domain::transfer::Parcel;
use crate::domain::{ErrorKind, Services};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;
use tokio::runtime::Runtime;

/// A key pair of age, for tests alone.
const PUBLIC: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const PRIVATE: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

/// An archive: the bytes as the file itself, which nobody can have made that opens, and as
/// what is in one that opened.
///
/// What is taken is the same after another journey; what is refused changes nothing and is
/// not repeated.
pub fn archives(data: &[u8]) {
    if let Ok(sealed) = SealedArchive::look(data)
        && !sealed.takes_passphrase()
        && let Ok(mut inside) = sealed.open(&key())
    {
        let _ = inside.read_to_end(&mut Vec::new());
    }
    match archive::read(Path::new("input"), data) {
        Ok(parcels) => {
            assert_eq!(travelled(&parcels), parcels, "an environment is another one after its journey");
            parcels.into_iter().for_each(arrives);
        }
        Err(refusal) => {
            assert!(!refusal.ours && refusal.message.ends_with("nothing was changed"), "{refusal:?}");
            assert!(!refusal.message.contains("hunter2"), "what is in it is repeated");
        }
    }
}

fn key() -> ArchiveKey {
    let text = SecretText::new(PRIVATE.to_owned());
    ArchiveKey::Identities(Identity::read_all(&text).expect("a private key"))
}

/// The environments after they were put into an archive and taken out again.
fn travelled(parcels: &[Parcel]) -> Vec<Parcel> {
    let lock = ArchiveLock::Recipients(vec![PUBLIC.parse().expect("a public key")]);
    let mut writer = archive::Writer::begin(&lock, Vec::new(), Timestamp::from_millis(0)).expect("memory");
    parcels.iter().for_each(|parcel| writer.add(parcel).expect("memory can be written"));
    let (file, totals) = writer.finish().expect("memory can be written");
    let secrets = parcels.iter().map(|parcel| parcel.secrets.len() as u64).sum();
    assert_eq!(totals, Totals { environments: parcels.len() as u64, secrets });
    let sealed = SealedArchive::look(file.as_slice()).expect("it is an archive");
    let key = key();
    let inside = sealed.open(&key).expect("it is for that key");
    archive::read(Path::new("again"), inside).expect("it is what was written")
}

/// Shows the environment to an appliance, which takes it or says what is wrong with it.
fn arrives(parcel: Parcel) {
    static WORLD: LazyLock<(Runtime, Services)> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        (runtime, Services::in_memory())
    });
    let (runtime, services) = &*WORLD;
    let keys = parcel.secrets.len();
    match runtime.block_on(services.import(parcel, true)) {
        Ok(arrival) => {
            let taken = arrival.taken.len() + arrival.changed.len() + arrival.same.len();
            let whole = arrival.refused.iter().any(|(what, _)| what.is_empty());
            assert!(whole || taken + arrival.refused.len() >= keys, "a key is lost: {arrival:?}");
        }
        Err(error) => assert!(error.kind != ErrorKind::Internal, "{error:?}"),
    }
}

/// A directory of `.env` files. Paths and contents take turns, separated by NUL; what has no
/// NUL is the text of one file. A content that begins with `@` is where a link leads, and a
/// path that ends in `/` is a directory.
///
/// Every file is an environment or is told, and none comes out of a link.
pub fn env_trees(data: &[u8]) {
    let place = Scratch::new();
    let mut parts = data.split(|byte| *byte == 0);
    if !data.contains(&0) {
        place.lay(b"acme/app/production.env", data);
    }
    while let (Some(path), Some(content)) = (parts.next(), parts.next()) {
        place.lay(path, content);
    }
    let (parcels, refused) = env_files::read(&place.0).expect("what was made can be read");
    let mut left = BTreeSet::new();
    files_below(&place.0, 0, &mut left);
    for parcel in &parcels {
        let path = format!("{}/{}.env", parcel.repository, parcel.environment);
        let path = place.0.join(path);
        assert!(left.remove(&path), "{} comes from nowhere, or twice", path.display());
        let about = fs::symlink_metadata(&path).expect("it was read");
        assert!(about.is_file(), "{} is no file", path.display());
    }
    for path in &left {
        let shown = path.display().to_string();
        assert!(refused.iter().any(|told| told.what == shown), "{shown} is left out in silence");
    }
    parcels.into_iter().for_each(arrives);
}

/// What lies where an environment would, or above, and is no directory.
fn files_below(dir: &Path, depth: u8, files: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(dir).expect("it was made").filter_map(Result::ok) {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && depth < 2 {
            files_below(&entry.path(), depth + 1, files);
        } else {
            files.insert(entry.path());
        }
    }
}

/// A directory that is removed when it is done with.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("keywayd-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a directory can be made");
        Self(path)
    }

    /// Lays a file, a link or a directory down, if its path stays inside.
    fn lay(&self, path: &[u8], content: &[u8]) {
        let relative = Path::new(OsStr::from_bytes(path));
        if relative.components().any(|part| !matches!(part, Component::Normal(_))) || path.is_empty() {
            return;
        }
        let target = self.0.join(relative);
        if path.ends_with(b"/") {
            let _ = fs::create_dir_all(target);
            return;
        }
        if let Some(parent) = target.parent() {
            let _ = fs::create_dir_all(parent);
        }
        let _ = match content.strip_prefix(b"@") {
            Some(far) => symlink(OsStr::from_bytes(far), target),
            None => fs::write(target, content),
        };
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use crate::base::fuzz::replay;

    #[test]
    fn stored_archives_and_trees_are_tried() {
        replay("archives", super::archives);
        replay("env_trees", super::env_trees);
    }
}
