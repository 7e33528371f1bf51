//! When a server that was just started can be asked, and where: it says so in its log.

use crate::Outcome;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a start may take, on however large a file.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks. A start takes some milliseconds, and is measured.
const PAUSE: Duration = Duration::from_micros(200);

/// The address at which `server` listens, as soon as its `log` tells.
pub(crate) fn address(server: &mut Child, log: &Path) -> Outcome<SocketAddr> {
    let begin = Instant::now();
    loop {
        let said = fs::read_to_string(log)?;
        let address =
            said.split_once("listening on http://").and_then(|(_, rest)| rest.split_once([' ', '\n']));
        if let Some((address, _)) = address {
            return Ok(address.parse()?);
        }
        if server.try_wait()?.is_some() || begin.elapsed() > PATIENCE {
            return Err(format!("the server does not start:\n{said}").into());
        }
        sleep(PAUSE);
    }
}
