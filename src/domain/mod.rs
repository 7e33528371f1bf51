//! The product's rules.

pub mod dotenv;
pub mod error;

pub use error::{Error, ErrorKind, FieldError, Result};
