//! What one key alone cannot tell: defaults that follow another setting, and rules
//! between settings. A rule is skipped while a value it looks at is wrong in itself.

use super::{Provider, Settings, layers::Layers, value::HttpOrigin};
use std::{net::IpAddr, path::Path};

/// Keys whose default follows another key.
const FOLLOWING: [(&str, &str); 2] = [(PUBLIC_URL, LISTEN), (KEY_FILE, DATA_DIR)];

const LISTEN: &str = "server.listen";
const PUBLIC_URL: &str = "server.public_url";
const KEY_FILE: &str = "master_key.file";
const DATA_DIR: &str = "storage.data_dir";

/// Fills in the defaults that follow other settings; lists which key followed which.
pub(super) fn follow(settings: &mut Settings, layers: &Layers) -> Vec<(&'static str, &'static str)> {
    if !layers.is_set(PUBLIC_URL) {
        settings.server.public_url = HttpOrigin::of(settings.server.listen, has_tls(settings));
    }
    if !layers.is_set(KEY_FILE) {
        settings.master_key.file = settings.storage.data_dir.join("master.key");
    }
    let default = |key: &str, on: &str| !layers.is_set(key) && layers.is_set(on);
    FOLLOWING.into_iter().filter(|(key, on)| default(key, on)).collect()
}

/// Checks all rules.
pub(super) fn check(settings: &Settings, layers: &mut Layers) {
    public_address(settings, layers);
    plain_http(settings, layers);
    tls(settings, layers);
    sizes(settings, layers);
    environments(settings, layers);
    identity(settings, layers);
    integrations(settings, layers);
    key_source(layers);
    times(settings, layers);
    listeners(settings, layers);
}

fn has_tls(settings: &Settings) -> bool {
    settings.server.tls.cert.is_some()
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn public_address(settings: &Settings, layers: &mut Layers) {
    let server = &settings.server;
    if !layers.are_good(&[LISTEN, PUBLIC_URL]) {
        return;
    }
    if !layers.is_set(PUBLIC_URL) && !is_loopback(server.listen.ip()) {
        let cause = format!(
            "`{PUBLIC_URL}` is not set, and `{LISTEN}` is `{}`, which other machines reach",
            server.listen
        );
        let hint = "set it to the address that clients use, such as `https://secrets.example.org`: \
                    links and redirects are made from it";
        layers.problem(layers.origin(LISTEN), cause, hint);
    }
    if has_tls(settings) && !server.public_url.is_https() {
        let cause = format!("`{PUBLIC_URL}` is `{}`, but `server.tls.cert` is set", server.public_url);
        layers.problem(layers.origin(PUBLIC_URL), cause, "let it start with `https://`");
    }
}

fn plain_http(settings: &Settings, layers: &mut Layers) {
    let server = &settings.server;
    let good = [LISTEN, "server.trusted_proxies", "server.insecure_http", "server.tls.cert"];
    if server.is_plain_off_loopback() && layers.are_good(&good) {
        let cause = format!("`{LISTEN}` is `{}`: plain HTTP that other machines reach", server.listen);
        let tls =
            if layers.is_not_yet("server.tls") { "" } else { "set `server.tls.cert` and `server.tls.key`, " };
        let hint = format!(
            "{tls}name the proxy that speaks HTTPS for keywayd in `server.trusted_proxies`, \
             listen on `127.0.0.1`, or accept the risk with `server.insecure_http = true`"
        );
        layers.problem(layers.origin(LISTEN), cause, hint);
    }
}

fn tls(settings: &Settings, layers: &mut Layers) {
    let tls = &settings.server.tls;
    together(layers, ("server.tls.cert", tls.cert.is_some()), ("server.tls.key", tls.key.is_some()));
    let redirect = "server.tls.redirect_listen";
    if tls.redirect_listen.is_some() && tls.cert.is_none() && layers.are_good(&["server.tls.cert"]) {
        let cause = format!("`{redirect}` is set, but there is no HTTPS to redirect to");
        layers.problem(
            layers.origin(redirect),
            cause,
            "set `server.tls.cert` and `server.tls.key`, or remove it",
        );
    }
}

/// Two settings that make sense only together.
fn together(layers: &mut Layers, one: (&str, bool), other: (&str, bool)) {
    let ((set, _), (missing, _)) = match (one.1, other.1) {
        (true, false) => (one, other),
        (false, true) => (other, one),
        _ => return,
    };
    if layers.are_good(&[set, missing]) {
        let cause = format!("`{set}` is set, but `{missing}` is not");
        layers.problem(layers.origin(set), cause, "set both or neither");
    }
}

fn sizes(settings: &Settings, layers: &mut Layers) {
    let (server, secrets) = (&settings.server, &settings.secrets);
    let push = ("server.push_body_limit_bytes", server.push_body_limit_bytes);
    let environment = ("secrets.environment_limit_bytes", secrets.environment_limit_bytes);
    for (small, large, why) in [
        (
            ("server.body_limit_bytes", server.body_limit_bytes),
            push,
            "a push carries more than other requests",
        ),
        (
            ("secrets.value_limit_bytes", secrets.value_limit_bytes),
            environment,
            "an environment holds its values",
        ),
        (environment, push, "a push carries a whole environment"),
    ] {
        if small.1 > large.1 && layers.are_good(&[small.0, large.0]) {
            let cause = format!("`{}` ({}) is larger than `{}` ({})", small.0, small.1, large.0, large.1);
            // Whichever of the two was set is the one to point at.
            let at = if layers.is_set(large.0) { large.0 } else { small.0 };
            layers.problem(layers.origin(at), cause, format!("raise the second or lower the first: {why}"));
        }
    }
}

fn environments(settings: &Settings, layers: &mut Layers) {
    const KEY: &str = "vaults.default_environments";
    let names = &settings.vaults.default_environments;
    let most = crate::base::limits::ENVIRONMENTS_PER_VAULT;
    if !layers.are_good(&[KEY]) {
        return;
    }
    if names.is_empty() {
        layers.problem(layers.origin(KEY), format!("`{KEY}` is empty"), "name at least one environment");
    }
    if names.len() > most {
        let cause = format!("`{KEY}` has {} names", names.len());
        layers.problem(layers.origin(KEY), cause, format!("name at most {most}, a vault holds no more"));
    }
    if let Some(name) =
        names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name))
    {
        let cause = format!("`{KEY}` has `{name}` twice");
        layers.problem(layers.origin(KEY), cause, "name each environment once");
    }
}

