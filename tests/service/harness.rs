//! Starts the program as a service manager does: with an environment of its own,
//! sockets handed over from the third descriptor on, and a socket to report to.

use super::client::{self, Client};
use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keywayd");

/// A place to serve from, and settings.
pub(crate) struct Setup {
    dir: Rc<TempDir>,
    variables: Vec<(String, String)>,
    /// Where the server of this place listens, once it does.
    listening: RefCell<Option<String>>,
}

impl Setup {
    /// A server on a free port, by plain HTTP.
    pub(crate) fn new() -> Self {
        let setup = Self {
            dir: Rc::new(tempfile::tempdir().unwrap()),
            variables: Vec::new(),
            listening: RefCell::default(),
        };
        let data = setup.path("data").display().to_string();
        setup.with("KEYWAYD_STORAGE__DATA_DIR", &data).with("KEYWAYD_SERVER__LISTEN", "127.0.0.1:0")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the server and waits until it is ready.
    pub(crate) fn start(&self) -> Server {
        let mut server = self.start_quietly();
        server.get_ready(self);
        server
    }

    /// Starts the server on sockets that stay open here, and waits until it is ready or has ended.
    pub(crate) fn start_on(&self, sockets: &[&dyn AsFd], names: &str) -> Server {
        let mut server = self.spawn(sockets, names);
        server.get_ready(self);
        server
    }

    /// Starts the server without waiting.
    pub(crate) fn start_quietly(&self) -> Server {
        self.spawn(&[], "")
    }

    fn spawn(&self, sockets: &[&dyn AsFd], names: &str) -> Server {
        let notify = self.path("notify.sock");
        let _ = fs::remove_file(&notify);
        let reports = UnixDatagram::bind(&notify).unwrap();
        let log = self.path("log");
        let mut command = self.command();
        command.arg("serve").env("NOTIFY_SOCKET", &notify).stderr(File::create(&log).unwrap());
        if !sockets.is_empty() {
            command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names);
            let mapping = |(at, socket): (usize, &&dyn AsFd)| FdMapping {
                parent_fd: socket.as_fd().try_clone_to_owned().unwrap(),
                child_fd: 3 + i32::try_from(at).unwrap(),
            };
            command.fd_mappings(sockets.iter().enumerate().map(mapping).collect()).unwrap();
        }
        Server {
            child: command.spawn().unwrap(),
            reports,
            log,
            status: String::new(),
            _dir: Rc::clone(&self.dir),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("KEYWAYD_RATE_LIMIT__ENABLED", "false").current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs another command on this place and returns what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A token that may do everything.
    pub(crate) fn token(&self) -> String {
        self.run(&["token", "create", "--user", "admin", "--scopes", "all"]).trim().to_owned()
    }

    /// Whether the server of this place is healthy, and what is said about it.
    pub(crate) fn healthcheck(&self) -> (bool, String) {
        let listening = self.listening.borrow().clone().unwrap();
        told(&self.output(&["healthcheck", "--listen", &listening]))
    }

    /// The same at the address in the settings.
    pub(crate) fn healthcheck_as_configured(&self) -> (bool, String) {
        told(&self.output(&["healthcheck"]))
    }
}

fn told(output: &Output) -> (bool, String) {
    let words = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.success(), String::from_utf8(words).unwrap())
}

/// A running server; ends with the test.
pub(crate) struct Server {
    child: Child,
    reports: UnixDatagram,
    log: PathBuf,
    _dir: Rc<TempDir>,
    /// What it said it listens on.
    status: String,
}

impl Server {
    fn get_ready(&mut self, setup: &Setup) {
        while let Some(report) = self.report() {
            if report.contains("READY=1") {
                self.status = report;
                let address = self.status.split(['/', ',', ' ', '\n']).find(|word| word.starts_with("127."));
                *setup.listening.borrow_mut() = address.map(str::to_owned);
                return;
            }
        }
    }

    /// The next report; `None` if the server has ended.
    fn report(&mut self) -> Option<String> {
        self.reports.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        let mut bytes = [0; 4096];
        loop {
            match self.reports.recv(&mut bytes) {
                Ok(length) => return Some(String::from_utf8_lossy(&bytes[..length]).into_owned()),
                Err(_) if self.child.try_wait().unwrap().is_some() => return None,
                Err(_) => {}
            }
        }
    }

    /// Waits for a report that says `word`.
    pub(crate) fn hear(&mut self, word: &str) -> String {
        while let Some(report) = self.report() {
            if report.lines().any(|line| line == word) {
                return report;
            }
        }
        panic!("ended without `{word}`: {}", self.log());
    }

    /// The first address it listens on by `scheme`.
    pub(crate) fn address(&self, scheme: &str) -> String {
        let at = self.status.find(scheme).unwrap_or_else(|| panic!("no {scheme} in {}", self.status));
        let rest = &self.status[at + scheme.len()..];
        rest.split([',', ' ', '\n']).next().unwrap().to_owned()
    }

    /// A connection by plain HTTP.
    pub(crate) fn http(&self) -> Client<TcpStream> {
        client::plain(self.address("http://").parse().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What it said when it refused to start, with status 1.
    pub(crate) fn refusal(mut self) -> String {
        assert_eq!(self.wait().code(), Some(1), "{}", self.log());
        self.log()
    }

    pub(crate) fn stop_and_read_log(mut self) -> String {
        self.signal(Signal::SIGTERM);
        assert!(self.wait().success());
        self.log()
    }

    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate in files, trusted by clients made here.
pub(crate) struct Certificate {
    files: [PathBuf; 2],
    trusted: CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn new(setup: &Setup, host: &str) -> Self {
        let files = [setup.path("cert.pem"), setup.path("key.pem")];
        Self { trusted: write(&files, host), files }
    }

    /// Another one in the same files.
    pub(crate) fn renew(&mut self, host: &str) {
        self.trusted = write(&self.files, host);
    }

    /// The settings that make a server use it.
    pub(crate) fn configure(&self, setup: Setup) -> Setup {
        let [certificate, key] = self.files.each_ref().map(|path| path.display().to_string());
        setup
            .with("KEYWAYD_SERVER__TLS__CERT", &certificate)
            .with("KEYWAYD_SERVER__TLS__KEY", &key)
            .with("KEYWAYD_SERVER__PUBLIC_URL", "https://localhost")
    }

    /// A connection to a server that shows it.
    pub(crate) fn connect(
        &self,
        address: &str,
    ) -> io::Result<Client<StreamOwned<ClientConnection, TcpStream>>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = TcpStream::connect(address)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Client::over(StreamOwned::new(connection, socket)))
    }
}

fn write([certificate, key]: &[PathBuf; 2], host: &str) -> CertificateDer<'static> {
    let pair = KeyPair::generate().unwrap();
    let made = CertificateParams::new([host.to_owned()]).unwrap().self_signed(&pair).unwrap();
    replace(certificate, &made.pem());
    replace(key, &pair.serialize_pem());
    made.into()
}

/// As renewal tools do it: a new file takes the old one's place.
fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::rename(&fresh, path).unwrap();
}
