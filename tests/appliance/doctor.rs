//! `keywayd doctor`: each state that it knows is made on purpose, and it must say so and what to do.

use super::harness::{Appliance, Outcome, disk, on_small_disk, skipped, snapshot};
use nix::unistd::{Gid, Uid, chown};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What was found: what was looked at, how it stands, what is said and what to do.
#[derive(Debug)]
struct Findings {
    all: Vec<Value>,
    status: i32,
}

impl Findings {
    fn of(outcome: &Outcome) -> Self {
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"));
        let all = report["findings"].as_array().expect("there is a list").clone();
        for finding in &all {
            let is_good = finding["verdict"] == "good";
            assert!(is_good != finding["hint"].is_string(), "what is not good comes with a hint: {finding}");
        }
        let problems = all.iter().any(|finding| finding["verdict"] == "problem");
        assert_eq!(outcome.status, i32::from(problems), "{outcome:?}");
        Self { all, status: outcome.status }
    }

    /// What is said of `check`, one way or the other.
    fn said(&self, check: &str, verdict: &str) -> String {
        let fits = |finding: &&Value| finding["check"] == check && finding["verdict"] == verdict;
        let found: Vec<_> = self.all.iter().filter(fits).collect();
        assert!(!found.is_empty(), "no {verdict} of `{check}` in {:#?}", self.all);
        let text = |finding: &Value| format!("{} {}", finding["message"], finding["hint"]);
        found.into_iter().map(text).collect::<Vec<_>>().join("\n")
    }

    /// The check found a problem, and its words contain `words`.
    #[track_caller]
    fn problem(&self, check: &str, words: &str) {
        let said = self.said(check, "problem");
        assert!(said.contains(words), "no `{words}` in {said}");
    }

    #[track_caller]
    fn warning(&self, check: &str, words: &str) {
        let said = self.said(check, "warning");
        assert!(said.contains(words), "no `{words}` in {said}");
    }
}

/// Looks at an appliance that runs.
fn examine(appliance: &Appliance) -> Findings {
    let listen = appliance.address().to_string();
    Findings::of(&appliance.cli(&["doctor", "--json", "--listen", &listen]))
}

/// Looks at one that does not, nor anybody else at its address.
fn examine_at_rest(appliance: &Appliance) -> Findings {
    let listen = nobody().to_string();
    Findings::of(&appliance.cli(&["doctor", "--json", "--listen", &listen]))
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the mode can be changed");
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("there are ports")
}

#[test]
fn an_appliance_as_it_comes_has_warnings_and_no_problems() {
    let mut appliance = Appliance::start();
    let found = examine(&appliance);
    assert_eq!(found.status, 0);
    for check in ["configuration", "data directory", "disk space", "clock", "server", "public address"] {
        found.said(check, "good");
    }
    found.warning("master key", "lies beside the data");
    found.warning("backups", "backup.dir");
    found.warning("first login", "delete it");

    // The same in words.
    let listen = appliance.address().to_string();
    let words = appliance.cli(&["doctor", "--listen", &listen]).done();
    assert!(words.contains("good     server: healthy at") && words.contains("         → read it"), "{words}");
    assert!(!appliance.log().text().contains("went away"), "looking is no trouble to the server");

    appliance.stop();
    let before = snapshot(&appliance.data_dir());
    let at_rest = examine_at_rest(&appliance);
    at_rest.warning("server", "keywayd serve");
    at_rest.said("database", "good");
    assert!(snapshot(&appliance.data_dir()) == before, "it changes nothing");
}

#[test]
fn what_others_can_read_and_who_owns_what_is_looked_at() {
    let mut appliance = Appliance::start();
    appliance.stop();
    let data = appliance.data_dir();
    set_mode(&data, 0o755);
    set_mode(&data.join("keyway.redb"), 0o644);
    set_mode(&data.join("master.key"), 0o640);
    let found = examine_at_rest(&appliance);
    found.problem("data directory", "chmod 700");
    found.problem("data directory", "keyway.redb` (mode 0644)");
    found.problem("data directory", "chmod 600");
    for (path, mode) in
        [(data.clone(), 0o700), (data.join("keyway.redb"), 0o600), (data.join("master.key"), 0o600)]
    {
        set_mode(&path, mode);
    }
    examine_at_rest(&appliance).said("data directory", "good");

    if Uid::effective().is_root() {
        let (user, group) = (Uid::from_raw(1234), Gid::from_raw(1234));
        chown(&data.join("keyway.redb"), Some(user), Some(group)).expect("root may");
        examine_at_rest(&appliance).problem("data directory", "chown 0:0");
    } else {
        skipped("a file of another user's: only root can make one");
    }
    fs::remove_dir_all(&data).expect("it can be removed");
    examine_at_rest(&appliance).problem("data directory", "keywayd init");
}

