//! What is written to the log: a level for all of the program, and others for single
//! rooms of it, as in `info,store=debug,http=warn`.

use super::{Fault, Given, LogLevel, Setting, quoted};

/// Parts of the program that can have a level of their own.
pub(super) const ROOMS: [&str; 13] = [
    "app",
    "base",
    "cli",
    "config",
    "crypto",
    "domain",
    "http",
    "identity",
    "outbound",
    "providers",
    "store",
    "telemetry",
    "web",
];

/// What is written to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// The least severe lines that are written.
    pub level: LogLevel,
    /// The same for single parts of the program.
    pub rooms: Vec<(&'static str, LogLevel)>,
}

impl From<LogLevel> for LogFilter {
    fn from(level: LogLevel) -> Self {
        Self { level, rooms: Vec::new() }
    }
}

impl Setting for LogFilter {
    fn take(given: &Given) -> Result<Self, Fault> {
        let text = given.text().ok_or_else(|| fault(given))?;
        let mut parts = text.split(',').map(str::trim);
        let level = parts.next().and_then(level_of).ok_or_else(|| fault(given))?;
        let room = |part: &str| {
            let (name, word) = part.split_once('=')?;
            let room = ROOMS.into_iter().find(|room| *room == name.trim())?;
            Some((room, level_of(word.trim())?))
        };
        let rooms = parts.map(room).collect::<Option<_>>().ok_or_else(|| fault(given))?;
        Ok(Self { level, rooms })
    }

    fn show(&self) -> Option<String> {
        let rooms = self.rooms.iter().map(|(room, level)| format!(",{room}={}", level.as_str()));
        quoted(&format!("{}{}", self.level.as_str(), rooms.collect::<String>()))
    }
}

fn level_of(word: &str) -> Option<LogLevel> {
    LogLevel::take(&Given::loose(word.to_owned())).ok()
}

fn fault(given: &Given) -> Fault {
    let hint = format!(
        "write `error`, `warn`, `info`, `debug` or `trace`, and after it perhaps levels of single rooms, as in \
         `info,store=debug`; the rooms are {}",
        ROOMS.map(|room| format!("`{room}`")).join(", ")
    );
    Fault::not(given, "a level, or levels by room", hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        LogFilter::take(&Given::loose(text.to_owned())).ok().and_then(|filter| filter.show())
    }

    #[test]
    fn levels_by_room_are_read_and_shown() {
        assert_eq!(read("warn").as_deref(), Some("\"warn\""));
        assert_eq!(read("info, store=debug ,http = warn").as_deref(), Some("\"info,store=debug,http=warn\""));
        for wrong in
            ["", "loud", "store=debug", "info,cellar=debug", "info,store=loud", "info,", "info,store"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_room_of_the_floor_plan_can_have_a_level() {
        let plan = include_str!("../../lib.rs");
        let rooms = plan.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        assert_eq!(rooms.collect::<Vec<_>>(), ROOMS);
    }
}