fn identity(settings: &Settings, layers: &mut Layers) {
    let (local, github) = (&settings.identity.local, &settings.identity.github);
    let good = layers.are_good(&["identity.local.enabled", "identity.github.enabled"]);
    if !local.enabled && !github.enabled && good {
        let github = "identity.github";
        let other =
            if layers.is_not_yet(github) { String::new() } else { format!(" or `{github}.enabled = true`") };
        let cause = "`identity.local.enabled` is `false`, and nothing else tells who people are";
        let hint = format!("set `identity.local.enabled = true`{other}: otherwise nobody can sign in");
        layers.problem(layers.origin("identity.local.enabled"), cause, hint);
    }
    together(
        layers,
        ("identity.github.client_id", github.client_id.is_some()),
        ("identity.github.client_secret", github.client_secret.is_some()),
    );
}

fn integrations(settings: &Settings, layers: &mut Layers) {
    let all = &settings.integrations;
    let services: [(&str, &Provider); 4] =
        [("vercel", &all.vercel), ("netlify", &all.netlify), ("railway", &all.railway), ("fly", &all.fly)];
    for (name, service) in services {
        together(
            layers,
            (&format!("integrations.{name}.client_id"), service.client_id.is_some()),
            (&format!("integrations.{name}.client_secret"), service.client_secret.is_some()),
        );
    }
    // The page has the name of the app in its address.
    let (app, page) = ("integrations.vercel.client_id", "integrations.vercel.authorize_url");
    if all.vercel.client_id.is_some() && all.vercel.authorize_url.is_none() && layers.are_good(&[app, page]) {
        let cause = format!("`{app}` is set, but `{page}` is not");
        let hint = "set it to the page of your integration, `https://vercel.com/integrations/<slug>/new`";
        layers.problem(layers.origin(app), cause, hint);
    }
}

fn key_source(layers: &mut Layers) {
    let sources = [KEY_FILE, "master_key.credential", "master_key.passphrase_file", "master_key.env"];
    let set: Vec<_> = sources.into_iter().filter(|key| layers.is_set(key)).collect();
    if let [first, .., last] = set[..] {
        let cause = format!("`{first}` and `{last}` are both set");
        layers.problem(layers.origin(last), cause, "keep one: there is one master key");
    }
}

fn times(settings: &Settings, layers: &mut Layers) {
    let (inner, outer) = ("outbound.timeout_secs", "server.request_timeout_secs");
    let (wait, limit) = (settings.outbound.timeout_secs, settings.server.request_timeout_secs);
    // With a short limit for requests the default gives way in silence.
    if wait > limit && layers.is_set(inner) && layers.are_good(&[inner, outer]) {
        let cause = format!("`{inner}` ({wait}) is longer than `{outer}` ({limit})");
        layers.problem(
            layers.origin(inner),
            cause,
            "lower the first: the client is answered before it passes",
        );
    }
}

fn listeners(settings: &Settings, layers: &mut Layers) {
    let listen = settings.server.listen;
    let others = [
        ("metrics.listen", settings.metrics.listen),
        ("server.tls.redirect_listen", settings.server.tls.redirect_listen),
    ];
    for (key, other) in others {
        if other == Some(listen) && listen.port() != 0 && layers.are_good(&[key, LISTEN]) {
            let cause = format!("`{key}` and `{LISTEN}` are both `{listen}`");
            layers.problem(layers.origin(key), cause, "give them different ports");
        }
    }
    if settings.storage.data_dir == Path::new("/") {
        layers.problem(
            layers.origin(DATA_DIR),
            format!("`{DATA_DIR}` is `/`"),
            "name a directory for keywayd alone",
        );
    }
}
