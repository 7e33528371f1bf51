//! Consent (OAuth 2.0, RFC 6749): where people are sent, and what the code they come
//! back with is exchanged for. The services differ in addresses, in scopes, and in
//! whether they know PKCE and refresh tokens; those differences are data here.

use super::api::{Api, Call, Outcome};
use crate::base::SecretText;
use crate::domain::ports::provider::{AskConsent, Asking, Consent, Issued, Profile, ProviderError};
use crate::outbound::{Client, Method};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// The app that the operator registered at a service.
#[derive(Clone, Debug)]
pub struct App {
    /// The service's page, if not the usual one.
    pub authorize_url: Option<String>,
    /// The app's id.
    pub client_id: String,
    /// The app's secret.
    pub client_secret: SecretText,
    /// Where people come back to.
    pub callback_url: String,
}

/// How one service does it.
pub(super) struct Manner {
    /// Its page, unless the settings say otherwise; empty: the settings have to.
    pub(super) authorize_url: &'static str,
    /// What the page is told besides the state.
    pub(super) asks: &'static [(&'static str, &'static str)],
    /// Whether the page is told who asks and where to come back; at one service it knows.
    pub(super) names_app: bool,
    /// Below the API's host, where codes are exchanged.
    pub(super) token_path: &'static str,
}

/// Consent at one service.
pub(super) struct OAuth {
    app: App,
    manner: &'static Manner,
    pkce: bool,
    api: Api,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: SecretText,
    expires_in: Option<u64>,
    refresh_token: Option<SecretText>,
    team_id: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl OAuth {
    /// With `app`, at the service of `profile`, whose API is at `base`.
    pub(super) fn new(
        client: Client,
        base: &str,
        app: App,
        profile: &'static Profile,
        manner: &'static Manner,
    ) -> Self {
        let pkce = profile.consent == Consent::Asked { pkce: true };
        Self { app, manner, pkce, api: Api::new(client, origin_of(base)) }
    }

    async fn tokens<'a>(&'a self, mut fields: Vec<(&'a str, &'a str)>, until: Instant) -> Outcome<Issued> {
        fields.push(("client_id", &self.app.client_id));
        fields.push(("client_secret", self.app.client_secret.expose()));
        let call = Call::new(Method::Post, self.manner.token_path).form(&fields);
        let reply = self.api.send(until, call).await?;
        // Some services refuse with a status of success, so that is asked first.
        if let Ok(Refusal { error }) = serde_json::from_slice(reply.body()) {
            return Err(in_words(&error));
        }
        let tokens: Option<Tokens> = serde_json::from_slice(reply.body()).ok();
        match tokens.filter(|_| (200..300).contains(&reply.status)) {
            Some(Tokens { access_token, expires_in, refresh_token, team_id }) => Ok(Issued {
                token: access_token,
                expires_in: expires_in.map(Duration::from_secs),
                refresh: refresh_token,
                team: team_id,
            }),
            None => Err(ProviderError::Failed(format!("it issued no token (status {})", reply.status))),
        }
    }
}

impl AskConsent for OAuth {
    fn consent_url(&self, state: &str, challenge: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.manner.names_app {
            query.append_pair("response_type", "code");
            query.append_pair("client_id", &self.app.client_id);
            query.append_pair("redirect_uri", &self.app.callback_url);
        }
        query.extend_pairs(self.manner.asks);
        query.append_pair("state", state);
        if self.pkce {
            query.append_pair("code_challenge", challenge);
            query.append_pair("code_challenge_method", "S256");
        }
        let page = self.app.authorize_url.as_deref().unwrap_or(self.manner.authorize_url);
        format!("{page}?{}", query.finish())
    }

    fn exchange<'a>(
        &'a self,
        code: &'a SecretText,
        verifier: &'a SecretText,
        until: Instant,
    ) -> Asking<'a, Issued> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", &self.app.callback_url),
        ];
        if self.pkce {
            fields.push(("code_verifier", verifier.expose()));
        }
        Box::pin(self.tokens(fields, until))
    }

    fn refresh<'a>(&'a self, refresh: &'a SecretText, until: Instant) -> Asking<'a, Issued> {
        let fields = vec![("grant_type", "refresh_token"), ("refresh_token", refresh.expose())];
        Box::pin(self.tokens(fields, until))
    }
}

/// Error codes (RFC 6749 §5.2) in words of ours: what a service adds could quote what
/// it was sent.
fn in_words(error: &str) -> ProviderError {
    match error {
        "invalid_grant" | "access_denied" => ProviderError::BadToken,
        "invalid_client" | "unauthorized_client" => ProviderError::Failed(
            "it does not accept the `client_id` and `client_secret` that are set here".to_owned(),
        ),
        _ => ProviderError::Failed("it issued no token".to_owned()),
    }
}

/// Scheme and host of `url`, without its path.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(host..).and_then(|rest| rest.find('/'));
    path.and_then(|at| url.get(..host + at)).unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_an_api_is_its_scheme_and_host() {
        for url in
            ["https://api.example:8443/api/v1", "https://api.example:8443/", "https://api.example:8443"]
        {
            assert_eq!(origin_of(url), "https://api.example:8443");
        }
    }
}
