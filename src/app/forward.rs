//! Copying audit entries out of the store as they come: to a file, one JSON document
//! per line, or to the machine's system log.
//!
//! Of a file, the last whole line tells how far the copy is, so that a crash makes
//! neither a gap nor a repetition; a torn last line is cut off and written anew. When
//! the file is empty or was rotated away, and for the system log, the store remembers.
//! The file is opened for every batch: a rotated file is let go of at once.

use crate::cli::Failure;
use crate::config::Forward;
use crate::domain::Services;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

const SYSTEM_LOG: &str = "/dev/log";
/// Facility `authpriv`, severity `info` (RFC 5424 §6.2.1).
const PRIORITY: u8 = 10 * 8 + 6;
/// An entry has bounded parts and is shorter than this.
const LINE_LIMIT: u64 = 1 << 20;

/// What copies entries, and how far it is.
pub(super) struct Forwarder {
    target: Target,
    last: Option<u64>,
}

#[derive(Clone)]
enum Target {
    File(PathBuf),
    Syslog(PathBuf),
}

impl Forwarder {
    /// Copies to where the settings say, which must be there.
    pub(super) fn new(forward: &Forward) -> Result<Self, Failure> {
        let target = match forward {
            Forward::File(path) => Target::File(path.clone()),
            Forward::Syslog => Target::Syslog(PathBuf::from(SYSTEM_LOG)),
        };
        match &target {
            Target::File(path) => open(path).map(drop),
            Target::Syslog(path) => connect(path).map(drop),
        }
        .map_err(|error| {
            Failure::user(format!(
                "{}\n\nhint: change `audit.forward`, or leave it out",
                target.fault(&error)
            ))
        })?;
        Ok(Self { target, last: None })
    }

    /// Copies what has not been copied yet.
    pub(super) async fn round(&mut self, services: &Services) -> Result<(), Failure> {
        let mut last = match self.last {
            Some(last) => last,
            None => self.resume(services).await?,
        };
        loop {
            let piece = services.export_audit(last, None).await?;
            if !piece.lines.is_empty() {
                // Until it is certain how far the copy is, the file itself is asked.
                self.last = None;
                let (target, lines) = (self.target.clone(), piece.lines);
                let copied = tokio::task::spawn_blocking(move || target.take(&lines)).await;
                copied.map_err(Failure::ours)??;
                services.note_audit_forwarded(piece.last).await?;
                last = piece.last;
            }
            if piece.end {
                self.last = Some(last);
                return Ok(());
            }
        }
    }

    async fn resume(&self, services: &Services) -> Result<u64, Failure> {
        let known = services.audit_forwarded().await?;
        let Target::File(path) = &self.target else { return Ok(known) };
        let path = path.clone();
        let in_file = tokio::task::spawn_blocking(move || last_in(&path)).await.map_err(Failure::ours)?;
        let in_file = in_file.map_err(|error| Failure::user(self.target.fault(&error)))?;
        // A file that is ahead of the log was written before an older state was restored.
        let end = services.audit_head().await?.sequence;
        Ok(in_file.filter(|&number| number <= end).unwrap_or(known).min(end))
    }
}

impl Target {
    fn take(&self, lines: &[String]) -> Result<(), Failure> {
        let done = match self {
            Self::File(path) => append(path, lines),
            Self::Syslog(path) => send(path, lines),
        };
        done.map_err(|error| Failure::user(self.fault(&error)))
    }

    fn fault(&self, error: &io::Error) -> String {
        let (Self::File(path) | Self::Syslog(path)) = self;
        format!("cannot copy audit entries to `{}`: {error}", path.display())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn append(path: &Path, lines: &[String]) -> io::Result<()> {
    let mut file = open(path)?;
    file.write_all((lines.join("\n") + "\n").as_bytes())?;
    file.sync_data()
}

/// Whether the machine's system log can be reached.
pub(super) fn system_log() -> Result<(), Failure> {
    let target = Target::Syslog(PathBuf::from(SYSTEM_LOG));
    connect(Path::new(SYSTEM_LOG)).map(drop).map_err(|error| Failure::user(target.fault(&error)))
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

fn send(path: &Path, lines: &[String]) -> io::Result<()> {
    let socket = connect(path)?;
    lines.iter().try_for_each(|line| {
        socket.send(format!("<{PRIORITY}>keywayd[{}]: {line}", std::process::id()).as_bytes()).map(drop)
    })
}

/// The number in the file's last whole line, after cutting off what is torn.
fn last_in(path: &Path) -> io::Result<Option<u64>> {
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LINE_LIMIT);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(LINE_LIMIT).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|&byte| byte == b'\n') else {
        if start == 0 && length > 0 {
            open(path)?.set_len(0)?;
        }
        return Ok(None);
    };
    if end + 1 < tail.len() {
        open(path)?.set_len(start + end as u64 + 1)?;
    }
    let line = tail[..end].rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let line: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    Ok(line.and_then(|line| line.get("sequence")?.as_u64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_one_before_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        assert_eq!(last_in(&path).unwrap(), None);
        append(&path, &[r#"{"sequence":1}"#.to_owned(), r#"{"sequence":2}"#.to_owned()]).unwrap();
        assert_eq!(last_in(&path).unwrap(), Some(2));
        open(&path).unwrap().write_all(br#"{"sequence":3"#).unwrap();
        assert_eq!(last_in(&path).unwrap(), Some(2));
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("{\"sequence\":2}\n"));
        std::fs::write(&path, "{\"sequ").unwrap();
        assert_eq!((last_in(&path).unwrap(), std::fs::read_to_string(&path).unwrap().as_str()), (None, ""));
    }

    #[test]
    fn the_system_log_gets_one_message_per_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let system_log = UnixDatagram::bind(&path).unwrap();
        Target::Syslog(path).take(&["{\"sequence\":1}".to_owned(), "{}".to_owned()]).unwrap();
        let mut message = [0; 100];
        let length = system_log.recv(&mut message).unwrap();
        let text = std::str::from_utf8(&message[..length]).unwrap();
        assert!(text.starts_with("<86>keywayd[") && text.ends_with("]: {\"sequence\":1}"), "{text}");
    }
}
