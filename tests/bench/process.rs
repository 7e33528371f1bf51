//! The servers as processes, and what the kernel knows of them.

use crate::Outcome;
use crate::load::{self, Call};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server under measurement; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From `exec` to the first answer.
    pub(crate) ready: Duration,
}

/// Processor time by thread.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// The thread that commits.
    pub(crate) writer: Duration,
    /// All others.
    pub(crate) others: Duration,
}

impl Server {
    /// Starts the appliance on the data in `dir` and waits until it answers. Its log goes
    /// to a file there, as it would to a journal; its limits are on, but out of reach.
    pub(crate) fn appliance(dir: &Path, relaxed: bool) -> Outcome<Self> {
        let log = dir.join("log");
        let begin = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_keywayd"))
            .env_clear()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .env("KEYWAYD_MASTER_KEY__FILE", dir.join("master.key"))
            .env("KEYWAYD_RATE_LIMIT__GENERAL", "1000000000/1s")
            .env("KEYWAYD_RATE_LIMIT__REVEAL", "1000000000/1s")
            .env("KEYWAYD_AUDIT__READS", if relaxed { "relaxed" } else { "durable" })
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut server = Self { child, address: ([127, 0, 0, 1], 0).into(), ready: Duration::ZERO };
        server.address = crate::listening::address(&mut server.child, &log)?;
        load::once(server.address, &Call::get("/health", "-"))?;
        server.ready = begin.elapsed();
        Ok(server)
    }

    /// Starts the yardstick, which answers with what the file at `answer` holds.
    pub(crate) fn bare(answer: &Path) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(crate::bare::COMMAND).arg(answer).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()?, ready: Duration::ZERO })
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory that is resident, in bytes.
    pub(crate) fn resident_bytes(&self) -> Outcome<u64> {
        let status = fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> Outcome<Cpu> {
        let mut cpu = Cpu::default();
        for thread in fs::read_dir(self.proc("task"))? {
            let thread = thread?.path();
            let name = fs::read_to_string(thread.join("comm"))?;
            let stat = fs::read_to_string(thread.join("schedstat"))?;
            let nanos = stat.split(' ').next().ok_or("no time")?.parse()?;
            let sum = if name.trim() == "store-writer" { &mut cpu.writer } else { &mut cpu.others };
            *sum += Duration::from_nanos(nanos);
        }
        Ok(cpu)
    }

    /// Asks the server to stop and waits for it.
    pub(crate) fn stop(mut self) -> Outcome<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
