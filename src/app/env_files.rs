//! A directory of `.env` files, `OWNER/REPO/ENVIRONMENT.env`, as environments that can be
//! put in. What does not fit the pattern is told and left alone.

use crate::base::{EnvironmentName, RepoName, SecretText};
use crate::cli::Failure;
use crate::cli::transfer::Refused;
use crate::domain::dotenv::reader;
use crate::domain::transfer::{Parcel, Value};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const SUFFIX: &str = ".env";
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Most lines of one file that are told one by one.
const LINES_TOLD: usize = 100;

/// All environments below `dir`, and what there is besides.
pub(super) fn read(dir: &Path) -> Result<(Vec<Parcel>, Vec<Refused>), Failure> {
    let (mut parcels, mut refused) = (Vec::new(), Vec::new());
    for owner in entries(dir)? {
        for repo in below(&owner, "is no directory of repositories", &mut refused)? {
            for file in below(&repo, "is no directory of `.env` files", &mut refused)? {
                match parcel(&owner, &repo, &file, &mut refused) {
                    Ok(parcel) => parcels.push(parcel),
                    Err(why) => refused.push(Refused { what: file.display().to_string(), why }),
                }
            }
        }
    }
    Ok((parcels, refused))
}

fn parcel(owner: &Path, repo: &Path, file: &Path, refused: &mut Vec<Refused>) -> Result<Parcel, String> {
    let name = name(file);
    let environment = name.strip_suffix(SUFFIX).ok_or("is not called `ENVIRONMENT.env`")?;
    let environment = EnvironmentName::parse(environment)
        .map_err(|problem| format!("its name without `.env` is to be an environment, which {problem}"))?;
    let repository = RepoName::parse(&format!("{}/{}", self::name(owner), self::name(repo)))
        .map_err(|problem| format!("the directories it is in are to be a repository, which {problem}"))?;
    let reading = reader::read(text(file)?.expose());
    let mut refuse = |what: String, why: &str| {
        refused.push(Refused { what: format!("{} {what}", file.display()), why: why.to_owned() });
    };
    let more = reading.unclear.len().saturating_sub(LINES_TOLD);
    for number in reading.unclear.into_iter().take(LINES_TOLD) {
        refuse(format!("line {number}"), "is no `KEY=value`");
    }
    if more > 0 {
        refuse(format!("{more} more lines"), "are no `KEY=value`");
    }
    let (mut secrets, mut twice) = (BTreeMap::new(), Vec::new());
    for (key, value) in reading.pairs {
        if secrets.insert(key.clone(), Value(value)).is_some() && !twice.contains(&key) {
            twice.push(key);
        }
    }
    for key in twice {
        secrets.remove(&key);
        refuse(key, "is there twice");
    }
    Ok(Parcel { repository, source: None, environment, kind: None, overrides: Vec::new(), secrets })
}

fn text(file: &Path) -> Result<SecretText, String> {
    const NO_FILE: &str = "is no file; links are not followed";
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    // What is opened is what was looked at, whoever lays a link or a pipe there meanwhile.
    let opened =
        OpenOptions::new().read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(file);
    let opened = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::ELOOP as i32 => NO_FILE.to_owned(),
        _ => unreadable(error),
    })?;
    let about = opened.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(NO_FILE.to_owned());
    }
    if about.len() > FILE_BYTES_MAX {
        return Err("is too large for a `.env` file".to_owned());
    }
    let mut text = String::new();
    let read = opened.take(FILE_BYTES_MAX).read_to_string(&mut text);
    let text = SecretText::new(text);
    read.map(|_| text).map_err(unreadable)
}

/// What is in a directory; a file is refused.
fn below(path: &Path, why: &str, refused: &mut Vec<Refused>) -> Result<Vec<PathBuf>, Failure> {
    if fs::symlink_metadata(path).is_ok_and(|about| about.is_dir()) {
        return entries(path);
    }
    refused.push(Refused { what: path.display().to_string(), why: why.to_owned() });
    Ok(Vec::new())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| Failure::user(format!("cannot read `{}`: {error}", dir.display()));
    let entries = fs::read_dir(dir).map_err(unreadable)?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
