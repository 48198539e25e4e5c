//! How fast the host is, beside a bare consumer on the same broker, how it fares with retries, and
//! how many e-mails it sends beside Spring.
//! `make bench` runs the first.

mod bare;
mod lateness;
mod load;
mod mail;
mod retries;
mod run;
mod sink;
mod spread;
mod tiers;
mod waiting;

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
    /// How late retries are, never early: start Kafka, let messages wait, print a table
    Lateness(lateness::Args),
    /// Memory and CPU of a host whose retry topics are full of messages that wait
    Waiting(waiting::Args),
    /// Failing messages through all retry topics: dead letters a second
    Tiers(tiers::Args),
    /// E-mails a second into a local sink with TLS, beside Spring's JavaMailSender: prints a table
    Mail(mail::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Bare(args) => bare::run(&args),
        Command::Lateness(args) => lateness::run(&args),
        Command::Waiting(args) => waiting::run(&args),
        Command::Tiers(args) => tiers::run(&args),
        Command::Mail(args) => mail::run(&args),
    };
    if let Err(error) = result {
        eprintln!("bench: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
