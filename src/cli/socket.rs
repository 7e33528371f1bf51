//! The running server's side door: a Unix socket in the data directory that only the
//! directory's owner can open (0600 in a 0700 directory; the peer's user is checked as
//! well). One request per connection, a line of JSON; back come, while the work takes
//! long, lines that tell how far it is, and then one with the answer.

use super::admin::{self, Reply, Request};
use super::output::Failure;
use crate::base::SecretText;
use crate::domain::Services;
use crate::domain::upkeep::{Progress, Watch};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest request and answer, in bytes: the largest environment that can be configured,
/// every byte of it escaped, and more.
const LINE_LIMIT: u64 = 512 << 20;
/// How long a command waits for the server to say something, and the server for a command.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the server tells how far the work is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// What the server says.
#[derive(Serialize, Deserialize)]
enum Line {
    Progress(Progress),
    Answer(Result<Reply, Failure>),
}

/// Where the socket of a data directory is.
#[must_use]
pub fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

/// Whether a server runs on this data.
#[must_use]
pub fn is_served(data_dir: &Path) -> bool {
    short(data_dir).and_then(|(path, _dir)| BlockingStream::connect(path)).is_ok()
}

/// Longest path of a socket, in bytes (`sun_path` in unix(7), less the final NUL).
const PATH_BYTES_MAX: usize = 107;

/// The socket's path as the kernel takes it: one that is too long is named through an
/// open descriptor of its directory, which has to stay open meanwhile.
fn short(data_dir: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = path_in(data_dir);
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok((path, None));
    }
    let dir = File::open(data_dir)?;
    let path = path_in(Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())));
    Ok((path, Some(dir)))
}

/// The server's end. The file goes away with it.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Opens the socket of a data directory that this process has locked, in place of
    /// one that a killed server left behind.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn bind(data_dir: &Path) -> io::Result<Self> {
        let path = path_in(data_dir);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (bound, _dir) = short(data_dir)?;
        let listener = UnixListener::bind(bound)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers requests until the future is dropped; those under way are in `tasks`, and
    /// what takes long among them is called off by `quit`.
    pub async fn serve(self, services: Services, tasks: TaskTracker, quit: CancellationToken) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if is_welcome(&stream) => {
                    let (services, quit) = (services.clone(), quit.clone());
                    tasks.spawn(async move {
                        if let Err(error) = converse(stream, &services, quit).await {
                            tracing::warn!(%error, "an operator's command went away before it was answered");
                        }
                    });
                }
                Ok(_) => tracing::warn!("refused another user on the operator's socket"),
                Err(error) => {
                    tracing::warn!(%error, "cannot take an operator's command");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_welcome(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own.as_raw() || peer.uid() == 0)
}

async fn converse(stream: UnixStream, services: &Services, quit: CancellationToken) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader).take(LINE_LIMIT);
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await??;
    if line.is_empty() {
        // Somebody only wanted to know whether a server is here.
        return Ok(());
    }
    let line = SecretText::new(line);
    let Ok(request) = serde_json::from_str::<Request>(line.expose()) else {
        return say(&mut writer, &Line::Answer(Err(Failure::misunderstood()))).await;
    };

    let (tell, progress) = tokio::sync::watch::channel(None);
    let gone = CancellationToken::new();
    let (stays, left) = (request.outlives_its_caller(), gone.clone());
    let watch = Watch::new(move |progress| {
        tell.send_replace(Some(progress.clone()));
        if quit.is_cancelled() || (left.is_cancelled() && !stays) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let work = admin::execute(services, request, watch.gently());
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(TELL_EVERY);
    let answer = loop {
        tokio::select! {
            answer = &mut work => break answer,
            _ = ticks.tick() => {
                let now = progress.borrow().clone();
                if let Some(now) = now
                    && !gone.is_cancelled()
                    && say(&mut writer, &Line::Progress(now)).await.is_err()
                {
                    gone.cancel();
                }
            }
        }
    };
    say(&mut writer, &Line::Answer(answer)).await
}

async fn say(writer: &mut OwnedWriteHalf, line: &Line) -> io::Result<()> {
    let line = SecretText::new(serde_json::to_string(line)? + "\n");
    tokio::time::timeout(PATIENCE, writer.write_all(line.expose().as_bytes())).await?
}

/// Sends a request to the server of `data_dir`. `None`: no server runs there.
///
/// # Errors
/// What the server answers, or if it does not.
pub fn ask(
    data_dir: &Path,
    request: &Request,
    hear: &mut dyn FnMut(&Progress),
) -> Option<Result<Reply, Failure>> {
    let path = path_in(data_dir);
    match short(data_dir).and_then(|(path, _dir)| BlockingStream::connect(path)) {
        Ok(stream) => Some(exchange(stream, request, hear)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => None,
            io::ErrorKind::PermissionDenied => Some(Err(Failure::user(format!(
                "cannot open `{}`: it is another user's\n\nhint: run this as the user that owns the data directory, or as root",
                path.display()
            )))),
            _ => Some(Err(Failure::ours(format!(
                "cannot reach the server through `{}`: {error}",
                path.display()
            )))),
        },
    }
}

fn exchange(
    mut stream: BlockingStream,
    request: &Request,
    hear: &mut dyn FnMut(&Progress),
) -> Result<Reply, Failure> {
    let broken = |error: io::Error| Failure::ours(format!("the server did not answer: {error}"));
    let line = SecretText::new(serde_json::to_string(request).map_err(Failure::ours)? + "\n");
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    stream.write_all(line.expose().as_bytes()).map_err(broken)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        (&mut reader).take(LINE_LIMIT).read_line(&mut line).map_err(broken)?;
        let line = SecretText::new(line);
        if line.expose().is_empty() {
            return Err(Failure::ours("the server stopped before it answered; its log says why"));
        }
        match serde_json::from_str::<Line>(line.expose()) {
            Ok(Line::Progress(progress)) => hear(&progress),
            Ok(Line::Answer(answer)) => return answer,
            Err(_) => return Err(Failure::misunderstood()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket's path may have 107 bytes, a data directory's far more.
    #[tokio::test]
    async fn a_data_directory_may_lie_deep() {
        let top = tempfile::tempdir().unwrap();
        let deep = top.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let socket = AdminSocket::bind(&deep).unwrap();
        let mode = fs::metadata(path_in(&deep)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let served =
            tokio::spawn(socket.serve(Services::in_memory(), TaskTracker::new(), CancellationToken::new()));
        let dir = deep.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&dir, &Request::ListAccounts, &mut |_| {}))
            .await
            .unwrap();
        assert!(matches!(asked, Some(Ok(Reply::Accounts(_)))));
        served.abort();
        let _ = served.await;
        assert!(!path_in(&deep).exists(), "the file goes away with the server");
    }
}
