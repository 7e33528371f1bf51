//! What lies on the disk: who can read it, whether there is room, how old it is.

use super::super::{backups, data};
use super::Patient;
use crate::base::{Clock, SystemClock, Timestamp};
use crate::cli::doctor::Report;
use crate::config::KeySource;
use crate::crypto::MasterKey;
use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// A clock that is further behind than this has been set wrong, or was set back.
const CLOCK_SLACK: Duration = Duration::from_secs(60);
/// No machine that runs this program lives before 2025.
const NOT_BEFORE: Timestamp = Timestamp::from_millis(1_735_689_600_000);
/// Room for the database to grow, in bytes, beside that for a copy of it.
const ROOM_BYTES: u64 = 64 << 20;

/// Who owns the data directory and what is in it, and who can look into it.
pub(super) fn data_directory(patient: &Patient<'_>, report: &mut Report) {
    const CHECK: &str = "data directory";
    let dir = &patient.settings.storage.data_dir;
    let shown = dir.display();
    let about = match fs::metadata(dir) {
        Ok(about) => about,
        Err(error) => {
            let hint = "run `keywayd init`, or check `storage.data_dir`";
            return report.bad(CHECK, format!("cannot look at `{shown}`: {error}"), hint);
        }
    };
    let me = Uid::effective();
    if !me.is_root() && me.as_raw() != about.uid() {
        let hint = "run this as root or as the directory's owner, and the server as its owner";
        return report.bad(CHECK, format!("`{shown}` belongs to user {}, not to {me}", about.uid()), hint);
    }
    let mut is_good = true;
    if about.mode() & 0o077 != 0 {
        is_good = false;
        let message = format!("other users can look into `{shown}` (mode {:04o})", about.mode() & 0o7777);
        report.bad(CHECK, message, format!("run `chmod 700 {shown}`"));
    }
    for (path, file) in files_in(dir) {
        let path = path.display();
        if file.uid() != about.uid() {
            is_good = false;
            let message =
                format!("`{path}` belongs to user {}, the directory to {}", file.uid(), about.uid());
            report.bad(CHECK, message, format!("run `chown {}:{} {path}`", about.uid(), about.gid()));
        }
        if file.mode() & 0o077 != 0 {
            is_good = false;
            let message = format!("other users can use `{path}` (mode {:04o})", file.mode() & 0o7777);
            report.bad(CHECK, message, format!("run `chmod 600 {path}`"));
        }
    }
    if is_good {
        report.good(CHECK, format!("`{shown}` and what is in it are for user {} alone", about.uid()));
    }
    let letter = dir.join("first-login");
    if letter.exists() {
        let message = format!("`{}` still holds a password and an API key", letter.display());
        report.warn("first login", message, "read it, then delete it");
    }
}

/// What lies in the directory itself: keywayd makes no directories in it.
fn files_in(dir: &Path) -> Vec<(std::path::PathBuf, Metadata)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .filter(|(_, about)| !about.is_dir() && !about.is_symlink())
        .collect();
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    files
}

/// Whether the key can be had, and by whom; and that it does not lie with what it opens.
pub(super) fn master_key(patient: &Patient<'_>, report: &mut Report) {
    const CHECK: &str = "master key";
    let path = match patient.settings.master_key.source() {
        KeySource::File(path) => match MasterKey::load(path) {
            Ok(_) => path,
            Err(error) => return report.failed(CHECK, error, "bring the key back from its copy"),
        },
        KeySource::PassphraseFile(path) => path,
        KeySource::Credential(name) => {
            return report.good(CHECK, format!("the service manager hands it over as `{name}`"));
        }
        KeySource::Variable(name) => return report.good(CHECK, format!("it is in the variable `{name}`")),
    };
    let shown = path.display();
    if let Ok(about) = fs::metadata(path)
        && about.mode() & 0o077 != 0
    {
        let message = format!("other users can read `{shown}` (mode {:04o})", about.mode() & 0o7777);
        let hint = format!("run `chmod 600 {shown}`, and `keywayd key rotate` if anybody may have read it");
        report.bad(CHECK, message, hint);
    }
    let data = fs::canonicalize(&patient.settings.storage.data_dir);
    let beside = fs::canonicalize(path).is_ok_and(|path| data.is_ok_and(|data| path.starts_with(data)));
    if beside {
        report.warn(
            CHECK,
            format!("`{shown}` lies beside the data: whoever copies the directory has both"),
            "keep a copy elsewhere; put it outside the directory and set `master_key.file`",
        );
    } else {
        report.good(CHECK, format!("`{shown}` lies apart from the data"));
    }
}

