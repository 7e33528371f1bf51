//! Vercel. A project has several records of one name, each for a set of targets; one
//! record may serve several. Changing one target of a shared record detaches it first,
//! so that the others keep what they have.
//!
//! The list gives ciphertext for `encrypted` records; their values come one by one.
//! `sensitive` ones never come. Changes reach the next deployment.

mod wire;

use super::api::{Api, Call, Outcome, missing, one_by_one, segment, side_by_side};
use super::oauth::{App, Manner, OAuth};
use crate::base::SecretText;
use crate::domain::ports::provider::{
    Account, AskConsent, Asking, Consent, Held, Listing, Place, Profile, Project, Provider, ProviderError,
    ReadBack, Removal, Session, Setting, Team, Variable, Written,
};
use crate::outbound::{Client, Method};
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use wire::{
    Created, CustomEnvironment, CustomEnvironmentsReply, Deleted, Env, EnvReply, Ids, Link, NewEnv, Next,
    OneOrMany, ProjectReply, ProjectsReply, Reach, Record, Refused, Spot, TeamReply, User, UserReply,
};

/// Where the API is unless the settings say otherwise.
const API: &str = "https://api.vercel.com";
const TARGETS: &[&str] = &["production", "preview", "development"];
const PROJECTS_PER_PAGE: &str = "100";
/// Beyond the time of a session, for not leaving a variable in between. A request has
/// more than this left when its calls have to be over.
const GIVING_BACK: Duration = Duration::from_secs(3);

/// People install the app; its page knows who it is and where they come back to. The
/// page has the app's own name in it, so the settings tell it.
static MANNER: Manner =
    Manner { authorize_url: "", asks: &[], names_app: false, token_path: "/v2/oauth/access_token" };

static PROFILE: Profile = Profile {
    name: "vercel",
    title: "Vercel",
    consent: Consent::Asked { pkce: false },
    tokens_at: "vercel.com/account/tokens",
    read_back: ReadBack::UnlessSealed,
    environments: TARGETS,
    batch: 50,
};

/// Prefixes under which frameworks show variables to browsers; the platform repeats its
/// own behind them.
const PUBLIC_PREFIXES: &[&str] = &[
    "NEXT_PUBLIC_",
    "NUXT_ENV_",
    "NUXT_PUBLIC_",
    "REACT_APP_",
    "GATSBY_",
    "VITE_",
    "VUE_APP_",
    "PUBLIC_",
    "REDWOOD_ENV_",
    "SANITY_STUDIO_",
];

/// Vercel.
pub struct Vercel {
    api: Api,
    oauth: Option<OAuth>,
}

impl Vercel {
    /// Vercel at `base`, or where it usually is; people are asked for consent by `app`.
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

    fn signed(session: &Session, call: Call) -> Call {
        let call = call.bearer(&session.token);
        match &session.team {
            Some(team) => call.query("teamId", team),
            None => call,
        }
    }

    async fn ask(&self, session: &Session, call: Call) -> Outcome<super::api::Reply> {
        self.api.call(session, Self::signed(session, call)).await
    }

    async fn who(&self, session: &Session) -> Outcome<Account> {
        let user = match self.api.call(session, Call::get("/v2/user").bearer(&session.token)).await {
            Ok(reply) => reply.json::<UserReply>()?.user,
            // A token for one project may not ask who it is; that it may list shows that it is good.
            Err(ProviderError::Forbidden(_)) => self.project_user(session).await?,
            Err(error) => return Err(error),
        };
        let team = match &session.team {
            None => None,
            Some(id) => {
                let call = Call::get(format!("/v2/teams/{}", segment(id))).bearer(&session.token);
                let team: TeamReply =
                    self.api.call(session, call).await.map_err(missing("the team"))?.json()?;
                let name = team.name.or(team.slug).unwrap_or_else(|| team.id.clone());
                Some(Team { id: team.id, name })
            }
        };
        let username = user.username.or(user.email).unwrap_or_else(|| user.id.clone());
        Ok(Account { id: user.id, username, team, scheme: None })
    }

    async fn project_user(&self, session: &Session) -> Outcome<User> {
        let reply: ProjectsReply =
            self.ask(session, Call::get("/v10/projects").query("limit", "1")).await?.json()?;
        let account = reply.projects.into_iter().next().and_then(|project| project.account_id);
        let id = account.ok_or_else(|| ProviderError::Forbidden("the token sees no project".to_owned()))?;
        Ok(User { id, username: None, email: None })
    }

