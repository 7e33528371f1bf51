//! Walking the audit chain: to verify it, and to let its oldest entries go.

use super::StoreError;
use super::audit::{AuditLog, BASE, HEAD, Head, Journal, open, read_mark};
use super::batch::{Batch, Change};
use super::codec;
use super::keys::{Span, TableKey};
use super::records::Entry;
use super::tables::AUDIT;
use super::view::View;
use crate::base::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;

/// What walking the chain came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Number of the first entry that is kept.
    pub first: u64,
    /// Number of the last entry up to which everything is as it was written; one below
    /// `first` when that holds for none.
    pub sound_to: u64,
    /// When that entry was written.
    pub sound_until: Option<Timestamp>,
    /// The first place where the log is not as it was written.
    pub fault: Option<AuditFault>,
    /// Whether the checkpoint could be compared; `None` when none was given. A
    /// checkpoint older than everything that is kept cannot.
    pub checkpoint_seen: Option<bool>,
}

/// Where and how the log is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFault {
    /// Number of the entry at fault; `None` for the records that say where the log
    /// begins and ends.
    pub sequence: Option<u64>,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sequence {
            Some(number) => write!(f, "entry {number} {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl AuditFault {
    fn at(sequence: u64, problem: impl Into<String>) -> Self {
        Self { sequence: Some(sequence), problem: problem.into() }
    }

    fn of(mark: &'static str, error: &StoreError) -> Self {
        Self { sequence: None, problem: format!("the record of the log's {mark} does not open: {error}") }
    }
}

/// The walk: how far it is and what it found.
pub(super) struct Walk<'a> {
    view: View<'a>,
    last: Head,
    last_at: Option<Timestamp>,
    checkpoint: Option<Head>,
    seen: bool,
}

impl<'a> Walk<'a> {
    /// At the beginning of the log.
    pub(super) fn begin(view: View<'a>) -> Result<Self, StoreError> {
        let base = AuditLog(view).base()?;
        Ok(Self { view, last: base, last_at: None, checkpoint: None, seen: false })
    }

    /// Behind `last`, up to which an earlier state was looked at. Its oldest entries may
    /// have been let go since, and those after it with them.
    pub(super) fn go_on(view: View<'a>, last: Head) -> Result<Self, StoreError> {
        let begin = Self::begin(view)?;
        Ok(if begin.last.sequence > last.sequence { begin } else { Self { last, ..begin } })
    }

    /// The entry it has come to.
    pub(super) const fn last(&self) -> Head {
        self.last
    }

    /// Whether the log ends here.
    pub(super) fn end(&self) -> Result<(), AuditFault> {
        let head = read_mark(self.view, HEAD).map_err(|error| AuditFault::of("end", &error))?;
        self.finish(head)
    }

    /// Takes the next record of the table. Either it is the next link, or the fault is told.
    pub(super) fn step(&mut self, key: &[u8], sealed: &[u8]) -> Result<Entry, AuditFault> {
        let due = self.last.sequence + 1;
        let Some(number) = u64::from_bytes(key) else {
            return Err(AuditFault::at(due, "a record stands here whose key is no number"));
        };
        if number < due {
            return Err(AuditFault::at(number, "stands before the beginning of the log"));
        }
        if number > due {
            let problem = match number - 1 {
                last if last == due => "is missing".to_owned(),
                last => format!("is missing, and so are all up to entry {last}"),
            };
            return Err(AuditFault::at(due, problem));
        }
        let altered = |_| AuditFault::at(due, "was altered, or belongs to another place");
        let (mac, encoded) = open(self.view, key, sealed).map_err(altered)?;
        if self.view.keyring().audit.link(&self.last.mac, due, &encoded) != mac {
            return Err(AuditFault::at(due, "does not continue the chain"));
        }
        let entry: Entry = codec::decode(&encoded).map_err(altered)?;
        self.last = Head { sequence: due, mac };
        self.last_at = Some(entry.at);
        self.compare()?;
        Ok(entry)
    }

    fn compare(&mut self) -> Result<(), AuditFault> {
        let Some(checkpoint) = self.checkpoint.filter(|head| head.sequence == self.last.sequence) else {
            return Ok(());
        };
        self.seen = true;
        if checkpoint == self.last {
            return Ok(());
        }
        let problem = "is not the entry that the checkpoint was taken at: the log was written anew";
        Err(AuditFault::at(checkpoint.sequence, problem))
    }

