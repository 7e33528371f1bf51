//! Railway, over GraphQL. A project has environments and services; each service has its
//! variables in each environment, and an environment has shared ones. Values are read
//! unrendered: a reference to another variable stays a reference when it is written back.
//!
//! Setting asks for no deployment, so that what is set takes effect as with the other
//! services: at the next one. Deleting has no such choice there.

mod wire;

use super::api::{Api, Call, Outcome, one_by_one};
use super::oauth::{App, Manner, OAuth};
use crate::base::SecretText;
use crate::domain::ports::provider::{
    Account, AskConsent, Asking, Consent, Held, Listing, Place, Profile, Project, Provider, ProviderError,
    ReadBack, Removal, Session, Setting, Team, Variable, Written,
};
use crate::outbound::{Client, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap, HashSet};
use wire::{
    After, Answer, ApiToken, ById, Connection, Delete, EnvironmentNode, EnvironmentVariables, External,
    Fault, Input, Me, Meta, Nothing, Only, PROJECT, ProjectNode, ProjectToken, Question, Spot, Upsert,
    Workspace,
};

/// Where the API is unless the settings say otherwise.
const API: &str = "https://backboard.railway.com/graphql/v2";
/// How a token for one environment of one project is shown.
const PROJECT_TOKEN: &str = "project";
/// Most pages of anything; a service that never ends is not followed for ever.
const PAGES_MAX: usize = 1_000;

/// Refresh tokens come only with this scope and this prompt; workspaces are told only
/// to whoever may see the profile.
static MANNER: Manner = Manner {
    authorize_url: "https://backboard.railway.com/oauth/auth",
    asks: &[("scope", "openid email profile offline_access workspace:member"), ("prompt", "consent")],
    names_app: true,
    token_path: "/oauth/token",
};

static PROFILE: Profile = Profile {
    name: "railway",
    title: "Railway",
    consent: Consent::Asked { pkce: true },
    tokens_at: "railway.com/account/tokens",
    read_back: ReadBack::UnlessSealed,
    environments: &[],
    batch: 1_000,
};

/// Names with the platform's prefix that are settings of people.
const SETTINGS: &[&str] = &[
    "RAILWAY_DOCKERFILE_PATH",
    "RAILWAY_HEALTHCHECK_TIMEOUT_SEC",
    "RAILWAY_DEPLOYMENT_OVERLAP_SECONDS",
    "RAILWAY_DEPLOYMENT_DRAINING_SECONDS",
    "RAILWAY_RUN_UID",
    "RAILWAY_SHM_SIZE_BYTES",
];

/// Railway.
pub struct Railway {
    api: Api,
    oauth: Option<OAuth>,
}

impl Railway {
    /// Railway at `base`, or where it usually is; people are asked for consent by `app`.
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

    /// Asks for the one thing that `query` is about.
    async fn ask<T: DeserializeOwned>(
        &self,
        session: &Session,
        query: &str,
        variables: impl Serialize,
    ) -> Outcome<T> {
        let call = Call::new(Method::Post, "").json(&Question { query, variables })?;
        let call = if session.scheme.as_deref() == Some(PROJECT_TOKEN) {
            call.header("project-access-token", session.token.expose().to_owned())
        } else {
            call.bearer(&session.token)
        };
        let answer: Answer<Only<T>> = self.api.call(session, call).await?.json()?;
        match answer.errors.into_iter().next() {
            Some(fault) => Err(explain(fault)),
            None => answer
                .data
                .map(|data| data.only)
                .ok_or_else(|| ProviderError::Failed("its answer is not what its API describes".to_owned())),
        }
    }

