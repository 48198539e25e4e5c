//! A Kafka consumer runtime whose message handlers are sandboxed WebAssembly components.
//!
//! # The life of one message
//!
//! A [`kafka::group::Group`] joins the consumer group and opens a [`kafka::partition::Partition`]
//! for each partition it is given. A partition with something to read is put on its plugin's
//! ready list. A [`pipeline::worker`] takes it off, reads a few messages (from a retry topic: those
//! that are due) and runs each of them, many side by side, through [`pipeline::Pipeline::run`]:
//! the plugin is called in a sandbox of its own, the outcome is made durable (a retry or
//! dead-letter record is acknowledged by the broker), and the delivery is finished. The
//! [`kafka::tracker::Tracker`] moves the commit position to the first unfinished message, and the
//! group commits it.

pub mod app;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod demo;
pub mod desk;
pub mod effect;
pub mod error;
pub mod http;
pub mod kafka;
pub mod ledger;
pub mod mail;
pub mod metrics;
pub mod pipeline;
pub mod plugin;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod web;

/// What only the fuzz targets (`host/fuzz`) need of what is private.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::commands::assignment::decode as group_member;
    pub use crate::commands::record::{Header, header_json, header_text};
    pub use crate::mail::compose::compose;
}

use cli::{Cli, Command};

/// Runs what the command line asks for.
///
/// # Errors
/// An [`error::Failure`] where something given was wrong or something needed was not there.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None => serve(app::run(cli.run)),
        Some(Command::Demo(args)) => serve(demo::run(args)),
        Some(Command::Topics(args)) => commands::topics::run(args),
        Some(Command::Groups(args)) => commands::groups::run(args),
        Some(Command::Produce(args)) => commands::produce::run(args),
        Some(Command::Consume(args)) => commands::consume::run(args),
        Some(Command::Plugin(args)) => serve(commands::plugin::run(args)),
        Some(Command::Dlt(args)) => serve(commands::dlt::run(args)),
        Some(Command::Alerts(args)) => serve(commands::alerts::run(args)),
        Some(Command::Config(args)) => serve(commands::config::run(args, cli.origins)),
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
