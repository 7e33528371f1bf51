//! Netlify. A variable belongs to a site and has a value for each deploy context, or one
//! for `all`. Changing one context of a variable that has a value for all of them first
//! spells that value out for the others, in one call that replaces the whole variable.
//!
//! Values of secret variables are told for `dev` only. Changes reach the next deploy.

use super::api::{Api, Call, Outcome, Reply, missing, one_by_one, repo_of, segment};
use super::oauth::{App, Manner, OAuth};
use crate::base::SecretText;
use crate::base::secret::exposed;
use crate::domain::ports::provider::{
    Account, AskConsent, Asking, Consent, Held, Listing, Place, Profile, Project, Provider, ProviderError,
    ReadBack, Removal, Session, Setting, Team, Variable, Written,
};
use crate::outbound::{Client, Method};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Where the API is unless the settings say otherwise.
const API: &str = "https://api.netlify.com/api/v1";
const ENVIRONMENTS: &[&str] = &["production", "deploy-preview", "branch-deploy", "dev"];
/// The contexts that a value for all of them stands for.
const CONTEXTS: [&str; 5] = ["production", "deploy-preview", "branch-deploy", "dev", "dev-server"];
const SITES_PER_PAGE: usize = 100;

static MANNER: Manner = Manner {
    authorize_url: "https://app.netlify.com/authorize",
    asks: &[],
    names_app: true,
    token_path: "/oauth/token",
};

static PROFILE: Profile = Profile {
    name: "netlify",
    title: "Netlify",
    consent: Consent::Asked { pkce: false },
    tokens_at: "app.netlify.com/user/applications",
    read_back: ReadBack::UnlessSealed,
    environments: ENVIRONMENTS,
    batch: 25,
};

/// What the build sets itself; it cannot be set.
const READ_ONLY: &[&str] = &[
    "CONTEXT",
    "BRANCH",
    "HEAD",
    "COMMIT_REF",
    "CACHED_COMMIT_REF",
    "PULL_REQUEST",
    "REVIEW_ID",
    "DEPLOY_ID",
    "DEPLOY_URL",
    "DEPLOY_PRIME_URL",
    "URL",
    "SITE_ID",
    "SITE_NAME",
    "BUILD_ID",
    "REPOSITORY_URL",
    "INCOMING_HOOK_TITLE",
    "INCOMING_HOOK_URL",
    "INCOMING_HOOK_BODY",
];

/// Netlify.
pub struct Netlify {
    api: Api,
    oauth: Option<OAuth>,
}

#[derive(Deserialize)]
struct UserReply {
    id: String,
    full_name: Option<String>,
    email: Option<String>,
}

#[derive(Deserialize)]
struct AccountReply {
    id: String,
    name: Option<String>,
    slug: Option<String>,
}

#[derive(Deserialize)]
struct Site {
    id: String,
    name: String,
    account_id: Option<String>,
    account_slug: Option<String>,
    account_name: Option<String>,
    build_settings: Option<Build>,
}

#[derive(Deserialize)]
struct Build {
    repo_url: Option<String>,
    repo_path: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Env {
    key: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    values: Vec<Value>,
    #[serde(default)]
    is_secret: bool,
    #[serde(default)]
    updated_at: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Value {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, with = "exposed")]
    value: SecretText,
    context: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context_parameter: Option<String>,
}

/// What is sent to create or replace a variable.
#[derive(Serialize)]
struct NewEnv<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    values: Vec<Value>,
    is_secret: bool,
}

/// A deploy context, perhaps of one branch.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Context<'a> {
    name: &'a str,
    branch: Option<&'a str>,
}

impl<'a> Context<'a> {
    fn of(place: &'a Place) -> Self {
        match place.route.split_once('\n').map_or("", |(_, context)| context) {
            context if context.starts_with("branch:") => {
                Self { name: "branch", branch: context.strip_prefix("branch:") }
            }
            name => Self { name, branch: None },
        }
    }