    /// Tries the kinds of token in turn: only the right one answers.
    async fn who(&self, session: &Session) -> Outcome<Account> {
        let me = "query { me { id name username email workspaces { id name } } }";
        match self.ask::<Me>(session, me, Nothing {}).await {
            Ok(me) => return person(me, session),
            Err(ProviderError::BadToken) => {}
            Err(error) => return Err(error),
        }
        let api_token = "query { apiToken { workspaces { id name } } }";
        match self.ask::<ApiToken>(session, api_token, Nothing {}).await {
            Ok(token) => return workspace_token(token, session),
            Err(ProviderError::BadToken) => {}
            Err(error) => return Err(error),
        }
        let query = format!("query {{ projectToken {{ project {{ ...P }} }} }} {PROJECT}");
        let own = as_project_token(session);
        let ProjectToken { project } = self.ask(&own, &query, Nothing {}).await?;
        if session.team.is_some() {
            return Err(ProviderError::NotFound("the workspace"));
        }
        Ok(Account { id: project.id, username: project.name, team: None, scheme: own.scheme })
    }

    async fn all_projects(&self, session: &Session) -> Outcome<Vec<Project>> {
        if session.scheme.as_deref() == Some(PROJECT_TOKEN) {
            let query = format!("query {{ projectToken {{ project {{ ...P }} }} }} {PROJECT}");
            let ProjectToken { project } = self.ask(session, &query, Nothing {}).await?;
            return Ok(shown(project, None));
        }
        let me = "query { me { id name username email workspaces { id name } } }";
        let (workspaces, is_person) = match self.ask::<Me>(session, me, Nothing {}).await {
            Ok(me) => (me.workspaces, true),
            Err(ProviderError::BadToken) => {
                let query = "query { apiToken { workspaces { id name } } }";
                (self.ask::<ApiToken>(session, query, Nothing {}).await?.workspaces, false)
            }
            Err(error) => return Err(error),
        };
        let wanted = |id: &String| session.team.as_ref().is_none_or(|team| team == id);
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        for workspace in workspaces.into_iter().filter(|workspace| wanted(&workspace.id)) {
            for project in self.projects_in(session, &workspace).await? {
                if seen.insert(project.id.clone()) {
                    all.extend(shown(project, Some(&workspace)));
                }
            }
        }
        if is_person {
            let query = format!("query {{ externalWorkspaces {{ id name projects {{ ...P }} }} }} {PROJECT}");
            let others: Vec<External> = self.ask(session, &query, Nothing {}).await?;
            for other in others.into_iter().filter(|other| wanted(&other.id)) {
                let workspace = Workspace { id: other.id, name: other.name };
                let new = other.projects.into_iter().filter(|project| seen.insert(project.id.clone()));
                all.extend(new.flat_map(|project| shown(project, Some(&workspace))));
            }
        }
        Ok(all)
    }