    async fn all_projects(&self, session: &Session) -> Outcome<Vec<Project>> {
        let (mut all, mut from, mut seen) = (Vec::new(), None::<String>, HashSet::new());
        loop {
            let call = Call::get("/v10/projects").query("limit", PROJECTS_PER_PAGE);
            let call = match &from {
                Some(from) => call.query("from", from),
                None => call,
            };
            let page: ProjectsReply = self.ask(session, call).await?.json()?;
            all.extend(page.projects.into_iter().map(shown));
            match page.pagination.and_then(|pagination| pagination.next).map(Next::text) {
                Some(next) if seen.insert(next.clone()) => from = Some(next),
                _ => return Ok(all),
            }
        }
    }

    async fn find(&self, session: &Session, project: &str, environment: &str) -> Outcome<Place> {
        let path = format!("/v9/projects/{}", segment(project));
        let found = self.ask(session, Call::get(path)).await.map_err(missing("the project"))?;
        let mut found: ProjectReply = found.json()?;
        let target = TARGETS.iter().find(|target| target.eq_ignore_ascii_case(environment));
        let route = match target {
            Some(target) => (*target).to_owned(),
            None => {
                if found.custom_environments.is_empty() {
                    let path = format!("/v9/projects/{}/custom-environments", segment(&found.id));
                    let reply: CustomEnvironmentsReply = self.ask(session, Call::get(path)).await?.json()?;
                    found.custom_environments = reply.environments;
                }
                let custom = found.custom_environments.iter();
                let matching = |one: &&CustomEnvironment| one.slug == environment || one.id == environment;
                match custom.clone().find(matching) {
                    Some(one) => format!("custom:{}", one.id),
                    None => {
                        let known = TARGETS.iter().map(|target| (*target).to_owned());
                        let known = known.chain(custom.map(|one| one.slug.clone()));
                        return Err(ProviderError::NoSuchEnvironment(known.collect()));
                    }
                }
            }
        };
        let environment = target.map_or(environment, |target| target).to_owned();
        Ok(Place { project: found.id, project_name: found.name, service: None, environment, route })
    }

    async fn records(&self, session: &Session, place: &Place) -> Outcome<Vec<Env>> {
        let path = format!("/v10/projects/{}/env", segment(&place.project));
        let (mut all, mut until, mut seen) = (Vec::new(), None::<String>, HashSet::new());
        loop {
            let call = Call::get(path.clone());
            let call = match &until {
                Some(until) => call.query("until", until),
                None => call,
            };
            let reply = self.ask(session, call).await.map_err(missing("the project"))?;
            let pagination = match reply.json()? {
                EnvReply::Listed { envs, pagination } => {
                    all.extend(envs);
                    pagination
                }
                EnvReply::Single(env) => {
                    all.push(*env);
                    None
                }
            };
            match pagination.and_then(|pagination| pagination.next).map(Next::text) {
                Some(next) if seen.insert(next.clone()) => until = Some(next),
                _ => return Ok(all),
            }
        }
    }

    async fn listed(&self, session: &Session, place: &Place) -> Outcome<Listing> {
        let spot = Spot::of(place);
        let (mut listing, mut names) = (Listing::default(), HashSet::new());
        for env in self.records(session, place).await? {
            let marker = env.marker();
            let (owned, sealed) = (env.is_owned_by_others(), env.is_sealed());
            let record = Record {
                id: env.id.unwrap_or_default(),
                kind: env.kind,
                targets: env.target.map(OneOrMany::all).unwrap_or_default(),
                custom: env.custom_environment_ids,
                comment: env.comment.filter(|comment| !comment.is_empty()),
            };
            // What is for one branch only is not for the environment.
            if !spot.is_in(&record) || env.git_branch.is_some() {
                continue;
            }
            if owned || record.id.is_empty() {
                listing.left_alone.insert(env.key);
                continue;
            }
            if !names.insert(env.key.clone()) {
                continue;
            }
            let held = match record.kind.as_str() {
                _ if sealed => Held::Sealed,
                "plain" => Held::Value(env.value),
                _ if env.decrypted == Some(true) => Held::Value(env.value),
                _ => Held::OnRequest,
            };
            let record = SecretText::new(serde_json::to_string(&record).unwrap_or_default());
            listing.variables.push(Variable { name: env.key, held, marker, record });
        }
        Ok(listing)
    }

    async fn value_of(
        &self,
        session: &Session,
        place: &Place,
        variable: &Variable,
    ) -> Outcome<Option<SecretText>> {
        let record = Record::read(&variable.record)?;
        let path = format!("/v1/projects/{}/env/{}", segment(&place.project), segment(&record.id));
        let env: Env = self.ask(session, Call::get(path)).await?.json()?;
        // Ciphertext must never be taken for a value.
        let readable = !env.is_sealed() && env.decrypted != Some(false);
        Ok(readable.then_some(env.value))
    }

