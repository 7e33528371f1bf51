//! `keywayd export` and `keywayd import`. The archive is sealed and opened here, by the
//! command: the passphrase never goes to the server, and the server needs no way to the
//! file.

use super::desk::Desk;
use super::{archive, env_files, load};
use crate::base::{Clock, SecretText, SystemClock};
use crate::cli::admin::{Reply, Request};
use crate::cli::output::{self, ProgressLine};
use crate::cli::transfer::{self, Report};
use crate::cli::{Failure, args, password};
use crate::crypto::archive::{ArchiveError, ArchiveKey, ArchiveLock, Identity, SealedArchive};
use crate::domain::transfer::{Parcel, Piece};
use crate::domain::upkeep::{PASSPHRASE_CHARS_MIN, Progress};
use crate::store::{Draft, FileError, with_suffix};
use std::fs;
use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::path::Path;

/// Longest identity file, in bytes.
const IDENTITIES_BYTES_MAX: u64 = 1 << 20;

/// `keywayd export`
pub(super) fn export(asked: &args::Export) -> Result<(), Failure> {
    let to_stdout = asked.file == Path::new("-");
    if to_stdout && io::stdout().is_terminal() {
        return Err(Failure::user("an archive is nothing for a terminal; name a file, or pipe it on"));
    }
    let lock = lock(&asked.recipients)?;
    let settings = load(&asked.place.overrides())?.settings;
    let mut desk = Desk::of(&settings)?;
    if to_stdout {
        let stdout = io::stdout().lock();
        let name = Path::new("standard output");
        let (mut stdout, totals) = write(&mut desk, &lock, name, stdout)?;
        stdout.flush().map_err(|error| Failure::user(FileError::io(name, error)))?;
        tell(totals, "standard output");
        return Ok(());
    }
    let file = std::path::absolute(&asked.file)
        .map_err(|error| Failure::user(format!("cannot use `{}`: {error}", asked.file.display())))?;
    if fs::exists(&file).map_err(|error| Failure::user(FileError::io(&file, error)))? {
        return Err(Failure::user(FileError::Exists(file)));
    }
    let (draft, target) = Draft::new(with_suffix(&file, ".partial")).map_err(Failure::user)?;
    let (_, totals) = write(&mut desk, &lock, draft.path(), target)?;
    draft.keep_as(&file).map_err(Failure::user)?;
    tell(totals, &format!("`{}`", file.display()));
    Ok(())
}

fn tell(totals: archive::Totals, place: &str) {
    output::words(&format!(
        "{} environments with {} secrets are in {place}",
        totals.environments, totals.secrets
    ));
}

/// Who will be able to open the archive.
fn lock(recipients: &[String]) -> Result<ArchiveLock, Failure> {
    if !recipients.is_empty() {
        let read = |text: &String| {
            text.parse().map_err(|why| Failure::user(format!("`{text}` is no recipient: it {why}")))
        };
        return Ok(ArchiveLock::Recipients(recipients.iter().map(read).collect::<Result<_, _>>()?));
    }
    let words = password::choose("Passphrase of the archive: ")?;
    if words.expose().chars().count() < PASSPHRASE_CHARS_MIN {
        return Err(Failure::user(format!(
            "the passphrase must have at least {PASSPHRASE_CHARS_MIN} characters: who has the file can try as \
             many as they like\n\nhint: a few random words do"
        )));
    }
    Ok(ArchiveLock::Passphrase(words))
}

fn write<W: Write>(
    desk: &mut Desk<'_>,
    lock: &ArchiveLock,
    path: &Path,
    target: W,
) -> Result<(W, archive::Totals), Failure> {
    let failed = |error| Failure::user(FileError::io(path, error));
    let line = ProgressLine::default();
    let mut writer = archive::Writer::begin(lock, target, SystemClock.now()).map_err(failed)?;
    let (mut after, mut done, mut total) = (None, 0, 0);
    loop {
        let piece = piece(desk.ask(Request::Transfer(transfer::Request::Export { after }))?)?;
        total = total.max(piece.total);
        for parcel in &piece.parcels {
            writer.add(parcel).map_err(failed)?;
            done += 1;
            line.show(&Progress { step: "exporting environments".to_owned(), done, total });
        }
        match piece.next {
            Some(place) => after = Some(place),
            None => break,
        }
    }
    line.clear();
    writer.finish().map_err(failed)
}