#[test]
fn the_master_key_is_looked_at() {
    let mut appliance = Appliance::start();
    appliance.stop();
    let (inside, outside) = (appliance.data_dir().join("master.key"), appliance.home().join("its.key"));
    fs::rename(&inside, &outside).expect("it can be moved");
    examine_at_rest(&appliance).problem("master key", "master.key");

    appliance.set("KEYWAYD_MASTER_KEY__FILE", outside.to_str().expect("paths are text"));
    examine_at_rest(&appliance).said("master key", "good");
    set_mode(&outside, 0o644);
    examine_at_rest(&appliance).problem("master key", "chmod 600");

    fs::write(&outside, "0".repeat(64)).expect("it can be written");
    set_mode(&outside, 0o600);
    examine_at_rest(&appliance).problem("database", "does not open");
}

#[test]
fn a_newer_database_and_a_clock_that_is_behind_are_noticed() {
    let mut appliance = Appliance::start();
    appliance.stop();
    let database = File::options().write(true).open(appliance.database()).expect("it is there");
    let written = database.metadata().and_then(|about| about.modified()).expect("it has a time");
    let tomorrow = written + Duration::from_secs(86_400);
    database.set_modified(tomorrow).expect("its time can be set");
    drop(database);
    examine_at_rest(&appliance).problem("clock", "keep it by NTP");

    disk::put(&appliance.database(), "meta", b"schema", &99_u32.to_be_bytes());
    disk::put(&appliance.database(), "meta", b"written_by", b"9.9.9");
    examine_at_rest(&appliance).problem("database", "written by keywayd 9.9.9");
}

#[test]
fn a_configuration_that_is_wrong_is_the_finding() {
    let mut appliance = Appliance::new(&[]);
    appliance.set("KEYWAYD_SERVER__LISTEN", "everywhere");
    let found = Findings::of(&appliance.cli(&["doctor", "--json"]));
    found.problem("configuration", "KEYWAYD_SERVER__LISTEN");
    assert_eq!(found.all.len(), 1);
}

#[test]
fn old_and_missing_backups_are_noticed() {
    let mut appliance = Appliance::start();
    appliance.stop();
    let backups = appliance.home().join("backups");
    appliance.set("KEYWAYD_BACKUP__DIR", backups.to_str().expect("paths are text"));
    examine_at_rest(&appliance).warning("backups", "none in");
    fs::create_dir(&backups).expect("it can be made");
    fs::write(backups.join("keyway-000001-20250101T000000Z.redb"), "").expect("it can be written");
    examine_at_rest(&appliance).problem("backups", "2025-01-01T00:00:00.000Z");
    appliance.restart();
    appliance.log().wait_for("backup taken").expect("one is taken at once");
    examine(&appliance).said("backups", "good");
}

#[test]
fn a_disk_that_is_nearly_full_is_noticed() {
    let place = tempfile::tempdir().expect("a scratch directory can be made");
    let arguments = ["doctor", "--json", "--data-dir", place.path().to_str().expect("it is text")];
    let Some(outcome) = on_small_disk(8, place.path(), &arguments) else {
        return skipped("a small disk: it cannot be mounted here");
    };
    Findings::of(&outcome).problem("disk space", "make room");
}

