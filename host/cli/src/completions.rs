//! `host completions` and `host man`: files for the shell and for `man`, made from the command line itself.

use std::path::PathBuf;

use base::error::UserError;
use clap_complete::Shell;

use crate::examples;
use desk_cli::output::{note, print};

/// Arguments of `host completions`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Arguments of `host man`.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Directory of the pages, such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Prints the completions of a shell.
///
/// # Errors
/// stdout cannot be written.
pub fn completions(args: &Completions) -> Result<(), UserError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut examples::command(), "host", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}

/// Writes a page for each command.
///
/// # Errors
/// The directory cannot be written.
pub fn man(args: &Man) -> Result<(), UserError> {
    let directory = &args.directory;
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(examples::command(), directory));
    written.map_err(|error| {
        UserError::usage(format!("cannot write manual pages to {}: {error}", directory.display()))
            .help("choose a directory that you may write: host man ./man")
    })?;
    note(format_args!("wrote the manual pages; read one with: man {}/host.1", directory.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_completions_for_each_shell_and_a_page_for_each_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut examples::command(), "host", &mut script);
            let script = String::from_utf8(script).expect("text");
            assert!(script.contains("bootstrap-servers") && script.contains("doctor"), "{shell}");
        }
        let directory = tempfile::tempdir().expect("a directory");
        man(&Man { directory: directory.path().to_owned() }).expect("written");
        let page = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect(name);
        assert!(page("host.1").contains("WebAssembly"));
        assert!(page("host-plugin-pause.1").contains("the mail server moves"), "the example");
    }
}
