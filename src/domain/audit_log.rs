//! The audit log as a whole: what the machine's administrator does with it, and what
//! is done with it in the background.

use super::activity::operator_entry;
use super::journal::{Activity, shown};
use super::progress::FORWARDED;
use super::secrets::Authors;
use super::{Error, Result, Services};
use crate::base::Timestamp;
use crate::store::records::Action;
use crate::store::tables::PROGRESS;
pub use crate::store::{AuditFault, AuditReport, Head};
use crate::store::{Batch, StoreError, View};
use serde::Serialize;
use std::ops::ControlFlow;

/// Most entries looked at for one piece of an export.
const LOOKED_AT_ONCE: usize = 5_000;
/// Most text in one piece of an export, in bytes; one entry may exceed it.
const EXPORTED_BYTES_AT_ONCE: usize = 4 << 20;
/// Most entries that leave the log in one step.
const PRUNED_AT_ONCE: usize = 1_000;

/// An entry as it is exported: its number in the chain, and all that people see.
#[derive(Serialize)]
struct ExportedEntry {
    sequence: u64,
    #[serde(flatten)]
    entry: Activity,
}

/// Some of the log, written out.
#[derive(Clone, Debug, Default, Serialize, serde::Deserialize)]
pub struct Exported {
    /// One JSON document per entry.
    pub lines: Vec<String>,
    /// Number of the last entry that was looked at.
    pub last: u64,
    /// Whether that was the end of the log.
    pub end: bool,
}

impl Services {
    /// Walks the whole audit log and says whether it is as it was written.
    ///
    /// # Errors
    /// If the store fails; what is wrong with the log is in the report.
    pub async fn verify_audit(&self, checkpoint: Option<Head>) -> Result<AuditReport> {
        self.read_log(move |view| view.audit().verify(checkpoint)).await
    }

    /// Where the audit log ends, to be kept elsewhere.
    ///
    /// # Errors
    /// If the store fails or the head is damaged.
    pub async fn audit_head(&self) -> Result<Head> {
        self.read_log(|view| view.audit().head()).await
    }

    /// Writes out a piece of the audit log: entries behind number `after` that are not
    /// older than `since`. To be called with the last number it told until the end.
    ///
    /// # Errors
    /// If the store fails or an entry is damaged.
    pub async fn export_audit(&self, after: u64, since: Option<Timestamp>) -> Result<Exported> {
        self.read_log(move |view| {
            let mut authors = Authors::new(view);
            let (mut looked, mut bytes, mut failed) = (0, 0, None);
            let mut piece = Exported { last: after, end: true, ..Exported::default() };
            view.audit().after(after, |sequence, entry| {
                if looked == LOOKED_AT_ONCE || bytes >= EXPORTED_BYTES_AT_ONCE {
                    piece.end = false;
                    return ControlFlow::Break(());
                }
                (looked, piece.last) = (looked + 1, sequence);
                if since.is_some_and(|since| entry.at < since) {
                    return ControlFlow::Continue(());
                }
                let line = shown(&mut authors, entry).and_then(|entry| {
                    let line = serde_json::to_string(&ExportedEntry { sequence, entry });
                    line.map_err(|error| StoreError::unwritable("audit entry", &error))
                });
                match line {
                    Ok(line) => {
                        bytes += line.len();
                        piece.lines.push(line);
                        ControlFlow::Continue(())
                    }
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            failed.map_or(Ok(piece), Err)
        })
        .await
    }

    /// Notes that the machine's administrator exports the audit log.
    ///
    /// # Errors
    /// If the write fails.
    pub async fn note_audit_export(&self) -> Result<()> {
        self.note(operator_entry(self.now(), Action::AuditExported)).await
    }

    /// Number of the last entry that was copied elsewhere, as far as is known here; at
    /// least that of the last one that is no longer kept.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn audit_forwarded(&self) -> Result<u64> {
        let known = self.store().read(|view| {
            let base = view.audit().base()?.sequence;
            Ok::<_, StoreError>(view.find(&PROGRESS, FORWARDED)?.unwrap_or_default().max(base))
        });
        Ok(known?)
    }

    /// Remembers up to which entry the log was copied elsewhere.
    ///
    /// # Errors
    /// If the write fails.
    pub async fn note_audit_forwarded(&self, sequence: u64) -> Result<()> {
        self.store().write(move |_, batch| Ok(batch.put(&PROGRESS, FORWARDED, &sequence)?)).await
    }

    /// Lets go of entries past their retention; returns how many. What is left can be
    /// verified as before.
    ///
    /// # Errors
    /// If the store fails, or the chain is broken where entries should leave.
    pub async fn prune_audit(&self) -> Result<u64> {
        let before = self.now().minus(self.settings().audit_time());
        let mut pruned = 0;
        loop {
            let step = move |view: View<'_>, batch: &mut Batch<'_>| {
                view.audit().prune(batch, before, PRUNED_AT_ONCE)
            };
            let count = self.store().write(step).await?;
            pruned += count as u64;
            if count < PRUNED_AT_ONCE {
                break;
            }
        }
        if pruned > 0 {
            let note = operator_entry(self.now(), Action::AuditPruned);
            self.note(note.regarding(format!("{pruned} entries from before {before}"))).await?;
        }
        Ok(pruned)
    }

    pub(super) async fn note(&self, note: crate::store::records::Entry) -> Result<()> {
        self.store()
            .write(move |_, batch| {
                batch.audit(note);
                Ok(())
            })
            .await
    }

    /// All of the log. A walk through it is no work for an async thread.
    async fn read_log<T: Send + 'static>(
        &self,
        read: impl FnOnce(View<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T> {
        let services = self.clone();
        let read = tokio::task::spawn_blocking(move || services.store().read_log(read));
        Ok(read.await.map_err(Error::internal)??)
    }
}
