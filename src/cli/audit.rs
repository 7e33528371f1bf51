//! `keywayd audit`: what the operator asks about the audit log, and how the answers
//! are shown.

use super::output::{self, Failure};
use crate::base::{Clock, SystemClock, Timestamp, duration};
use crate::domain::Services;
use crate::domain::audit_log::{AuditReport, Exported, Head};
use serde::{Deserialize, Serialize};

/// What the operator wants to know of the audit log.
#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    /// Whether it is as it was written.
    Verify {
        /// Where it once ended.
        checkpoint: Option<Head>,
    },
    /// Its entries, a piece at a time.
    Export {
        /// Behind which number.
        after: u64,
        /// Not older than this.
        since: Option<Timestamp>,
    },
    /// Where it ends.
    Head,
}

/// What there is to say.
#[derive(Debug, Serialize, Deserialize)]
pub enum Statement {
    /// What walking the chain came to.
    Report(AuditReport),
    /// Some entries.
    Entries(Exported),
    /// Where the log ends.
    Head(Head),
}

/// Finds out what is asked.
///
/// # Errors
/// What the services answer.
pub async fn answer(services: &Services, question: Question) -> Result<Statement, Failure> {
    Ok(match question {
        Question::Verify { checkpoint } => Statement::Report(services.verify_audit(checkpoint).await?),
        Question::Head => Statement::Head(services.audit_head().await?),
        Question::Export { after, since } => {
            if after == 0 {
                services.note_audit_export().await?;
            }
            Statement::Entries(services.export_audit(after, since).await?)
        }
    })
}

/// Shows an answer, as JSON where a script wants it.
///
/// # Errors
/// When the log is not as it was written.
pub fn show(statement: &Statement, json: bool) -> Result<(), Failure> {
    match statement {
        Statement::Head(head) => output::data(&head.to_string()),
        Statement::Entries(piece) if piece.lines.is_empty() => {}
        Statement::Entries(piece) => output::data(&piece.lines.join("\n")),
        Statement::Report(report) => {
            if json {
                output::data(&serde_json::to_string_pretty(&as_json(report)).map_err(Failure::ours)?);
            }
            return verdict(report).map(|words| output::words(&words));
        }
    }
    Ok(())
}

fn as_json(report: &AuditReport) -> serde_json::Value {
    serde_json::json!({
        "sound": report.fault.is_none(),
        "first": report.first,
        "soundTo": report.sound_to,
        "soundUntil": report.sound_until.map(|at| at.to_string()),
        "fault": report.fault.as_ref().map(|fault| {
            serde_json::json!({ "sequence": fault.sequence, "problem": fault.problem })
        }),
        "checkpointCompared": report.checkpoint_seen,
    })
}

fn verdict(report: &AuditReport) -> Result<String, Failure> {
    let until = report.sound_until.map(|at| format!(", the last of them from {at}")).unwrap_or_default();
    let range = if report.sound_to < report.first {
        "no entry".to_owned()
    } else {
        format!("entries {} to {}{until}", report.first, report.sound_to)
    };
    let Some(fault) = &report.fault else {
        let checkpoint = match report.checkpoint_seen {
            None => "",
            Some(true) => "; the checkpoint is part of it",
            Some(false) => "; the checkpoint is older than all that is kept and could not be compared",
        };
        return Ok(format!("the audit log is as it was written: {range}{checkpoint}"));
    };
    let place = fault.sequence.map(|number| format!("entry {number} ")).unwrap_or_default();
    Err(Failure::ours(format!(
        "the audit log is not as it was written: {place}{}\n\nhint: {} as written; keep the file as it is and compare it with a backup",
        fault.problem,
        if report.sound_to < report.first { "no entry is proven".to_owned() } else { format!("{range} are") },
    )))
}

/// The moment that `text` names: a time, a day, or how long ago.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let day = || Timestamp::parse(&format!("{text}T00:00:00Z"));
    let ago = || duration::parse(text).ok().map(|time| SystemClock.now().minus(time));
    Timestamp::parse(text).or_else(day).or_else(ago).ok_or_else(|| {
        "must be a time such as `2026-01-15T10:00:00Z`, a day, or how long ago, such as `30d`".to_owned()
    })
}

/// A checkpoint as [`Question::Head`] shows it.
pub(super) fn checkpoint(text: &str) -> Result<Head, String> {
    Head::parse(text).ok_or_else(|| "must be what `keywayd audit head` once printed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_days_or_lengths() {
        let day = Timestamp::parse("2026-01-15T00:00:00Z").unwrap();
        assert_eq!(moment("2026-01-15"), Ok(day));
        assert_eq!(moment("2026-01-15T01:00:00+01:00"), Ok(day));
        assert!(moment("1d").unwrap() < SystemClock.now());
        for bad in ["", "yesterday", "2026-13-01", "15"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn checkpoints_survive_being_written_down() {
        let head = Head { sequence: 17, mac: std::array::from_fn(|i| i as u8 * 7) };
        assert_eq!(checkpoint(&format!(" {head}\n")), Ok(head));
        for bad in [
            "",
            "17",
            "17-",
            "17-00",
            &format!("{head}0"),
            &format!("x{head}"),
            &head.to_string().replace('7', "g"),
        ] {
            assert!(checkpoint(bad).is_err(), "{bad}");
        }
    }
}
