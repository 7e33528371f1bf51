//! Fly.io. One set of secrets per app and no environments; people have an app for each.
//! Values are never told, only a digest, which serves as the mark of change. All of a
//! portion is set in one call and one version.
//!
//! What is set is staged: machines get it when they are next updated.

use super::api::{Api, Call, Outcome, Reply, missing, segment, side_by_side};
use crate::base::SecretText;
use crate::domain::ports::provider::{
    Account, Asking, Consent, Held, Listing, Place, Profile, Project, Provider, ProviderError, ReadBack,
    Removal, Session, Setting, Team, Variable, Written,
};
use crate::outbound::{Client, Method};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// Where the API is unless the settings say otherwise.
const API: &str = "https://api.machines.dev/v1";
const ENVIRONMENTS: &[&str] = &["production"];
/// Organisations of a token that names none.
const PERSONAL: &str = "personal";
/// Apps whose last version is remembered.
const VERSIONS_KEPT: usize = 10_000;

static PROFILE: Profile = Profile {
    name: "fly",
    title: "Fly.io",
    consent: Consent::TokenOnly,
    tokens_at: "fly.io/tokens",
    read_back: ReadBack::Never,
    environments: ENVIRONMENTS,
    batch: 1_000,
};

/// Fly.io.
pub struct Fly {
    api: Api,
    /// The version our last change made, by app: what is read must not be older.
    versions: Mutex<HashMap<String, u64>>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    tokens: Vec<Token>,
}

#[derive(Deserialize)]
struct Token {
    org_slug: Option<String>,
    organization: Option<String>,
    user: Option<String>,
    token_id: Option<String>,
    #[serde(default)]
    apps: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Apps {
    #[serde(default)]
    apps: Vec<App>,
}

#[derive(Deserialize)]
struct App {
    name: String,
    organization: Option<Organization>,
}

#[derive(Deserialize)]
struct Organization {
    name: Option<String>,
    slug: Option<String>,
}

#[derive(Deserialize)]
struct Secrets {
    #[serde(default)]
    secrets: Vec<Secret>,
    version: Option<u64>,
    #[serde(rename = "Version")]
    old_version: Option<u64>,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    digest: Option<String>,
}

#[derive(Serialize)]
struct Values<'a> {
    #[serde(serialize_with = "as_map")]
    values: Vec<(&'a str, Option<&'a SecretText>)>,
}

/// A missing value is `null`, which unsets the name.
fn as_map<S: Serializer>(values: &[(&str, Option<&SecretText>)], target: S) -> Result<S::Ok, S::Error> {
    target.collect_map(values.iter().map(|(name, value)| (name, value.map(SecretText::expose))))
}

impl Fly {
    /// Fly.io at `base`, or where it usually is.
    #[must_use]
    pub fn new(client: Client, base: Option<&str>) -> Self {
        Self { api: Api::new(client, base.unwrap_or(API)), versions: Mutex::default() }
    }

