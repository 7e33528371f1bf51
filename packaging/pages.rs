//! Writes what the grammar of the command line already knows for shells and readers:
//! completions and man pages. `cargo run --example pages -- DIR`.

use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use keywayd::cli::Arguments;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return ExitCode::FAILURE;
    };
    match write(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

fn write(dir: &Path) -> io::Result<()> {
    let (pages, completions) = (dir.join("man"), dir.join("completions"));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&completions)?;
    for shell in
        Shell::value_variants().iter().filter(|shell| matches!(shell, Shell::Bash | Shell::Fish | Shell::Zsh))
    {
        clap_complete::generate_to(*shell, &mut Arguments::command(), "keywayd", &completions)?;
    }
    let mut root = Arguments::command();
    root.build();
    page(&root, "keywayd", &pages)
}

/// One page for a command and one for each below it.
fn page(command: &Command, name: &str, dir: &Path) -> io::Result<()> {
    // clap wants names that live as long as the program; this one is short.
    let named = command.clone().name(&*name.to_owned().leak()).display_name(name.to_owned());
    let file = &mut File::create(dir.join(format!("{name}.1")))?;
    clap_mangen::Man::new(named).date("").manual("keywayd").render(file)?;
    for inner in command.get_subcommands() {
        page(inner, &format!("{name}-{}", inner.get_name()), dir)?;
    }
    Ok(())
}