    /// Looks whether the log ends where it should.
    fn finish(&self, head: Option<Head>) -> Result<(), AuditFault> {
        let Some(head) = head else {
            let problem = "the record of the log's end is missing".to_owned();
            return Err(AuditFault { sequence: None, problem });
        };
        let missing = |to: u64| {
            let next = self.last.sequence + 1;
            let more = if to > next { format!(", and so are all up to entry {to}") } else { String::new() };
            AuditFault::at(next, format!("is missing at the end{more}"))
        };
        if head.sequence > self.last.sequence {
            return Err(missing(head.sequence));
        }
        if head.sequence < self.last.sequence {
            return Err(AuditFault::at(head.sequence + 1, "stands behind the log's end"));
        }
        if head != self.last {
            return Err(AuditFault::at(head.sequence, "is not the entry that the log's end names"));
        }
        match self.checkpoint {
            Some(checkpoint) if checkpoint.sequence > self.last.sequence => Err(missing(checkpoint.sequence)),
            _ => Ok(()),
        }
    }
}

impl AuditLog<'_> {
    /// Walks the whole chain, and compares it with a checkpoint taken earlier.
    /// Takes some microseconds per entry.
    ///
    /// # Errors
    /// If the engine fails; what is wrong with the log is in the report.
    pub fn verify(self, checkpoint: Option<Head>) -> Result<AuditReport, StoreError> {
        let mark = |key, name| match read_mark(self.0, key) {
            Ok(mark) => Ok((mark, None)),
            Err(error @ StoreError::Damaged { .. }) => Ok((None, Some(AuditFault::of(name, &error)))),
            Err(error) => Err(error),
        };
        let (base, mut fault) = mark(BASE, "beginning")?;
        let (head, no_end) = mark(HEAD, "end")?;
        let base = base.unwrap_or(Head::START);
        let mut walk = Walk { view: self.0, last: base, last_at: None, checkpoint, seen: false };
        if fault.is_none() {
            fault = walk.compare().err();
        }
        if fault.is_none() {
            self.0.tables.scan(AUDIT.name, &Span::all(), &mut |key, sealed| {
                fault = walk.step(key, sealed).err();
                Ok(if fault.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        let fault = fault.or(no_end).or_else(|| walk.finish(head).err());
        Ok(AuditReport {
            first: base.sequence + 1,
            sound_to: walk.last.sequence,
            sound_until: walk.last_at,
            fault,
            checkpoint_seen: checkpoint.map(|_| walk.seen),
        })
    }

    /// Takes up to `most` entries older than `before` out of the front of the log, and
    /// seals the new beginning. It never goes past a place where the chain is broken:
    /// that would destroy the evidence. Returns how many entries leave.
    ///
    /// # Errors
    /// If the engine fails, or the log is broken where entries should leave.
    pub fn prune(self, batch: &mut Batch<'_>, before: Timestamp, most: usize) -> Result<usize, StoreError> {
        let mut walk = Walk::begin(self.0)?;
        let mut leaving: HashMap<Vec<u8>, (Journal, u64)> = HashMap::new();
        let mut count = 0;
        let mut leaves = walk.last;
        self.0.tables.scan(AUDIT.name, &Span::all(), &mut |key, sealed| {
            if count == most {
                return Ok(ControlFlow::Break(()));
            }
            let entry = walk.step(key, sealed).map_err(|fault| StoreError::damaged("audit log", fault))?;
            if entry.at >= before {
                return Ok(ControlFlow::Break(()));
            }
            batch.change(Change { table: AUDIT.name, key: key.to_vec(), value: None });
            for journal in Journal::of(&entry) {
                leaving.entry(journal.key(0)).or_insert((journal, 0)).1 += 1;
            }
            (count, leaves) = (count + 1, walk.last);
            Ok(ControlFlow::Continue(()))
        })?;
        for (journal, number) in leaving.into_values() {
            // Entries are counted through in the order of the log, so the first ones leave.
            let Some((first, _)) = journal.bounds(self.0.tables)? else { continue };
            for ordinal in first..first + number {
                let key = journal.key(ordinal);
                batch.change(Change { table: journal.table(), key, value: None });
            }
        }
        if count > 0 {
            batch.change(leaves.as_base(self.0.keyring()));
        }
        Ok(count)
    }
}