#[test]
fn a_forge_and_services_that_cannot_be_reached_are_told_apart_from_names_that_are_not_found() {
    let gone = format!("http://{}", nobody());
    let appliance = Appliance::start_with(&[
        ("KEYWAYD_IDENTITY__GITHUB__ENABLED", "true"),
        // A name that never is (RFC 6761): nobody is asked for it.
        ("KEYWAYD_IDENTITY__GITHUB__API_URL", "http://api.forge.invalid"),
        ("KEYWAYD_INTEGRATIONS__VERCEL__ENABLED", "true"),
        ("KEYWAYD_INTEGRATIONS__VERCEL__API_URL", &gone),
    ]);
    let found = examine(&appliance);
    found.problem("name resolution", "api.forge.invalid");
    found.problem("reachability", "vercel does not answer");
}

#[test]
fn a_forge_whose_clock_differs_is_noticed() {
    let forge = tiny_http::Server::http("127.0.0.1:0").expect("there are ports");
    let address = format!("http://{}", forge.server_addr());
    std::thread::spawn(move || {
        for request in forge.incoming_requests() {
            let date =
                tiny_http::Header::from_bytes("Date", "Thu, 01 Jan 2026 00:00:00 GMT").expect("a header");
            let _ = request.respond(tiny_http::Response::from_string("{}").with_header(date));
        }
    });
    let appliance = Appliance::start_with(&[
        ("KEYWAYD_INTEGRATIONS__FLY__ENABLED", "true"),
        ("KEYWAYD_INTEGRATIONS__FLY__API_URL", &address),
    ]);
    let found = examine(&appliance);
    found.said("reachability", "good");
    found.problem("clock", "2026-01-01T00:00:00.000Z");
}

/// Writes a certificate for `host` that ends on the first day of `end`.
fn certificate(appliance: &mut Appliance, host: &str, end: i32) {
    let (pair, mut wanted) =
        (KeyPair::generate().expect("a key"), CertificateParams::new([host.to_owned()]).expect("a name"));
    (wanted.not_before, wanted.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(end, 1, 1));
    let made = wanted.self_signed(&pair).expect("it can be signed");
    for (name, variable, text) in [
        ("cert.pem", "KEYWAYD_SERVER__TLS__CERT", made.pem()),
        ("key.pem", "KEYWAYD_SERVER__TLS__KEY", pair.serialize_pem()),
    ] {
        let path = appliance.home().join(name);
        fs::write(&path, text).expect("it can be written");
        set_mode(&path, 0o600);
        appliance.set(variable, path.to_str().expect("paths are text"));
    }
}

#[test]
fn certificates_are_looked_at() {
    let mut appliance = Appliance::start();
    appliance.stop();
    appliance.set("KEYWAYD_SERVER__PUBLIC_URL", "https://secrets.example");
    certificate(&mut appliance, "secrets.example", 2120);
    examine_at_rest(&appliance).said("certificate", "good");
    set_mode(&appliance.home().join("key.pem"), 0o644);
    examine_at_rest(&appliance).problem("certificate", "chmod 640");
    certificate(&mut appliance, "other.example", 2120);
    examine_at_rest(&appliance).problem("certificate", "not for `secrets.example`");
    certificate(&mut appliance, "secrets.example", 2021);
    examine_at_rest(&appliance).problem("certificate", "renew it");
    fs::write(appliance.home().join("cert.pem"), "").expect("it can be written");
    examine_at_rest(&appliance).problem("certificate", "holds no certificate");
}

#[test]
fn a_public_address_that_leads_elsewhere_is_noticed() {
    let mut appliance =
        Appliance::start_with(&[("KEYWAYD_SERVER__PUBLIC_URL", &format!("http://{}", nobody()))]);
    examine(&appliance).problem("public address", "does not answer");
    appliance.stop();

    let other = tiny_http::Server::http("127.0.0.1:0").expect("there are ports");
    appliance.set("KEYWAYD_SERVER__PUBLIC_URL", &format!("http://{}", other.server_addr()));
    std::thread::spawn(move || {
        for request in other.incoming_requests() {
            let _ = request.respond(tiny_http::Response::from_string("hello"));
        }
    });
    appliance.restart();
    examine(&appliance).problem("public address", "somebody else");
}

