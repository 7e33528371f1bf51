//! Ten thousand clients that hold a connection and say nothing, and one that works.

use super::harness::{Appliance, Wire, skipped};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use std::fs;

const CONNECTIONS: usize = 10_000;
/// What the two processes need besides.
const ROOM: u64 = 1_000;

#[test]
fn ten_thousand_idle_connections_are_in_nobody_s_way() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be asked");
    let wanted = CONNECTIONS as u64 + ROOM;
    if hard < wanted {
        return skipped(&format!("{CONNECTIONS} connections; the hard limit of open files is {hard}"));
    }
    let most = (CONNECTIONS + 100).to_string();
    let mut appliance = Appliance::new(&[("KEYWAYD_SERVER__MAX_CONNECTIONS", &most)]);
    // As most systems start a program; the server has to raise its own limit.
    appliance.through(&["/bin/sh", "-c", "ulimit -Sn 1024 && exec \"$@\"", "sh"]);
    appliance.restart();
    appliance.read_letter();
    let limits = fs::read_to_string(format!("/proc/{}/limits", appliance.pid())).expect("it runs");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit of files");
    assert!(files.split_whitespace().any(|word| word == hard.to_string()), "{files}");
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
            .expect("the soft limit can be raised to the hard one");
    }

    let mut idle: Vec<Wire> = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        // Each has been served once: it is a connection that somebody keeps, not one that never said a word.
        let mut wire = appliance.wire();
        wire.say("GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(wire.answer_to("GET", "/v1/health").expect("an answer").status, 200);
        idle.push(wire);
    }
    let open = fs::read_dir(format!("/proc/{}/fd", appliance.pid())).expect("it runs").count();
    assert!(open > CONNECTIONS, "the server has only {open} open files");

    let admin = appliance.admin();
    admin.create_vault("acme/app");
    for round in 0..20 {
        let secrets = json!({ "ROUND": round.to_string() });
        admin.push("acme/app", "local", &secrets).ok();
        assert_eq!(admin.secrets("acme/app", "local"), secrets);
    }
    // And those who kept their connection can use it.
    for wire in idle.iter_mut().step_by(500) {
        wire.say("GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(wire.answer_to("GET", "/v1/health").expect("an answer").status, 200);
    }
    let (status, log) = appliance.stop();
    assert!(status.success() && !log.text().contains("grace time ended"), "{}", log.text());
}
