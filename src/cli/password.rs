//! Getting a password out of people and scripts.

use super::output::Failure;
use crate::base::SecretText;
use std::io::{self, BufRead, IsTerminal};

/// The password on standard input (one line), or asked for twice on the terminal.
///
/// # Errors
/// If there is none, or the two differ.
pub fn obtain(from_stdin: bool) -> Result<SecretText, Failure> {
    if from_stdin {
        return line("password");
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::user(
            "there is no terminal to ask for a password on\n\nhint: pipe it in with `--password-stdin`",
        ));
    }
    twice("Password: ")
}

/// A passphrase that is chosen now: asked for twice on the terminal, else one line of standard input.
///
/// # Errors
/// If there is none, or the two differ.
pub fn choose(prompt: &str) -> Result<SecretText, Failure> {
    if io::stdin().is_terminal() { twice(prompt) } else { line("passphrase") }
}

/// A passphrase that was chosen before: asked for once on the terminal, else one line of standard input.
///
/// # Errors
/// If there is none.
pub fn given(prompt: &str) -> Result<SecretText, Failure> {
    if io::stdin().is_terminal() { ask(prompt) } else { line("passphrase") }
}

/// Asks on the terminal, once.
///
/// # Errors
/// If there is no terminal.
pub fn ask(prompt: &str) -> Result<SecretText, Failure> {
    rpassword::prompt_password(prompt).map(SecretText::new).map_err(Failure::ours)
}

fn twice(prompt: &str) -> Result<SecretText, Failure> {
    let first = ask(prompt)?;
    if ask("Again: ")? != first {
        return Err(Failure::user("the two differ; nothing was changed"));
    }
    Ok(first)
}

fn line(what: &str) -> Result<SecretText, Failure> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .read_line(&mut text)
        .map_err(|error| Failure::user(format!("cannot read the {what}: {error}")))?;
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    if text.is_empty() {
        return Err(Failure::user(format!("there is no {what} on standard input")));
    }
    Ok(SecretText::new(text))
}