    /// Where its API is.
    #[must_use]
    pub const fn address() -> &'static str {
        API
    }

    /// What this version says of it, whether or not it is enabled.
    #[must_use]
    pub fn profile() -> &'static Profile {
        &PROFILE
    }

    async fn ask(&self, session: &Session, call: Call) -> Outcome<Reply> {
        let call = call.header("authorization", authorization(&session.token));
        self.api.call(session, call).await
    }

    async fn tokens(&self, session: &Session) -> Outcome<Vec<Token>> {
        Ok(self.ask(session, Call::get("/tokens/current")).await?.json::<Tokens>()?.tokens)
    }

    async fn who(&self, session: &Session) -> Outcome<Account> {
        let tokens = self.tokens(session).await?;
        let first = tokens.first().ok_or(ProviderError::BadToken)?;
        let slug = match &session.team {
            Some(team) => {
                // Only a token of a person reaches organisations it does not name.
                let named = tokens.iter().any(|token| token.org_slug.as_ref() == Some(team));
                if !named && tokens.iter().all(|token| token.org_slug.is_some()) {
                    return Err(ProviderError::NotFound("the organisation"));
                }
                Some(team.clone())
            }
            None => first.org_slug.clone(),
        };
        let name =
            tokens.iter().find(|token| token.org_slug == slug).and_then(|token| token.organization.clone());
        let apps: BTreeSet<&String> = tokens.iter().flat_map(|token| token.apps.iter().flatten()).collect();
        // A token for an app is another connection than one for the whole organisation.
        let apps: Vec<String> = apps.into_iter().cloned().collect();
        let owner = first.user.clone().or_else(|| slug.clone()).or_else(|| first.token_id.clone());
        let owner = owner.unwrap_or_else(|| PERSONAL.to_owned());
        let id = if apps.is_empty() { owner.clone() } else { format!("{owner}:{}", apps.join(",")) };
        let team = slug.map(|id| Team { name: name.unwrap_or_else(|| id.clone()), id });
        let username = if apps.is_empty() { owner } else { apps.join(", ") };
        Ok(Account { id, username, team, scheme: None })
    }

    async fn all_apps(&self, session: &Session) -> Outcome<Vec<Project>> {
        let tokens = self.tokens(session).await?;
        let named: Vec<String> =
            tokens.iter().flat_map(|token| token.apps.iter().flatten()).cloned().collect();
        if !named.is_empty() {
            // A token for apps may not list.
            let calls = named.iter().map(|name| Box::pin(self.app(session, name)) as BoxFuture<'_, _>);
            let found: Vec<Outcome<App>> = side_by_side(calls.collect()).await;
            return found.into_iter().map(|app| app.map(shown)).collect();
        }
        let mut slugs: BTreeSet<String> = tokens.into_iter().filter_map(|token| token.org_slug).collect();
        if let Some(team) = &session.team {
            slugs = BTreeSet::from([team.clone()]);
        }
        if slugs.is_empty() {
            slugs.insert(PERSONAL.to_owned());
        }
        let mut all = Vec::new();
        for slug in slugs {
            let apps: Apps = self.ask(session, Call::get("/apps").query("org_slug", &slug)).await?.json()?;
            all.extend(apps.apps.into_iter().map(shown));
        }
        Ok(all)
    }

    async fn app(&self, session: &Session, name: &str) -> Outcome<App> {
        let path = format!("/apps/{}", segment(name));
        self.ask(session, Call::get(path)).await.map_err(missing("the app"))?.json()
    }

    async fn find(&self, session: &Session, app: &str, environment: &str) -> Outcome<Place> {
        if !ENVIRONMENTS.contains(&environment) {
            return Err(ProviderError::NoSuchEnvironment(vec![
                "`production` (an app has one set of secrets; choose another app for another environment)"
                    .to_owned(),
            ]));
        }
        let app = self.app(session, app).await?;
        Ok(Place {
            project: app.name.clone(),
            project_name: app.name,
            service: None,
            environment: environment.to_owned(),
            route: String::new(),
        })
    }

    fn path(place: &Place) -> String {
        format!("/apps/{}/secrets", segment(&place.project))
    }

    async fn listed(&self, session: &Session, place: &Place) -> Outcome<Listing> {
        let call = Call::get(Self::path(place));
        let call = match self.version(&place.project) {
            Some(version) => call.query("min_version", &version.to_string()),
            None => call,
        };
        let secrets: Secrets = self.ask(session, call).await.map_err(missing("the app"))?.json()?;
        let variables = secrets.secrets.into_iter().filter(|secret| !self.is_reserved(&secret.name));
        let variables = variables.map(|secret| Variable {
            name: secret.name,
            held: Held::Sealed,
            marker: secret.digest.filter(|digest| !digest.is_empty()),
            record: SecretText::default(),
        });
        Ok(Listing { variables: variables.collect(), ..Listing::default() })
    }

    /// Sets and unsets in one call.
    async fn write(
        &self,
        session: &Session,
        place: &Place,
        values: Vec<(&str, Option<&SecretText>)>,
    ) -> Outcome<Vec<Written>> {
        let names: Vec<String> = values.iter().map(|(name, _)| (*name).to_owned()).collect();
        let call = Call::new(Method::Post, Self::path(place)).json(&Values { values })?;
        let reply: Secrets = self.ask(session, call).await.map_err(missing("the app"))?.json()?;
        if let Some(version) = reply.version.or(reply.old_version) {
            self.remember(&place.project, version);
        }
        let mut digests: HashMap<String, Option<String>> =
            reply.secrets.into_iter().map(|secret| (secret.name, secret.digest)).collect();
        Ok(names.iter().map(|name| Ok(digests.remove(name).flatten())).collect())
    }

    fn version(&self, app: &str) -> Option<u64> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(app).copied()
    }

    fn remember(&self, app: &str, version: u64) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if versions.len() >= VERSIONS_KEPT {
            versions.clear();
        }
        versions.insert(app.to_owned(), version);
    }
}

