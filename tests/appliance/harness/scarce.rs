//! A machine that is short of room. Not every machine can be made so: some sandboxes take the limit and do not
//! keep it, or tell another size than the disk has. There the caller is told to say that it was skipped.

use super::appliance::{Outcome, keywayd, run};
use std::path::Path;
use std::process::Command;

/// Runs the program where no file may become longer than `kib` KiB, to a program the same as a full disk.
pub(crate) fn with_short_files(kib: u32, arguments: &[&str]) -> Option<Outcome> {
    let limited = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", &limited, "bash"]);

    let place = tempfile::tempdir().expect("a scratch directory can be made");
    let file = place.path().join("long");
    // By writing as by giving it the length: both are how files grow.
    for grow in ["head -c 100M /dev/zero > \"$1\"", "truncate -s 100M \"$1\""] {
        let mut probe = Command::new("/bin/bash");
        probe.args(["-c", &limited, "bash", "/bin/bash", "-c", grow, "bash"]).arg(&file);
        if run(&mut probe, "").status == 0 {
            return None;
        }
    }
    Some(run(shell.env_clear().arg(keywayd().get_program()).args(arguments), ""))
}

/// Runs the program with `directory` on a disk of its own of `mib` MiB.
pub(crate) fn on_small_disk(mib: u32, directory: &Path, arguments: &[&str]) -> Option<Outcome> {
    let script = format!(
        "mount -t tmpfs -o size={mib}m tmpfs \"$1\" || exit 99
        [ $(df --output=size --block-size=1M \"$1\" | tail -n 1) = {mib} ] || exit 99
        shift; exec \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(directory);
    command.arg(keywayd().get_program()).args(arguments);
    // Without what this process is told by the environment: the program would take it for settings.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let outcome = run(&mut command, "");
    // What `unshare` itself cannot do ends with 1, as a problem found does, but the program always says something.
    (outcome.status != 99 && !outcome.stdout.is_empty()).then_some(outcome)
}
