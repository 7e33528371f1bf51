//! Sizes in bytes: a number, or a number with a binary unit.

use super::{Fault, Given, Setting, quoted};
use std::fmt;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// Units and their bytes, largest first.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Size {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The size as a length in memory; the largest there is if it does not fit.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        let (digits, factor) = UNITS
            .into_iter()
            .find_map(|(name, factor)| Some((text.strip_suffix(name)?.trim_end_matches(' '), factor)))
            .unwrap_or((text, 1));
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = plain.then(|| digits.parse().ok())??;
        number.checked_mul(factor).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.into_iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Setting for Size {
    fn take(given: &Given) -> Result<Self, Fault> {
        let size = match given {
            Given::Number(number) => u64::try_from(*number).ok().map(Self),
            _ => given.text().and_then(Self::parse),
        };
        let hint = "write a number of bytes, or one with a unit, such as `64 KiB` or `1 MiB`";
        size.ok_or_else(|| Fault::not(given, "a size", hint))
    }

    fn show(&self) -> Option<String> {
        if self.0 >= 1024 && self.0.is_multiple_of(1024) {
            quoted(&self.to_string())
        } else {
            Some(self.0.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_or_without_a_binary_unit() {
        for (text, bytes) in
            [("0", 0), ("65536", 65_536), ("64 KiB", 65_536), ("1MiB", 1 << 20), ("3 GiB", 3 << 30)]
        {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
        }
        for bad in ["", "KiB", "1 MB", "1.5 MiB", "-1", "+1", "1 mib", "99999999999 GiB"] {
            assert_eq!(Size::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn shown_in_the_largest_unit() {
        for (bytes, text) in [(0, "0"), (1000, "1000"), (65_536, "\"64 KiB\""), (8 << 20, "\"8 MiB\"")] {
            assert_eq!(Size(bytes).show().unwrap(), text);
        }
    }
}
