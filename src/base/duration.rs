//! Lengths of time as people write them: a whole number and one unit, `30d` or `15m`.
//! One unit only, because `1h30m` invites the question what `90m1h` means.

use std::time::Duration;

/// Why a text is not a length of time; fit to be shown to whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number and a unit (`s`, `m`, `h`, `d` or `w`), such as `24h`")]
pub struct DurationError;

/// Units and their seconds, largest first.
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads `90s`, `15m`, `24h`, `30d` or `2w`.
///
/// # Errors
/// If the text is anything else, or longer than time can be counted.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let unit = text.chars().next_back().ok_or(DurationError)?;
    let (_, seconds) = UNITS.into_iter().find(|&(name, _)| name == unit).ok_or(DurationError)?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DurationError);
    }
    let count: u64 = digits.parse().map_err(|_| DurationError)?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or(DurationError)
}

/// Writes a length of time in the largest unit that leaves no rest. Weeks are not used,
/// and a single day is `24h`: so people write them. Fractions of a second are not shown.
#[must_use]
pub fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let fits = |&(name, unit): &(char, u64)| match name {
        'w' => false,
        'd' => seconds > unit && seconds.is_multiple_of(unit),
        _ => seconds >= unit && seconds.is_multiple_of(unit),
    };
    let (name, unit) = UNITS.into_iter().find(fits).unwrap_or(('s', 1));
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("15m", 900), ("24h", 86_400), ("2w", 1_209_600)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "s", "15", "15 m", "+1s", "-1s", "1.5h", "1h30m", "1y", "1é", "99999999999999999w"] {
            assert_eq!(parse(bad), Err(DurationError), "{bad}");
        }
    }

    #[test]
    fn shown_as_one_would_write_it() {
        for text in ["0s", "1s", "90s", "1m", "15m", "24h", "25h", "14d"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(show(parse("1d").unwrap()), "24h");
        assert_eq!(show(parse("2w").unwrap()), "14d");
    }
}
