//! What `keywayd doctor` says: one finding for each thing that was looked at, and for
//! each that is not as it should be, what to do.

use super::Failure;
use super::output;
use serde::Serialize;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and could go wrong.
    Warning,
    /// It does not work, or is not safe.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at, in a word or two that stay the same.
    pub check: &'static str,
    /// How it stands with that.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Something is as it should be.
    pub fn good(&mut self, check: &'static str, message: impl ToString) {
        self.add(check, Verdict::Good, message.to_string(), None);
    }

    /// Something works, and could go wrong.
    pub fn warn(&mut self, check: &'static str, message: impl ToString, hint: impl ToString) {
        self.add(check, Verdict::Warning, message.to_string(), Some(hint.to_string()));
    }

    /// Something does not work, or is not safe.
    pub fn bad(&mut self, check: &'static str, message: impl ToString, hint: impl ToString) {
        self.add(check, Verdict::Problem, message.to_string(), Some(hint.to_string()));
    }

    /// An error in the way of a command would say the same; it may have a hint of its own.
    pub fn failed(&mut self, check: &'static str, error: impl ToString, hint: &str) {
        let text = error.to_string();
        match text.split_once("\n\nhint: ") {
            Some((cause, own)) => self.bad(check, cause, own),
            None => self.bad(check, text, hint),
        }
    }

    fn add(&mut self, check: &'static str, verdict: Verdict, message: String, hint: Option<String>) {
        self.findings.push(Finding { check, verdict, message, hint });
    }

    /// Prints it.
    ///
    /// # Errors
    /// If there are problems: how many.
    pub fn show(&self, json: bool) -> Result<(), Failure> {
        if json {
            output::data(&serde_json::to_string_pretty(self).map_err(Failure::ours)?);
        } else {
            output::data(&self.findings.iter().map(Finding::in_words).collect::<String>());
        }
        match self.findings.iter().filter(|finding| finding.verdict == Verdict::Problem).count() {
            0 => Ok(()),
            1 => Err(Failure::user("1 problem was found")),
            count => Err(Failure::user(format!("{count} problems were found"))),
        }
    }
}

impl Finding {
    fn in_words(&self) -> String {
        let word = match self.verdict {
            Verdict::Good => "good   ",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        };
        let indented = |text: &str| text.trim_end().replace('\n', "\n         ");
        let hint = self.hint.as_deref().map(|hint| format!("         → {}\n", indented(hint)));
        format!("{word}  {}: {}\n{}", self.check, indented(&self.message), hint.unwrap_or_default())
    }
}
