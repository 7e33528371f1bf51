//! The appliance: a data directory, and the process that serves it as long as one does.

use super::{Client, Log, Wire};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// An appliance in a directory of its own, with an administrator.
pub(crate) struct Appliance {
    home: TempDir,
    settings: Vec<(String, String)>,
    /// What the server is run through.
    prefix: Vec<String>,
    server: Option<Server>,
    /// A key of the account `admin` that may do everything.
    pub(crate) token: String,
    /// The password of that account.
    pub(crate) password: String,
}

/// A running `keywayd serve`.
struct Server {
    process: Child,
    address: SocketAddr,
    log: Log,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Appliance {
    /// Starts one without rate limits, otherwise as it comes.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with `settings` in its environment.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut appliance = Self::new(settings);
        appliance.launch().unwrap_or_else(|outcome| panic!("the first start failed: {outcome:?}"));
        appliance.read_letter();
        appliance
    }

    /// A directory for one that has never been started.
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a scratch directory can be made");
        let (token, password) = (String::new(), String::new());
        let mut appliance =
            Self { home, settings: Vec::new(), prefix: Vec::new(), server: None, token, password };
        appliance.set("KEYWAYD_RATE_LIMIT__ENABLED", "false");
        for (name, value) in settings {
            appliance.set(name, value);
        }
        appliance
    }

    /// A copy of this one's data, which is at rest, in a directory of its own.
    pub(crate) fn copy(&self) -> Self {
        assert!(self.server.is_none(), "it runs");
        let mut copy = Self::new(&[]);
        copy.settings.clone_from(&self.settings);
        (copy.token, copy.password) = (self.token.clone(), self.password.clone());
        fs::create_dir(copy.data_dir()).expect("the directory can be made");
        for entry in fs::read_dir(self.data_dir()).expect("the data can be read") {
            let from = entry.expect("an entry can be read").path();
            let to = copy.data_dir().join(from.file_name().expect("files have names"));
            fs::copy(&from, to).expect("a file can be copied");
        }
        copy
    }

    /// Learns the administrator's credentials from the letter that the first start wrote.
    pub(crate) fn read_letter(&mut self) {
        let letter = fs::read_to_string(self.data_dir().join("first-login")).expect("there is a letter");
        self.token = written_in(&letter, "token:");
        self.password = written_in(&letter, "password:");
    }

    /// The directory that everything of this appliance is in.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs the server through `command` from now on, which must in the end become it.
    pub(crate) fn through(&mut self, command: &[&str]) {
        self.prefix = command.iter().map(|&word| word.to_owned()).collect();
    }

    /// The directory of the data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.data_dir().join("keyway.redb")
    }

    /// Changes a setting for the starts to come.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(other, _)| other != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a setting back for the starts to come.
    pub(crate) fn unset(&mut self, name: &str) {
        self.settings.retain(|(other, _)| other != name);
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server().address
    }

    /// What the server has written to its log since it was started.
    pub(crate) fn log(&self) -> Log {
        self.server().log.clone()
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.server().process.id()).expect("process numbers are small"))
    }

    /// A client that shows `token`.
    pub(crate) fn client(&self, token: &str) -> Client {
        Client::new(self.address(), Some(token))
    }

    /// A client that is the administrator.
    pub(crate) fn admin(&self) -> Client {
        self.client(&self.token)
    }

    /// A client that shows no credential.
    pub(crate) fn stranger(&self) -> Client {
        Client::new(self.address(), None)
    }

    /// A bare connection.
    pub(crate) fn wire(&self) -> Wire {
        Wire::open(self.address())
    }

    /// Adds the account `name`, and is a client with a key of it that may do everything.
    pub(crate) fn account(&self, name: &str) -> Client {
        self.cli_with(&["user", "add", name, "--password-stdin"], "correct horse\n").done();
        self.client(&self.key_for(name, &["--scopes", "all"]))
    }

    /// Makes a key for the account `name`.
    pub(crate) fn key_for(&self, name: &str, options: &[&str]) -> String {
        self.cli(&[&["token", "create", "--user", name], options].concat()).done().trim().to_owned()
    }

    /// Runs a command on this data.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Outcome {
        self.cli_with(arguments, "")
    }

    /// Runs a command on this data with `input` on its standard input.
    pub(crate) fn cli_with(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut command = self.command();
        run(command.args(arguments).arg("--data-dir").arg(self.data_dir()), input)
    }

    /// Runs the program on this appliance's data and kills it `delay` after its begin, and the server just before
    /// if that is meant to go too.
    pub(crate) fn cli_killed(&mut self, arguments: &[&str], delay: Duration, with_server: bool) {
        let mut command = self.command();
        command.args(arguments).arg("--data-dir").arg(self.data_dir());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().expect("the program can be run");
        std::thread::sleep(delay);
        if with_server {
            self.kill();
        }
        // It may be done already.
        let _ = process.kill();
        process.wait().expect("our own child");
    }

    /// The program in this appliance's environment.
    pub(crate) fn command(&self) -> Command {
        self.prepared(keywayd())
    }

    /// `command` in this appliance's environment, with nothing else in it.
    pub(crate) fn prepared(&self, mut command: Command) -> Command {
        let settings = self.settings.iter().map(|(name, value)| (name, value));
        command.env_clear().envs(settings).current_dir(self.home());
        command
    }

    /// Starts the server on the data there is.
    pub(crate) fn restart(&mut self) {
        self.launch().unwrap_or_else(|outcome| panic!("the restart failed: {outcome:?}"));
    }

    /// Tries to start the server; how it ended, if it did not come up.
    pub(crate) fn launch(&mut self) -> Result<(), Outcome> {
        assert!(self.server.is_none(), "it runs already");
        let mut command = match self.prefix.split_first() {
            None => self.command(),
            Some((program, arguments)) => {
                let mut command = self.prepared(Command::new(program));
                command.args(arguments).arg(env!("CARGO_BIN_EXE_keywayd"));
                command
            }
        };
        command.arg("serve").arg("--data-dir").arg(self.data_dir()).args(["--listen", "127.0.0.1:0"]);
        self.server = Some(Server::spawn(&mut command)?);
        Ok(())
    }

    /// Asks the server to stop, without waiting.
    pub(crate) fn terminate(&self) {
        kill(self.pid(), Signal::SIGTERM).expect("the process is there");
    }

    /// Stops the server in good order.
    pub(crate) fn stop(&mut self) -> (ExitStatus, Log) {
        self.terminate();
        self.ended()
    }

    /// Kills the server.
    pub(crate) fn kill(&mut self) {
        kill(self.pid(), Signal::SIGKILL).expect("the process is there");
        assert_eq!(self.ended().0.signal(), Some(9));
    }

    /// Waits for the server to end.
    pub(crate) fn ended(&mut self) -> (ExitStatus, Log) {
        let mut server = self.server.take().expect("it runs");
        assert!(server.log.wait_for_end(), "it does not end:\n{}", server.log.text());
        (server.process.wait().expect("our own child"), server.log.clone())
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }
}

