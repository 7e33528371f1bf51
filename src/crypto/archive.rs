//! Archives that leave the appliance: files in the format of age
//! (<https://age-encryption.org/v1>), so that other programs open them too, under a
//! passphrase or for the holders of age keys. The format authenticates every piece and
//! the end: what was altered or cut off does not open.

use crate::base::SecretText;
use age::secrecy::SecretString;
use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor, scrypt, x25519};
use std::io::{self, BufRead, Read, Write};
use std::str::FromStr;

/// Most work that opening under a passphrase may take, as the power of two scrypt is told:
/// 2²⁰ takes a gigabyte. Our own archives take what a second is enough for.
const WORK_FACTOR_MAX: u8 = 20;

/// Somebody for whom an archive is made: an age public key, `age1…`.
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

/// Who can open an archive.
pub enum ArchiveLock {
    /// Whoever knows these words.
    Passphrase(SecretText),
    /// Whoever has the private key of one of these.
    Recipients(Vec<Recipient>),
}

/// What opens an archive.
pub enum ArchiveKey {
    /// Words.
    Passphrase(SecretText),
    /// Private keys.
    Identities(Vec<Identity>),
}

/// An age private key, `AGE-SECRET-KEY-1…`.
pub struct Identity(x25519::Identity);

/// Why an archive does not open.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Another passphrase or key.
    #[error("{0} does not open it")]
    WrongKey(&'static str),
    /// A passphrase is needed and a key was given, or the other way round.
    #[error("it opens with {0}")]
    OtherKind(&'static str),
    /// Opening takes more work than anybody honest asks for.
    #[error("its passphrase takes 2^{0} rounds to check, more than is reasonable")]
    TooMuchWork(u8),
    /// Not such a file, or damaged.
    #[error("it is damaged, or no age file")]
    Damaged,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(io::Error),
}

/// An archive being written. It has to be finished, else it does not open.
pub struct ArchiveWriter<W: Write>(StreamWriter<W>);

impl FromStr for Recipient {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "must be an age public key, `age1` and 58 letters and digits")
    }
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Identity {
    /// The keys in the text of an identity file: one a line, `#` begins a comment.
    ///
    /// # Errors
    /// The number of the line that is none.
    pub fn read_all(text: &SecretText) -> Result<Vec<Self>, usize> {
        let lines = text.expose().lines().map(str::trim).enumerate();
        lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(number, line)| line.parse().map(Self).map_err(|_| number + 1))
            .collect()
    }
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive in `target`. A passphrase takes about a second.
    ///
    /// # Errors
    /// If `target` cannot be written. Without recipients, as an invalid input.
    pub fn begin(lock: &ArchiveLock, target: W) -> io::Result<Self> {
        let encryptor = match lock {
            ArchiveLock::Passphrase(words) => Encryptor::with_user_passphrase(secret(words)),
            ArchiveLock::Recipients(recipients) => {
                let recipients = recipients.iter().map(|recipient| &recipient.0 as &dyn age::Recipient);
                Encryptor::with_recipients(recipients)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?
            }
        };
        encryptor.wrap_output(target).map(Self)
    }

    /// Writes the end.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Write for ArchiveWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// An archive whose key is still to be given.
pub struct SealedArchive<R>(Decryptor<R>);

impl<R: BufRead> SealedArchive<R> {
    /// Looks at the archive's beginning.
    ///
    /// # Errors
    /// If it is none.
    pub fn look(source: R) -> Result<Self, ArchiveError> {
        Decryptor::new_buffered(source).map(Self).map_err(|error| told(error, ""))
    }

    /// Whether it opens with a passphrase.
    #[must_use]
    pub fn takes_passphrase(&self) -> bool {
        self.0.is_scrypt()
    }

    /// What is in it. Reading it fails where it is damaged or cut off.
    ///
    /// # Errors
    /// If the key is another one.
    pub fn open(self, key: &ArchiveKey) -> Result<impl Read, ArchiveError> {
        match key {
            ArchiveKey::Passphrase(words) if self.takes_passphrase() => {
                let mut identity = scrypt::Identity::new(secret(words));
                identity.set_max_work_factor(WORK_FACTOR_MAX);
                self.with(std::iter::once(&identity as &dyn age::Identity), "that passphrase")
            }
            ArchiveKey::Identities(identities) if !self.takes_passphrase() => {
                let identities = identities.iter().map(|identity| &identity.0 as &dyn age::Identity);
                self.with(identities, "none of those private keys")
            }
            ArchiveKey::Passphrase(_) => Err(ArchiveError::OtherKind("a private key, not a passphrase")),
            ArchiveKey::Identities(_) => Err(ArchiveError::OtherKind("a passphrase, not a private key")),
        }
    }

    fn with<'a>(
        self,
        keys: impl Iterator<Item = &'a dyn age::Identity>,
        called: &'static str,
    ) -> Result<StreamReader<R>, ArchiveError> {
        self.0.decrypt(keys).map_err(|error| told(error, called))
    }
}

fn secret(words: &SecretText) -> SecretString {
    SecretString::from(words.expose().to_owned())
}

fn told(error: DecryptError, called: &'static str) -> ArchiveError {
    match error {
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            ArchiveError::WrongKey(called)
        }
        DecryptError::ExcessiveWork { required, .. } => ArchiveError::TooMuchWork(required),
        DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => ArchiveError::Io(error),
        _ => ArchiveError::Damaged,
    }
}
