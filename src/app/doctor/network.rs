//! What is reached over the network: others by keywayd, and keywayd by its public
//! address, as clients do.

use super::{Patient, client, others};
use crate::base::{Clock, SystemClock, Timestamp};
use crate::cli::doctor::Report;
use crate::outbound::{Call, CallError, Client};
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

const ADDRESS: &str = "public address";
const PROXY: &str = "proxy headers";
/// Addresses that are nobody's (RFC 5737), to pretend to be.
const PRETENDED: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
/// Clocks that differ by more are not set.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// What the settings alone say about proxies.
pub(super) fn proxies(patient: &Patient<'_>, report: &mut Report) {
    let server = &patient.settings.server;
    if let Some(wide) = server.trusted_proxies.iter().find(|network| is_wide(network)) {
        report.bad(
            PROXY,
            format!("`server.trusted_proxies` has `{wide}`: everybody in it can claim to be any address"),
            "name the proxies' own addresses and nothing wider",
        );
    }
    let nobody = server.trusted_proxies.is_empty() && server.unix_socket.is_none();
    if server.public_url.is_https() && server.tls.cert.is_none() && nobody {
        report.bad(
            PROXY,
            "`server.public_url` is HTTPS, which neither keywayd speaks nor a proxy that it knows: all clients \
             have the proxy's address",
            "name the proxy in `server.trusted_proxies`, use `server.unix_socket`, or set `server.tls.cert`",
        );
    }
}

fn is_wide(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < 8,
        IpNet::V6(network) => network.prefix_len() < 16,
    }
}

/// Calls everybody that the settings name, and keywayd itself.
pub(super) async fn outside(patient: &Patient<'_>, report: &mut Report) {
    let Some(client) = client(patient, report) else { return };
    let mut times = Vec::new();
    for (service, url) in others(patient.settings) {
        match client.send(Call::get(&url)).await {
            Ok(reply) => {
                times.extend(reply.header("date").and_then(Timestamp::parse_http_date));
                if reply.status >= 500 {
                    let message = format!("{service} at `{url}` answers with status {}", reply.status);
                    report.warn("reachability", message, "wait for them, and see their status page");
                } else {
                    report.good("reachability", format!("{service} is found and answers at `{url}`"));
                }
            }
            Err(error) => unreached(service, &url, &error, report),
        }
    }
    compare_clocks(&times, report);
    if patient.serving {
        public_address(patient, &client, report).await;
    }
}

fn unreached(service: &str, url: &str, error: &CallError, report: &mut Report) {
    if error.is_of_the_name() {
        report.bad(
            "name resolution",
            format!("the name in `{url}` is not found"),
            "check the setting, and /etc/resolv.conf and /etc/hosts as keywayd sees them",
        );
    } else {
        report.bad(
            "reachability",
            format!("{service} does not answer at `{url}`: {error}"),
            "check the setting, the firewall and $HTTPS_PROXY; for a certificate authority of your own, \
             `outbound.ca_file`",
        );
    }
}

fn compare_clocks(times: &[Timestamp], report: &mut Report) {
    let now = SystemClock.now();
    let apart = |there: &&Timestamp| now.since(**there).max(there.since(now)) > CLOCK_SLACK;
    if let Some(there) = times.iter().find(apart) {
        report.bad("clock", format!("it says {now}, others say {there}"), "set it, and keep it by NTP");
    }
}

/// Whether clients that use `server.public_url` come to this server, and as who.
async fn public_address(patient: &Patient<'_>, client: &Client, report: &mut Report) {
    let server = &patient.settings.server;
    let url = server.public_url.as_str();
    let reply = match client.send(Call::get(format!("{url}/health"))).await {
        Ok(reply) => reply,
        Err(error) => {
            return report.bad(
                ADDRESS,
                format!("`{url}` does not answer from this machine: {error}"),
                "check `server.public_url`, its name in the DNS, and the proxy; for a certificate authority of \
                 your own, `outbound.ca_file`",
            );
        }
    };
    if reply.status != 200 || !patient.is_its_server(reply.body()) {
        return report.bad(
            ADDRESS,
            format!("at `{url}` somebody else answers than this server (status {})", reply.status),
            "check `server.public_url`; a proxy must pass every path on, and reach this keywayd and no other",
        );
    }
    report.good(ADDRESS, format!("clients reach this server at `{url}`"));
    let behind = !server.trusted_proxies.is_empty() || server.unix_socket.is_some();
    if behind && patient.settings.rate_limit.enabled {
        forged_addresses(patient, client, report).await;
    }
}

/// Pretends to be two clients, each of which would have a budget of requests of its own.
/// If the proxy does what it should, both are whoever this is, and share one. From an
/// address that is trusted itself, what is pretended counts behind the best of proxies.
async fn forged_addresses(patient: &Patient<'_>, client: &Client, report: &mut Report) {
    let server = &patient.settings.server;
    let url = server.public_url.as_str();
    let mut left = Vec::new();
    for address in PRETENDED {
        let call = Call::get(format!("{url}/v1/github/repo-ids?repo=keywayd/doctor"));
        let reply = client.send(call.header("x-forwarded-for", address)).await.ok();
        let remaining = reply.and_then(|reply| reply.header("x-ratelimit-remaining")?.parse::<u64>().ok());
        left.extend(remaining);
    }
    let trusted = |own: &IpAddr| server.trusted_proxies.iter().any(|network| network.contains(own));
    let own = client.own_addresses_towards(url).await.into_iter().find(trusted);
    match (&left[..], own) {
        ([first, second], _) if second < first => {
            report.good(PROXY, "clients cannot make up the address they come from");
        }
        ([_, _], Some(own)) => report.warn(
            PROXY,
            format!(
                "whether clients can make up the address they come from cannot be tried from here: this machine \
                 comes to the proxy from `{own}`, which is in `server.trusted_proxies`"
            ),
            format!(
                "send a made-up header from another machine, `curl -H 'X-Forwarded-For: {}' {url}/health`, and \
                 see in the server's log that it does not count",
                PRETENDED[0]
            ),
        ),
        ([_, _], None) => report.bad(
            PROXY,
            "a client that makes up `X-Forwarded-For` is believed",
            "let the proxy append the client's address to the header, or replace it, rather than pass it on",
        ),
        _ => {}
    }
}
