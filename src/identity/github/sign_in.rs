//! Signing in at GitHub: the web flow with PKCE, refresh tokens of GitHub Apps, and
//! whether a token is ours.

use super::refusals::{or_error, unavailable};
use super::{App, GitHub, read};
use crate::base::SecretText;
use crate::domain::ports::{ForgeError, IssuedTokens};
use crate::outbound::Call;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use std::time::Duration;
use zeroize::Zeroizing;

/// What the token endpoint answers, good and bad alike with status 200.
#[derive(Deserialize)]
struct TokenBody {
    #[serde(default)]
    access_token: Option<SecretText>,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    refresh_token: Option<SecretText>,
    #[serde(default)]
    refresh_token_expires_in: Option<u64>,
    #[serde(default)]
    error: Option<String>,
}

impl GitHub {
    pub(super) fn authorize_url(&self, state: &str, challenge: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("client_id", self.settings.app.as_ref().map_or("", |app| &app.id));
        query.append_pair("redirect_uri", &self.settings.callback_url);
        // Only an OAuth App has scopes; a GitHub App ignores them.
        if !self.settings.scopes.is_empty() {
            query.append_pair("scope", &self.settings.scopes.join(" "));
        }
        query.append_pair("state", state);
        query.append_pair("code_challenge", challenge);
        query.append_pair("code_challenge_method", "S256");
        format!("{}/login/oauth/authorize?{}", self.settings.url, query.finish())
    }

    pub(super) async fn exchanged(
        &self,
        code: &SecretText,
        verifier: &SecretText,
    ) -> Result<IssuedTokens, ForgeError> {
        let callback = SecretText::new(self.settings.callback_url.clone());
        self.tokens(&[("code", code), ("redirect_uri", &callback), ("code_verifier", verifier)]).await
    }

    pub(super) async fn refreshed(&self, refresh: &SecretText) -> Result<IssuedTokens, ForgeError> {
        let kind = SecretText::new("refresh_token".to_owned());
        self.tokens(&[("grant_type", &kind), ("refresh_token", refresh)]).await
    }

    async fn tokens(&self, fields: &[(&str, &SecretText)]) -> Result<IssuedTokens, ForgeError> {
        let body = form(self.app()?, fields);
        let url = format!("{}/login/oauth/access_token", self.settings.url);
        let call =
            Call::post(url, "application/x-www-form-urlencoded", body).header("accept", "application/json");
        let reply = self.client.send(call).await.map_err(|error| unavailable(&error))?;
        let answer: TokenBody = read(&or_error(reply)?)?;
        if let Some(error) = answer.error {
            return Err(in_words(&error));
        }
        let nothing =
            || ForgeError::Unavailable { retry_after: None, cause: "it issued no token".to_owned() };
        Ok(IssuedTokens {
            token: answer.access_token.ok_or_else(nothing)?,
            expires_in: answer.expires_in.map(Duration::from_secs),
            refresh: answer.refresh_token,
            refresh_expires_in: answer.refresh_token_expires_in.map(Duration::from_secs),
        })
    }

    /// Whether GitHub issued `token` to our app.
    pub(super) async fn is_issued_to(&self, app: &App, token: &SecretText) -> Result<bool, ForgeError> {
        let basic = BASE64_STANDARD.encode(format!("{}:{}", app.id, app.secret.expose()));
        let body = serde_json::json!({ "access_token": token.expose() }).to_string();
        let url = self.api(&format!("/applications/{}/token", app.id));
        let call = Call::post(url, "application/json", Zeroizing::new(body.into_bytes()))
            .header("authorization", format!("Basic {basic}"))
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        let reply = self.client.send(call).await.map_err(|error| unavailable(&error))?;
        match reply.status {
            404 | 422 => Ok(false),
            // Our own credentials: nothing that the caller could do about it.
            401 => Err(ForgeError::Unavailable {
                retry_after: None,
                cause: "it does not accept `identity.github.client_id` and `client_secret`".to_owned(),
            }),
            _ => or_error(reply).map(|_| true),
        }
    }

    fn app(&self) -> Result<&App, ForgeError> {
        let missing = || ForgeError::Refused("this server has no app at GitHub to sign in with".to_owned());
        self.settings.app.as_ref().ok_or_else(missing)
    }
}

/// What the token endpoint is sent.
fn form(app: &App, fields: &[(&str, &SecretText)]) -> Zeroizing<Vec<u8>> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("client_id", &app.id).append_pair("client_secret", app.secret.expose());
    for (name, value) in fields {
        form.append_pair(name, value.expose());
    }
    Zeroizing::new(form.finish().into_bytes())
}

/// GitHub's error codes, for whoever signs in. The texts it sends along are not repeated.
fn in_words(error: &str) -> ForgeError {
    let unavailable = |cause: &str| ForgeError::Unavailable { retry_after: None, cause: cause.to_owned() };
    ForgeError::Refused(
        match error {
            "bad_verification_code" => {
                "GitHub says that this sign-in has expired or was used already; start again"
            }
            "unverified_user_email" => "GitHub wants you to verify your mail address there first",
            "bad_refresh_token" => "GitHub does not renew this sign-in any more; sign in again",
            "redirect_uri_mismatch" => {
                return unavailable(
                    "the app's callback URL at GitHub is not `<public_url>/v1/auth/callback`",
                );
            }
            "incorrect_client_credentials" => {
                return unavailable("it does not accept `identity.github.client_id` and `client_secret`");
            }
            _ => "GitHub refused this sign-in; start again",
        }
        .to_owned(),
    )
}