#[test]
fn another_appliance_in_this_ones_place_is_noticed() {
    let mut other = Appliance::start();
    let address = other.address().to_string();
    let appliance = Appliance::start_with(&[("KEYWAYD_SERVER__PUBLIC_URL", &format!("http://{address}"))]);
    let found = examine(&appliance);
    found.said("server", "good");
    found.problem("public address", "somebody else");
    let found = Findings::of(&appliance.cli(&["doctor", "--json", "--listen", &address]));
    found.problem("server", "is not the one that runs on this data");

    // What tells them apart is nobody's secret, and no name that stays.
    let instance = |server: &Appliance| server.stranger().get("/health").json()["instance"].clone();
    let before = instance(&other);
    assert!(before.is_string() && before == instance(&other));
    other.stop();
    other.restart();
    assert_ne!(instance(&other), before);
}

#[test]
fn settings_of_proxies_that_believe_everybody_or_nobody_are_noticed() {
    let mut appliance = Appliance::new(&[("KEYWAYD_SERVER__PUBLIC_URL", "https://secrets.example")]);
    examine_at_rest(&appliance).problem("proxy headers", "server.trusted_proxies");
    appliance.set("KEYWAYD_SERVER__TRUSTED_PROXIES", "0.0.0.0/0");
    examine_at_rest(&appliance).problem("proxy headers", "nothing wider");
}

/// Starts the appliance anew, trusting `trusted`, with a careless proxy at its public address.
fn put_behind_careless_proxy(appliance: &mut Appliance, trusted: &str) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    let address = format!("http://{}", socket.local_addr().expect("it has one"));
    appliance.set("KEYWAYD_SERVER__PUBLIC_URL", &address);
    appliance.set("KEYWAYD_SERVER__TRUSTED_PROXIES", trusted);
    appliance.restart();
    careless_proxy(socket, appliance.address());
}

/// A proxy that passes everything on as it comes, headers included, and to its server by TCP.
fn careless_proxy(socket: TcpListener, to: SocketAddr) {
    pass_on(socket, move || {
        let server = TcpStream::connect(to)?;
        Ok((server.try_clone()?, server))
    });
}

/// The same, to a Unix socket.
fn careless_proxy_to_unix(socket: TcpListener, to: PathBuf) {
    pass_on(socket, move || {
        let server = UnixStream::connect(&to)?;
        Ok((server.try_clone()?, server))
    });
}

fn pass_on<R: Read + Send + 'static, W: Write + Send + 'static>(
    socket: TcpListener,
    connect: impl Fn() -> io::Result<(R, W)> + Send + 'static,
) {
    std::thread::spawn(move || {
        for client in socket.incoming().flatten() {
            let (mut answers, mut server) = connect().expect("the server listens");
            let (mut asks, mut client) = (client.try_clone().expect("a socket can be cloned"), client);
            std::thread::spawn(move || io::copy(&mut asks, &mut server));
            std::thread::spawn(move || io::copy(&mut answers, &mut client));
        }
    });
}

#[test]
fn a_proxy_that_lets_clients_make_up_their_address_is_noticed() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    let mut appliance = Appliance::new(&[
        ("KEYWAYD_SERVER__PUBLIC_URL", &format!("http://{}", socket.local_addr().expect("it has one"))),
        ("KEYWAYD_RATE_LIMIT__ENABLED", "true"),
    ]);
    let http = appliance.home().join("http.sock");
    appliance.set("KEYWAYD_SERVER__UNIX_SOCKET", http.to_str().expect("paths are text"));
    appliance.restart();
    careless_proxy_to_unix(socket, http);
    let found = examine(&appliance);
    found.said("public address", "good");
    found.problem("proxy headers", "is believed");
    appliance.stop();
    appliance.unset("KEYWAYD_SERVER__UNIX_SOCKET");

    // From an address that is trusted itself, every proxy would look like that one: nobody is blamed.
    put_behind_careless_proxy(&mut appliance, "127.0.0.0/8");
    let found = examine(&appliance);
    found.warning("proxy headers", "cannot be tried from here");
    found.warning("proxy headers", "from another machine");
    assert_eq!(found.status, 0, "{:#?}", found.all);
    appliance.stop();

    // Without the trust nobody believes it, though the proxy is as careless as before.
    put_behind_careless_proxy(&mut appliance, "203.0.113.0/24");
    examine(&appliance).said("proxy headers", "good");
}
