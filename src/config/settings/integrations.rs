//! `[integrations.*]`: one table of the same shape per service.

use crate::{
    base::SecretText,
    config::{table::declare, value::HttpUrl},
};

declare! {
    /// Services that secrets can be synchronised with.
    Integrations {}
    tables {
        /// Vercel.
        vercel: Provider;
        /// Netlify.
        netlify: Provider;
        /// Railway.
        railway: Provider;
        /// Fly.io, which people connect with a token: it has no OAuth for others.
        fly: Provider;
    }
}

declare! {
    /// `[integrations.<service>]`: one service.
    Provider {
        /// Whether people may connect it.
        enabled: bool = false;
        /// The service's API, if not the public one.
        api_url: Option<HttpUrl>, like "https://api.example.org";
        /// The page where the service asks for consent, if not the usual one. Vercel has none that is usual:
        /// there it is `https://vercel.com/integrations/<slug>/new`, with your integration's own name.
        authorize_url: Option<HttpUrl>, like "https://example.org/oauth/authorize";
        /// Client id of the OAuth app, which has `<public_url>/v1/integrations/<service>/callback` as its
        /// redirect URL. Without one, people paste a token.
        client_id: Option<String>, like "from the service's developer page";
        /// The app's client secret.
        client_secret: Option<SecretText>, like "from the service's developer page";
    }
}
