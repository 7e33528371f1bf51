//! The parts of GitHub's answers that matter here, by the names its API description
//! gives them. What else is in them is ignored.

use crate::base::{RepoName, Role};
use crate::domain::ports::{ForgeUser, Repository};
use serde::Deserialize;

/// `GET /user`.
#[derive(Deserialize)]
pub(super) struct UserBody {
    id: u64,
    login: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    avatar_url: Option<String>,
}

impl From<UserBody> for ForgeUser {
    fn from(body: UserBody) -> Self {
        Self { id: body.id, login: body.login, email: body.email, avatar_url: body.avatar_url }
    }
}

/// `GET /repos/{owner}/{repo}` and the items of `GET /user/repos`.
#[derive(Deserialize)]
pub(super) struct RepositoryBody {
    id: u64,
    full_name: String,
    private: bool,
    owner: OwnerBody,
    #[serde(default)]
    permissions: Option<Permissions>,
}

#[derive(Deserialize)]
struct OwnerBody {
    #[serde(default)]
    avatar_url: Option<String>,
}

/// What the caller may do; `maintain` and `triage` are not always there.
#[derive(Deserialize, Default)]
struct Permissions {
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    maintain: bool,
    #[serde(default)]
    push: bool,
    #[serde(default)]
    triage: bool,
    #[serde(default)]
    pull: bool,
}

impl Permissions {
    /// The highest that is true.
    fn role(&self) -> Option<Role> {
        let by_rank = [
            (self.admin, Role::Admin),
            (self.maintain, Role::Maintain),
            (self.push, Role::Write),
            (self.triage, Role::Triage),
            (self.pull, Role::Read),
        ];
        by_rank.into_iter().find_map(|(held, role)| held.then_some(role))
    }
}

impl RepositoryBody {
    /// `None` for a name that no repository of ours can have.
    pub(super) fn into_repository(self) -> Option<Repository> {
        Some(Repository {
            id: self.id,
            name: RepoName::parse(&self.full_name).ok()?,
            private: self.private,
            avatar_url: self.owner.avatar_url,
            permission: self.permissions.unwrap_or_default().role(),
        })
    }
}

/// `GET /user/installations`.
#[derive(Deserialize)]
pub(super) struct InstallationList {
    pub(super) installations: Vec<InstallationBody>,
}

/// One installation of our app.
#[derive(Deserialize)]
pub(super) struct InstallationBody {
    pub(super) id: u64,
    #[serde(default)]
    account: Option<AccountBody>,
}

#[derive(Deserialize)]
struct AccountBody {
    #[serde(default)]
    login: Option<String>,
}

impl InstallationBody {
    pub(super) fn is_at(&self, owner: &str) -> bool {
        let login = self.account.as_ref().and_then(|account| account.login.as_deref());
        login.is_some_and(|login| login.eq_ignore_ascii_case(owner))
    }
}

/// The body of an event.
#[derive(Deserialize, Default)]
pub(super) struct EventBody {
    #[serde(default)]
    pub(super) repository: Option<EventRepository>,
}

/// The repository an event is about.
#[derive(Deserialize)]
pub(super) struct EventRepository {
    pub(super) id: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_true_permission_is_the_role() {
        let role = |permissions: &str| {
            let body =
                format!(r#"{{"id":1,"full_name":"acme/app","private":true,"owner":{{}}{permissions}}}"#);
            serde_json::from_str::<RepositoryBody>(&body).unwrap().into_repository().unwrap().permission
        };
        assert_eq!(role(r#","permissions":{"admin":true,"push":true,"pull":true}"#), Some(Role::Admin));
        assert_eq!(
            role(r#","permissions":{"admin":false,"maintain":true,"push":true,"pull":true}"#),
            Some(Role::Maintain)
        );
        assert_eq!(
            role(r#","permissions":{"admin":false,"push":false,"triage":true,"pull":true}"#),
            Some(Role::Triage)
        );
        assert_eq!(role(r#","permissions":{"admin":false,"push":false,"pull":true}"#), Some(Role::Read));
        assert_eq!(role(r#","permissions":{"admin":false,"push":false,"pull":false}"#), None);
        assert_eq!(role(""), None);
    }
}