    /// Creates or overwrites records of their own, many at once.
    async fn upsert(
        &self,
        session: &Session,
        place: &Place,
        settings: &[(&Setting, Option<Record>)],
    ) -> Outcome<Vec<Written>> {
        let spot = Spot::of(place);
        let bodies = settings.iter().map(|(setting, record)| NewEnv {
            key: &setting.name,
            value: setting.value.clone(),
            kind: record.as_ref().map_or("encrypted", |record| accepted(&record.kind)).to_owned(),
            target: if let Spot::Target(target) = spot { vec![target] } else { Vec::new() },
            custom_environment_ids: if let Spot::Custom(id) = spot { vec![id] } else { Vec::new() },
            comment: record.as_ref().and_then(|record| record.comment.clone()),
        });
        let path = format!("/v10/projects/{}/env", segment(&place.project));
        let call = Call::new(Method::Post, path).query("upsert", "true").json(&bodies.collect::<Vec<_>>())?;
        let reply = self.ask(session, call).await.map_err(refused)?;
        let Created { created, failed } = reply.json()?;
        let created = created.map(OneOrMany::all).unwrap_or_default();
        let markers: HashMap<String, Option<String>> =
            created.into_iter().map(|env| (env.key.clone(), env.marker())).collect();
        let (mut reasons, mut other) = (BTreeMap::new(), None);
        for Refused { error } in failed {
            let reason = format!("{} ({})", error.message, error.code);
            match error.env_var_key.or(error.key) {
                Some(key) => drop(reasons.insert(key, reason)),
                None => other = Some(reason),
            }
        }
        // Success is what the answer says was created, not what it does not call failed.
        let results = settings.iter().map(|(setting, _)| match markers.get(&setting.name) {
            Some(marker) if !reasons.contains_key(&setting.name) => Ok(marker.clone()),
            _ => {
                let reason = reasons.remove(&setting.name).or_else(|| other.clone());
                Err(ProviderError::Rejected(reason.unwrap_or_else(|| "it was not confirmed".to_owned())))
            }
        });
        Ok(results.collect())
    }

    /// Says which targets a record serves.
    async fn reach(&self, session: &Session, place: &Place, record: &Record) -> Outcome<()> {
        let path = format!("/v9/projects/{}/env/{}", segment(&place.project), segment(&record.id));
        // Neither key nor value: this works for sensitive records too.
        let body = Reach { target: &record.targets, custom_environment_ids: &record.custom };
        self.ask(session, Call::new(Method::Patch, path).json(&body)?).await.map_err(refused).map(drop)
    }

    /// Gives one target a record of its own with the new value. Whatever goes wrong on the
    /// way, the target is given back to the shared record, for which there is extra time.
    async fn split(&self, session: &Session, place: &Place, setting: &Setting, record: Record) -> Written {
        let made = match self.reach(session, place, &Spot::of(place).taken_from(&record)).await {
            Ok(()) => {
                let own = Record { id: String::new(), ..record.clone() };
                let made = self.upsert(session, place, &[(setting, Some(own))]).await;
                made.and_then(|results| results.into_iter().next().unwrap_or(Ok(None)))
            }
            // It may have been taken from the record all the same.
            Err(error @ ProviderError::Failed(_)) => Err(error),
            Err(error) => return Err(error),
        };
        let Err(error) = made else { return made };
        let Session { token, scheme, team, until } = session;
        let until = *until + GIVING_BACK;
        let session = Session { token: token.clone(), scheme: scheme.clone(), team: team.clone(), until };
        if self.reach(&session, place, &record).await.is_ok() {
            return Err(error);
        }
        // Without their words, which could quote what was sent.
        tracing::error!(key = setting.name, "a variable was detached and could not be put back");
        let environment = &place.environment;
        Err(ProviderError::Failed(format!(
            "{error}; it may be missing in `{environment}` now, because putting it back failed too"
        )))
    }

