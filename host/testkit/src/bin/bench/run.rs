//! `bench run`: the host in its settings, or several builds of it, Spring, and a bare consumer, in turns on one broker,
//! measured from outside.

use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum as _;
use testkit::Kafka;

use crate::candidates::{Candidate, Setting, candidates};
use crate::load;
use crate::retries::conditions;
use crate::spread::{median, spread};

const POLL: Duration = Duration::from_millis(20);
const RUN_BOUND: Duration = Duration::from_secs(600);
const STOP_BOUND: Duration = Duration::from_secs(60);
const BARE: &str = "bare rdkafka consumer, batches, headers read";
const MEASURED: &str = "\
Measured from outside: the group's committed offsets, asked of the broker every 20 ms. The clock runs
from the first answer that shows a commit to the first with lag 0; rate and CPU are those of the messages
committed between the two, so a long commit interval counts against a candidate. bare: its own clock, from
the first batch to the last message; it commits nothing; its CPU is that from exec to the end. CPU: user
and system time. Memory: VmHWM at the end. The broker runs on the same machine. All start with the whole
topic waiting and without committed offsets: the group is deleted before each run. Spring: @KafkaListener
with the defaults of the JVM; the listeners and the plugin read the four fields of an e-mail from JSON.";

/// Arguments of `bench run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of messages
    #[arg(long, default_value_t = 4_000_000)]
    messages: u64,
    /// Number of partitions
    #[arg(long, default_value_t = 4)]
    partitions: usize,
    /// Number of runs of each
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// The plugin, by name; its topic is NAME, its group is NAME-group
    #[arg(long, default_value = "parse")]
    plugin: String,
    /// The host to measure instead of the built one; repeat it to compare builds on one broker
    #[arg(long, value_name = "FILE")]
    host: Vec<PathBuf>,
    /// The settings to compare, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    only: Vec<Setting>,
    /// Leave out the `host-id` header
    #[arg(long)]
    no_headers: bool,
    /// Further arguments of the host, after --
    #[arg(last = true)]
    host_args: Vec<String>,
}

/// The figures of one run.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// Messages per second.
    rate: f64,
    /// µs of CPU per message.
    cpu: f64,
    peak_mib: f64,
    /// The time from exec to the first commit, if any.
    ready: Option<f64>,
}

/// Runs the benchmark and prints its table.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.runs > 0 && args.messages > 0, "nothing to measure: --runs and --messages start at 1");
    let kafka = Kafka::start_for_speed();
    kafka.create_topic(&args.plugin, args.partitions, &[]);
    load::run(&load::Args {
        bootstrap_servers: kafka.bootstrap().to_owned(),
        topic: args.plugin.clone(),
        messages: args.messages,
        no_headers: args.no_headers,
    })?;
    let settings = if args.only.is_empty() { Setting::value_variants() } else { &args.only };
    let candidates = candidates(&args.host, settings, &args.plugin, kafka.dir())?;
    let names = candidates.iter().map(|candidate| candidate.name.clone()).chain([BARE.to_owned()]);
    let mut rows: Vec<(String, Vec<Figures>)> = names.map(|name| (name, Vec::new())).collect();
    for number in 1..=args.runs {
        for (index, (name, runs)) in rows.iter_mut().enumerate() {
            let figures = match candidates.get(index) {
                Some(candidate) => run_candidate(args, &kafka, candidate),
                None => run_bare(args, &kafka),
            };
            let figures = figures.with_context(|| format!("{name}, run {number}"))?;
            println!("run {number} {name} {}", line(&figures));
            runs.push(figures);
        }
    }
    table(args, &candidates, &rows);
    Ok(())
}

