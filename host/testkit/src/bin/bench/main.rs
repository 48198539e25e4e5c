//! How fast the host is, beside a bare consumer on the same broker. `make bench` runs it.

mod bare;
mod load;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures the host beside a bare rdkafka consumer.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start Kafka, load a topic, run both in turns, print a table
    Run(run::Args),
    /// Put messages on a topic
    Load(load::Args),
    /// Consume a topic with nothing but rdkafka
    Bare(bare::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Bare(args) => bare::run(&args),
    };
    if let Err(error) = result {
        eprintln!("bench: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
