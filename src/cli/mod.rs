//! What the machine's operator types: the grammar of the command line, and the values
//! that arguments can have. Only this room and `main` write to the terminal.

pub mod args;
#[cfg(test)]
mod tests;
mod values;

pub use args::{Arguments, Command, parse};
