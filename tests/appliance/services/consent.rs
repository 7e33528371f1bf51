//! Consent, played: the page where people say yes, codes that are good once and only for whoever asked, tokens that
//! end, and refresh tokens of which an old one revokes everything.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The app that is registered at every service.
pub(crate) const CLIENT: (&str, &str) = ("client-4711", "client-hunter2");
/// Where the page is.
pub(crate) const PAGE: &str = "/consent";

type Fields = BTreeMap<String, String>;

#[derive(Default)]
pub(crate) struct Consent {
    /// Whether this service knows PKCE, and refresh tokens.
    pkce: bool,
    /// The code, where it leads back to, and the challenge.
    codes: BTreeMap<String, (Option<String>, Option<String>)>,
    tokens: BTreeSet<String>,
    refresh: Option<String>,
    spent: BTreeSet<String>,
    issued: usize,
    /// How long tokens are good, in seconds.
    pub(crate) lasts: Option<u64>,
    /// How often a token was had for a refresh token.
    pub(crate) renewals: usize,
    /// The error that is answered instead of a token, once.
    pub(crate) refuse: Option<String>,
}

pub(crate) fn fields(text: &str) -> Fields {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

impl Consent {
    pub(crate) fn of(service: &str) -> Self {
        Self { pkce: service == "railway", ..Self::default() }
    }

    /// Whether the token is one that was issued and is still good.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.tokens.contains(token)
    }

    pub(crate) fn revoke_all(&mut self) {
        self.tokens.clear();
        self.refresh = None;
    }

    /// Somebody says yes to what `query` asks: where their browser is sent back to. A service whose page knows the
    /// app sends it to `callback`.
    pub(crate) fn agree(&mut self, query: &str, callback: &str) -> String {
        let asked = fields(query);
        let redirect = asked.get("redirect_uri").cloned();
        if let Some(redirect) = &redirect {
            assert_eq!(asked["client_id"], CLIENT.0);
            assert_eq!(asked["response_type"], "code");
            assert_eq!(redirect, callback);
        }
        assert!(asked["state"].len() >= 32);
        assert_eq!(asked.contains_key("code_challenge"), self.pkce);
        if self.pkce {
            assert_eq!(asked["code_challenge_method"], "S256");
            assert!(asked["scope"].contains("offline_access") && asked["prompt"] == "consent");
        }
        self.issued += 1;
        let code = format!("code-hunter2-{}", self.issued);
        self.codes.insert(code.clone(), (redirect, asked.get("code_challenge").cloned()));
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &code)
            .append_pair("state", &asked["state"])
            .finish();
        format!("{callback}?{query}")
    }

    /// The token endpoint.
    pub(crate) fn exchange(&mut self, body: &str) -> (u16, Value) {
        let asked = fields(body);
        let no =
            |error: &str| (400, json!({ "error": error, "error_description": "client-hunter2 was sent" }));
        if let Some(error) = self.refuse.take() {
            return no(&error);
        }
        if (asked["client_id"].as_str(), asked["client_secret"].as_str()) != CLIENT {
            return (401, json!({ "error": "invalid_client" }));
        }
        match asked["grant_type"].as_str() {
            "authorization_code" => {
                let Some((redirect, challenge)) = self.codes.remove(&asked["code"]) else {
                    return no("invalid_grant");
                };
                if redirect.is_some_and(|redirect| redirect != asked["redirect_uri"]) {
                    return no("invalid_grant");
                }
                if let Some(challenge) = challenge {
                    let verifier = asked.get("code_verifier").map(String::as_str).unwrap_or_default();
                    if BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != challenge {
                        return no("invalid_grant");
                    }
                }
            }
            "refresh_token" => {
                let shown = asked["refresh_token"].clone();
                if self.spent.contains(&shown) {
                    // As one does against stolen tokens.
                    self.revoke_all();
                }
                if self.refresh.as_ref() != Some(&shown) {
                    return no("invalid_grant");
                }
                self.spent.insert(shown);
                self.renewals += 1;
            }
            _ => return no("unsupported_grant_type"),
        }
        self.issued += 1;
        let token = format!("issued-hunter2-{}", self.issued);
        self.tokens.insert(token.clone());
        let mut answer = json!({ "access_token": token, "token_type": "bearer", "team_id": null });
        if let Some(lasts) = self.lasts {
            let refresh = format!("refresh-hunter2-{}", self.issued);
            answer["expires_in"] = json!(lasts);
            answer["refresh_token"] = json!(refresh);
            self.refresh = Some(refresh);
        }
        (200, answer)
    }
}
