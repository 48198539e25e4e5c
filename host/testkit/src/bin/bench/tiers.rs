//! `bench tiers`: messages that fail on every delivery, through all retry topics to the dead-letter topic.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::{Process, Usage};

use crate::retries::{PARTITIONS, SOURCE, Setup, conditions, message, stop};

const POLL: Duration = Duration::from_millis(100);
const PROGRESS: Duration = Duration::from_secs(1);
const BOUND: Duration = Duration::from_secs(300);

/// Arguments of `bench tiers`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of messages, all published before the host starts
    #[arg(long, default_value_t = 50_000)]
    messages: u64,
    /// Number of runs; the broker warms up in the first ones
    #[arg(long, default_value_t = 6)]
    runs: usize,
    /// Write a profile of the host by perf to this file
    #[arg(long, value_name = "FILE")]
    perf: Option<PathBuf>,
    /// The host to measure instead of the built one
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
    /// Further arguments of the host, after --
    #[arg(last = true)]
    host_args: Vec<String>,
}

struct Figures {
    /// Dead letters per second, from the first retry record to the last dead letter.
    rate: f64,
    host: Usage,
    broker_cpu: Duration,
}

/// Runs and prints a table.
///
/// # Errors
/// A dead letter is late or duplicated.
pub fn run(args: &Args) -> Result<()> {
    println!("| run | dead letters/s | host CPU µs a message | broker CPU µs a message | peak memory MiB |");
    println!("|---|---|---|---|---|");
    // One broker for all runs, which is compiling its code during the first.
    let setup = Setup::new(args.host.as_deref(), 1, 2, 5)?;
    for number in 1..=args.runs {
        let figures = measure(args, &setup)?;
        let per_message = |cpu: Duration| cpu.as_secs_f64() * 1e6 / args.messages as f64;
        println!(
            "| {number} | {:.0} | {:.0} | {:.0} | {:.0} |",
            figures.rate,
            per_message(figures.host.cpu),
            per_message(figures.broker_cpu),
            figures.host.peak_rss as f64 / 1024.0 / 1024.0
        );
    }
    println!(
        "\n{}. {} messages of 200 bytes, all in the source topic at first, six deliveries each, after \
         1, 2, 4, 8 and 16 ms; from the first retry record to the last dead letter.",
        conditions(PARTITIONS),
        args.messages
    );
    Ok(())
}

fn measure(args: &Args, setup: &Setup) -> Result<Figures> {
    let expected = setup.count(&setup.dead()) + args.messages;
    setup.kafka.produce(SOURCE, (0..args.messages).map(|number| message(number, "retry")));
    let broker = setup.kafka.usage().cpu;
    // A log line per delivery would add to the measurement.
    let host = setup.start_with(&args.host_args, &[("RUST_LOG", "warn")])?;
    let profile = args.perf.as_ref().map(|file| profile(&host, file)).transpose()?;
    let took = watch(setup, expected)?;
    let (usage, broker_cpu) = (host.usage(), setup.kafka.usage().cpu - broker);
    stop(host)?;
    if let (Some(mut perf), Some(file)) = (profile, &args.perf) {
        perf.wait().context("waiting for perf")?;
        println!("perf report --no-children --sort comm,dso,symbol -g none -i {}", file.display());
    }
    let dead_letters = setup.count(&setup.dead());
    ensure!(dead_letters == expected, "{dead_letters} dead letters of {expected} messages");
    Ok(Figures { rate: args.messages as f64 / took.as_secs_f64(), host: usage, broker_cpu })
}

/// Waits for this many dead letters. Returns the time since the first retry record. Prints the number of
/// records per topic every second: the bottleneck is before the largest number.
fn watch(setup: &Setup, expected: u64) -> Result<Duration> {
    let (start, tiers, dead) = (Instant::now(), setup.tiers(), setup.dead());
    // Before the first failure there are as many retry records as dead letters: none.
    let before = setup.count(&dead);
    let mut begun = None;
    let mut told = start;
    while setup.count(&dead) < expected {
        ensure!(start.elapsed() < BOUND, "{} of {expected} are dead after {BOUND:?}", setup.count(&dead));
        if begun.is_none() && tiers.first().is_some_and(|first| setup.count(first) > before) {
            begun = Some(Instant::now());
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let counts: Vec<u64> = tiers.iter().chain([&dead]).map(|topic| setup.count(topic)).collect();
            eprintln!("{:.1} s: {counts:?}", start.elapsed().as_secs_f64());
        }
        sleep(POLL);
    }
    Ok(begun.unwrap_or(start).elapsed())
}

/// Starts perf, which ends with the host.
fn profile(host: &Process, file: &PathBuf) -> Result<Child> {
    let pid = host.pid().to_string();
    let mut command = Command::new("perf");
    command.args(["record", "-F", "299", "-g", "-p", &pid, "-o"]).arg(file);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.context("starting perf: apt-get install -y linux-perf")
}
