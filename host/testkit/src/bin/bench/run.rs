//! `bench run`: alternate runs of the host, or of several builds of it, and of the bare consumer, measured from
//! outside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use testkit::{Kafka, Process, Usage, binary, free_port, plugin};

use crate::load;
use crate::spread::{median, spread};

const POLL: Duration = Duration::from_millis(20);
const RUN_BOUND: Duration = Duration::from_secs(600);
const STOP_BOUND: Duration = Duration::from_secs(60);
const MEASURED: &str = "\
Measured from outside. host: the group's committed offsets, asked of the broker every 20 ms. The
clock runs from the first answer that shows a commit to the first with lag 0; the rate counts the
messages committed between the two, so the host's commit interval counts against it. bare: its own
clock, from the first batch to the last message, headers read; it commits nothing. CPU: user and
system time of the process from exec to the end. Memory: VmHWM at the end. The broker runs on the
same machine. Both start with the whole topic waiting, the host without committed offsets: its
group is deleted before each run.";

/// Arguments of `bench run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of messages
    #[arg(long, default_value_t = 1_000_000)]
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
    /// The isolations to compare, separated by commas [default: all; with --host the default of each host]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    isolation: Vec<String>,
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
    rate: f64,
    cpu: f64,
    peak_mib: f64,
    /// The time from exec to the first commit, if any.
    ready: Option<f64>,
}

/// Runs the benchmark and prints its table.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.runs > 0 && args.messages > 0, "nothing to measure: --runs and --messages start at 1");
    let hosts = if args.host.is_empty() { vec![binary("host")] } else { args.host.clone() };
    let plugin_file = plugin(&args.plugin);
    let kafka = Kafka::start_for_speed();
    kafka.create_topic(&args.plugin, args.partitions, &[]);
    load::run(&load::Args {
        bootstrap_servers: kafka.bootstrap().to_owned(),
        topic: args.plugin.clone(),
        messages: args.messages,
        no_headers: args.no_headers,
    })?;
    let plugin_file = plugin_file.to_str().context("the plugin's path is not UTF-8")?;
    let variants = variants(args, &hosts, plugin_file, kafka.dir())?;
    let names = variants.iter().map(|variant| variant.name.clone()).chain(["bare".to_owned()]);
    let mut rows: Vec<(String, Vec<Figures>)> = names.map(|name| (name, Vec::new())).collect();
    for number in 1..=args.runs {
        for (index, (name, runs)) in rows.iter_mut().enumerate() {
            let figures = match variants.get(index) {
                Some(variant) => run_host(args, &kafka, variant, plugin_file),
                None => run_bare(args, &kafka),
            };
            let figures = figures.with_context(|| format!("{name}, run {number}"))?;
            println!("run {number} {name} {}", line(&figures));
            runs.push(figures);
        }
    }
    table(args, &rows);
    Ok(())
}

/// A host to measure.
struct Variant {
    name: String,
    host: PathBuf,
    /// The configuration with its isolation. Older builds do not know all of them.
    config: Option<PathBuf>,
}

/// The configurations are written to `dir`.
fn variants(args: &Args, hosts: &[PathBuf], plugin_file: &str, dir: &Path) -> Result<Vec<Variant>> {
    let all = ["message", "new-instance", "instance"].map(str::to_owned);
    let isolations =
        if args.host.is_empty() && args.isolation.is_empty() { &all[..] } else { &args.isolation };
    let mut variants = Vec::new();
    for host in hosts {
        let name = host.display().to_string();
        if isolations.is_empty() {
            variants.push(Variant { name: name.clone(), host: host.clone(), config: None });
        }
        for isolation in isolations {
            let text = format!(
                "[[plugin]]\npath = {plugin_file:?}\ntopic = {:?}\nisolation = {isolation:?}\n",
                args.plugin
            );
            let config = dir.join(format!("host-{isolation}.toml"));
            std::fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
            let name = format!("{name}, isolation {isolation}");
            variants.push(Variant { name, host: host.clone(), config: Some(config) });
        }
    }
    Ok(variants)
}

