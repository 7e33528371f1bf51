//! The plain kinds of setting: booleans, numbers, text, secrets, paths, names, times,
//! quotas; lists of them, and the setting that may be left out.

use super::{Fault, Given, Setting, quoted};
use crate::base::{EnvironmentName, OwnerName, Quota, SecretText, duration};
use std::{path::PathBuf, time::Duration};
use toml::de::DeValue;

impl Setting for bool {
    fn take(given: &Given) -> Result<Self, Fault> {
        match given {
            Given::Flag(flag) => Ok(*flag),
            Given::Loose(text) => {
                text.parse().map_err(|_| Fault::not(given, "a boolean", "write `true` or `false`"))
            }
            _ => Err(Fault::not(given, "a boolean", "write `true` or `false`, without quotes")),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for u32 {
    fn take(given: &Given) -> Result<Self, Fault> {
        let number = match given {
            Given::Number(number) => Self::try_from(*number).ok(),
            Given::Loose(text) => text.parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| Fault::not(given, "a whole number", "write digits only, without quotes"))
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// The text of a setting that is never empty.
fn filled<'a>(given: &'a Given, what: &str, hint: &str) -> Result<&'a str, Fault> {
    given.text().filter(|text| !text.is_empty()).ok_or_else(|| Fault::not(given, what, hint))
}

impl Setting for String {
    fn take(given: &Given) -> Result<Self, Fault> {
        filled(given, "a text", "write text in quotes, or leave the setting out").map(str::to_owned)
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

impl Setting for SecretText {
    /// The messages never repeat what was given.
    fn take(given: &Given) -> Result<Self, Fault> {
        let fault = |cause: &str| Fault {
            cause: cause.to_owned(),
            hint: "give the secret as text, or leave the setting out".to_owned(),
        };
        match given.text() {
            Some("") => Err(fault("the secret is empty")),
            Some(text) => Ok(Self::new(text.to_owned())),
            None => Err(fault("the secret is not a text")),
        }
    }

    fn show(&self) -> Option<String> {
        quoted("[redacted]")
    }
}

impl Setting for PathBuf {
    fn take(given: &Given) -> Result<Self, Fault> {
        filled(given, "a path", "write the path in quotes, or leave the setting out").map(Self::from)
    }

    fn show(&self) -> Option<String> {
        quoted(&self.to_string_lossy())
    }
}

impl Setting for EnvironmentName {
    fn take(given: &Given) -> Result<Self, Fault> {
        let what = "the name of an environment";
        let text = filled(given, what, "write it in quotes, such as `\"production\"`")?;
        Self::parse(text).map_err(|error| Fault::not(given, what, format!("it {error}")))
    }

    fn show(&self) -> Option<String> {
        quoted(self.as_str())
    }
}

impl Setting for OwnerName {
    fn take(given: &Given) -> Result<Self, Fault> {
        let what = "the name of a person or an organisation";
        let text = filled(given, what, "write it in quotes, such as `\"acme\"`")?;
        Self::parse(text).map_err(|error| Fault::not(given, what, format!("it {error}")))
    }

    fn show(&self) -> Option<String> {
        quoted(self.as_str())
    }
}

impl Setting for Duration {
    fn take(given: &Given) -> Result<Self, Fault> {
        let fault = || Fault::not(given, "a length of time", format!("it {}", duration::DurationError));
        given.text().and_then(|text| duration::parse(text).ok()).ok_or_else(fault)
    }

    fn show(&self) -> Option<String> {
        quoted(&duration::show(*self))
    }
}

impl Setting for Quota {
    fn take(given: &Given) -> Result<Self, Fault> {
        let hint = "write a number of requests and a time, such as `100/15m`; \
                    `rate_limit.enabled = false` turns all limits off";
        let quota = given.text().and_then(|text| Self::parse(text).ok());
        quota.ok_or_else(|| Fault::not(given, "a quota", hint))
    }

    fn show(&self) -> Option<String> {
        quoted(&self.to_string())
    }
}

/// A list. In the environment it is `a,b,c` or a TOML array.
impl<T: Setting> Setting for Vec<T> {
    fn take(given: &Given) -> Result<Self, Fault> {
        match given {
            Given::List(items) => items.iter().map(T::take).collect(),
            Given::Loose(text) if text.trim_start().starts_with('[') => {
                let array = DeValue::parse(text.trim());
                let array =
                    array.map_err(|_| Fault::not(given, "a list", "write `a,b,c` or `[\"a\", \"b\"]`"))?;
                Self::take(&Given::toml(array.get_ref()))
            }
            Given::Loose(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(|item| T::take(&Given::loose(item.to_owned()))).collect()
            }
            _ => Err(Fault::not(given, "a list", "write it in brackets, such as `[\"a\", \"b\"]`")),
        }
    }

    fn show(&self) -> Option<String> {
        let items: Vec<_> = self.iter().filter_map(T::show).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

/// A setting that may be left out.
impl<T: Setting> Setting for Option<T> {
    fn take(given: &Given) -> Result<Self, Fault> {
        T::take(given).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loose<T: Setting>(text: &str) -> Result<T, Fault> {
        T::take(&Given::loose(text.to_owned()))
    }

    #[test]
    fn the_environment_is_read_by_the_type_of_the_key() {
        assert_eq!(loose::<bool>("true"), Ok(true));
        assert!(loose::<bool>("yes").is_err());
        assert_eq!(loose::<u32>("25"), Ok(25));
        assert!(loose::<u32>("-1").is_err());
        assert!(loose::<u32>("4294967296").is_err());
        assert_eq!(loose::<Vec<String>>("a, b,,c"), Ok(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        assert_eq!(loose::<Vec<String>>(r#" ["a,b"] "#), Ok(vec!["a,b".to_owned()]));
        assert_eq!(loose::<Vec<String>>(""), Ok(vec![]));
        assert!(loose::<Vec<String>>("[\"a\"").is_err());
    }

    #[test]
    fn the_file_says_its_types_itself() {
        assert!(bool::take(&Given::Text("true".to_owned().into())).is_err());
        assert!(u32::take(&Given::Text("25".to_owned().into())).is_err());
        assert!(Vec::<String>::take(&Given::Text("a,b".to_owned().into())).is_err());
    }

    #[test]
    fn a_secret_is_in_no_message_and_not_shown() {
        let list = Given::List(vec![Given::Text("hunter2".to_owned().into())]);
        let fault = SecretText::take(&list).unwrap_err();
        assert!(!format!("{fault:?}").contains("hunter2"));
        let secret = loose::<SecretText>("hunter2").unwrap();
        assert_eq!(secret.show().unwrap(), "\"[redacted]\"");
    }

    #[test]
    fn empty_is_not_unset() {
        assert_eq!(loose::<PathBuf>("").unwrap_err().cause, "an empty value is not a path");
        assert!(loose::<SecretText>("").is_err());
    }
}
