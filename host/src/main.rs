//! `host`: parse, run, turn an error into an exit code.

use std::process::ExitCode;

use host::config::layers;

fn main() -> ExitCode {
    let args = std::env::args_os().collect();
    host::telemetry::start();
    match layers::parse(args).map_err(Into::into).and_then(host::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(host::error::exit_code(&error))
        }
    }
}
