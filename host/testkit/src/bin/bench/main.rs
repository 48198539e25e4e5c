//! Benchmarks: the host compared with a bare consumer on the same broker, its retries, and its e-mails
//! compared with Spring. `make bench` runs the first one.

mod bare;
mod candidates;
mod lateness;
mod load;
mod mail;
mod replay;
mod retries;
mod run;
mod sink;
mod spread;
mod tiers;
mod waiting;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Benchmarks of the host and its peers.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start Kafka, load a topic, run the host, Spring and a bare consumer in turns, print a table
    Run(run::Args),
    /// Publish messages on a topic
    Load(load::Args),
    /// Consume a topic with only rdkafka
    Bare(bare::Args),
    /// Delay of retries, which must not be early: start Kafka, let messages wait, print a table
    Lateness(lateness::Args),
    /// Memory and CPU of a host with many waiting messages in its retry topics
    Waiting(waiting::Args),
    /// Failing messages through all retry topics: dead letters per second
    Tiers(tiers::Args),
    /// Dead letters into a store, and out of it again
    Replay(replay::Args),
    /// E-mails per second to a local sink with TLS, compared with JavaMailSender of Spring: print a table
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
        Command::Replay(args) => replay::run(&args),
        Command::Mail(args) => mail::run(&args),
    };
    if let Err(error) = result {
        eprintln!("bench: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