    fn is_of(self, value: &Value) -> bool {
        let branch = value.context_parameter.as_deref().filter(|branch| !branch.is_empty());
        value.context == self.name && branch == self.branch
    }

    fn value(self, text: &SecretText) -> Value {
        let context_parameter = self.branch.map(str::to_owned);
        Value { id: None, value: text.clone(), context: self.name.to_owned(), context_parameter }
    }
}

impl Env {
    fn read(text: &SecretText) -> Outcome<Self> {
        serde_json::from_str(text.expose())
            .map_err(|_| ProviderError::Failed("a record is not ours".to_owned()))
    }

    fn own(&self, context: Context<'_>) -> Option<&Value> {
        self.values.iter().find(|value| context.is_of(value))
    }

    fn for_all(&self) -> Option<&Value> {
        self.values.iter().find(|value| value.context == "all")
    }

    /// The value that holds in `context`.
    fn effective(&self, context: Context<'_>) -> Option<&Value> {
        let branches = || self.values.iter().find(|value| value.context == "branch-deploy");
        let inherited = || context.branch.and_then(|_| branches()).or_else(|| self.for_all());
        self.own(context).or_else(inherited)
    }

    /// Everything but `context`, with a value for all contexts spelt out for the others.
    fn without(&self, context: Context<'_>) -> Vec<Value> {
        let kept = self.values.iter().filter(|value| value.context != "all" && !context.is_of(value));
        let mut values: Vec<Value> = kept.cloned().collect();
        if let Some(all) = self.for_all() {
            for name in CONTEXTS {
                let other = Context { name, branch: None };
                if other != context && self.own(other).is_none() {
                    values.push(other.value(&all.value));
                }
            }
        }
        for value in &mut values {
            value.id = None;
        }
        values
    }

    /// As it is sent: the API spells a scope otherwise than it answers it.
    fn scopes(&self) -> Vec<String> {
        self.scopes.iter().map(|scope| scope.replace('_', "-")).collect()
    }

    fn with_values(&self, values: Vec<Value>) -> NewEnv<'_> {
        NewEnv { key: &self.key, scopes: self.scopes(), values, is_secret: self.is_secret }
    }
}

impl Netlify {
    /// Netlify at `base`, or where it usually is; people are asked for consent by `app`.
    #[must_use]
    pub fn new(client: Client, base: Option<&str>, app: Option<App>) -> Self {
        let base = base.unwrap_or(API);
        let oauth = app.map(|app| OAuth::new(client.clone(), base, app, &PROFILE, &MANNER));
        Self { api: Api::new(client, base), oauth }
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
        self.api.call(session, call.bearer(&session.token)).await
    }

    async fn who(&self, session: &Session) -> Outcome<Account> {
        let user: UserReply = self.ask(session, Call::get("/user")).await?.json()?;
        let team = match &session.team {
            None => None,
            Some(wanted) => {
                let accounts: Vec<AccountReply> = self.ask(session, Call::get("/accounts")).await?.json()?;
                let is_it = |one: &AccountReply| one.id == *wanted || one.slug.as_ref() == Some(wanted);
                let found = accounts.into_iter().find(is_it).ok_or(ProviderError::NotFound("the team"))?;
                let name = found.name.or(found.slug).unwrap_or_else(|| found.id.clone());
                Some(Team { id: found.id, name })
            }
        };
        let username = user.full_name.filter(|name| !name.is_empty()).or(user.email);
        Ok(Account { username: username.unwrap_or_else(|| user.id.clone()), id: user.id, team, scheme: None })
    }

