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
mod signals;
mod telemetry;

use std::ffi::OsString;
use std::process::ExitCode;

use base::stderr;
use cli::{Cli, Command, layers};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::{Builder, Runtime};

use self::signals::Signals;

/// Also for C: what librdkafka allocates in its threads is freed by workers, and glibc's allocator takes a lock for it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match start(std::env::args_os().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stderr::line(format_args!("error: {error:#}"));
            ExitCode::from(base::error::exit_code(&error))
        }
    }
}

/// Runs the command of a command line.
fn start(args: Vec<OsString>) -> anyhow::Result<()> {
    // For HTTP, effects and timers. Plugins run on the threads of their workers.
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Before anything that takes time: the kernel drops a signal without a handler for process 1 of a container.
    let signals = if cli::is_service(&args) { Some(listen(&runtime)?) } else { None };
    telemetry::start();
    if let Some(finding) = base::files::raise_limit().filter(|_| signals.is_some()) {
        tracing::warn!("{finding}");
    }
    let result = run(layers::parse(args)?, &runtime, signals);
    // The remaining tasks have been stopped or abandoned.
    runtime.shutdown_background();
    result
}

fn listen(runtime: &Runtime) -> std::io::Result<Signals> {
    let _context = runtime.enter();
    Signals::listen()
}

fn run(cli: Cli, runtime: &Runtime, signals: Option<Signals>) -> anyhow::Result<()> {
    let signals = || signals.map_or_else(|| listen(runtime), Ok);
    match cli.command {
        None => runtime.block_on(app::run(cli.run, &cli.origins, signals()?)),
        Some(Command::Demo(args)) => runtime.block_on(demo::run(args, signals()?)),
        Some(Command::Topics(args)) => cli::topics::run(args),
        Some(Command::Groups(args)) => cli::groups::run(args, runtime),
        Some(Command::Produce(args)) => cli::produce::run(args),
        Some(Command::Consume(args)) => cli::consume::run(args),
        Some(Command::Plugin(args)) => runtime.block_on(cli::plugin::run(args)),
        Some(Command::Dlt(args)) => runtime.block_on(desk_cli::dlt::run(args)),
        Some(Command::Waiting(args)) => runtime.block_on(desk_cli::waiting::run(args)),
        Some(Command::Alerts(args)) => runtime.block_on(desk_cli::alerts::run(args)),
        Some(Command::Doctor(args)) => Ok(runtime.block_on(cli::doctor::run(*args))?),
        Some(Command::Status(args)) => Ok(runtime.block_on(desk_cli::status::run(args))?),
        Some(Command::Completions(args)) => Ok(cli::completions::completions(&args)?),
        Some(Command::Man(args)) => Ok(cli::completions::man(&args)?),
        Some(Command::Config(args)) => runtime.block_on(cli::config::run(args, cli.origins)),
    }
}
