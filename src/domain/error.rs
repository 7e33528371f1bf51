//! What can go wrong, in the words of the product. One error type for all of
//! `domain`: what the client may read (`detail`, `fields`) and what the log may
//! read (`cause`) are separate, and neither ever holds a secret value.

use crate::store::StoreError;
use std::fmt;
use std::time::Duration;

/// The kind of a failure; `http` maps each to one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself is wrong (400).
    Invalid,
    /// No or no valid credential (401).
    Unauthorized,
    /// Known, but not allowed (403).
    Forbidden,
    /// Not there, or not for this caller to know (404).
    NotFound,
    /// It exists already, or contradicts what does (409).
    Conflict,
    /// Somebody else wrote first (412).
    PreconditionFailed,
    /// More than fits (413).
    TooLarge,
    /// Too many requests (429).
    RateLimited,
    /// A service we asked failed (502).
    Upstream,
    /// Not now (503).
    Unavailable,
    /// Our fault (500).
    Internal,
}

/// One field of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct FieldError {
    /// The member's name as the client wrote it.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

/// A failure with what to tell the client and, apart from that, the log.
#[derive(Debug)]
pub struct Error {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// For the client: the cause and what to do.
    pub detail: String,
    /// For the client: which fields are wrong.
    pub fields: Vec<FieldError>,
    /// For the client: when to try again.
    pub retry_after: Option<Duration>,
    /// For the log only.
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a service of this room answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of `kind`, explained to the client by `detail`.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), fields: Vec::new(), retry_after: None, cause: None }
    }

    /// One wrong field (400).
    pub fn invalid(field: impl Into<String>, message: impl fmt::Display) -> Self {
        let field = FieldError { field: field.into(), message: message.to_string() };
        Self::invalid_fields(vec![field])
    }

    /// Several wrong fields (400).
    #[must_use]
    pub fn invalid_fields(fields: Vec<FieldError>) -> Self {
        let detail = match fields.as_slice() {
            [one] => format!("`{}` {}", one.field, one.message),
            many => format!("{} fields are invalid", many.len()),
        };
        Self { fields, ..Self::new(ErrorKind::Invalid, detail) }
    }

    /// Not there (404).
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, detail)
    }

    /// Not allowed (403).
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, detail)
    }

    /// No valid credential (401).
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unauthorized, detail)
    }

    /// It exists already (409).
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, detail)
    }

    /// Our fault (500): the client learns nothing, the log everything.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let detail = "something went wrong on our side; the server's log has it under this request id";
        Self { cause: Some(cause.into()), ..Self::new(ErrorKind::Internal, detail) }
    }
}

impl Error {
    /// What the operator can do about a fault of ours, if that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        let cause = self.cause.as_ref()?.downcast_ref::<StoreError>()?;
        cause.is_damage().then_some(
            "keep the data as it is; `keywayd verify` lists all that is damaged, and the guide on backup and \
             recovery says how to go back to the newest good backup",
        )
    }
}

/// For clients and operators alike.
const NO_ROOM: &str = "there is no room for the data: the disk or a quota is full; nothing was changed, \
                       and the operator has to make room";
pub(super) const STORE_FAILED: &str = "the store cannot serve; the server's log says why";

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let busy = |detail: &str| Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::new(ErrorKind::Unavailable, detail)
        };
        match error {
            StoreError::Busy => busy("the server is busy writing; try again"),
            StoreError::Stopped => Self::new(ErrorKind::Unavailable, StoreError::Stopped.to_string()),
            StoreError::Closed => busy("the server is stopping; try again"),
            full if full.is_full() => {
                Self { cause: Some(full.into()), ..Self::new(ErrorKind::Unavailable, NO_ROOM) }
            }
            broken if broken.is_lasting() => Self::new(ErrorKind::Unavailable, STORE_FAILED),
            other => Self::internal(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Error {}
