//! A service that secrets are synchronised with, played: one project, nothing in it,
//! and everything it is told is fine.

use crate::domain::Services;
use crate::domain::integrations::{Integration, Integrations};
use crate::domain::ports::provider::{
    Account, Asking, Consent, Listing, Place, Profile, Project, Provider, ReadBack, Removal, Session,
    Setting, Written,
};
use std::sync::Arc;
use std::time::Duration;

static PROFILE: Profile = Profile {
    name: "play",
    title: "Play",
    consent: Consent::TokenOnly,
    tokens_at: "play.example/tokens",
    read_back: ReadBack::UnlessSealed,
    environments: &["production"],
    batch: 100,
};

struct Play;

fn ready<'a, T: Send + 'a>(answer: T) -> Asking<'a, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl Provider for Play {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn is_reserved(&self, _name: &str) -> bool {
        false
    }

    fn identify<'a>(&'a self, _session: &'a Session) -> Asking<'a, Account> {
        ready(Account { id: "u1".to_owned(), username: "player".to_owned(), team: None, scheme: None })
    }

    fn projects<'a>(&'a self, _session: &'a Session) -> Asking<'a, Vec<Project>> {
        ready(vec![Project { id: "p1".to_owned(), name: "project".to_owned(), ..Project::default() }])
    }

    fn locate<'a>(
        &'a self,
        _session: &'a Session,
        project: &'a str,
        _service: Option<&'a str>,
        environment: &'a str,
    ) -> Asking<'a, Place> {
        ready(Place {
            project: project.to_owned(),
            project_name: "project".to_owned(),
            service: None,
            environment: environment.to_owned(),
            route: String::new(),
        })
    }

    fn list<'a>(&'a self, _session: &'a Session, _place: &'a Place) -> Asking<'a, Listing> {
        ready(Listing::default())
    }

    fn set<'a>(
        &'a self,
        _session: &'a Session,
        _place: &'a Place,
        settings: &'a [Setting],
    ) -> Asking<'a, Vec<Written>> {
        ready(settings.iter().map(|_| Ok(None)).collect())
    }

    fn remove<'a>(
        &'a self,
        _session: &'a Session,
        _place: &'a Place,
        removals: &'a [Removal],
    ) -> Asking<'a, Vec<Written>> {
        ready(removals.iter().map(|_| Ok(None)).collect())
    }
}

/// The operator's defaults, and this service.
pub(super) fn services() -> Services {
    let play = Integration { profile: &PROFILE, provider: Some(Arc::new(Play)) };
    Services::in_memory_with(Integrations::new(vec![play], Duration::from_secs(20)))
}