    async fn all_sites(&self, session: &Session) -> Outcome<Vec<Project>> {
        let mut all = Vec::new();
        for page in 1.. {
            let call = Call::get("/sites").query("filter", "all").query("page", &page.to_string());
            let call = call.query("per_page", &SITES_PER_PAGE.to_string());
            let sites: Vec<Site> = self.ask(session, call).await?.json()?;
            let is_last = sites.len() < SITES_PER_PAGE;
            let is_ours = |site: &Site| {
                let team = session.team.as_ref();
                team.is_none() || team == site.account_id.as_ref() || team == site.account_slug.as_ref()
            };
            all.extend(sites.into_iter().filter(is_ours).map(shown));
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    async fn find(&self, session: &Session, site: &str, environment: &str) -> Outcome<Place> {
        let context = match environment {
            "production" => "production",
            "preview" | "staging" | "deploy-preview" => "deploy-preview",
            "branch-deploy" => "branch-deploy",
            "development" | "dev" | "local" => "dev",
            "dev-server" => "dev-server",
            branch if branch.strip_prefix("branch:").is_some_and(|name| !name.is_empty()) => branch,
            _ => {
                let known = ENVIRONMENTS.iter().map(|name| (*name).to_owned());
                return Err(ProviderError::NoSuchEnvironment(
                    known.chain(["branch:<name>".to_owned()]).collect(),
                ));
            }
        };
        let path = format!("/sites/{}", segment(site));
        let site: Site = self.ask(session, Call::get(path)).await.map_err(missing("the site"))?.json()?;
        let account = site.account_slug.or(site.account_id);
        let account = account.ok_or_else(|| ProviderError::Failed("the site has no account".to_owned()))?;
        Ok(Place {
            project: site.id,
            project_name: site.name,
            service: None,
            environment: context.to_owned(),
            route: format!("{account}\n{context}"),
        })
    }

    /// A call about all of a site's variables, or one.
    fn call(method: Method, place: &Place, rest: &str) -> Call {
        let account = place.route.split_once('\n').map_or("", |(account, _)| account);
        let path = format!("/accounts/{}/env{rest}", segment(account));
        Call::new(method, path).query("site_id", &place.project)
    }

    async fn listed(&self, session: &Session, place: &Place) -> Outcome<Listing> {
        let context = Context::of(place);
        let reply =
            self.ask(session, Self::call(Method::Get, place, "")).await.map_err(missing("the site"))?;
        let mut listing = Listing::default();
        for env in reply.json::<Vec<Env>>()? {
            if self.is_reserved(&env.key) {
                continue;
            }
            let record = SecretText::new(serde_json::to_string(&env).unwrap_or_default());
            let Some(value) = env.effective(context) else {
                listing.elsewhere.insert(env.key, record);
                continue;
            };
            let is_sealed = env.is_secret && context.name != "dev";
            let held = if is_sealed { Held::Sealed } else { Held::Value(value.value.clone()) };
            listing.variables.push(Variable { name: env.key, held, marker: env.updated_at, record });
        }
        Ok(listing)
    }

    async fn write(&self, session: &Session, place: &Place, settings: &[Setting]) -> Outcome<Vec<Written>> {
        let context = Context::of(place);
        let (known, new): (Vec<&Setting>, Vec<&Setting>) =
            settings.iter().partition(|setting| setting.record.is_some());
        let mut results: HashMap<&str, Written> = HashMap::new();
        if !new.is_empty() {
            let bodies = new.iter().map(|setting| NewEnv {
                key: &setting.name,
                scopes: Vec::new(),
                values: vec![context.value(&setting.value)],
                is_secret: false,
            });
            let call = Self::call(Method::Post, place, "").json(&bodies.collect::<Vec<_>>())?;
            let made = match self.ask(session, call).await {
                Ok(reply) => reply.json::<Vec<Env>>()?,
                Err(error) if known.is_empty() => return Err(error),
                // The halves tell which name is the bad one.
                Err(error @ ProviderError::Rejected(_)) => return Err(error),
                Err(error) => {
                    results.extend(new.iter().map(|setting| (setting.name.as_str(), Err(error.clone()))));
                    Vec::new()
                }
            };
            let markers: HashMap<String, Option<String>> =
                made.into_iter().map(|env| (env.key, env.updated_at)).collect();
            for setting in &new {
                results.entry(&setting.name).or_insert_with(|| match markers.get(&setting.name) {
                    Some(marker) => Ok(marker.clone()),
                    None => Err(ProviderError::Rejected("it was not confirmed".to_owned())),
                });
            }
        }
        let changed =
            one_by_one(&known, |setting| Box::pin(self.change(session, place, context, setting))).await;
        results.extend(known.iter().map(|setting| setting.name.as_str()).zip(changed));
        let result = |setting: &Setting| results.remove(setting.name.as_str()).unwrap_or(Ok(None));
        Ok(settings.iter().map(result).collect())
    }

    /// Sets one context of a variable that exists.
    async fn change(
        &self,
        session: &Session,
        place: &Place,
        context: Context<'_>,
        setting: &Setting,
    ) -> Written {
        let env = setting.record.as_ref().map(Env::read).transpose()?;
        let env = env.ok_or_else(|| ProviderError::Failed("a record is missing".to_owned()))?;
        let one = format!("/{}", segment(&setting.name));
        let value = context.value(&setting.value);
        // A branch's own value goes before the one for all; of other contexts it is not said.
        let call = if env.for_all().is_some() && context.branch.is_none() {
            let values = env.without(context).into_iter().chain([value]).collect();
            Self::call(Method::Put, place, &one).json(&env.with_values(values))?
        } else {
            Self::call(Method::Patch, place, &one).json(&value)?
        };
        let changed: Env = self.ask(session, call).await.map_err(missing("the variable"))?.json()?;
        Ok(changed.updated_at)
    }

    /// Takes one context away from a variable.
    async fn drop_one(
        &self,
        session: &Session,
        place: &Place,
        context: Context<'_>,
        removal: &Removal,
    ) -> Written {
        let env = Env::read(&removal.record)?;
        let one = format!("/{}", segment(&removal.name));
        let is_gone = |error| matches!(error, ProviderError::NotFound(_));
        let call = match env.own(context) {
            Some(_) if env.values.len() == 1 => Self::call(Method::Delete, place, &one),
            Some(Value { id: Some(id), .. }) if env.for_all().is_none() || context.branch.is_some() => {
                Self::call(Method::Delete, place, &format!("{one}/value/{}", segment(id)))
            }
            None if context.branch.is_some() => {
                let reason = "it has no value of this branch's own, but one for all branches".to_owned();
                return Err(ProviderError::Rejected(reason));
            }
            _ => Self::call(Method::Put, place, &one).json(&env.with_values(env.without(context)))?,
        };
        match self.ask(session, call).await {
            Ok(_) => Ok(None),
            Err(error) if is_gone(error.clone()) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn shown(site: Site) -> Project {
    let build = site.build_settings;
    let repository = build.and_then(|build| build.repo_path.or(build.repo_url));
    let id = site.account_id.or(site.account_slug);
    Project {
        id: site.id,
        name: site.name,
        linked_repo: repository.as_deref().and_then(repo_of),
        environments: ENVIRONMENTS.iter().map(|name| (*name).to_owned()).collect(),
        team: id.map(|id| (id.clone(), site.account_name.unwrap_or(id))),
        ..Project::default()
    }
}

impl Provider for Netlify {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn is_reserved(&self, name: &str) -> bool {
        name.starts_with("NETLIFY_") || name == "NETLIFY" || READ_ONLY.contains(&name)
    }

    fn asking(&self) -> Option<&dyn AskConsent> {
        self.oauth.as_ref().map(|oauth| oauth as &dyn AskConsent)
    }

    fn identify<'a>(&'a self, session: &'a Session) -> Asking<'a, Account> {
        Box::pin(self.who(session))
    }

    fn projects<'a>(&'a self, session: &'a Session) -> Asking<'a, Vec<Project>> {
        Box::pin(self.all_sites(session))
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
        Box::pin(self.write(session, place, settings))
    }

    fn remove<'a>(
        &'a self,
        session: &'a Session,
        place: &'a Place,
        removals: &'a [Removal],
    ) -> Asking<'a, Vec<Written>> {
        Box::pin(async move {
            let context = Context::of(place);
            Ok(one_by_one(removals, |one| Box::pin(self.drop_one(session, place, context, one))).await)
        })
    }
}
