//! GitHub, or a GitHub Enterprise Server, by its REST API of version 2022-11-28.
//!
//! What it does that one would not expect, and what is made of it:
//! - Errors of its sign-in come with status 200.
//! - 404 means "not there" and "not for you" alike.
//! - 403 can be a limit on requests, a single sign-on that is due, a refusal, or something
//!   that passes; the headers tell which, or only the words.
//! - A list leaves out what needs a single sign-on, with status 200; a header tells.
//! - A renamed repository is a redirect to `/repositories/<number>`.
//! - Logins are renamed and taken over by others; numbers stay.

mod answers;
mod refusals;
mod sign_in;

use crate::base::{RepoName, SecretText};
use crate::domain::ports::{
    Affected, Asking, Forge, ForgeError, ForgeUser, Installation, IssuedTokens, Listing, Reply, Repository,
};
use crate::outbound::{Call, Client, Reply as HttpReply};
use answers::{EventBody, InstallationList, RepositoryBody, UserBody};
use futures_util::FutureExt;
use refusals::{or_error, or_none, unavailable, withheld_by};
use serde::de::DeserializeOwned;

/// Repositories on one page of a list; GitHub's most.
const PER_PAGE: usize = 100;
/// Most pages of a list that are read.
const PAGES_MAX: usize = 100;

/// What the operator set.
#[derive(Clone, Debug)]
pub struct GitHubSettings {
    /// The web site, without a slash at the end.
    pub url: String,
    /// The API, without a slash at the end.
    pub api_url: String,
    /// The app people sign in with.
    pub app: Option<App>,
    /// The GitHub App's name in its address.
    pub app_slug: Option<String>,
    /// Where browsers come back to.
    pub callback_url: String,
    /// Scopes an OAuth App asks for.
    pub scopes: Vec<String>,
    /// Whether tokens that were issued to other apps are taken.
    pub accept_foreign_oauth: bool,
}

/// The app people sign in with.
#[derive(Clone, Debug)]
pub struct App {
    /// Its client id.
    pub id: String,
    /// Its secret.
    pub secret: SecretText,
}

/// GitHub.
pub struct GitHub {
    settings: GitHubSettings,
    client: Client,
}

impl GitHub {
    /// Connects with GitHub; nothing is asked yet.
    #[must_use]
    pub const fn new(settings: GitHubSettings, client: Client) -> Self {
        Self { settings, client }
    }

    fn api(&self, path: &str) -> String {
        format!("{}{path}", self.settings.api_url)
    }

    /// Asks the API with `token`.
    async fn ask(
        &self,
        token: &SecretText,
        url: String,
        known: Option<&str>,
    ) -> Result<HttpReply, ForgeError> {
        let mut call = Call::get(url)
            .header("authorization", format!("Bearer {}", token.expose()))
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        if let Some(known) = known {
            call = call.header("if-none-match", known);
        }
        self.client.send(call).await.map_err(|error| unavailable(&error))
    }

    async fn who(&self, token: &SecretText, ours: bool) -> Result<ForgeUser, ForgeError> {
        if !ours {
            self.check_issuer(token).await?;
        }
        let reply = self.ask(token, self.api("/user"), None).await?;
        let user: UserBody = read(&or_error(reply)?)?;
        Ok(user.into())
    }

    /// Tokens that GitHub issues to apps on somebody's behalf are taken only if it was
    /// our app: any other app could have been given it for something else.
    async fn check_issuer(&self, token: &SecretText) -> Result<(), ForgeError> {
        let by_an_app = token.expose().starts_with("gho_") || token.expose().starts_with("ghu_");
        if !by_an_app || self.settings.accept_foreign_oauth {
            return Ok(());
        }
        let foreign = |reason: &str| Err(ForgeError::Unsuitable(reason.to_owned()));
        let Some(app) = &self.settings.app else {
            return foreign(
                "this server has no app at GitHub, so it takes no tokens that GitHub issued to apps; use a personal access token",
            );
        };
        match self.is_issued_to(app, token).await? {
            true => Ok(()),
            false => foreign(
                "this token is not valid, or was issued to another app; sign in here, or use a personal access token",
            ),
        }
    }

    async fn one(
        &self,
        token: &SecretText,
        name: &RepoName,
        known: Option<&str>,
    ) -> Result<Reply<Option<Repository>>, ForgeError> {
        let path = format!("/repos/{}/{}", name.owner(), name.repo());
        let reply = self.ask(token, self.api(&path), known).await?;
        if reply.status == 304 {
            return Ok(Reply::Unchanged);
        }
        let Some(reply) = or_none(reply)? else {
            return Ok(Reply::Fresh { value: None, validator: None });
        };
        let validator = reply.header("etag").map(str::to_owned);
        let body: RepositoryBody = read(&reply)?;
        Ok(Reply::Fresh { value: body.into_repository(), validator })
    }

    async fn all(&self, token: &SecretText) -> Result<Listing, ForgeError> {
        let mut next = Some(self.api(&format!("/user/repos?per_page={PER_PAGE}&sort=full_name")));
        let mut all = Listing::default();
        for _ in 0..PAGES_MAX {
            let Some(url) = next else { break };
            let reply = or_error(self.ask(token, url, None).await?)?;
            let page: Vec<RepositoryBody> = read(&reply)?;
            all.repositories.extend(page.into_iter().filter_map(RepositoryBody::into_repository));
            all.withheld_by.extend(withheld_by(&reply));
            let link = reply.header("link").and_then(next_page).filter(|next| self.is_of_the_api(next));
            next = link.map(str::to_owned);
        }
        if next.is_some() {
            let read = all.repositories.len();
            tracing::warn!(read, "somebody has more repositories at GitHub than are read");
        }
        // Each page says it anew.
        all.withheld_by.sort_unstable();
        all.withheld_by.dedup();
        if !all.withheld_by.is_empty() {
            let organisations = all.withheld_by.len();
            tracing::info!(
                organisations,
                "GitHub leaves repositories out of a list: the token is not authorised for single sign-on"
            );
        }
        Ok(all)
    }

