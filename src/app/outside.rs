//! What is asked of others: the client that does it, and the services behind it. What
//! the operator has not enabled is not made, so there is nothing that could call it.

use super::forge;
use crate::base::meter::Meters;
use crate::cli::Failure;
use crate::config::{Provider as Options, Settings};
use crate::domain::integrations::{Integration, Integrations};
use crate::domain::ports::Forge;
use crate::domain::ports::provider::{Profile, Provider};
use crate::outbound::Client;
use crate::providers::{App, Fly, Netlify, Railway, Vercel};
use std::sync::Arc;
use std::time::Duration;

/// How much of a request's time may go into calling others. The rest is for what comes
/// before and after.
const SHARE: f32 = 0.8;

/// The forge, if there is one, and the services that secrets are synchronised with.
pub(super) struct Outside {
    client: Option<Client>,
    pub(super) forge: Option<Arc<dyn Forge>>,
    pub(super) integrations: Integrations,
}

impl Outside {
    /// All of it.
    pub(super) fn connect(settings: &Settings) -> Result<Self, Failure> {
        let mut outside = Self::without_forge(settings)?;
        outside.forge = outside.client.as_ref().and_then(|client| forge::connect(settings, client));
        Ok(outside)
    }

    /// For commands of the operator, in which nobody is asked for roles.
    pub(super) fn without_forge(settings: &Settings) -> Result<Self, Failure> {
        let options = &settings.integrations;
        let all = [&options.vercel, &options.netlify, &options.railway, &options.fly];
        let anybody = settings.identity.github.enabled || all.iter().any(|one| one.enabled);
        let client = if anybody { Some(forge::client(settings)?) } else { None };
        let app = |profile: &Profile, options: &Options| app(settings, profile, options);
        let known = vec![
            integration(Vercel::profile(), &options.vercel, client.as_ref(), |client, base| {
                Arc::new(Vercel::new(client, base, app(Vercel::profile(), &options.vercel)))
            }),
            integration(Netlify::profile(), &options.netlify, client.as_ref(), |client, base| {
                Arc::new(Netlify::new(client, base, app(Netlify::profile(), &options.netlify)))
            }),
            integration(Railway::profile(), &options.railway, client.as_ref(), |client, base| {
                Arc::new(Railway::new(client, base, app(Railway::profile(), &options.railway)))
            }),
            integration(Fly::profile(), &options.fly, client.as_ref(), |client, base| {
                Arc::new(Fly::new(client, base))
            }),
        ];
        let request = Duration::from_secs(u64::from(settings.server.request_timeout_secs));
        let integrations = Integrations::new(known, request.mul_f32(SHARE));
        Ok(Self { client, forge: None, integrations })
    }

    /// The services that are enabled, and their addresses.
    pub(super) fn services(settings: &Settings) -> Vec<(&'static str, String)> {
        let options = &settings.integrations;
        let known = [
            (Vercel::profile(), Vercel::address(), &options.vercel),
            (Netlify::profile(), Netlify::address(), &options.netlify),
            (Railway::profile(), Railway::address(), &options.railway),
            (Fly::profile(), Fly::address(), &options.fly),
        ];
        let enabled = known.into_iter().filter(|(.., options)| options.enabled);
        let address = |own: &str, options: &Options| {
            options.api_url.as_ref().map_or(own.to_owned(), |url| url.as_str().to_owned())
        };
        enabled.map(|(profile, own, options)| (profile.name, address(own, options))).collect()
    }

    /// Shows what is counted of calls.
    pub(super) fn show(&self, meters: &Meters) {
        if let Some(client) = &self.client {
            client.show(meters);
        }
    }
}

fn integration(
    profile: &'static Profile,
    options: &Options,
    client: Option<&Client>,
    make: impl FnOnce(Client, Option<&str>) -> Arc<dyn Provider>,
) -> Integration {
    let client = client.filter(|_| options.enabled);
    let base = options.api_url.as_ref().map(|url| url.as_str());
    Integration { profile, provider: client.map(|client| make(client.to(profile.name), base)) }
}

/// The app that people are asked for consent by, if the operator registered one.
fn app(settings: &Settings, profile: &Profile, options: &Options) -> Option<App> {
    let (client_id, client_secret) = (options.client_id.clone()?, options.client_secret.clone()?);
    let callback_url = format!("{}/v1/integrations/{}/callback", settings.server.public_url, profile.name);
    let authorize_url = options.authorize_url.as_ref().map(|url| url.as_str().to_owned());
    Some(App { authorize_url, client_id, client_secret, callback_url })
}