    async fn write(&self, session: &Session, place: &Place, settings: &[Setting]) -> Outcome<Vec<Written>> {
        let records = settings.iter().map(|setting| setting.record.as_ref().map(Record::read).transpose());
        let records: Vec<Option<Record>> = records.collect::<Outcome<_>>()?;
        let pairs: Vec<(&Setting, Option<Record>)> = settings.iter().zip(records).collect();
        let is_shared = |record: &Option<Record>| record.as_ref().is_some_and(Record::is_shared);
        let own: Vec<_> = pairs.iter().filter(|(_, record)| !is_shared(record)).cloned().collect();
        let shared: Vec<_> = pairs.iter().filter(|(_, record)| is_shared(record)).cloned().collect();
        let mut results: HashMap<&str, Written> = HashMap::new();
        if !own.is_empty() {
            match self.upsert(session, place, &own).await {
                Ok(all) => results.extend(own.iter().map(|(setting, _)| setting.name.as_str()).zip(all)),
                // The whole portion, unless something else was in it.
                Err(error) if shared.is_empty() => return Err(error),
                Err(error @ ProviderError::Rejected(_)) if own.len() > 1 => return Err(error),
                Err(error) => {
                    results
                        .extend(own.iter().map(|(setting, _)| (setting.name.as_str(), Err(error.clone()))));
                }
            }
        }
        let split = one_by_one(&shared, |(setting, record)| {
            let record = record.clone();
            Box::pin(async move {
                match record {
                    Some(record) => self.split(session, place, setting, record).await,
                    None => Ok(None),
                }
            })
        })
        .await;
        results.extend(shared.iter().map(|(setting, _)| setting.name.as_str()).zip(split));
        let result = |setting: &Setting| results.remove(setting.name.as_str()).unwrap_or(Ok(None));
        Ok(settings.iter().map(result).collect())
    }

    async fn erase(&self, session: &Session, place: &Place, removals: &[Removal]) -> Outcome<Vec<Written>> {
        let records = removals.iter().map(|removal| Record::read(&removal.record));
        let records: Vec<Record> = records.collect::<Outcome<_>>()?;
        let ids: Vec<&str> =
            records.iter().filter(|record| !record.is_shared()).map(|record| record.id.as_str()).collect();
        let mut deleted = HashSet::new();
        if !ids.is_empty() {
            let path = format!("/v1/projects/{}/env", segment(&place.project));
            let call = Call::new(Method::Delete, path).json(&Ids { ids })?;
            let reply: Deleted = self.ask(session, call).await.map_err(refused)?.json()?;
            deleted.extend(reply.ids);
        }
        let spot = Spot::of(place);
        Ok(one_by_one(&records, |record| {
            let gone = deleted.contains(&record.id);
            Box::pin(async move {
                if record.is_shared() {
                    self.reach(session, place, &spot.taken_from(record)).await.map(|()| None)
                } else if gone {
                    Ok(None)
                } else {
                    Err(ProviderError::Rejected("it was not confirmed".to_owned()))
                }
            })
        })
        .await)
    }
}

/// A type that may be sent; old ones are still answered.
fn accepted(kind: &str) -> &str {
    match kind {
        "secret" => "sensitive",
        kind => kind,
    }
}

/// The API says "forbidden" also of names that are taken.
fn refused(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Forbidden(reason) if reason.to_ascii_lowercase().contains("already exist") => {
            ProviderError::Rejected(reason)
        }
        other => missing("the project or the variable")(other),
    }
}

fn shown(project: ProjectReply) -> Project {
    let environments = TARGETS.iter().map(|target| (*target).to_owned());
    let custom = project.custom_environments.into_iter().map(|custom| custom.slug);
    Project {
        id: project.id,
        name: project.name,
        linked_repo: project.link.as_ref().and_then(Link::repository),
        framework: project.framework,
        environments: environments.chain(custom).collect(),
        ..Project::default()
    }
}

impl Provider for Vercel {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn is_reserved(&self, name: &str) -> bool {
        let bare = PUBLIC_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        bare.starts_with("VERCEL_") || bare == "VERCEL" || name == "TURBO_CI_VENDOR_ENV_KEY"
    }

    fn asking(&self) -> Option<&dyn AskConsent> {
        self.oauth.as_ref().map(|oauth| oauth as &dyn AskConsent)
    }

    fn identify<'a>(&'a self, session: &'a Session) -> Asking<'a, Account> {
        Box::pin(self.who(session))
    }

    fn projects<'a>(&'a self, session: &'a Session) -> Asking<'a, Vec<Project>> {
        Box::pin(self.all_projects(session))
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

    fn reveal<'a>(
        &'a self,
        session: &'a Session,
        place: &'a Place,
        variables: &'a [&'a Variable],
    ) -> BoxFuture<'a, Vec<Outcome<Option<SecretText>>>> {
        let calls = variables
            .iter()
            .map(|variable| Box::pin(self.value_of(session, place, variable)) as BoxFuture<'_, _>);
        Box::pin(side_by_side(calls.collect()))
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
        Box::pin(self.erase(session, place, removals))
    }
}
