//! The page of numbers: at its own door, with what happened, and without a name that anybody chose.

use super::harness::{Appliance, Request};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The page as lines: series and value.
struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    fn read(address: SocketAddr) -> Self {
        let text = page(address);
        let series = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            series
                .map(|line| {
                    let (name, value) = line.rsplit_once(' ').expect("a line has a value");
                    (name.to_owned(), value.parse().expect("a value is a number"))
                })
                .collect(),
        )
    }

    fn get(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no `{series}` in {:#?}", self.0.keys()))
    }
}

/// Where the numbers are.
pub(crate) fn door(appliance: &Appliance) -> SocketAddr {
    let line = appliance.log().wait_for(" (metrics)").expect("it says where");
    let place = line.split(" (metrics)").next().expect("there is something before it");
    place.rsplit("http://").next().expect("an address").parse().expect("an address")
}

pub(crate) fn page(address: SocketAddr) -> String {
    plain(address, "GET", "/metrics").1
}

/// An answer of this door, which is not the API and keeps none of its rules.
fn plain(address: SocketAddr, method: &str, target: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

#[test]
fn what_happened_is_on_the_page_and_no_name_is() {
    let backups = tempfile::tempdir().expect("a scratch directory can be made");
    let backups = backups.path().join("b");
    let appliance = Appliance::start_with(&[
        ("KEYWAYD_METRICS__LISTEN", "127.0.0.1:0"),
        ("KEYWAYD_BACKUP__DIR", backups.to_str().expect("paths are text")),
    ]);
    let door = door(&appliance);
    let admin = appliance.admin();
    admin.create_vault("admin/peculiar-repository");
    admin.push("admin/peculiar-repository", "staging", &json!({ "PECULIAR_KEY": "peculiar-value" })).ok();
    for _ in 0..3 {
        admin.pull("admin/peculiar-repository", "staging").ok();
    }
    appliance.account("peculiar-user").get("/v1/users/me").ok();
    appliance.stranger().get("/v1/peculiar-path").refused(404);
    let made_up = Request::new("PECULIAR", "/v1/vaults");
    appliance.stranger().send(&made_up).refused(405);
    appliance.log().wait_for("backup taken").expect("a backup is taken at once");

    let numbers = Numbers::read(door);
    let requests = |method: &str, route: &str, status: u16| {
        let series = format!(
            "keywayd_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
        );
        numbers.get(&series)
    };
    assert_eq!(requests("GET", "/v1/secrets/pull", 200), 3.0);
    assert_eq!(requests("POST", "/v1/secrets/push", 200), 1.0);
    assert_eq!(requests("GET", "-", 404), 1.0);
    assert_eq!(requests("other", "-", 405), 1.0);
    let pulls = r#"keywayd_http_request_duration_seconds_count{method="GET",route="/v1/secrets/pull"}"#;
    assert_eq!(numbers.get(pulls), 3.0);
    assert!(numbers.get("keywayd_store_commits_total") >= 5.0);
    assert!(numbers.get("keywayd_store_commit_jobs_sum") >= numbers.get("keywayd_store_commit_jobs_count"));
    assert_eq!(numbers.get("keywayd_store_commits_failed_total"), 0.0);
    assert_eq!(numbers.get("keywayd_store_queue_jobs"), 0.0);
    assert_eq!(numbers.get("keywayd_vaults"), 1.0);
    assert_eq!(numbers.get("keywayd_accounts"), 2.0);
    assert_eq!(numbers.get("keywayd_sessions"), 0.0);
    assert_eq!(numbers.get("keywayd_key_generation"), 1.0);
    assert_eq!(numbers.get("keywayd_healthy"), 1.0);

    assert!(numbers.get("keywayd_backup_age_seconds").is_finite());
    assert_eq!(numbers.get("keywayd_backup_failures"), 0.0);

    let text = page(door).to_lowercase();
    for name in ["peculiar", "admin", &appliance.token[..12].to_lowercase()] {
        assert!(!text.contains(name), "`{name}` is on the page");
    }
    appliance.cli(&["key", "rotate", "--root"]).done();
    assert_eq!(Numbers::read(door).get("keywayd_key_generation"), 2.0);
}

/// The last good one is of last year, and none can be taken: a directory is where an unfinished one would be.
#[test]
fn a_backup_that_is_too_old_is_in_the_log_and_on_the_page() {
    let mut appliance = Appliance::new(&[("KEYWAYD_METRICS__LISTEN", "127.0.0.1:0")]);
    let backups = appliance.home().join("backups");
    std::fs::create_dir_all(backups.join("keyway-000002-20250102T000000Z.redb.partial"))
        .expect("it can be made");
    std::fs::write(backups.join("keyway-000001-20250101T000000Z.redb"), "").expect("it can be written");
    appliance.set("KEYWAYD_BACKUP__DIR", backups.to_str().expect("paths are text"));
    appliance.restart();
    let failed = appliance.log().wait_for("the scheduled backup failed").expect("the log tells");
    assert!(failed.contains("ERROR") && failed.contains("cannot use"), "{failed}");
    let line = appliance.log().wait_for("the last good backup is too old").expect("the log tells");
    assert!(line.contains("ERROR") && line.contains("2025-01-01T00:00:00.000Z"), "{line}");
    let numbers = Numbers::read(door(&appliance));
    assert!(numbers.get("keywayd_backup_age_seconds") > 300.0 * 86_400.0);
    assert_eq!(numbers.get("keywayd_backup_failures"), 1.0);
}

#[test]
fn the_numbers_have_a_door_of_their_own() {
    let appliance = Appliance::start_with(&[("KEYWAYD_METRICS__LISTEN", "127.0.0.1:0")]);
    appliance.stranger().get("/metrics").refused(404);
    let door = door(&appliance);
    assert_eq!(plain(door, "GET", "/v1/vaults").0, 404);
    assert_eq!(plain(door, "GET", "/health").0, 404);
    assert_eq!(plain(door, "POST", "/metrics").0, 405);
    assert_eq!(plain(door, "GET", "/metrics").0, 200);
    assert!(
        !page(door).contains("keywayd_backup_age_seconds"),
        "without a timetable there is no age to watch"
    );
}

/// A monitor that looks is not one of the clients that took all places.
#[test]
fn the_numbers_can_be_read_when_all_places_are_taken() {
    let settings = [("KEYWAYD_METRICS__LISTEN", "127.0.0.1:0"), ("KEYWAYD_SERVER__MAX_CONNECTIONS", "2")];
    let appliance = Appliance::start_with(&settings);
    let door = door(&appliance);
    let clients = [appliance.wire(), appliance.wire()];
    while Numbers::read(door).get("keywayd_http_connections") < 3.0 {
        std::thread::yield_now();
    }
    assert_eq!(Numbers::read(door).get("keywayd_http_connections_max"), 2.0);
    drop(clients);
}

#[test]
fn rooms_can_have_a_level_of_their_own_in_the_log() {
    let mut appliance = Appliance::start_with(&[("KEYWAYD_LOG__LEVEL", "info,http=warn")]);
    appliance.admin().get("/v1/users/me").ok();
    let (_, log) = appliance.stop();
    let text = log.text();
    assert!(text.contains("listening on") && text.contains("stopped"), "{text}");
    assert!(!text.contains("/v1/users/me"), "{text}");
}