    async fn projects_in(&self, session: &Session, workspace: &Workspace) -> Outcome<Vec<ProjectNode>> {
        let query = format!(
            "query($id: String!, $after: String) {{ projects(workspaceId: $id, first: 100, after: $after) \
             {{ edges {{ node {{ ...P }} }} pageInfo {{ hasNextPage endCursor }} }} }} {PROJECT}"
        );
        let (mut all, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page: Connection<ProjectNode> =
                self.ask(session, &query, After { id: &workspace.id, after }).await?;
            after = page.next();
            all.extend(page.nodes());
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }

    async fn find(
        &self,
        session: &Session,
        project: &str,
        service: Option<&str>,
        environment: &str,
    ) -> Outcome<Place> {
        let query = format!("query($id: String!) {{ project(id: $id) {{ ...P }} }} {PROJECT}");
        let found: ProjectNode =
            self.ask(session, &query, ById { id: project }).await.map_err(|error| match error {
                ProviderError::Rejected(reason) if reason.to_ascii_lowercase().contains("not found") => {
                    ProviderError::NotFound("the project")
                }
                other => other,
            })?;
        if found.deleted_at.is_some() {
            return Err(ProviderError::NotFound("the project"));
        }
        let environments: Vec<EnvironmentNode> =
            found.environments.nodes().filter(EnvironmentNode::is_usable).collect();
        let exact = environments.iter().find(|one| one.name == environment || one.id == environment);
        let loose = || environments.iter().find(|one| one.name.eq_ignore_ascii_case(environment));
        let Some(chosen) = exact.or_else(loose) else {
            let known = environments.into_iter().map(|one| one.name).collect();
            return Err(ProviderError::NoSuchEnvironment(known));
        };
        let service = match service {
            None => None,
            Some(wanted) => {
                let mut living = found.services.nodes().filter(|one| one.deleted_at.is_none());
                let one = living.find(|one| one.id == wanted || one.name == wanted);
                Some(one.ok_or(ProviderError::NotFound("the service"))?.id)
            }
        };
        Ok(Place {
            project: found.id,
            project_name: found.name,
            service,
            environment: chosen.name.clone(),
            route: chosen.id.clone(),
        })
    }

    /// The variables of this place, without their values.
    async fn known(&self, session: &Session, place: &Place) -> Outcome<BTreeMap<String, Meta>> {
        let query = "query($id: String!, $after: String) { environment(id: $id) { \
            variables(first: 500, after: $after) { edges { node { name serviceId isSealed updatedAt } } \
            pageInfo { hasNextPage endCursor } } } }";
        let (mut all, mut after) = (BTreeMap::new(), None);
        for _ in 0..PAGES_MAX {
            let page: EnvironmentVariables =
                self.ask(session, query, After { id: &place.route, after }).await?;
            after = page.variables.next();
            let ours = page.variables.nodes().filter(|one| one.service_id == place.service);
            all.extend(ours.map(|one| (one.name.clone(), one)));
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }

    async fn listed(&self, session: &Session, place: &Place) -> Outcome<Listing> {
        let known = self.known(session, place).await?;
        let query = "query($projectId: String!, $environmentId: String!, $serviceId: String) { \
            variables(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId, \
            unrendered: true) }";
        let mut values: HashMap<String, Option<SecretText>> =
            self.ask(session, query, Spot::of(place)).await?;
        let names: HashSet<String> = known.keys().chain(values.keys()).cloned().collect();
        let mut listing = Listing::default();
        for name in names.into_iter().filter(|name| !self.is_reserved(name)) {
            let meta = known.get(&name);
            let value = values.remove(&name).flatten();
            let is_sealed = meta.is_some_and(|meta| meta.is_sealed);
            let held = match value {
                Some(value) if !is_sealed => Held::Value(value),
                _ => Held::Sealed,
            };
            let record = SecretText::new(if is_sealed { "sealed".to_owned() } else { String::new() });
            let marker = meta.map(|meta| meta.updated_at.clone());
            listing.variables.push(Variable { name, held, marker, record });
        }
        listing.variables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listing)
    }

    async fn write(&self, session: &Session, place: &Place, settings: &[Setting]) -> Outcome<Vec<Written>> {
        let query =
            "mutation($input: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $input) }";
        let variables = settings.iter().map(|setting| (setting.name.as_str(), &setting.value)).collect();
        // `replace` would take away everything that is not in this portion.
        let input = Upsert { spot: Spot::of(place), variables, replace: false, skip_deploys: true };
        confirmed(self.ask(session, query, Input { input }).await?)?;
        let is_sealed = |setting: &Setting| setting.record.as_ref().is_some_and(|record| !record.is_empty());
        let known = if settings.iter().any(is_sealed) {
            // Only a sealed value has to be remembered by its mark; without it, it is written again.
            self.known(session, place).await.unwrap_or_default()
        } else {
            BTreeMap::new()
        };
        let marker = |setting: &Setting| known.get(&setting.name).map(|meta| meta.updated_at.clone());
        Ok(settings.iter().map(|setting| Ok(marker(setting))).collect())
    }

    async fn drop_one(&self, session: &Session, place: &Place, removal: &Removal) -> Written {
        let query = "mutation($input: VariableDeleteInput!) { variableDelete(input: $input) }";
        let input = Delete { spot: Spot::of(place), name: &removal.name };
        confirmed(self.ask(session, query, Input { input }).await?)?;
        Ok(None)
    }
}

/// Writes are answered with whether they were done.
fn confirmed(done: bool) -> Outcome<()> {
    if done { Ok(()) } else { Err(ProviderError::Rejected("it was not done".to_owned())) }
}

/// Failures come with a status of success. A dead token and a missing permission are
/// the same message.
fn explain(fault: Fault) -> ProviderError {
    let Fault { message, extensions } = fault;
    let has = |words: &str| message.to_ascii_lowercase().contains(words);
    if has("not authorized") || has("project token not found") {
        ProviderError::BadToken
    } else if has("two factor authentication required") {
        let workspace = extensions.workspace_name.unwrap_or_else(|| "the workspace".to_owned());
        ProviderError::Forbidden(format!("{workspace} requires two-factor authentication"))
    } else if extensions.code.as_deref() == Some("INTERNAL_SERVER_ERROR") || has("problem processing request")
    {
        ProviderError::Failed("it reports a failure of its own".to_owned())
    } else {
        ProviderError::Rejected(message)
    }
}

fn as_project_token(session: &Session) -> Session {
    let Session { token, until, .. } = session;
    Session { token: token.clone(), scheme: Some(PROJECT_TOKEN.to_owned()), team: None, until: *until }
}

fn person(me: Me, session: &Session) -> Outcome<Account> {
    let team = team(&me.workspaces, session)?;
    let username = me.username.or(me.name).or(me.email).unwrap_or_else(|| me.id.clone());
    Ok(Account { id: me.id, username, team, scheme: None })
}

fn workspace_token(token: ApiToken, session: &Session) -> Outcome<Account> {
    let first = token.workspaces.first().cloned().ok_or(ProviderError::BadToken)?;
    let chosen = team(&token.workspaces, session)?;
    let team = chosen.unwrap_or_else(|| Team { id: first.id.clone(), name: first.name.clone() });
    Ok(Account { id: first.id, username: first.name, team: Some(team), scheme: None })
}

fn team(workspaces: &[Workspace], session: &Session) -> Outcome<Option<Team>> {
    let Some(wanted) = &session.team else { return Ok(None) };
    let found = workspaces.iter().find(|one| one.id == *wanted || one.name == *wanted);
    let found = found.ok_or(ProviderError::NotFound("the workspace"))?;
    Ok(Some(Team { id: found.id.clone(), name: found.name.clone() }))
}

/// A project's shared variables, and those of each of its services.
fn shown(project: ProjectNode, workspace: Option<&Workspace>) -> Vec<Project> {
    if project.deleted_at.is_some() {
        return Vec::new();
    }
    let environments = project.environments.nodes().filter(EnvironmentNode::is_usable).map(|one| one.name);
    let named = workspace.map(|workspace| (workspace.id.clone(), workspace.name.clone()));
    let shared = Project {
        id: project.id,
        name: project.name,
        environments: environments.collect(),
        team: named.or_else(|| project.workspace_id.map(|id| (id.clone(), id))),
        ..Project::default()
    };
    let services = project.services.nodes().filter(|service| service.deleted_at.is_none());
    let mut all: Vec<Project> = services
        .map(|service| Project {
            linked_repo: service.repo_triggers.nodes().next().map(|trigger| trigger.repository),
            service: Some((service.id, service.name)),
            ..shared.clone()
        })
        .collect();
    let linked_repo = all.iter().find_map(|service| service.linked_repo.clone());
    all.insert(0, Project { linked_repo, ..shared });
    all
}

impl Provider for Railway {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn is_reserved(&self, name: &str) -> bool {
        name.starts_with("RAILWAY_") && !SETTINGS.contains(&name)
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
        service: Option<&'a str>,
        environment: &'a str,
    ) -> Asking<'a, Place> {
        Box::pin(self.find(session, project, service, environment))
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
        Box::pin(
            async move { Ok(one_by_one(removals, |one| Box::pin(self.drop_one(session, place, one))).await) },
        )
    }
}
