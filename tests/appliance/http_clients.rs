//! Clients that other people wrote, each through a session of its own: what they take for granted about HTTP is as
//! much a contract as what is written. `KEYWAYD_CLIENTS` leads to the Python ones (`tests/clients/install DIR`);
//! curl and Node are taken from the machine.

use crate::harness::{Appliance, skipped};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An appliance with a vault for the client to work on.
fn appliance(repo: &str) -> Appliance {
    let appliance = Appliance::start();
    appliance.admin().create_vault(repo);
    appliance
}

/// The Python with the clients in it.
pub(crate) fn python() -> Option<PathBuf> {
    tool("python3")
}

/// A program of the directory that `KEYWAYD_CLIENTS` names.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where the tests find their tools, not a setting")]
    let directory = std::env::var_os("KEYWAYD_CLIENTS")?;
    Some(PathBuf::from(directory).join("bin").join(name))
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

fn is_there(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Runs `command` as the administrator; it has to end well.
fn drive(appliance: &Appliance, command: &mut Command) {
    let output = command.env("TOKEN", &appliance.token).output().expect("the client can be run");
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
}

fn base(appliance: &Appliance) -> String {
    format!("http://{}", appliance.address())
}

#[test]
fn curl_over_both_versions_of_http() {
    if !is_there("curl") {
        return skipped("curl is not here");
    }
    let appliance = appliance("admin/curl");
    drive(&appliance, Command::new(script("with_curl")).arg(base(&appliance)));
}

#[test]
fn fetch_of_node() {
    if !is_there("node") {
        return skipped("Node is not here");
    }
    let appliance = appliance("admin/fetch");
    drive(&appliance, Command::new("node").arg(script("with_fetch.mjs")).arg(base(&appliance)));
}

#[test]
fn httpx_over_both_versions_of_http() {
    let Some(python) = python() else {
        return skipped("`KEYWAYD_CLIENTS` is not set: httpx is not tried");
    };
    let appliance = appliance("admin/httpx");
    drive(&appliance, Command::new(python).arg(script("with_httpx.py")).arg(base(&appliance)));
}

#[test]
fn a_client_that_takes_http_2_to_the_letter() {
    let Some(python) = python() else {
        return skipped("`KEYWAYD_CLIENTS` is not set: HTTP/2 is not held to the letter");
    };
    let appliance = appliance("admin/h2");
    let address = appliance.address();
    let mut command = Command::new(python);
    command.arg(script("with_h2.py")).arg(address.ip().to_string()).arg(address.port().to_string());
    drive(&appliance, &mut command);
}