fn run_host(args: &Args, kafka: &Kafka, variant: &Variant, plugin_file: &str) -> Result<Figures> {
    let (topic, group) = (&args.plugin, format!("{}-group", args.plugin));
    kafka.delete_group(&group);
    let listen = format!("127.0.0.1:{}", free_port());
    let mut arguments =
        vec!["--plugin", plugin_file, "--bootstrap-servers", kafka.bootstrap(), "--listen", &listen];
    if let Some(config) = &variant.config {
        arguments.extend(["--config", config.to_str().context("a path that is not UTF-8")?]);
    }
    arguments.extend(args.host_args.iter().map(String::as_str));
    let total: i64 = kafka.end_offsets(topic).iter().sum();
    let start = Instant::now();
    let mut process = Process::start_with(&variant.host, &arguments, &[]);
    let mut first = None;
    let (begun, from, end, usage) = loop {
        let committed: i64 = kafka.committed(&group, topic).into_iter().flatten().sum();
        let now = Instant::now();
        if first.is_none() && committed > 0 {
            first = Some((now, committed));
        }
        if let (true, Some((begun, from))) = (committed >= total, first) {
            break (begun, from, now, process.usage());
        }
        if !process.is_running() || start.elapsed() > RUN_BOUND {
            bail!("{committed} of {total} messages committed, then:\n{}", process.lines().join("\n"));
        }
        sleep(POLL);
    };
    process.terminate();
    let status = process.wait(STOP_BOUND);
    ensure!(status.success(), "after SIGTERM the host ended with {status}:\n{}", process.lines().join("\n"));
    ensure!(from < total, "the first observed commit covers all {total} messages: use more --messages");
    let ready = (begun - start).as_secs_f64();
    Ok(figures((total - from) as f64 / (end - begun).as_secs_f64(), usage, Some(ready)))
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
    Ok(Figures { rate: value("rate")?, cpu: value("cpu")?, peak_mib: mib(value("peak_rss")?), ready: None })
}

fn figures(rate: f64, usage: Usage, ready: Option<f64>) -> Figures {
    Figures { rate, cpu: usage.cpu.as_secs_f64(), peak_mib: mib(usage.peak_rss as f64), ready }
}

fn mib(bytes: f64) -> f64 {
    bytes / 1024.0 / 1024.0
}

fn line(figures: &Figures) -> String {
    let Figures { rate, cpu, peak_mib, ready } = figures;
    let ready = ready.map(|seconds| format!("  first commit after {seconds:.2} s")).unwrap_or_default();
    format!("{rate:>9.0}/s  CPU {cpu:.2} s  peak {peak_mib:.0} MiB{ready}")
}

fn table(args: &Args, rows: &[(String, Vec<Figures>)]) {
    println!(
        "\n{} messages, {} partitions, {} runs each: median (min–max)\n",
        args.messages, args.partitions, args.runs
    );
    println!("| | messages/s | CPU s | µs CPU a message | peak memory MiB | exec to first commit s |");
    println!("|---|---|---|---|---|---|");
    for (name, runs) in rows {
        let per_message = |run: &Figures| run.cpu * 1e6 / args.messages as f64;
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            spread(runs, |run| run.rate, 0),
            spread(runs, |run| run.cpu, 2),
            spread(runs, per_message, 2),
            spread(runs, |run| run.peak_mib, 0),
            spread(runs, |run| run.ready.unwrap_or(f64::NAN), 2),
        );
    }
    if let [hosts @ .., (_, bares)] = rows {
        for (name, runs) in hosts {
            let share = median(runs, |run| run.rate) / median(bares, |run| run.rate);
            println!("\n{name} / bare: {share:.2}");
        }
    }
    println!("\n{MEASURED}");
}