/// Whether there is room for the data to grow and for copies of it.
pub(super) fn disk_space(patient: &Patient<'_>, report: &mut Report) {
    let database = fs::metadata(data::directory(patient.settings).database()).map_or(0, |about| about.len());
    room(&patient.settings.storage.data_dir, database, report);
    if let Some(dir) = &patient.settings.backup.dir {
        room(dir, database, report);
    }
}

fn room(dir: &Path, database: u64, report: &mut Report) {
    const CHECK: &str = "disk space";
    const HINT: &str = "make room, or use a larger disk: writes fail when it is full, and so do backups";
    // A directory that is still to be made lies where its parent is.
    let Some(there) = dir.ancestors().find(|path| path.exists()) else { return };
    let Ok(about) = statvfs(there) else { return };
    #[expect(clippy::useless_conversion, reason = "its types differ from machine to machine")]
    let free = u64::from(about.blocks_available()) * u64::from(about.fragment_size());
    let message = format!("{} MiB are free for `{}`", free >> 20, dir.display());
    if free < database.saturating_add(ROOM_BYTES) {
        report.bad(CHECK, message, HINT);
    } else if free < database.saturating_add(ROOM_BYTES).saturating_mul(4) {
        report.warn(CHECK, message, HINT);
    } else {
        report.good(CHECK, message);
    }
}

/// How old the newest backup is.
pub(super) fn backups(patient: &Patient<'_>, report: &mut Report) {
    const CHECK: &str = "backups";
    let backup = &patient.settings.backup;
    let Some(dir) = &backup.dir else {
        let hint =
            "set `backup.dir`, best to another disk, or run `keywayd backup FILE` from a timer of yours";
        return report.warn(CHECK, "the server takes none", hint);
    };
    let shown = dir.display();
    match backups::newest(dir).unwrap_or_default() {
        None => report.warn(
            CHECK,
            format!("there is none in `{shown}` yet"),
            "the server takes one when it starts; if it runs, its log says what is wrong",
        ),
        Some(last) if SystemClock.now().since(last) > backup.every * 2 => report.bad(
            CHECK,
            format!("the newest in `{shown}` is of {last}, older than two should be"),
            "see that the server runs and that it can write there; its log says what is wrong",
        ),
        Some(last) => report.good(CHECK, format!("the newest in `{shown}` is of {last}")),
    }
}

/// When a file was written.
fn written_at(about: &Metadata) -> Option<Timestamp> {
    let since = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(Timestamp::from_millis)
}

/// Whether the clock can be right: what was written was written in the past.
pub(super) fn clock(patient: &Patient<'_>, report: &mut Report) {
    const CHECK: &str = "clock";
    const HINT: &str =
        "set it, and keep it by NTP: sessions, codes, certificates and the audit log depend on it";
    let now = SystemClock.now();
    let database = fs::metadata(data::directory(patient.settings).database()).ok();
    let written = database.as_ref().and_then(written_at).unwrap_or_default();
    if now < NOT_BEFORE {
        report.bad(CHECK, format!("it says {now}"), HINT);
    } else if written > now.plus(CLOCK_SLACK) {
        report.bad(CHECK, format!("it says {now}, but the database was written at {written}"), HINT);
    } else {
        report.good(CHECK, format!("it says {now}"));
    }
}
