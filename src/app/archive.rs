//! The archive that `export` writes and `import` reads: an age file, in it lines of JSON.
//! The first says what it is, then comes a line for each environment, and the last
//! counts them.
//!
//! ```text
//! {"format":"keywayd archive","version":1,"madeAt":"2026-01-15T10:00:00Z","madeBy":"keywayd 0.1.0"}
//! {"repository":"acme/api","source":"local","environment":"production","type":"protected","secrets":{"A":"1"}}
//! {"end":{"environments":1,"secrets":1}}
//! ```

use crate::base::{SecretText, Timestamp};
use crate::cli::Failure;
use crate::crypto::archive::{ArchiveLock, ArchiveWriter};
use crate::domain::transfer::Parcel;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use zeroize::Zeroizing;

const FORMAT: &str = "keywayd archive";
const VERSION: u32 = 1;
/// Longest line, in bytes: the largest environment that can be configured, every byte of it
/// escaped, and more.
const LINE_BYTES_MAX: u64 = 512 << 20;
/// Most bytes in an archive: all of it is looked at before anything is put in.
const BYTES_MAX: u64 = 2 << 30;
const END: &str = "{\"end\":";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    format: String,
    version: u32,
    made_at: String,
    made_by: String,
}

#[derive(Serialize, Deserialize)]
struct End {
    end: Totals,
}

/// What is in an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) environments: u64,
    pub(super) secrets: u64,
}

impl Totals {
    fn add(&mut self, parcel: &Parcel) {
        self.environments += 1;
        self.secrets += parcel.secrets.len() as u64;
    }
}

/// An archive in the making.
pub(super) struct Writer<W: Write> {
    target: BufWriter<ArchiveWriter<W>>,
    totals: Totals,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(lock: &ArchiveLock, target: W, now: Timestamp) -> io::Result<Self> {
        let mut target = BufWriter::new(ArchiveWriter::begin(lock, target)?);
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            made_at: now.to_string(),
            made_by: concat!("keywayd ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        line(&mut target, &header)?;
        Ok(Self { target, totals: Totals::default() })
    }

    pub(super) fn add(&mut self, parcel: &Parcel) -> io::Result<()> {
        self.totals.add(parcel);
        line(&mut self.target, parcel)
    }

    /// Writes the end; what was begun and not finished does not open.
    pub(super) fn finish(mut self) -> io::Result<(W, Totals)> {
        line(&mut self.target, &End { end: self.totals })?;
        let sealed = self.target.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((sealed.finish()?, self.totals))
    }
}

fn line(target: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let text = Zeroizing::new(serde_json::to_vec(value)?);
    target.write_all(&text)?;
    target.write_all(b"\n")
}

/// Everything in an archive whose content is `source`. All of it is read, so that one
/// that is cut off or altered brings nothing.
pub(super) fn read(path: &Path, source: impl Read) -> Result<Vec<Parcel>, Failure> {
    let refused = |why: &str| Failure::user(format!("`{}`: {why}; nothing was changed", path.display()));
    let mut lines = BufReader::new(source.take(BYTES_MAX));
    let mut next = || -> Result<SecretText, Failure> {
        let mut text = String::new();
        match (&mut lines).take(LINE_BYTES_MAX).read_line(&mut text) {
            Ok(_) => Ok(SecretText::new(text)),
            Err(error) => Err(refused(&format!("it is damaged or cut off ({error})"))),
        }
    };
    let header: Header = serde_json::from_str(next()?.expose())
        .map_err(|_| refused("it opens, but there is no keywayd archive in it"))?;
    if header.format != FORMAT {
        return Err(refused("it opens, but there is no keywayd archive in it"));
    }
    if header.version > VERSION {
        return Err(refused(&format!("it was written by {}, which is newer than this", header.made_by)));
    }
    let (mut parcels, mut found) = (Vec::new(), Totals::default());
    loop {
        let text = next()?;
        if text.expose().starts_with(END) {
            let end: End =
                serde_json::from_str(text.expose()).map_err(|_| refused("its end makes no sense"))?;
            if end.end != found || !next()?.expose().is_empty() {
                return Err(refused("it does not hold what its end says"));
            }
            return Ok(parcels);
        }
        // What is wrong is not told: the words could quote a value.
        let parcel: Parcel = serde_json::from_str(text.expose())
            .map_err(|_| refused(&format!("environment {} in it makes no sense", found.environments + 1)))?;
        found.add(&parcel);
        parcels.push(parcel);
    }
}
