//! Whom we trust to vouch for other services: the machine's own certificate
//! authorities, and those the operator adds for services inside the house.

use std::path::Path;
use ureq::tls::{Certificate, PemItem, parse_pem};

/// Why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// It cannot be read.
    #[error("cannot read the certificate authorities in `{0}`: {1}")]
    Unreadable(String, std::io::Error),
    /// There are none in it.
    #[error("there is no PEM certificate in `{0}`; it must hold `-----BEGIN CERTIFICATE-----`")]
    Empty(String),
}

/// The authorities in a PEM file.
///
/// # Errors
/// If it cannot be read, or there is none in it.
pub fn read_authorities(path: &Path) -> Result<Vec<Certificate<'static>>, RootsError> {
    let shown = path.display().to_string();
    let pem = std::fs::read(path).map_err(|error| RootsError::Unreadable(shown.clone(), error))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() { Err(RootsError::Empty(shown)) } else { Ok(certificates) }
}

/// The machine's authorities and `further` ones.
pub(super) fn all(further: &[Certificate<'static>]) -> Vec<Certificate<'static>> {
    let machine = rustls_native_certs::load_native_certs();
    if machine.certs.is_empty() && further.is_empty() {
        tracing::warn!(
            "this machine trusts no certificate authority, so no HTTPS call will work; \
             install its `ca-certificates`, or set `outbound.ca_file`"
        );
    }
    let machine = machine.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    machine.chain(further.iter().cloned()).collect()
}
