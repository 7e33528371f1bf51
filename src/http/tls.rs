//! The server's certificate: two PEM files, looked at closely before they are used.
//! When they change they are read again for new connections; open ones stay as they
//! are. A pair of files that does not fit together is refused with the reason, and
//! while serving the certificate in use stays in use.

use crate::base::{Clock, Timestamp};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};
use tokio_rustls::TlsAcceptor;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

/// What a file holds that is not the certificate.
const KEY: &str = "private key";

/// What the server shows and proves with. Clones share it.
#[derive(Clone)]
pub struct TlsIdentity(Arc<Inner>);

struct Inner {
    files: Files,
    shelf: Arc<Shelf>,
    config: Arc<ServerConfig>,
    clock: Arc<dyn Clock>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The certificate in use, where handshakes find it.
struct Shelf(RwLock<Loaded>);

#[derive(Clone)]
struct Loaded {
    pair: Arc<CertifiedKey>,
    validity: Option<Validity>,
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From this moment on.
    pub from: Timestamp,
    /// Up to this moment.
    pub until: Timestamp,
}

/// How two files looked from outside, to see when they have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([(u64, u64, i64, i64); 2]);

impl TlsIdentity {
    /// Reads certificate chain and key.
    ///
    /// # Errors
    /// If the files cannot be used; the message says which and why.
    pub fn load(certificate: &Path, key: &Path, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let shelf = Arc::new(Shelf(RwLock::new(files.read(clock.now())?)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shelf) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(Inner { files, shelf, config: Arc::new(config), clock })))
    }

    /// Reads the files again, for connections from now on. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Self::load`]; then the certificate in use stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = self.0.files.read(self.0.clock.now())?;
        *self.0.shelf.0.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// How the files look from outside; `None` while one of them is not there.
    /// Blocks on the disk.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let look = |path: &Path| {
            let about = fs::metadata(path).ok()?;
            Some((about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
        };
        Some(Fingerprint([look(&self.0.files.certificate)?, look(&self.0.files.key)?]))
    }

    /// When the certificate in use is good, if it says so in a way that is understood.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        self.0.shelf.loaded().validity
    }

    /// Whether the certificate in use is one for `host`, a name or an address.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let loaded = self.0.shelf.loaded();
        let certificate = loaded.pair.end_entity_cert().and_then(ParsedCertificate::try_from);
        match (certificate, ServerName::try_from(host)) {
            (Ok(certificate), Ok(name)) => verify_server_name(&certificate, &name).is_ok(),
            _ => false,
        }
    }

    /// Whether users other than the key file's owner and group can read it.
    #[must_use]
    pub fn key_is_open_to_others(&self) -> bool {
        fs::metadata(&self.0.files.key).is_ok_and(|about| about.mode() & 0o007 != 0)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.config))
    }
}

impl Shelf {
    fn loaded(&self) -> Loaded {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

impl ResolvesServerCert for Shelf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.loaded().pair)
    }
}

impl Files {
    fn read(&self, now: Timestamp) -> Result<Loaded, TlsError> {
        let chain = self.chain()?;
        let validity = chain.first().and_then(validity_of);
        if let Some(validity) = validity.filter(|validity| validity.until < now) {
            return Err(TlsError::Expired(self.certificate.clone(), validity.until));
        }
        let pair = CertifiedKey::from_der(chain, self.key()?, &ring::default_provider());
        let pair = pair.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            rustls::Error::InvalidCertificate(_) => {
                TlsError::BadCertificate(self.certificate.clone(), error.to_string())
            }
            // The library's own words here are about its internals.
            _ => TlsError::BadKey(self.key.clone(), "its kind is not supported".to_owned()),
        })?;
        Ok(Loaded { pair: Arc::new(pair), validity })
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let path = &self.certificate;
        let text = fs::read(path).map_err(|error| TlsError::unreadable("certificate", path, error))?;
        let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| TlsError::BadCertificate(path.clone(), error.to_string()))?;
        let first = chain.first().ok_or_else(|| TlsError::NoCertificate(path.clone()))?;
        ParsedCertificate::try_from(first)
            .map_err(|error| TlsError::BadCertificate(path.clone(), error.to_string()))?;
        Ok(chain)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let path = &self.key;
        let text = Zeroizing::new(fs::read(path).map_err(|error| TlsError::unreadable(KEY, path, error))?);
        let has = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
        if has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
            return Err(TlsError::EncryptedKey(path.clone()));
        }
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => TlsError::NoKey(path.clone()),
            other => TlsError::BadKey(path.clone(), other.to_string()),
        })
    }
}

/// `None` if the certificate is so odd that it cannot be told.
fn validity_of(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let moment = |time: x509_cert::time::Time| {
        let since = time.to_system_time().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    };
    Some(Validity { from: moment(validity.not_before), until: moment(validity.not_after) })
}

impl Validity {
    /// Whether at `now` the last tenth of the certificate's life has begun: by then
    /// whoever renews it should have done so.
    #[must_use]
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        let tenth: Duration = self.until.since(self.from) / 10;
        now.plus(tenth) > self.until
    }
}

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} `{path}`: {error}\n\nhint: {hint}")]
    Unreadable {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// No certificate in the file.
    #[error("`{0}` holds no certificate\n\nhint: it must be PEM, with a line `-----BEGIN CERTIFICATE-----`")]
    NoCertificate(PathBuf),
    /// Not a certificate that can be served.
    #[error("the certificate `{0}` cannot be used: {1}")]
    BadCertificate(PathBuf, String),
    /// No key in the file.
    #[error("`{0}` holds no private key\n\nhint: it must be PEM, with a line `-----BEGIN PRIVATE KEY-----`")]
    NoKey(PathBuf),
    /// The key wants a passphrase.
    #[error(
        "the private key `{0}` is encrypted\n\nhint: decrypt it with `openssl pkey -in {0} -out FILE` and let only keywayd read that file"
    )]
    EncryptedKey(PathBuf),
    /// Not a key that can be used.
    #[error(
        "the private key `{0}` cannot be used: {1}\n\nhint: RSA from 2048 bits, ECDSA (P-256, P-384) and Ed25519 keys are supported"
    )]
    BadKey(PathBuf, String),
    /// They do not belong together.
    #[error(
        "the private key `{key}` does not belong to the certificate `{certificate}`\n\nhint: the first certificate in the file must be the server's own, those of its issuers follow"
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
    },
    /// Its time is over.
    #[error(
        "the certificate `{0}` expired at {1}\n\nhint: renew it; if it has not expired, set this machine's clock"
    )]
    Expired(PathBuf, Timestamp),
    /// The library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Library(rustls::Error),
}

impl TlsError {
    /// Whether the key is at fault, and not the certificate.
    #[must_use]
    pub fn is_of_the_key(&self) -> bool {
        match self {
            Self::Unreadable { what, .. } => *what == KEY,
            Self::NoKey(_) | Self::EncryptedKey(_) | Self::BadKey(..) | Self::Mismatch { .. } => true,
            Self::NoCertificate(_) | Self::BadCertificate(..) | Self::Expired(..) | Self::Library(_) => false,
        }
    }

    fn unreadable(what: &'static str, path: &Path, error: io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "let the user that runs keywayd read the file and enter its directories"
            }
            _ => "check `server.tls.cert` and `server.tls.key`",
        };
        Self::Unreadable { what, path: path.to_owned(), error, hint }
    }
}
