//! The server on processors of its own, as if attackers and clients sat at other machines.
//!
//! Over loopback they would share processors, and the kernel's scheduler, which hands
//! them out for milliseconds, would decide what a client feels. So the server has one
//! half of the processors and everybody else the other; and there the client that is
//! measured goes before the attackers, as it would on a machine of its own.

use crate::Outcome;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::process::Command;

/// Who runs where.
pub(crate) struct Halves {
    server: CpuSet,
    others: CpuSet,
    /// For the reader of the table.
    pub(crate) told: String,
}

impl Halves {
    /// Halves what this process may use. A server alone on one processor is the hardest
    /// case: whatever it does, everybody else waits.
    pub(crate) fn of_this_machine() -> Outcome<Self> {
        let mine = sched_getaffinity(Pid::from_raw(0))?;
        let all: Vec<usize> =
            (0..CpuSet::count()).filter(|number| mine.is_set(*number) == Ok(true)).collect();
        let (server, others) = all.split_at(all.len() / 2);
        if server.is_empty() {
            return Err("this needs two processors, one of them for the server alone".into());
        }
        let told = format!("processors {server:?} for the server, {others:?} for all others");
        Ok(Self { server: set(server)?, others: set(others)?, told })
    }

    /// Has this thread, and whatever it starts from now on, run where the server belongs.
    pub(crate) fn take_the_servers(&self) -> Outcome<()> {
        Ok(sched_setaffinity(Pid::from_raw(0), &self.server)?)
    }

    /// The same where everybody else belongs. This thread alone, which measures, goes before
    /// them, if that is allowed; whether it is enough if not, the row without an attack tells.
    pub(crate) fn take_the_others(&self) -> Outcome<()> {
        sched_setaffinity(Pid::from_raw(0), &self.others)?;
        let me = std::process::id().to_string();
        // What it starts (attackers) does not inherit that.
        let status = Command::new("chrt").args(["--reset-on-fork", "--fifo", "--pid", "1", &me]).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!(
                "WARNING: the client that is measured waits for its processor behind the attackers; \
                 run this as root, with util-linux"
            );
        }
        Ok(())
    }
}

fn set(numbers: &[usize]) -> Outcome<CpuSet> {
    let mut set = CpuSet::new();
    for number in numbers {
        set.set(*number)?;
    }
    Ok(set)
}