/// Macaroons are shown with a scheme of their own, and come with all kinds of prefixes.
fn authorization(token: &SecretText) -> String {
    let mut bare = token.expose().trim();
    while let Some((scheme, rest)) = bare.split_once(char::is_whitespace) {
        if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("flyv1") {
            break;
        }
        bare = rest.trim_start();
    }
    let parts: Vec<&str> = bare.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let is_macaroon = |part: &&str| ["fm1r_", "fm1a_", "fm2_"].iter().any(|prefix| part.starts_with(prefix));
    if parts.iter().any(is_macaroon) {
        format!("FlyV1 {}", parts.join(","))
    } else {
        format!("Bearer {bare}")
    }
}

fn shown(app: App) -> Project {
    let team = app.organization.and_then(|organization| {
        let id = organization.slug?;
        Some((id.clone(), organization.name.unwrap_or(id)))
    });
    Project {
        id: app.name.clone(),
        name: app.name,
        environments: ENVIRONMENTS.iter().map(|name| (*name).to_owned()).collect(),
        team,
        ..Project::default()
    }
}

impl Provider for Fly {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn is_reserved(&self, name: &str) -> bool {
        name.starts_with("FLY_") || name == "PRIMARY_REGION"
    }

    fn identify<'a>(&'a self, session: &'a Session) -> Asking<'a, Account> {
        Box::pin(self.who(session))
    }

    fn projects<'a>(&'a self, session: &'a Session) -> Asking<'a, Vec<Project>> {
        Box::pin(self.all_apps(session))
    }

    fn locate<'a>(
        &'a self,
        session: &'a Session,
        project: &'a str,
        _service: Option<&'a str>,
        environment: &'a str,
    ) -> Asking<'a, Place> {
        Box::pin(self.find(session, project, environment))
    }

    fn list<'a>(&'a self, session: &'a Session, place: &'a Place) -> Asking<'a, Listing> {
        Box::pin(self.listed(session, place))
    }

    fn set<'a>(
        &'a self,
        session: &'a Session,
        place: &'a Place,
        settings: &'a [Setting],
    ) -> Asking<'a, Vec<Written>> {
        let values = settings.iter().map(|setting| (setting.name.as_str(), Some(&setting.value)));
        Box::pin(self.write(session, place, values.collect()))
    }

    fn remove<'a>(
        &'a self,
        session: &'a Session,
        place: &'a Place,
        removals: &'a [Removal],
    ) -> Asking<'a, Vec<Written>> {
        let values = removals.iter().map(|removal| (removal.name.as_str(), None));
        Box::pin(self.write(session, place, values.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_shown_as_their_kind_wants_however_they_were_pasted() {
        for (pasted, shown) in [
            ("fm2_abc", "FlyV1 fm2_abc"),
            ("FlyV1 fm2_abc,fm2_def", "FlyV1 fm2_abc,fm2_def"),
            ("Bearer FlyV1  fm2_abc, fm2_def,", "FlyV1 fm2_abc,fm2_def"),
            ("fo1_abc", "Bearer fo1_abc"),
            ("bearer fo1_abc", "Bearer fo1_abc"),
        ] {
            assert_eq!(authorization(&SecretText::new(pasted.to_owned())), shown);
        }
    }
}
