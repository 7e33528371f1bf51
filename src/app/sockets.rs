//! What is listened on: the addresses of the settings, or sockets that a service
//! manager has opened for us and keeps open while we restart, so that clients wait a
//! moment instead of being refused.
//!
//! Sockets handed over stand in for those of the settings, kind by kind: TCP sockets
//! for `server.listen`, those named `redirect` for `server.tls.redirect_listen`, Unix
//! sockets for `server.unix_socket`.

use crate::cli::Failure;
use crate::config::{HttpOrigin, Settings};
use crate::http::{Listener, TlsIdentity};
use listenfd::ListenFd;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener as BoundTcp};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as BoundUnix, UnixStream};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// The name (`FileDescriptorName=`) of sockets that only redirect.
const REDIRECT: &str = "redirect";
/// The proxy's group may use the socket.
const UNIX_MODE: u32 = 0o660;

/// Sockets handed over by a service manager.
#[derive(Default)]
pub(super) struct Passed {
    tcp: Vec<BoundTcp>,
    redirect: Vec<BoundTcp>,
    unix: Vec<BoundUnix>,
}

/// All sockets that the server takes connections from.
pub(super) struct Sockets {
    tcp: Vec<TcpListener>,
    redirect: Vec<TcpListener>,
    unix: Vec<UnixListener>,
    metrics: Option<TcpListener>,
    /// None of a socket that was handed over: that one stays.
    own_file: Option<SocketFile>,
}

impl Passed {
    /// Takes them over. To be called before any thread is started: it changes the
    /// process's environment.
    pub(super) fn take() -> Result<Self, Failure> {
        #[expect(clippy::disallowed_methods, reason = "a word from the service manager, not a setting")]
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut fds = ListenFd::from_env();
        let mut passed = Self::default();
        for at in 0..fds.len() {
            let is_redirect = names.next() == Some(REDIRECT);
            if let Ok(Some(listener)) = fds.take_tcp_listener(at) {
                if is_redirect { &mut passed.redirect } else { &mut passed.tcp }.push(listener);
            } else if let Ok(Some(listener)) = fds.take_unix_listener(at) {
                passed.unix.push(listener);
            } else {
                return Err(Failure::user(format!(
                    "socket {} of those handed over is neither a TCP nor a Unix stream socket\n\n\
                     hint: the socket unit may have only `ListenStream=` lines",
                    at + 1
                )));
            }
        }
        Ok(passed)
    }
}

impl Sockets {
    /// Takes over what was handed over and opens the rest as the settings say, which
    /// then learn the address that is really listened on.
    pub(super) async fn open(settings: &mut Settings, passed: Passed) -> Result<Self, Failure> {
        let tls = &settings.server.tls;
        if !passed.redirect.is_empty() && tls.cert.is_none() {
            return Err(Failure::user(
                "a socket named `redirect` was handed over, but there is no HTTPS to redirect to\n\n\
                 hint: set `server.tls.cert` and `server.tls.key`, or disable that socket unit",
            ));
        }
        let mut redirect = adopt(passed.redirect, TcpListener::from_std)?;
        if let Some(address) = tls.redirect_listen.filter(|_| redirect.is_empty()) {
            redirect.push(bind("server.tls.redirect_listen", address).await?);
        }
        let mut tcp = adopt(passed.tcp, TcpListener::from_std)?;
        if tcp.is_empty() {
            tcp.push(bind("server.listen", settings.server.listen).await?);
        }
        learn(settings, &tcp)?;
        let mut unix = adopt(passed.unix, UnixListener::from_std)?;
        let mut own_file = None;
        if let Some(path) = settings.server.unix_socket.as_deref().filter(|_| unix.is_empty()) {
            let (listener, file) = bind_unix(path)?;
            unix.push(listener);
            own_file = Some(file);
        }
        let metrics = match settings.metrics.listen {
            Some(address) => Some(bind("metrics.listen", address).await?),
            None => None,
        };
        Ok(Self { tcp, redirect, unix, metrics, own_file })
    }

    /// What is listened on, for people.
    pub(super) fn describe(&self, is_tls: bool) -> String {
        let scheme = if is_tls { "https" } else { "http" };
        let address = |socket: &TcpListener| socket.local_addr().map_or("?".to_owned(), |at| at.to_string());
        let path = |socket: &UnixListener| {
            let address = socket.local_addr().ok();
            address.and_then(|at| Some(at.as_pathname()?.display().to_string())).unwrap_or("?".to_owned())
        };
        let tcp = self.tcp.iter().map(|socket| format!("{scheme}://{}", address(socket)));
        let unix = self.unix.iter().map(|socket| format!("unix:{}", path(socket)));
        let redirect = self.redirect.iter().map(|socket| format!("http://{} (redirects)", address(socket)));
        let metrics = self.metrics.iter().map(|socket| format!("http://{} (metrics)", address(socket)));
        tcp.chain(unix).chain(redirect).chain(metrics).collect::<Vec<_>>().join(", ")
    }

