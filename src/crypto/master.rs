//! Where master keys and passphrases are read from. A key is 64 hexadecimal digits (as
//! `keywayd` writes it), or 32 raw bytes (as `head -c 32 /dev/urandom` makes it); a
//! passphrase is the first line of its file. A file has to be its owner's alone.

use super::keys::{KEY_BYTES, MasterKey};
use super::unlock::MasterSecret;
use crate::base::SecretText;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest file that is looked into, in bytes.
const FILE_BYTES_MAX: u64 = 4096;

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
    /// Not a key, from a place that is no file.
    #[error(
        "what is in {0} is no master key\n\nhint: a key is 64 hexadecimal digits; `openssl rand -hex 32` makes one"
    )]
    NoKey(String),
    /// A passphrase file without a passphrase.
    #[error("the first line of `{0}` holds no passphrase (UTF-8 text)")]
    NoPassphrase(PathBuf),
    /// A directory.
    #[error(
        "`{0}`, where the master key should be, is a directory\n\nhint: name the file in it, as `master_key.file` or wherever the key comes from"
    )]
    NoFile(PathBuf),
    /// Group or others have rights on it.
    #[error("the master key file `{0}` is readable by others (mode {1:04o})\n\nhint: run `chmod 600 {0}`")]
    ReadableByOthers(PathBuf, u32),
    /// The operating system says no.
    #[error(
        "cannot read the master key file `{0}`: {1}\n\nhint: let the user that runs keywayd read the file and enter its directories"
    )]
    Io(PathBuf, io::Error),
}

impl MasterKey {
    /// Reads the key file.
    ///
    /// # Errors
    /// If it is missing, readable by others, or not one key.
    pub fn load(path: &Path) -> Result<Self, MasterKeyError> {
        Self::in_file(path, &read(path, true)?)
    }

    /// Reads the key from a file that the service manager made for this process. Its mode
    /// says nothing: systemd grants access by ACL, which shows as rights of the group.
    ///
    /// # Errors
    /// If it is missing or not one key.
    pub fn load_credential(path: &Path) -> Result<Self, MasterKeyError> {
        Self::in_file(path, &read(path, false)?)
    }

    /// The key written in `text`, which was found in `place` (words for people).
    ///
    /// # Errors
    /// If it is no key.
    pub fn from_text(place: &str, text: &SecretText) -> Result<Self, MasterKeyError> {
        Self::parse(text.expose().trim().as_bytes()).map_err(|_| MasterKeyError::NoKey(place.to_owned()))
    }

    fn in_file(path: &Path, bytes: &[u8]) -> Result<Self, MasterKeyError> {
        Self::parse(bytes).map_err(|problem| match problem {
            Malformed::Length => MasterKeyError::WrongLength(path.to_owned(), bytes.len() as u64),
            Malformed::Digits => MasterKeyError::NotHexadecimal(path.to_owned()),
        })
    }

    /// Writes the key to a new file that only its owner can read, and sees it onto the disk.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub fn store_new(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(self.to_text().expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    }

    /// The key as it is written: 64 hexadecimal digits.
    #[must_use]
    pub fn to_text(&self) -> SecretText {
        let mut text = String::with_capacity(2 * KEY_BYTES);
        for byte in self.expose() {
            let _ = write!(text, "{byte:02x}");
        }
        SecretText::new(text)
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

impl MasterSecret {
    /// Reads a passphrase: the first line of a file.
    ///
    /// # Errors
    /// If it is missing, readable by others, or empty.
    pub fn load_passphrase(path: &Path) -> Result<Self, MasterKeyError> {
        let bytes = read(path, true)?;
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(words) if !words.is_empty() => Ok(Self::Passphrase(SecretText::new(words.to_owned()))),
            _ => Err(MasterKeyError::NoPassphrase(path.to_owned())),
        }
    }
}

fn read(path: &Path, private: bool) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => MasterKeyError::Missing(path.to_owned()),
        _ => MasterKeyError::Io(path.to_owned(), error),
    };
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_dir() {
        return Err(MasterKeyError::NoFile(path.to_owned()));
    }
    let mode = about.mode() & 0o7777;
    if private && mode & 0o077 != 0 {
        return Err(MasterKeyError::ReadableByOthers(path.to_owned(), mode));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
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
        assert!(matches!(MasterKey::load(Path::new("/")), Err(MasterKeyError::NoFile(_))));
        assert!(matches!(MasterKey::load(Path::new("/nonexistent")), Err(MasterKeyError::Missing(_))));
    }

    #[test]
    fn a_key_is_the_bytes_its_digits_say() {
        let digits = "0123456789abcdefFEDCBA9876543210".repeat(2);
        let key = written(format!("{digits}\r\n").as_bytes(), 0o600).ok().unwrap();
        assert_eq!(key.expose()[..9], [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe]);
        assert_eq!(key.to_text().expose(), digits.to_ascii_lowercase());
        let text = |text: &str| MasterKey::from_text("the environment", &SecretText::new(text.to_owned()));
        assert_eq!(text(&format!("  {digits}\n")).ok().unwrap().expose(), key.expose());
        let refusal = text("0123").err().unwrap();
        assert!(matches!(&refusal, MasterKeyError::NoKey(place) if place == "the environment"), "{refusal}");
    }

    #[test]
    fn a_file_is_its_owner_s_alone_unless_the_service_manager_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterKey::generate().store_new(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
        assert!(MasterKey::load(&path).is_err());
        assert!(MasterKey::load_credential(&path).is_ok());
    }

    #[test]
    fn a_passphrase_is_the_first_line_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("words");
        let load = |content: &[u8], mode| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let loaded = MasterSecret::load_passphrase(&path);
            fs::remove_file(&path).unwrap();
            loaded.map(|secret| match secret {
                MasterSecret::Passphrase(words) => words.expose().to_owned(),
                MasterSecret::Key(_) => String::new(),
            })
        };
        for content in [b"correct horse".as_slice(), b"correct horse\n", b"correct horse\r\nand more"] {
            assert_eq!(load(content, 0o600).ok().as_deref(), Some("correct horse"));
        }
        for content in [b"".as_slice(), b"\n", b"\r\nsecond", b"\xff\xfe"] {
            assert!(matches!(load(content, 0o600), Err(MasterKeyError::NoPassphrase(_))));
        }
        assert!(matches!(load(b"correct horse", 0o604), Err(MasterKeyError::ReadableByOthers(..))));
    }
}
