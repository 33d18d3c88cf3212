//! Files that an installation has beside the program: completions and man pages.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;

use crate::flags::{LowArgs, Shell};
use crate::outcome::{Exit, OutputError};
use crate::stderr::say;

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) -> Exit {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut LowArgs::command(), "dugong", &mut script);
    match io::stdout().lock().write_all(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&OutputError::Stdout(error));
            Exit::Output
        }
        _ => Exit::Success,
    }
}

/// Writes a man page for the program and for each command.
pub(crate) fn man(directory: &Path) -> Exit {
    let written = std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(LowArgs::command(), directory));
    match written {
        Ok(()) => Exit::Success,
        Err(error) => {
            say(&OutputError::File(directory.to_owned(), error));
            Exit::Output
        }
    }
}
