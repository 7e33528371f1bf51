//! `export` and `import` as data, and the report of what was taken in. Values cross the
//! operator's socket in both directions, and are never printed.

use super::output::{self, Failure};
use crate::domain::Services;
use crate::domain::transfer::{Arrival, Parcel, Piece, Place};
use serde::{Deserialize, Serialize};

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Hand over some environments.
    Export {
        /// Those behind this place.
        after: Option<Place>,
    },
    /// Put an environment in.
    Import {
        /// The environment.
        parcel: Parcel,
        /// Whether to find out only what would become of it.
        dry_run: bool,
    },
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Some environments.
    Exported(Piece),
    /// What became of one.
    Imported(Arrival),
}

/// What became of everything that was brought.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Environment by environment.
    pub environments: Vec<Arrival>,
    /// Files, lines and keys that are no part of an environment, and why.
    pub refused: Vec<Refused>,
}

/// Something that was not even asked for.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// Does what is asked.
///
/// # Errors
/// What the services answer.
pub async fn execute(services: &Services, request: Request) -> Result<Reply, Failure> {
    Ok(match request {
        Request::Export { after } => Reply::Exported(services.export(after).await?),
        Request::Import { parcel, dry_run } => Reply::Imported(services.import(parcel, dry_run).await?),
    })
}

/// Shows what became of everything: a line for each name, and how many there are.
///
/// # Errors
/// If something was refused.
pub fn show(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        output::json(report)?;
    } else {
        report.environments.iter().for_each(show_one);
        for Refused { what, why } in &report.refused {
            output::data(&format!("refused  {what}: {why}"));
        }
    }
    let count = |names: fn(&Arrival) -> usize| report.environments.iter().map(names).sum::<usize>();
    let refused = count(|arrival| arrival.refused.len()) + report.refused.len();
    output::words(&format!(
        "{}{} taken, {} changed, {} as they were, {refused} refused",
        if report.dry_run { "nothing was written; it would be: " } else { "" },
        count(|arrival| arrival.taken.len()),
        count(|arrival| arrival.changed.len()),
        count(|arrival| arrival.same.len()),
    ));
    if refused == 0 {
        return Ok(());
    }
    Err(Failure::user(format!(
        "{refused} things were refused, all others {}\n\nhint: put them right and run the same again; what is in stays",
        if report.dry_run { "would be in" } else { "are in" }
    )))
}

fn show_one(arrival: &Arrival) {
    let place = format!("{} {}", arrival.repository, arrival.environment);
    if arrival.new_vault || arrival.new_environment {
        output::data(&format!("new      {place}"));
    }
    for (what, names) in [("taken", &arrival.taken), ("changed", &arrival.changed)] {
        names.iter().for_each(|name| output::data(&format!("{what:7}  {place} {name}")));
    }
    arrival.notes.iter().for_each(|note| output::data(&format!("note     {place}: {note}")));
    for (name, why) in &arrival.refused {
        let name = if name.is_empty() { String::new() } else { format!(" {name}") };
        output::data(&format!("refused  {place}{name}: {why}"));
    }
}