fn run_candidate(args: &Args, kafka: &Kafka, candidate: &Candidate) -> Result<Figures> {
    let (topic, group) = (&args.plugin, format!("{}-group", args.plugin));
    kafka.delete_group(&group);
    let total: i64 = kafka.end_offsets(topic).iter().sum();
    let start = Instant::now();
    let mut process = candidate.start(kafka, topic, &group, &args.host_args)?;
    let mut first = None;
    let (begun, from, used, end, usage) = loop {
        let committed: i64 = kafka.committed(&group, topic).into_iter().flatten().sum();
        let now = Instant::now();
        if first.is_none() && committed > 0 {
            first = Some((now, committed, process.usage()));
        }
        if let (true, Some((begun, from, used))) = (committed >= total, first) {
            break (begun, from, used, now, process.usage());
        }
        if !process.is_running() || start.elapsed() > RUN_BOUND {
            bail!("{committed} of {total} messages committed, then:\n{}", process.lines().join("\n"));
        }
        sleep(POLL);
    };
    process.terminate();
    let status = process.wait(STOP_BOUND);
    ensure!(candidate.ended_well(status), "it ended with {status}:\n{}", process.lines().join("\n"));
    ensure!(from < total, "the first observed commit covers all {total} messages: use more --messages");
    let counted = (total - from) as f64;
    Ok(Figures {
        rate: counted / (end - begun).as_secs_f64(),
        cpu: (usage.cpu - used.cpu).as_secs_f64() * 1e6 / counted,
        peak_mib: mib(usage.peak_rss as f64),
        ready: Some((begun - start).as_secs_f64()),
    })
}

fn run_bare(args: &Args, kafka: &Kafka) -> Result<Figures> {
    let exe = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new(exe);
    command.args(["bare", "--bootstrap-servers", kafka.bootstrap(), "--topic", &args.plugin]);
    command.arg("--messages").arg(args.messages.to_string());
    command.arg("--partitions").arg(args.partitions.to_string());
    let output = command.output().context("starting the bare consumer")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    ensure!(text.contains(&format!("messages={} ", args.messages)), "not all messages were read: {text}");
    let headers = if args.no_headers { 0 } else { args.messages };
    ensure!(text.contains(&format!("headers={headers} ")), "not all headers were read: {text}");
    let value = |name: &str| -> Result<f64> {
        let found = text.split_whitespace().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.with_context(|| format!("no {name} in: {text}"))?.parse().context("a number")
    };
    let cpu = value("cpu")? * 1e6 / args.messages as f64;
    Ok(Figures { rate: value("rate")?, cpu, peak_mib: mib(value("peak_rss")?), ready: None })
}

fn mib(bytes: f64) -> f64 {
    bytes / 1024.0 / 1024.0
}

fn line(figures: &Figures) -> String {
    let Figures { rate, cpu, peak_mib, ready } = figures;
    let ready = ready.map(|seconds| format!("  first commit after {seconds:.2} s")).unwrap_or_default();
    format!("{rate:>9.0}/s  CPU {cpu:.2} µs  peak {peak_mib:.0} MiB{ready}")
}

fn table(args: &Args, candidates: &[Candidate], rows: &[(String, Vec<Figures>)]) {
    println!(
        "\n{} messages, {} runs of each in turns: median (min–max). {}.\n",
        args.messages,
        args.runs,
        conditions(args.partitions)
    );
    let rate = |runs: &[Figures]| median(runs, |run| run.rate);
    let spring = candidates.iter().zip(rows).filter(|(candidate, _)| candidate.is_spring());
    let spring = spring.map(|(_, (_, runs))| rate(runs)).reduce(f64::max);
    let bare = rows.last().map(|(_, runs)| rate(runs));
    println!(
        "| | messages/s | of Spring's best | of bare | CPU µs a message | peak memory MiB | exec to first commit s |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, runs) in rows {
        let of =
            |other: Option<f64>| other.map_or("–".to_owned(), |other| format!("{:.2}", rate(runs) / other));
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            spread(runs, |run| run.rate, 0),
            of(spring),
            of(bare),
            spread(runs, |run| run.cpu, 1),
            spread(runs, |run| run.peak_mib, 0),
            match runs.first().and_then(|run| run.ready) {
                Some(_) => spread(runs, |run| run.ready.unwrap_or(f64::NAN), 2),
                None => "–".to_owned(),
            },
        );
    }
    println!("\n{MEASURED}");
}