    /// Whether `url` may be given a token.
    fn is_of_the_api(&self, url: &str) -> bool {
        url.strip_prefix(&self.settings.api_url).is_some_and(|rest| rest.starts_with(['/', '?']))
    }

    async fn installed(&self, token: &SecretText, name: &RepoName) -> Result<Installation, ForgeError> {
        let Some(slug) = &self.settings.app_slug else {
            return Ok(Installation { installed: true, install_url: None, id: None });
        };
        let install_url = Some(format!("{}/apps/{slug}/installations/new", self.settings.url));
        let reply =
            self.ask(token, self.api(&format!("/user/installations?per_page={PER_PAGE}")), None).await?;
        // Tokens that are not the app's own cannot ask; what they see, they see without it.
        let list: InstallationList = match or_error(reply) {
            Err(ForgeError::Refused(_)) => {
                return Ok(Installation { installed: true, install_url, id: None });
            }
            reply => read(&reply?)?,
        };
        let here = list.installations.into_iter().find(|one| one.is_at(name.owner()));
        let Some(here) = here else { return Ok(Installation { installed: false, install_url, id: None }) };
        let seen = matches!(self.one(token, name, None).await?, Reply::Fresh { value: Some(_), .. });
        Ok(Installation { installed: seen, install_url, id: Some(here.id) })
    }
}

impl Forge for GitHub {
    fn title(&self) -> &str {
        "GitHub"
    }

    fn signs_in(&self) -> bool {
        self.settings.app.is_some()
    }

    fn identify<'a>(&'a self, token: &'a SecretText, ours: bool) -> Asking<'a, ForgeUser> {
        self.who(token, ours).boxed()
    }

    fn repository<'a>(
        &'a self,
        token: &'a SecretText,
        name: &'a RepoName,
        known: Option<&'a str>,
    ) -> Asking<'a, Reply<Option<Repository>>> {
        self.one(token, name, known).boxed()
    }

    fn repositories<'a>(&'a self, token: &'a SecretText) -> Asking<'a, Listing> {
        self.all(token).boxed()
    }

    fn installation<'a>(&'a self, token: &'a SecretText, name: &'a RepoName) -> Asking<'a, Installation> {
        self.installed(token, name).boxed()
    }

    fn sign_in_url(&self, state: &str, challenge: &str) -> String {
        self.authorize_url(state, challenge)
    }

    fn exchange<'a>(&'a self, code: &'a SecretText, verifier: &'a SecretText) -> Asking<'a, IssuedTokens> {
        self.exchanged(code, verifier).boxed()
    }

    fn refresh<'a>(&'a self, refresh: &'a SecretText) -> Asking<'a, IssuedTokens> {
        self.refreshed(refresh).boxed()
    }

    fn affected(&self, event: &str, body: &[u8]) -> Affected {
        let body: EventBody = serde_json::from_slice(body).unwrap_or_default();
        match (event, body.repository) {
            ("member" | "repository" | "public" | "team_add", Some(repository)) => {
                Affected::Repository(repository.id)
            }
            (
                "member"
                | "repository"
                | "public"
                | "team_add"
                | "team"
                | "membership"
                | "organization"
                | "installation"
                | "installation_repositories"
                | "github_app_authorization",
                _,
            ) => Affected::Everything,
            _ => Affected::Nothing,
        }
    }
}

/// The body of an answer that should be a `T`.
fn read<T: DeserializeOwned>(reply: &HttpReply) -> Result<T, ForgeError> {
    serde_json::from_slice(reply.body()).map_err(|error| ForgeError::Unavailable {
        retry_after: None,
        // Without what was sent: the error names the place and the type.
        cause: format!(
            "it answered {} with something else than expected, at line {}",
            reply.status,
            error.line()
        ),
    })
}

/// The next page in a `Link` header (RFC 8288).
fn next_page(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        parameters.split(';').any(|one| one.trim() == "rel=\"next\"").then_some(url)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::OutboundSettings;

    #[test]
    fn the_next_page_is_found() {
        let header = "<https://a/x?page=1>; rel=\"prev\", <https://a/x?page=3>; rel=\"next\"";
        assert_eq!(next_page(header), Some("https://a/x?page=3"));
        assert_eq!(next_page("<https://a/x?page=1>; rel=\"last\""), None);
        assert_eq!(next_page("nonsense"), None);
    }

    #[test]
    fn events_are_judged_by_what_they_may_change() {
        let settings = GitHubSettings {
            url: String::new(),
            api_url: String::new(),
            app: None,
            app_slug: None,
            callback_url: String::new(),
            scopes: Vec::new(),
            accept_foreign_oauth: false,
        };
        let github = GitHub::new(settings, Client::new(OutboundSettings::default()));
        let affected = |event, body: &str| github.affected(event, body.as_bytes());
        assert_eq!(affected("member", r#"{"repository":{"id":7}}"#), Affected::Repository(7));
        assert_eq!(affected("member", "garbage"), Affected::Everything);
        assert_eq!(affected("membership", "{}"), Affected::Everything);
        assert_eq!(affected("push", r#"{"repository":{"id":7}}"#), Affected::Nothing);
        assert_eq!(affected("ping", "{}"), Affected::Nothing);
    }
}
