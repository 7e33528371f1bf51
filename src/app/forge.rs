//! Connecting with the forge, if the settings name one, and saying what an operator
//! should know about that.

use crate::cli::Failure;
use crate::config::Settings;
use crate::domain::ports::Forge;
use crate::identity::github::{App, GitHub, GitHubSettings};
use crate::outbound::{Client, OutboundSettings, ProxySettings, read_authorities};
use std::sync::Arc;
use std::time::Duration;

/// The forge of these settings.
pub(super) fn connect(settings: &Settings, client: &Client) -> Option<Arc<dyn Forge>> {
    let github = &settings.identity.github;
    if !github.enabled {
        return None;
    }
    let app = match (&github.client_id, &github.client_secret) {
        (Some(id), Some(secret)) => Some(App { id: id.clone(), secret: secret.clone() }),
        _ => None,
    };
    let known = GitHubSettings {
        url: github.url.as_str().trim_end_matches('/').to_owned(),
        api_url: github.api_url.as_str().trim_end_matches('/').to_owned(),
        app,
        app_slug: github.app_slug.clone(),
        callback_url: format!("{}/v1/auth/callback", settings.server.public_url),
        scopes: github.scopes.clone(),
        accept_foreign_oauth: github.accept_foreign_oauth,
    };
    Some(Arc::new(GitHub::new(known, client.to("github"))))
}

/// What an operator should know about the settings of the forge.
pub(super) fn warn_about(settings: &Settings) {
    let github = &settings.identity.github;
    if !github.enabled {
        return;
    }
    if github.allowed_owners.is_empty() {
        tracing::warn!(
            "`identity.github.allowed_owners` is empty: nobody can make a vault for a repository on GitHub"
        );
    }
    for (name, url) in [("url", &github.url), ("api_url", &github.api_url)] {
        if !url.as_str().starts_with("https:") {
            tracing::warn!(
                "`identity.github.{name}` does not start with `https://`: tokens travel readable by everybody on the way"
            );
        }
    }
    if github.client_id.is_none() {
        tracing::warn!(
            "`identity.github.client_id` is not set: GitHub's users come in with personal access tokens only"
        );
        return;
    }
    // A GitHub App has a name in its address; what has none is a classic OAuth App.
    let wants_repo = github.scopes.iter().any(|scope| scope == "repo");
    if github.app_slug.is_none() && wants_repo {
        tracing::warn!(
            "people are asked for the scope `repo`, which lets this server read and write all their \
             repositories: a classic OAuth App sees no private repository without it; a GitHub App \
             (Metadata: read) needs no scopes, set `identity.github.app_slug` to its name"
        );
    }
}

/// The client for calls to other services.
pub(super) fn client(settings: &Settings) -> Result<Client, Failure> {
    let outbound = &settings.outbound;
    let authorities = match &outbound.ca_file {
        Some(path) => read_authorities(path).map_err(Failure::user)?,
        None => Vec::new(),
    };
    #[expect(clippy::disallowed_methods, reason = "proxies are a matter of the environment, by custom")]
    let variable = |name: &str| std::env::var(name).ok();
    let timeout = outbound.timeout_secs.min(settings.server.request_timeout_secs);
    Ok(Client::new(OutboundSettings {
        timeout: Duration::from_secs(timeout.into()),
        authorities,
        proxies: ProxySettings::read(variable),
    }))
}