fn piece(reply: Reply) -> Result<Piece, Failure> {
    match reply {
        Reply::Transfer(transfer::Reply::Exported(piece)) => Ok(piece),
        _ => Err(Failure::misunderstood()),
    }
}

/// `keywayd import`
pub(super) fn import(asked: &args::Import) -> Result<(), Failure> {
    // Before anything else, while this is whoever called it: run as root, the data's owner
    // may not be allowed to read what is to be brought.
    let (parcels, refused) = bring(asked)?;
    let settings = load(&asked.place.overrides())?.settings;
    let mut desk = Desk::of(&settings)?;
    let mut report = Report { dry_run: asked.dry_run, environments: Vec::new(), refused };
    let line = ProgressLine::default();
    let total = parcels.len() as u64;
    for (done, parcel) in (0..).zip(parcels) {
        line.show(&Progress { step: "importing environments".to_owned(), done, total });
        let request = transfer::Request::Import { parcel, dry_run: asked.dry_run };
        match desk.ask(Request::Transfer(request)) {
            Ok(Reply::Transfer(transfer::Reply::Imported(arrival))) => report.environments.push(arrival),
            Ok(_) => return Err(Failure::misunderstood()),
            Err(problem) => {
                line.clear();
                // What is in so far is told all the same.
                if done > 0 {
                    let _ = transfer::show(&report, asked.json);
                }
                return Err(problem);
            }
        }
    }
    line.clear();
    transfer::show(&report, asked.json)
}

fn bring(asked: &args::Import) -> Result<(Vec<Parcel>, Vec<transfer::Refused>), Failure> {
    let path = &asked.source;
    let unreadable = |error: io::Error| Failure::user(format!("cannot read `{}`: {error}", path.display()));
    let about = fs::metadata(path).map_err(unreadable)?;
    if about.is_dir() {
        if asked.identity.is_some() {
            return Err(Failure::user("`--identity` is for an archive; this is a directory"));
        }
        return env_files::read(path);
    }
    let refused = |error: ArchiveError| Failure::user(format!("`{}`: {error}", path.display()));
    let file = fs::File::open(path).map_err(unreadable)?;
    let sealed = SealedArchive::look(BufReader::new(file)).map_err(refused)?;
    let key = match &asked.identity {
        Some(identity) => ArchiveKey::Identities(identities(identity)?),
        None if sealed.takes_passphrase() => {
            ArchiveKey::Passphrase(password::given("Passphrase of the archive: ")?)
        }
        None => {
            return Err(Failure::user(format!(
                "`{}` opens with a private key\n\nhint: name the file it is in with `--identity FILE`",
                path.display()
            )));
        }
    };
    Ok((archive::read(path, sealed.open(&key).map_err(refused)?)?, Vec::new()))
}

fn identities(path: &Path) -> Result<Vec<Identity>, Failure> {
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(IDENTITIES_BYTES_MAX).read_to_string(&mut text));
    let text = SecretText::new(text);
    read.map_err(|error| Failure::user(format!("cannot read `{}`: {error}", path.display())))?;
    match Identity::read_all(&text) {
        Ok(identities) if !identities.is_empty() => Ok(identities),
        Ok(_) => Err(Failure::user(format!("there is no private key in `{}`", path.display()))),
        Err(line) => Err(Failure::user(format!(
            "line {line} of `{}` is no age private key\n\nhint: it looks like `AGE-SECRET-KEY-1…`",
            path.display()
        ))),
    }
}
