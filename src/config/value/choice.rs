//! Settings that are one of a few words.

use super::{Fault, Given, Setting, quoted};
use std::path::PathBuf;

macro_rules! choices {
    ($($(#[$doc:meta])+ $name:ident { $($(#[$word_doc:meta])+ $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$word_doc])+ $variant,)+ }

        impl $name {
            /// The word that stands for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl Setting for $name {
            fn take(given: &Given) -> Result<Self, Fault> {
                match given.text() {
                    $(Some($word) => Ok(Self::$variant),)+
                    _ => {
                        let hint = concat!("write one of:" $(, " `", $word, "`")+);
                        Err(Fault::not(given, "one of the choices", hint))
                    }
                }
            }

            fn show(&self) -> Option<String> {
                quoted(self.as_str())
            }
        }
    )+};
}

choices! {
    /// When the audit entry of a read is on disk.
    AuditReads {
        /// Before the values leave.
        Durable = "durable",
        /// Within a second afterwards.
        Relaxed = "relaxed",
    }

    /// How log lines look.
    LogFormat {
        /// For people.
        Text = "text",
        /// For programs, one object per line.
        Json = "json",
    }

    /// The least severe log lines that are written.
    LogLevel {
        /// Failures of ours.
        Error = "error",
        /// And what will fail soon.
        Warn = "warn",
        /// And what happens.
        Info = "info",
        /// And how it happens.
        Debug = "debug",
        /// And everything else.
        Trace = "trace",
    }
}

/// Where audit entries are copied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The machine's system log.
    Syslog,
    /// A file that entries are appended to.
    File(PathBuf),
}

impl Setting for Forward {
    fn take(given: &Given) -> Result<Self, Fault> {
        match given.text() {
            Some("syslog") => Ok(Self::Syslog),
            Some(path) if path.starts_with('/') => Ok(Self::File(PathBuf::from(path))),
            _ => Err(Fault::not(
                given,
                "a place for audit entries",
                "write `syslog` or the absolute path of a file",
            )),
        }
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Syslog => quoted("syslog"),
            Self::File(path) => path.show(),
        }
    }
}
