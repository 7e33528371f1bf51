//! Whether all of a database is sound: every record opens and decodes, every reference
//! leads somewhere, the audit log's chain holds. What is wrong is collected, not
//! stumbled over, so that one look tells everything.

mod references;

use super::StoreError;
use super::audit::{Head, MAC_BYTES};
use super::audit_check::Walk;
use super::engine::{Snapshot, Tables};
use super::keys::Span;
use super::tables::{AUDIT, META, NAMES, PURGED_VAULTS, SHEETS, SealedBy, Sheet};
use super::view::{VaultSeal, View};
use super::watch::{Pace, Stretch};
use crate::base::ids::VaultId;
use crate::base::panics;
use references::{Must, References};
use serde::{Deserialize, Serialize};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long one state is held. While it is, no page is used again, and a busy
/// database grows with every commit: two seconds of pushes can double a small one.
const HOLD: Duration = Duration::from_millis(100);
/// Most problems that are told one by one.
const PROBLEMS_TOLD: usize = 100;

/// Tells the present state.
pub(super) type State<'a> = &'a dyn Fn() -> Result<Arc<Snapshot>, StoreError>;

/// What looking at every record found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// How many records there are.
    pub records: u64,
    /// What is wrong, at most the first hundred.
    pub problems: Vec<String>,
    /// How many problems there are.
    pub problem_count: u64,
}

impl Findings {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    /// How many problems there are, in words.
    #[must_use]
    pub fn count(&self) -> String {
        match self.problem_count {
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        }
    }

    /// The first problem, and how many more there are.
    #[must_use]
    pub fn summary(&self) -> String {
        match (self.problems.first(), self.problem_count) {
            (None, _) => "nothing is wrong".to_owned(),
            (Some(first), 1) => first.clone(),
            (Some(first), count) => format!("{first}, and {} more problems", count - 1),
        }
    }

    pub(super) fn note(&mut self, problem: String) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_TOLD {
            self.problems.push(problem);
        }
    }
}

/// Looks at every record of the present state, which `state` tells: it is asked again
/// and again, so that no state is held for long. Each record is held against the state
/// it was found in.
///
/// # Errors
/// Only if there is no state, or the work was called off; what is damaged is a finding.
pub(super) fn walk(state: State<'_>, pace: &Pace) -> Result<Findings, StoreError> {
    walk_holding(HOLD, state, pace)
}

fn walk_holding(hold: Duration, state: State<'_>, pace: &Pace) -> Result<Findings, StoreError> {
    let mut findings = Findings::default();
    let first = state()?;
    let tables = match tables_of(&first, &mut findings) {
        Ok(tables) => tables,
        Err(error) => {
            findings.note(format!("the list of tables cannot be read: {error}"));
            return Ok(findings);
        }
    };
    let total = first.count(tables.iter().map(|sheet| sheet.name)).unwrap_or(0);
    drop(first);
    let mut stretch = pace.begin("verifying", total);
    let references = References::all();
    for sheet in tables {
        let mut place = Place::Begin;
        while !matches!(place, Place::End) {
            let snapshot = state()?;
            let mut look = TableLook {
                view: snapshot.view(),
                snapshot: &snapshot,
                sheet,
                references: &references,
                findings: &mut findings,
                seal: None,
                purged: false,
                chain: None,
            };
            let until = Instant::now() + hold;
            // Over pages that it cannot have written the engine panics.
            place = match panics::caught(|| look.run(&place, until, &mut stretch)) {
                Some(Ok(next)) => next,
                Some(Err(StoreError::Stopped)) => return Err(StoreError::Stopped),
                Some(Err(error)) => {
                    findings.note(format!("table `{}` cannot be read: {error}", sheet.name));
                    Place::End
                }
                None => {
                    findings.note(format!("table `{}` cannot be read: its pages are damaged", sheet.name));
                    Place::End
                }
            };
        }
    }
    stretch.finish();
    Ok(findings)
}

/// How far the look at a table has come.
enum Place {
    Begin,
    /// Behind this key. In the audit log, with the chain up to it as long as it is whole.
    Behind(Vec<u8>, Option<Head>),
    End,
}

/// The tables that are there; a missing and an unknown one is a finding.
fn tables_of(snapshot: &Snapshot, findings: &mut Findings) -> Result<Vec<&'static Sheet>, StoreError> {
    let there = snapshot.names()?;
    for name in &there {
        if !NAMES.contains(&name.as_str()) {
            findings.note(format!("table `{name}` is unknown to this version of keywayd"));
        }
    }
    let known = |sheet: &&Sheet| there.iter().any(|name| name == sheet.name);
    if !there.iter().any(|name| name == META) {
        findings.note(format!("table `{META}` is missing"));
    }
    for sheet in SHEETS.iter().filter(|sheet| !known(sheet)) {
        findings.note(format!("table `{}` is missing", sheet.name));
    }
    Ok(SHEETS.iter().filter(known).collect())
}

