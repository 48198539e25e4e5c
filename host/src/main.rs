//! `host`: parse, run, turn an error into an exit code.

use std::process::ExitCode;

use clap::Parser;
use host::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    host::telemetry::start();
    match host::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(host::error::exit_code(&error))
        }
    }
}
