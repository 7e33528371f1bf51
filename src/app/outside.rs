//! What is asked of others: the client that does it, and the services behind it. What
//! the operator has not enabled is not made, so there is nothing that could call it.

use super::forge;
use crate::cli::Failure;
use crate::config::{Provider as Options, Settings};
use crate::domain::integrations::{Integration, Integrations};
use crate::domain::ports::provider::{Profile, Provider};
use crate::outbound::Client;
use crate::providers::{Fly, Netlify, Railway, Vercel};
use std::sync::Arc;
use std::time::Duration;

/// How much of a request's time may go into calling others. The rest is for what comes
/// before and after.
const SHARE: f32 = 0.8;

/// The services that secrets are synchronised with.
pub(super) fn integrations(settings: &Settings) -> Result<Integrations, Failure> {
    let options = &settings.integrations;
    let all = [&options.vercel, &options.netlify, &options.railway, &options.fly];
    let client = if all.iter().any(|one| one.enabled) { Some(forge::client(settings)?) } else { None };
    let known = vec![
        integration(Vercel::profile(), &options.vercel, client.as_ref(), |client, base| {
            Arc::new(Vercel::new(client, base))
        }),
        integration(Netlify::profile(), &options.netlify, client.as_ref(), |client, base| {
            Arc::new(Netlify::new(client, base))
        }),
        integration(Railway::profile(), &options.railway, client.as_ref(), |client, base| {
            Arc::new(Railway::new(client, base))
        }),
        integration(Fly::profile(), &options.fly, client.as_ref(), |client, base| {
            Arc::new(Fly::new(client, base))
        }),
    ];
    let request = Duration::from_secs(u64::from(settings.server.request_timeout_secs));
    Ok(Integrations::new(known, request.mul_f32(SHARE)))
}

fn integration(
    profile: &'static Profile,
    options: &Options,
    client: Option<&Client>,
    make: impl FnOnce(Client, Option<&str>) -> Arc<dyn Provider>,
) -> Integration {
    let client = client.filter(|_| options.enabled);
    let base = options.api_url.as_ref().map(|url| url.as_str());
    Integration { profile, provider: client.map(|client| make(client.clone(), base)) }
}