/// A look at one table.
struct TableLook<'a> {
    view: View<'a>,
    snapshot: &'a Snapshot,
    sheet: &'static Sheet,
    references: &'a References,
    findings: &'a mut Findings,
    /// Keys of the vault whose records are being looked at.
    seal: Option<VaultSeal>,
    /// Whether that vault has no keys any more, and what it sealed is being swept out.
    purged: bool,
    /// The walk along the audit log's chain, as far as it is whole.
    chain: Option<Walk<'a>>,
}

impl TableLook<'_> {
    /// Goes on from `place` until the table or the time ends.
    fn run(&mut self, place: &Place, until: Instant, stretch: &mut Stretch<'_>) -> Result<Place, StoreError> {
        let (snapshot, name) = (self.snapshot, self.sheet.name);
        let mut span = Span::all();
        match place {
            Place::Behind(key, chain) => {
                span.from = Bound::Excluded(key.clone());
                self.chain = chain.map(|last| Walk::go_on(self.view, last)).transpose()?;
            }
            _ if name == AUDIT.name => self.chain = Some(Walk::begin(self.view)?),
            _ => {}
        }
        let mut next = Place::End;
        snapshot.scan(name, &span, &mut |key, value| {
            self.findings.records += 1;
            match self.record(key, value) {
                Ok(()) => {}
                Err(StoreError::Engine(error)) => return Err(StoreError::Engine(error)),
                Err(error) => self.findings.note(format!("table `{name}`, record {}: {error}", hex(key))),
            }
            if let Some(fault) = self.chain.as_mut().and_then(|chain| chain.step(key, value).err()) {
                self.findings.note(format!("the audit log: {fault}"));
                self.chain = None;
            }
            stretch.did(1)?;
            if Instant::now() < until {
                return Ok(ControlFlow::Continue(()));
            }
            next = Place::Behind(key.to_vec(), self.chain.as_ref().map(Walk::last));
            Ok(ControlFlow::Break(()))
        })?;
        let ended = matches!(next, Place::End);
        if let Some(fault) = self.chain.as_ref().filter(|_| ended).and_then(|chain| chain.end().err()) {
            self.findings.note(format!("the audit log: {fault}"));
        }
        Ok(next)
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let Sheet { name, kind, sealed_by, is_key, decodes } = self.sheet;
        if !is_key(key) {
            return Err(StoreError::damaged(kind, "its key has the wrong length"));
        }
        let plain = match sealed_by {
            SealedBy::Root => Some(self.view.unseal(name, kind, key, value)?),
            SealedBy::Vault => match self.vault_seal(key)? {
                Some(seal) => Some(seal.unseal(name, kind, key, value)?),
                None => return Ok(()),
            },
            SealedBy::Nobody => None,
        };
        let plain = plain.as_deref().map_or(value, Vec::as_slice);
        // An entry of the audit log has its link before it, and the walk looks at that.
        let plain = if *name == AUDIT.name { plain.get(MAC_BYTES..).unwrap_or_default() } else { plain };
        decodes(plain)?;
        let mut must = Must::new(self.snapshot);
        self.references.of(name, key, plain, &mut must)?;
        for missing in must.missing {
            let record = hex(key);
            let problem =
                format!("table `{name}`, record {record}: what it refers to is missing in `{missing}`");
            self.findings.note(problem);
        }
        Ok(())
    }

    /// The keys of the vault that a record belongs to; `None` when they were destroyed and
    /// the record is only not swept out yet.
    fn vault_seal(&mut self, key: &[u8]) -> Result<Option<&VaultSeal>, StoreError> {
        let damaged = || StoreError::damaged(self.sheet.kind, "its vault has no keys");
        let id = key.first_chunk().map(|id| VaultId::from_bytes(*id)).ok_or_else(damaged)?;
        if self.seal.as_ref().is_none_or(|seal| seal.vault != id) {
            self.seal = self.view.vault_seal(id)?;
            self.purged = self.seal.is_none() && self.view.contains(&PURGED_VAULTS, id)?;
        }
        match &self.seal {
            None if !self.purged => Err(damaged()),
            seal => Ok(seal.as_ref()),
        }
    }
}

/// The beginning of a table key: ids and keyed hashes, which give nothing away.
fn hex(key: &[u8]) -> String {
    key.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tables::{PROGRESS, USERS};
    use super::super::tests::user;
    use super::super::{Store, Watch};
    use super::*;
    use std::cell::Cell;

    /// With another state for every record, each with one more record than the one before.
    #[test]
    fn a_state_is_held_no_longer_than_it_should_and_what_is_written_meanwhile_is_no_problem() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = Store::in_memory();
        for number in 1..=20 {
            let one = user(number);
            runtime.block_on(store.write(move |_, batch| batch.put(&USERS, one.id, &one))).unwrap();
        }
        let states = Cell::new(0);
        let state = || {
            let number = states.replace(states.get() + 1);
            if number < 40 {
                runtime.block_on(store.write(move |_, batch| batch.put(&PROGRESS, number, &1)))?;
            }
            Ok(store.latest.snapshot())
        };
        let findings = walk_holding(Duration::ZERO, &state, &Watch::nobody().at_full_speed()).unwrap();
        assert_eq!(findings.problems, Vec::<String>::new());
        assert!(findings.records >= 20 && states.get() > findings.records, "{} states", states.get());
    }
}
