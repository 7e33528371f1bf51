//! What a process that was killed left in its spool: looked through as a whole, because a
//! damaged record must not hide those behind it, and moved into the log.

use super::Medium;
use super::record::{BLOCK, Found, entries_in};
use crate::base::{Clock, SystemClock};
use crate::crypto::Keyring;
use crate::store::StoreError;
use crate::store::audit::{End, Head};
use crate::store::engine::{Snapshot, Writing};
use crate::store::error::FileError;
use crate::store::records::{Action, Entry};
use redb::Database;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a process that was killed left in its spool.
struct Left {
    entries: Vec<Entry>,
    /// What is wrong, if something is.
    problem: Option<String>,
}

/// Moves what is in the spool at `medium` into the audit log of `database`. After that there
/// is no spool any more, or, if something was wrong with it, it has another name.
pub(in crate::store) fn take_over(
    database: &Database,
    keyring: &Arc<Keyring>,
    medium: &mut dyn Medium,
) -> Result<(), FileError> {
    let Some(problem) = take(database, keyring, medium, true)? else { return medium.remove() };
    let aside = medium.set_aside()?;
    tracing::error!(kept = %aside.display(), "the audit spool of the process before is not sound: {problem}");
    Ok(())
}

/// Moves what is in the spool at `medium` into the audit log of `database` and leaves the
/// spool as it is: for a database that is only looked at. Answers what is wrong with it.
pub(in crate::store) fn take_in(
    database: &Database,
    keyring: &Arc<Keyring>,
    medium: &dyn Medium,
) -> Result<Option<String>, FileError> {
    take(database, keyring, medium, false)
}

fn take(
    database: &Database,
    keyring: &Arc<Keyring>,
    medium: &dyn Medium,
    is_noted: bool,
) -> Result<Option<String>, FileError> {
    let Some(bytes) = medium.read()? else { return Ok(None) };
    let head = {
        let snapshot = Snapshot::of(database, Arc::clone(keyring))?;
        Head::to_continue(snapshot.view())?
    };
    let Left { mut entries, problem } = open(&bytes, keyring, &head);
    if let Some(problem) = problem.as_ref().filter(|_| is_noted) {
        let note = Entry::of_machine(SystemClock.now(), Action::AuditSpoolDamaged);
        entries.push(Entry { subject: Some(problem.clone()), ..note });
    }
    if entries.is_empty() {
        return Ok(problem);
    }
    let mut transaction = database.begin_write().map_err(StoreError::from)?;
    transaction.set_quick_repair(true);
    {
        let tables = Writing::new(&transaction);
        let mut end = End::at(head);
        entries.iter().try_for_each(|entry| end.append(&tables, keyring, entry))?;
        end.write(&tables)?;
        end.save(&tables, keyring)?;
    }
    transaction.commit().map_err(StoreError::from)?;
    tracing::info!(entries = entries.len(), "moved audit entries of the process before into the log");
    Ok(problem)
}

/// The entries in `bytes` that go on from `head`.
fn open(bytes: &[u8], keyring: &Keyring, head: &Head) -> Left {
    let mut records = BTreeMap::new();
    let (mut is_ahead, mut is_torn, mut unread) = (false, false, None);
    for start in (0..bytes.len()).step_by(BLOCK) {
        let Some(found) = bytes.get(start..).and_then(Found::parse) else { continue };
        is_ahead |= found.sequence > head.sequence;
        if found.sequence != head.sequence {
            continue;
        }
        let Some(plain) = found.open(keyring, head) else {
            is_torn = true;
            continue;
        };
        let entries = entries_in(&plain).unwrap_or_else(|error| {
            unread = Some(error);
            Vec::new()
        });
        records.insert(found.number, entries);
    }
    let due = records.last_key_value().map_or(0, |(last, _)| *last as usize + 1);
    let missing = due - records.len();
    let problem = if is_ahead {
        Some("it goes on from a later state: the database was put back to an earlier one".to_owned())
    } else if missing > 0 {
        Some(format!("{missing} of {due} records are damaged or missing"))
    } else {
        unread.map(|error| error.to_string())
    };
    if is_torn && problem.is_none() {
        tracing::warn!(
            "the last record of the audit spool is not whole: the machine stopped before its readers were answered"
        );
    }
    Left { entries: records.into_values().flatten().collect(), problem }
}
