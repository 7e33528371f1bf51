//! `[identity.*]`, `[auth]` and `[rate_limit]`: who people are, and how they prove it.

use crate::{
    base::{OwnerName, Quota, SecretText},
    config::{table::declare, value::HttpUrl},
};

declare! {
    /// Who may sign in.
    Identity {}
    tables {
        /// Accounts that keywayd keeps itself.
        local: Local;
        /// GitHub's users, with the roles that they have on GitHub's repositories.
        github: GitHub;
    }
}

declare! {
    /// `[identity.local]`: accounts that keywayd keeps itself.
    Local {
        /// Whether there are local accounts.
        enabled: bool = true;
    }
}

declare! {
    /// `[identity.github]`: GitHub's users, with the roles that they have there.
    GitHub {
        /// Whether GitHub's users may come in. With this alone they use personal access tokens;
        /// signing in with a browser also needs `client_id` and `client_secret`.
        enabled: bool = false;
        /// GitHub's web site; of a GitHub Enterprise Server, its own address.
        url: HttpUrl = "https://github.com";
        /// GitHub's API; of a GitHub Enterprise Server, usually `https://<host>/api/v3`.
        api_url: HttpUrl = "https://api.github.com";
        /// Client id of the GitHub App (recommended) or OAuth App that people sign in with.
        client_id: Option<String>, like "Iv23liExample";
        /// The app's client secret.
        client_secret: Option<SecretText>, like "from the app's settings page";
        /// The GitHub App's name in its address, for links to its installation page.
        app_slug: Option<String>, like "acme-secrets";
        /// Scopes that an OAuth App asks for. A GitHub App has permissions instead.
        scopes: Vec<String> = ["read:user", "user:email", "repo"];
        /// People and organisations for whose repositories vaults may be created. Empty: nobody.
        allowed_owners: Vec<OwnerName> = [];
        /// Seconds for which a role that GitHub reported is believed.
        role_cache_secs: u32 = 60, from 0 to 3600;
        /// Seconds for which it is still believed while GitHub cannot be asked.
        stale_grace_secs: u32 = 0, from 0 to 86400;
        /// Accepts OAuth tokens that were issued to other apps than ours.
        accept_foreign_oauth: bool = false;
        /// Secret of the app's webhook, which tells keywayd at once when roles change.
        webhook_secret: Option<SecretText>, like "as entered on the app's settings page";
    }
}

declare! {
    /// `[auth]`: sessions, and signing in from a command line.
    Auth {
        /// Days that a session lasts.
        session_days: u32 = 30, from 1 to 365;
        /// Seconds that the code shown by a command line can be approved.
        device_code_secs: u32 = 900, from 60 to 3600;
        /// Seconds that a command line waits between two questions whether it was.
        device_poll_secs: u32 = 5, from 1 to 60;
    }
}

declare! {
    /// `[rate_limit]`: how often something may be asked.
    RateLimit {
        /// Whether there are limits.
        enabled: bool = true;
        /// All requests of one credential, or of one address without a good one.
        general: Quota = "100/15m";
        /// Approving a device code, per address.
        device_verify: Quota = "5/1m";
        /// Revealing single values, per credential.
        reveal: Quota = "10/1m";
    }
}
