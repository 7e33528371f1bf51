//! The master key's file: 64 hexadecimal digits (as `keywayd` writes it), or 32 raw
//! bytes (as `head -c 32 /dev/urandom` makes it), readable by its owner alone.

use super::keys::{KEY_BYTES, MasterKey};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// No such file.
    #[error(
        "the master key file `{0}` is missing\n\nhint: without it the data cannot be read; put your copy back, or set `master_key.file`"
    )]
    Missing(PathBuf),
    /// Not 32 bytes.
    #[error(
        "the master key file `{0}` has the wrong length: {1} bytes\n\nhint: a key file holds 64 hexadecimal digits or 32 raw bytes; this one may be cut or another file"
    )]
    WrongLength(PathBuf, u64),
    /// 64 bytes, but not hexadecimal digits.
    #[error(
        "the master key file `{0}` holds characters that are not hexadecimal digits\n\nhint: a key file holds 64 hexadecimal digits or 32 raw bytes"
    )]
    NotHexadecimal(PathBuf),
    /// Group or others have rights on it.
    #[error("the master key file `{0}` is readable by others (mode {1:04o})\n\nhint: run `chmod 600 {0}`")]
    ReadableByOthers(PathBuf, u32),
    /// The operating system says no.
    #[error("cannot read the master key file `{0}`: {1}")]
    Io(PathBuf, io::Error),
}

impl MasterKey {
    /// Reads the key file.
    ///
    /// # Errors
    /// If it is missing, readable by others, or not one key.
    pub fn load(path: &Path) -> Result<Self, MasterKeyError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => MasterKeyError::Missing(path.to_owned()),
            _ => MasterKeyError::Io(path.to_owned(), error),
        };
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.mode() & 0o077 != 0 {
            return Err(MasterKeyError::ReadableByOthers(path.to_owned(), about.mode() & 0o7777));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(256));
        file.take(256).read_to_end(&mut bytes).map_err(failed)?;
        Self::parse(&bytes).map_err(|problem| match problem {
            Malformed::Length => MasterKeyError::WrongLength(path.to_owned(), about.len()),
            Malformed::Digits => MasterKeyError::NotHexadecimal(path.to_owned()),
        })
    }

    /// Writes the key to a new file that only its owner can read, and sees it onto the disk.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub fn store_new(&self, path: &Path) -> io::Result<()> {
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
        for byte in self.expose() {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if let Ok(raw) = <[u8; KEY_BYTES]>::try_from(bytes) {
            return Ok(Self::from_bytes(raw));
        }
        let digits = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
        if digits.len() != 2 * KEY_BYTES {
            return Err(Malformed::Length);
        }
        let mut key = Zeroizing::new([0u8; KEY_BYTES]);
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
            *byte = digit(pair[0]).zip(digit(pair[1])).map(|(h, l)| h << 4 | l).ok_or(Malformed::Digits)?;
        }
        Ok(Self::from_bytes(*key))
    }
}

enum Malformed {
    Length,
    Digits,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn written(content: &[u8], mode: u32) -> Result<MasterKey, MasterKeyError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        MasterKey::load(&path)
    }

    #[test]
    fn a_stored_key_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let key = MasterKey::generate();
        key.store_new(&path).unwrap();
        assert_eq!(MasterKey::load(&path).ok().unwrap().expose(), key.expose());
        assert!(key.store_new(&path).is_err(), "an existing key is never overwritten");
    }

    #[test]
    fn raw_and_hexadecimal_keys_are_taken_and_nothing_else() {
        assert!(written(&[7; 32], 0o600).is_ok());
        assert!(written("Ab".repeat(32).as_bytes(), 0o400).is_ok());
        assert!(matches!(written(&[7; 31], 0o600), Err(MasterKeyError::WrongLength(_, 31))));
        assert!(matches!(written(&[7; 33], 0o600), Err(MasterKeyError::WrongLength(_, 33))));
        assert!(matches!(written(b"", 0o600), Err(MasterKeyError::WrongLength(_, 0))));
        assert!(matches!(written(&[b'x'; 64], 0o600), Err(MasterKeyError::NotHexadecimal(_))));
        assert!(matches!(written(&[7; 32], 0o640), Err(MasterKeyError::ReadableByOthers(_, 0o640))));
        assert!(matches!(MasterKey::load(Path::new("/nonexistent")), Err(MasterKeyError::Missing(_))));
    }
}
