//! `bench waiting`: memory and CPU of a host while messages wait in its retry topics.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::Process;

use crate::retries::{PARTITIONS, Setup, conditions, now_ms, stop, waiting};

const DUE_IN_MS: i64 = 3_600_000;
const SAMPLE: Duration = Duration::from_secs(2);
/// Memory is settled when this many samples in a row differ by at most one percent.
const SETTLED: usize = 5;
const SETTLE_BOUND: Duration = Duration::from_secs(120);
const WATCH: Duration = Duration::from_secs(30);

/// Arguments of `bench waiting`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of waiting messages, evenly distributed over five retry topics
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// The host to measure instead of the built one
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
}

/// Measures and prints a table.
///
/// # Errors
/// A message is not waiting.
pub fn run(args: &Args) -> Result<()> {
    let setup = Setup::new(args.host.as_deref(), 1_000, 2, 5)?;
    let tiers = setup.tiers();
    let due_ms = now_ms() + DUE_IN_MS;
    for (tier, topic) in (0..).zip(&tiers) {
        let numbers = (tier..args.messages).step_by(tiers.len());
        setup.kafka.produce(topic, (0..).zip(numbers).map(|(place, _)| waiting(place, due_ms)));
    }
    let host = setup.start(&[])?;
    let settled_after = settle(&host)?;
    let (before, since) = (host.usage(), Instant::now());
    sleep(WATCH);
    let usage = host.usage();
    let share = (usage.cpu - before.cpu).as_secs_f64() / since.elapsed().as_secs_f64();
    let waits: i64 = tiers.iter().map(|topic| setup.kafka.lag(&setup.retry_group(), topic)).sum();
    ensure!(waits.unsigned_abs() == args.messages, "only {waits} of {} messages wait", args.messages);
    stop(host)?;
    println!("| waiting | RSS, settled | RSS, peak | CPU while waiting | settled after |");
    println!("|---|---|---|---|---|");
    println!(
        "| {} in {} topics | {:.0} MB | {:.0} MB | {:.1} % of a core | {:.0} s |",
        args.messages,
        tiers.len(),
        usage.rss as f64 / 1e6,
        usage.peak_rss as f64 / 1e6,
        share * 100.0,
        settled_after.as_secs_f64()
    );
    println!(
        "\n{}. Values of 200 bytes, due in an hour; CPU over {} s.",
        conditions(PARTITIONS),
        WATCH.as_secs()
    );
    Ok(())
}

/// Waits until the memory of the host is settled. Returns the time that this took.
fn settle(host: &Process) -> Result<Duration> {
    let start = Instant::now();
    let mut samples: Vec<u64> = Vec::new();
    loop {
        sleep(SAMPLE);
        samples.push(host.usage().rss);
        let last = &samples[samples.len().saturating_sub(SETTLED)..];
        let (least, most) = (last.iter().min().copied(), last.iter().max().copied());
        let spread = most.unwrap_or(0) - least.unwrap_or(0);
        if last.len() == SETTLED && spread * 100 <= most.unwrap_or(0) {
            return Ok(start.elapsed());
        }
        ensure!(start.elapsed() < SETTLE_BOUND, "memory does not settle: {samples:?} bytes");
    }
}
