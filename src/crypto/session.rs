//! Session tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA-256, and nothing
//! else. Which algorithm a token claims for itself is never asked: the provider below
//! knows one. A good signature is only half of a credential; the session it names has
//! to exist as well, which is for `domain` to see.

use super::keyring::Keyring;
use crate::base::ids::{SessionId, UserId};
use crate::base::{SecretText, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JwtResult};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// What a session token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionClaims {
    /// Which server made it, by its public address.
    pub issuer: String,
    /// Whom it stands for.
    pub user: UserId,
    /// The session that has to exist.
    pub session: SessionId,
    /// Until when, to the second.
    pub expires_at: Timestamp,
}

/// The claims as they are written (RFC 7519 §4.1).
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: UserId,
    jti: SessionId,
    exp: u64,
}

impl Keyring {
    /// The token for `claims`.
    ///
    /// # Errors
    /// Never in practice: the claims are plain text and numbers.
    pub fn sign_session(&self, claims: &SessionClaims) -> Result<SecretText, SessionTokenError> {
        install_provider();
        let header = Header { kid: Some(self.session_key_id.to_string()), ..Header::new(Algorithm::HS256) };
        let written = Claims {
            iss: claims.issuer.clone(),
            sub: claims.user,
            jti: claims.session,
            exp: claims.expires_at.as_millis() / 1_000,
        };
        let key = EncodingKey::from_secret(self.session.expose());
        jsonwebtoken::encode(&header, &written, &key).map(SecretText::new).map_err(|_| SessionTokenError)
    }

    /// What `token` says, if this keyring signed it for `issuer`. Whether it is still
    /// good at this hour is not looked at.
    #[must_use]
    pub fn open_session(&self, token: &SecretText, issuer: &str) -> Option<SessionClaims> {
        install_provider();
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[issuer]);
        rules.set_required_spec_claims(&["exp", "iss", "sub"]);
        // The session's own end counts, by the server's own clock.
        rules.validate_exp = false;
        let key = DecodingKey::from_secret(self.session.expose());
        let opened = jsonwebtoken::decode::<Claims>(token.expose(), &key, &rules).ok()?;
        if opened.header.kid.as_deref() != Some(self.session_key_id.to_string().as_str()) {
            return None;
        }
        let Claims { iss, sub, jti, exp } = opened.claims;
        let expires_at = Timestamp::from_millis(exp.checked_mul(1_000)?);
        Some(SessionClaims { issuer: iss, user: sub, session: jti, expires_at })
    }
}

/// A token could not be made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a session token could not be signed")]
pub struct SessionTokenError;

/// The library asks for its cryptography once per process; the first one here wins,
/// and all are the same.
fn install_provider() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.as_bytes())?)),
        verifier_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.try_get_as_bytes()?)?)),
        key_utils: KeyUtils::new_unimplemented(),
    };
    let _ = PROVIDER.install_default();
}

/// HMAC-SHA-256 (RFC 7518 §3.2).
struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: Algorithm, key: &[u8]) -> JwtResult<Self> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        let mac = Hmac::new_from_slice(key).map_err(|_| ErrorKind::InvalidKeyFormat)?;
        Ok(Self(mac))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let mut mac = self.0.clone();
        mac.update(message);
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.verify_slice(signature).map_err(SignatureError::from_source)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    const ISSUER: &str = "https://keyway.example";

    fn claims() -> SessionClaims {
        SessionClaims {
            issuer: ISSUER.to_owned(),
            user: UserId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            expires_at: Timestamp::from_millis(1_800_000_000_000),
        }
    }

    fn reheaded(token: &SecretText, header: &str) -> SecretText {
        let rest = token.expose().split_once('.').unwrap().1;
        SecretText::new(format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header)))
    }

    #[test]
    fn a_token_says_what_was_put_in() {
        let ring = Keyring::generate();
        let token = ring.sign_session(&claims()).unwrap();
        assert_eq!(ring.open_session(&token, ISSUER), Some(claims()));
        assert_eq!(ring.open_session(&token, "https://other.example"), None);
    }

    #[test]
    fn forgeries_are_refused() {
        let ring = Keyring::generate();
        let token = ring.sign_session(&claims()).unwrap();
        assert_eq!(Keyring::generate().open_session(&token, ISSUER), None, "another key");
        let body = token.expose().rsplit_once('.').unwrap().0;
        for forged in [
            reheaded(&token, r#"{"alg":"none"}"#),
            reheaded(&token, r#"{"alg":"HS512","kid":"1"}"#),
            reheaded(&token, r#"{"alg":"RS256","kid":"1"}"#),
            SecretText::new(format!("{}.{body}.", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#))),
            SecretText::new(format!("{body}.")),
            SecretText::new(format!("{body}.AAAA")),
            SecretText::new("a.b.c".to_owned()),
        ] {
            assert_eq!(ring.open_session(&forged, ISSUER), None);
        }
        let mut changed = token.expose().to_owned().into_bytes();
        let middle = changed.len() / 2;
        changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
        assert_eq!(ring.open_session(&SecretText::new(String::from_utf8(changed).unwrap()), ISSUER), None);
    }

    #[test]
    fn a_token_of_a_replaced_key_is_refused_by_its_id_too() {
        let mut ring = Keyring::generate();
        let token = ring.sign_session(&claims()).unwrap();
        ring.session_key_id += 1;
        assert_eq!(ring.open_session(&token, ISSUER), None);
    }
}
