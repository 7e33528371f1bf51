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
    #[error("{0} it")]
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
                self.with(std::iter::once(&identity as &dyn age::Identity), "that passphrase does not open")
            }
            ArchiveKey::Identities(identities) if !self.takes_passphrase() => {
                let identities = identities.iter().map(|identity| &identity.0 as &dyn age::Identity);
                self.with(identities, "none of those private keys opens")
            }
            ArchiveKey::Passphrase(_) => Err(ArchiveError::OtherKind("a private key, not a passphrase")),
            ArchiveKey::Identities(_) => Err(ArchiveError::OtherKind("a passphrase, not a private key")),
        }
    }

    fn with<'a>(
        self,
        keys: impl Iterator<Item = &'a dyn age::Identity>,
        verdict: &'static str,
    ) -> Result<StreamReader<R>, ArchiveError> {
        self.0.decrypt(keys).map_err(|error| told(error, verdict))
    }
}

fn secret(words: &SecretText) -> SecretString {
    SecretString::from(words.expose().to_owned())
}

fn told(error: DecryptError, verdict: &'static str) -> ArchiveError {
    match error {
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            ArchiveError::WrongKey(verdict)
        }
        DecryptError::ExcessiveWork { required, .. } => ArchiveError::TooMuchWork(required),
        DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => ArchiveError::Io(error),
        _ => ArchiveError::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two key pairs of age, for tests alone.
    const ALICE: [&str; 2] = [
        "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
        "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
    ];
    const BOB: &str = "AGE-SECRET-KEY-184JMZMVQH3E6U0PSL869004Y3U2NYV7R30EU99CSEDNPH02YUVFSZW44VU";
    const CONTENT: &[u8] = b"what travels";

    fn text(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    fn identities(private: &str) -> ArchiveKey {
        ArchiveKey::Identities(Identity::read_all(&text(private)).unwrap())
    }

    fn sealed(lock: &ArchiveLock) -> Vec<u8> {
        let mut writer = ArchiveWriter::begin(lock, Vec::new()).unwrap();
        writer.write_all(CONTENT).unwrap();
        writer.flush().unwrap();
        writer.finish().unwrap()
    }

    fn for_alice() -> Vec<u8> {
        sealed(&ArchiveLock::Recipients(vec![ALICE[0].parse().unwrap()]))
    }

    fn opened(file: &[u8], key: &ArchiveKey) -> Result<Vec<u8>, String> {
        let sealed = SealedArchive::look(file).map_err(|error| error.to_string())?;
        let mut content = Vec::new();
        let mut inside = sealed.open(key).map_err(|error| error.to_string())?;
        inside.read_to_end(&mut content).map_err(|error| format!("reading: {error}"))?;
        Ok(content)
    }

    #[test]
    fn an_archive_opens_for_whom_it_was_made_and_whole_or_not_at_all() {
        let file = for_alice();
        assert!(!SealedArchive::look(file.as_slice()).unwrap().takes_passphrase());
        assert_eq!(opened(&file, &identities(ALICE[1])).as_deref(), Ok(CONTENT));
        let both = format!("# two\n{BOB}\n\n  {}  \n", ALICE[1]);
        assert_eq!(opened(&file, &identities(&both)).as_deref(), Ok(CONTENT));
        let told = |file: &[u8], key: &ArchiveKey| opened(file, key).unwrap_err();
        assert_eq!(told(&file, &identities(BOB)), "none of those private keys opens it");
        let words = ArchiveKey::Passphrase(text("correct horse battery"));
        assert_eq!(told(&file, &words), "it opens with a private key, not a passphrase");
        for at in 0..file.len() {
            assert!(opened(&file[..at], &identities(ALICE[1])).is_err(), "cut at {at}");
            let mut altered = file.clone();
            altered[at] ^= 1;
            assert!(opened(&altered, &identities(ALICE[1])).is_err(), "byte {at}");
        }
        assert_eq!(told(b"SQLite format 3\0", &identities(BOB)), "it is damaged, or no age file");
        assert!(ArchiveWriter::begin(&ArchiveLock::Recipients(Vec::new()), Vec::new()).is_err());
    }

    #[test]
    fn a_passphrase_opens_what_it_closed() {
        let file = sealed(&ArchiveLock::Passphrase(text("correct horse battery")));
        assert!(SealedArchive::look(file.as_slice()).unwrap().takes_passphrase());
        let words = |words| ArchiveKey::Passphrase(text(words));
        assert_eq!(opened(&file, &words("correct horse battery")).as_deref(), Ok(CONTENT));
        assert_eq!(opened(&file, &words("correct horse")).unwrap_err(), "that passphrase does not open it");
        assert_eq!(
            opened(&file, &identities(BOB)).unwrap_err(),
            "it opens with a passphrase, not a private key"
        );
    }

    #[test]
    fn a_disk_that_fails_is_told_from_an_archive_that_is_damaged() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("no such sector"))
            }
        }
        let error = SealedArchive::look(io::BufReader::new(Failing)).err().unwrap();
        assert!(matches!(error, ArchiveError::Io(_)), "{error}");
        let file = for_alice();
        let error = SealedArchive::look(&file[..40]).err().unwrap();
        assert!(matches!(error, ArchiveError::Damaged), "{error}");
    }

    /// Whoever is told that the archive is on the disk asked the file for it, through this.
    #[test]
    fn flushing_reaches_what_is_written_to() {
        struct Flushes(u32);
        impl Write for Flushes {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                self.0 += 1;
                Ok(())
            }
        }
        let to_alice = ArchiveLock::Recipients(vec![ALICE[0].parse().unwrap()]);
        let flushes = |asked: u32| {
            let mut writer = ArchiveWriter::begin(&to_alice, Flushes(0)).unwrap();
            (0..asked).for_each(|_| writer.flush().unwrap());
            writer.finish().unwrap().0
        };
        assert_eq!(flushes(3), flushes(0) + 3);
    }

    /// The one who made the file says how much work it is.
    #[test]
    fn nobody_is_made_to_work_for_hours() {
        let file = |rounds: u8| {
            format!(
                "age-encryption.org/v1\n-> scrypt rF0/NwblUHHTpgQgRpe5CQ {rounds}\n\
                 gUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n--- Vn+54jqiiUCE+WZcEVY3f1sqHjlu/z1LCQ/T7Xm7qI0\n\
                 0123456789abcdef"
            )
        };
        let words = ArchiveKey::Passphrase(text("correct horse battery"));
        let told = opened(file(21).as_bytes(), &words).unwrap_err();
        assert_eq!(told, "its passphrase takes 2^21 rounds to check, more than is reasonable");
        assert_eq!(opened(file(1).as_bytes(), &words).unwrap_err(), "that passphrase does not open it");
    }

    #[test]
    fn keys_are_read_line_by_line() {
        let line = |text: &str| Identity::read_all(&SecretText::new(text.to_owned())).err();
        assert_eq!(line(&format!("# mine\n{}\nnonsense\n", ALICE[1])), Some(3));
        assert_eq!(line(ALICE[0]), Some(1), "a public key is none");
        assert_eq!(Identity::read_all(&text("# nobody\n\n")).unwrap().len(), 0);
        let recipient: Recipient = ALICE[0].parse().unwrap();
        assert_eq!(format!("{recipient:?}"), ALICE[0]);
        assert!(ALICE[1].parse::<Recipient>().is_err());
    }
}
