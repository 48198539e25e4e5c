//! `host`: parse, run, turn an error into an exit code.

use std::process::ExitCode;

use clap::Parser;
use host::cli::{Cli, Command};
use host::commands::{consume, groups, produce, topics};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Some(Command::Topics(args)) => topics::run(args),
        Some(Command::Groups(args)) => groups::run(args),
        Some(Command::Produce(args)) => produce::run(args),
        Some(Command::Consume(args)) => consume::run(args),
        Some(Command::Demo(_)) | None => Ok(()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(host::error::exit_code(&error))
        }
    }
}
