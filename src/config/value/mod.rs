//! What a setting can be. [`Given`] is a value as it was found, in the file or in the
//! environment; [`Setting`] turns it into its type, or says what is wrong with it, and
//! writes it back as TOML for the example and for `config show`.

mod address;
mod choice;
mod filter;
mod scalar;
mod size;
mod url;

pub use address::{parse_listen, parse_network};
pub use choice::{AuditReads, Forward, LogFormat, LogLevel};
pub use filter::LogFilter;
pub use size::Size;
pub use url::{HttpOrigin, HttpUrl};

use std::fmt::Display;
use toml::de::DeValue;
use zeroize::Zeroizing;

/// A value as it was found. Text may be a secret: it is wiped when dropped, and there is
/// no `Debug` that would print it.
pub(super) enum Given {
    /// A TOML string.
    Text(Zeroizing<String>),
    /// A TOML integer.
    Number(i64),
    /// A TOML boolean.
    Flag(bool),
    /// A TOML array, or a list in the environment.
    List(Vec<Self>),
    /// Text from the environment; the key's type decides what it means.
    Loose(Zeroizing<String>),
    /// Some other kind of TOML value, which no setting has.
    Other(&'static str),
}

impl Given {
    /// Text from the environment, from a secret's file, or from a flag.
    pub(super) fn loose(text: String) -> Self {
        Self::Loose(Zeroizing::new(text))
    }

    /// A value of a TOML document.
    pub(super) fn toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(Zeroizing::new(text.clone().into_owned())),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("a number that is too large"), Self::Number),
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Array(items) => {
                Self::List(items.iter().map(|item| Self::toml(item.get_ref())).collect())
            }
            DeValue::Float(_) => Self::Other("a number with a fraction"),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    /// The text, if this is text of either kind.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Loose(text) => Some(text),
            _ => None,
        }
    }

    /// The value for a message, cut if long.
    fn shown(&self) -> String {
        const CHARS_MAX: usize = 60;
        match self {
            Self::Text(text) | Self::Loose(text) if text.is_empty() => "an empty value".to_owned(),
            Self::Text(text) | Self::Loose(text) if text.chars().count() > CHARS_MAX => {
                format!("`{}…`", text.chars().take(CHARS_MAX).collect::<String>().escape_debug())
            }
            Self::Text(text) | Self::Loose(text) => format!("`{}`", text.escape_debug()),
            Self::Number(number) => format!("`{number}`"),
            Self::Flag(flag) => format!("`{flag}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }
}

/// What is wrong with a value, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) cause: String,
    pub(super) hint: String,
}

impl Fault {
    /// The value is not `what` it should be.
    fn not(given: &Given, what: &str, hint: impl Display) -> Self {
        Self { cause: format!("{} is not {what}", given.shown()), hint: hint.to_string() }
    }
}

/// A type that settings can have.
pub(super) trait Setting: Sized {
    /// Reads a value.
    fn take(given: &Given) -> Result<Self, Fault>;

    /// The value as TOML; `None` if it stands for "not set".
    fn show(&self) -> Option<String>;
}

/// Reads a literal of the settings' own declaration: a default, a bound, an example.
#[cfg_attr(not(test), expect(clippy::expect_used, reason = "a test reads every literal"))]
pub(super) fn literal<T: Setting>(toml: &str) -> T {
    let given = DeValue::parse(toml).map(|value| Given::toml(value.get_ref()));
    let value = given.ok().and_then(|given| T::take(&given).ok());
    value.expect("a literal of the declaration is TOML of the declared type, which a test checks")
}

/// Text as a TOML string.
fn quoted(text: &str) -> Option<String> {
    Some(toml::Value::String(text.to_owned()).to_string())
}