    /// The sockets as the server wants them, and what is to be kept for as long as it serves.
    pub(super) fn into_listeners(
        self,
        identity: Option<&TlsIdentity>,
    ) -> (Vec<Listener>, Option<SocketFile>) {
        let tcp = self.tcp.into_iter().map(|listener| match identity {
            Some(identity) => Listener::Tls(listener, identity.clone()),
            None => Listener::Plain(listener),
        });
        let unix = self.unix.into_iter().map(Listener::Unix);
        let redirect = self.redirect.into_iter().map(Listener::Redirect);
        let metrics = self.metrics.into_iter().map(Listener::Metrics);
        (tcp.chain(unix).chain(redirect).chain(metrics).collect(), self.own_file)
    }
}

/// A socket that was handed over, for the runtime.
fn adopt<S: AsFd, T>(sockets: Vec<S>, convert: impl Fn(S) -> io::Result<T>) -> Result<Vec<T>, Failure> {
    let unusable = |error| Failure::ours(format!("cannot use a socket that was handed over: {error}"));
    let non_blocking = |socket: &S| {
        let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
        fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
    };
    let adopt_one = |socket: S| {
        non_blocking(&socket)?;
        convert(socket)
    };
    sockets.into_iter().map(adopt_one).collect::<io::Result<_>>().map_err(unusable)
}

async fn bind(key: &str, wanted: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(wanted).await.map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::PermissionDenied {
            "ports below 1024 take root's say: let systemd open the socket, use a higher port, \
             or give the program the capability CAP_NET_BIND_SERVICE"
                .to_owned()
        } else {
            let flag = if key == "server.listen" { " or `--listen`" } else { "" };
            format!("set `{key}`{flag} to a free address")
        };
        Failure::user(format!("cannot listen on `{wanted}`: {error}\n\nhint: {hint}"))
    })
}

/// Lets the settings know the first address that is really listened on: port 0 means
/// any, and a service manager may have chosen another. What holds for `server.listen`
/// holds for every address.
fn learn(settings: &mut Settings, listeners: &[TcpListener]) -> Result<(), Failure> {
    let unknown = |error| Failure::ours(format!("a listening socket has no address: {error}"));
    let wanted = settings.server.listen;
    let https = settings.server.public_url.is_https();
    let follows = settings.server.public_url.as_str() == HttpOrigin::of(wanted, https).as_str();
    for listener in listeners.iter().rev() {
        settings.server.listen = listener.local_addr().map_err(unknown)?;
        let address = settings.server.listen;
        if settings.server.is_plain_off_loopback() {
            return Err(Failure::user(format!(
                "the socket handed over listens on `{address}`: plain HTTP that other machines reach\n\n\
                 hint: set `server.tls.cert` and `server.tls.key`, name the proxy in `server.trusted_proxies`, \
                 or let the socket unit listen on 127.0.0.1"
            )));
        }
        if follows && !address.ip().to_canonical().is_loopback() {
            return Err(Failure::user(format!(
                "`server.public_url` is not set, and the socket handed over listens on `{address}`, \
                 which other machines reach\n\n\
                 hint: set it to the address that clients use, such as `https://secrets.example.org`"
            )));
        }
    }
    if follows {
        settings.server.public_url = HttpOrigin::of(settings.server.listen, https);
    }
    Ok(())
}

/// Opens a Unix socket in place of one that a killed server left behind.
fn bind_unix(path: &Path) -> Result<(UnixListener, SocketFile), Failure> {
    let at = path.display();
    let refused = |error: io::Error| {
        Failure::user(format!(
            "cannot listen on the Unix socket `{at}`: {error}\n\n\
             hint: `server.unix_socket` must be in a directory that the user running keywayd can write"
        ))
    };
    if let Ok(about) = fs::symlink_metadata(path) {
        let in_use = about.file_type().is_socket() && UnixStream::connect(path).is_ok();
        if in_use || !about.file_type().is_socket() {
            let what = if in_use { "another process listens there" } else { "there is another file" };
            return Err(Failure::user(format!(
                "cannot listen on the Unix socket `{at}`: {what}\n\n\
                 hint: set `server.unix_socket` to a path of its own"
            )));
        }
        fs::remove_file(path).map_err(refused)?;
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    fs::set_permissions(path, Permissions::from_mode(UNIX_MODE)).map_err(refused)?;
    let about = fs::symlink_metadata(path).map_err(refused)?;
    Ok((listener, SocketFile { path: path.to_owned(), inode: about.ino() }))
}

/// The file of a Unix socket of ours, which goes away with us.
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else's by now: it stays.
        if fs::symlink_metadata(&self.path).is_ok_and(|about| about.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
