//! `host`: Kafka consumers whose message handlers are sandboxed WebAssembly components.
//!
//! [`main`] parses the command line, runs the command, and turns an error into an exit code.
//!
//! # Life of a message
//!
//! [`app::run`] starts the host. For each plugin it starts workers and one or two members of consumer groups
//! ([`kafka::group::GroupMember`]), which open a [`kafka::partition::Partition`] for each assigned partition.
//!
//! 1. A partition with messages is added to its plugin's ready list.
//! 2. A [`consumer::worker`] takes the partition off the list, reads some messages (from a retry topic, those
//!    that are due), and runs each of them, many concurrently, through [`consumer::Pipeline::run`].
//! 3. The pipeline calls the plugin in a sandbox and makes the outcome durable. A failed message is published
//!    to a retry or dead-letter topic, and the broker acknowledges it.
//! 4. The delivery is finished. The [`kafka::tracker::Tracker`] moves the commit position to the first
//!    unfinished message, and the group member commits it.

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

/// Runs the command.
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

/// Runs a future on a runtime for HTTP, effects and timers. Plugins run on the threads of their workers.
fn serve(service: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(service);
    // The remaining tasks have been stopped or abandoned.
    runtime.shutdown_background();
    result
}
