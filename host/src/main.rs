//! `host`: Kafka consumers whose message handlers are sandboxed WebAssembly components.
//!
//! Parse, run, turn an error into an exit code.
//!
//! # Life of a message
//!
//! A [`kafka::group::Group`] joins the consumer group and opens a [`kafka::partition::Partition`]
//! for each partition it is assigned. A partition with something to read is put on its plugin's
//! ready list. A [`consumer::worker`] takes it off, reads a few messages (from a retry topic: those
//! that are due) and runs each of them, many side by side, through [`consumer::Pipeline::run`]:
//! the plugin is called in a sandbox of its own, the outcome is made durable (a retry or
//! dead-letter record is acknowledged by the broker), and the delivery is finished. The
//! [`kafka::tracker::Tracker`] moves the commit position to the first unfinished message, and the
//! group commits it.

mod app;
mod demo;
mod telemetry;

use std::process::ExitCode;

use cli::{Cli, Command, layers};

fn main() -> ExitCode {
    let args = std::env::args_os().collect();
    telemetry::start();
    match layers::parse(args).map_err(Into::into).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(base::error::exit_code(&error))
        }
    }
}

/// Runs what the command line asks for.
fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None => serve(app::run(cli.run)),
        Some(Command::Demo(args)) => serve(demo::run(args)),
        Some(Command::Topics(args)) => cli::topics::run(args),
        Some(Command::Groups(args)) => cli::groups::run(args),
        Some(Command::Produce(args)) => cli::produce::run(args),
        Some(Command::Consume(args)) => cli::consume::run(args),
        Some(Command::Plugin(args)) => serve(cli::plugin::run(args)),
        Some(Command::Dlt(args)) => serve(cli::dlt::run(args)),
        Some(Command::Alerts(args)) => serve(cli::alerts::run(args)),
        Some(Command::Config(args)) => serve(cli::config::run(args, cli.origins)),
    }
}

/// Runs a service on the runtime that serves HTTP, delivers and keeps timers; plugins run on
/// workers of their own.
fn serve(service: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(service);
    // Whatever still waits has been told to stop, or was given up.
    runtime.shutdown_background();
    result
}
