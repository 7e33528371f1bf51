//! What the machine's operator types: the grammar of the command line, the commands
//! that act on the data, and the values that arguments can have. Only this room writes
//! to the terminal.

pub mod admin;
pub mod args;
pub mod audit;
pub mod doctor;
pub mod healthcheck;
pub mod output;
pub mod password;
pub mod socket;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod upkeep;
mod values;

pub use args::{Arguments, Command, parse};
pub use output::Failure;