impl Server {
    fn spawn(command: &mut Command) -> Result<Self, Outcome> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be run");
        let log = Log::of(process.stderr.take().expect("standard error is piped"));
        let Some(line) = log.wait_for("listening on http://") else {
            let status = process.wait().expect("our own child");
            return Err(Outcome {
                status: status.code().unwrap_or(-1),
                stdout: String::new(),
                stderr: log.text(),
            });
        };
        let words = line.split("listening on http://").nth(1).expect("the line contains it");
        let address = words.split_whitespace().next().expect("an address follows");
        let address =
            address.trim_end_matches(',').parse().unwrap_or_else(|_| panic!("no address in `{line}`"));
        Ok(Self { process, address, log })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Outcome {
    /// What the command printed; it must have done its work.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.stdout
    }

    /// What the command said; it must have ended with `status`.
    pub(crate) fn refused(self, status: i32) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.stdout, "", "words for people do not belong on standard output");
        assert!(self.stderr.contains("error: "), "{self:?}");
        self.stderr
    }
}

/// The program, with nothing in its environment.
pub(crate) fn keywayd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywayd"));
    command.env_clear();
    command
}

/// Runs `command` to its end.
pub(crate) fn run(command: &mut Command, input: &str) -> Outcome {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be run");
    // A command that wants no input may have ended already.
    let _ = process.stdin.take().expect("standard input is piped").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = process.wait_with_output().expect("our own child");
    Outcome { status: status.code().unwrap_or(-1), stdout: text(&stdout), stderr: text(&stderr) }
}

/// Bytes as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn written_in(letter: &str, label: &str) -> String {
    let line = letter.lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no `{label}` in the letter")).trim().to_owned()
}

/// Every file below `directory` with its mode, owner and content.
pub(crate) fn snapshot(directory: &Path) -> Vec<(PathBuf, u32, u32, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let about = fs::symlink_metadata(&path).expect("it is there");
        let mut content = Vec::new();
        if about.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory can be read");
            open.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        } else if about.is_file() {
            content = fs::read(&path).expect("a file can be read");
        }
        found.push((path, about.mode(), about.uid(), content));
    }
    found.sort();
    found
}
