//! `bench replay`: dead letters into a store, and out of it again.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use testkit::{Kafka, Postgres, Process, Record, Usage, binary, get, plugin, post};

use crate::retries::{PARTITIONS, conditions, stop};
use crate::spread::spread;

const TOPIC: &str = "faulty-fast";
const READY: Duration = Duration::from_secs(60);
const BOUND: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(200);

/// Arguments of `bench replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of dead letters
    #[arg(long, default_value_t = 50_000)]
    messages: u64,
    /// Number of runs for each store
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only SQLite
    #[arg(long, conflicts_with = "postgresql")]
    sqlite: bool,
    /// Only PostgreSQL
    #[arg(long)]
    postgresql: bool,
    /// Further arguments of the host, after --
    #[arg(last = true)]
    host_args: Vec<String>,
}

struct Figures {
    /// Dead letters stored per second.
    taken: f64,
    /// Dead letters replayed per second, outcomes included.
    replayed: f64,
    /// µs of the host's CPU per replayed dead letter.
    cpu: f64,
}

/// Runs and prints a table.
///
/// # Errors
/// A dead letter is missing.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.runs > 0 && args.messages > 0, "nothing to measure: --runs and --messages start at 1");
    let postgres = (!args.sqlite).then(Postgres::start_with_defaults);
    let mut rows = Vec::new();
    rows.extend((!args.postgresql).then(|| ("SQLite", Vec::new())));
    rows.extend(postgres.is_some().then(|| ("PostgreSQL", Vec::new())));
    for number in 1..=args.runs {
        for (name, runs) in &mut rows {
            let kafka = Kafka::start_for_speed();
            let store = match &postgres {
                Some(postgres) if *name == "PostgreSQL" => postgres.url(),
                _ => format!("sqlite:{}", kafka.dir().join("host.db").display()),
            };
            let figures = measure(args, &kafka, &store).with_context(|| format!("{name}, run {number}"))?;
            let Figures { taken, replayed, cpu } = figures;
            println!("run {number} {name}: {taken:.0}/s stored, {replayed:.0}/s replayed, CPU {cpu:.0} µs");
            runs.push(figures);
        }
    }
    println!("\n{} runs each in turns: median (min–max). {}.\n", args.runs, conditions(PARTITIONS));
    println!("| store | stored/s | replayed/s | host CPU µs a replayed one |\n|---|---|---|---|");
    for (name, runs) in &rows {
        println!(
            "| {name} | {} | {} | {} |",
            spread(runs, |run| run.taken, 0),
            spread(runs, |run| run.replayed, 0),
            spread(runs, |run| run.cpu, 0)
        );
    }
    println!(
        "\n{} messages of 200 bytes that a plugin rejects, and whose next build accepts them. Stored: from the start of \
         their host to the last one in the store. Replayed: from the request, without a rate or ramp, until all have \
         their outcome. The broker and PostgreSQL run on the same machine.",
        args.messages
    );
    Ok(())
}

fn measure(args: &Args, kafka: &Kafka, store: &str) -> Result<Figures> {
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    let message = |number: u64| {
        let id = format!("{number:-<165}");
        Record::new(format!(r#"{{"id":"{id}","do":"reject"}}"#))
            .on((number % PARTITIONS as u64) as i32)
            .with_header("host-id", format!("01920000-0000-7000-8000-{number:012x}"))
    };
    kafka.produce(TOPIC, (0..args.messages).map(message));
    let (host, port) = start(args, kafka, store, "faulty_fast")?;
    let started = Instant::now();
    wait(&host, "/api/v1/overview", port, |overview| {
        number(overview, "\"open_dead_letters\":") >= args.messages
    })?;
    let taken = started.elapsed();
    stop(host)?;
    let (host, port) = start(args, kafka, store, "faulty_mended")?;
    let (started, before): (_, Usage) = (Instant::now(), host.usage());
    let body = r#"{"reason":"a benchmark","all":true}"#;
    let answer = post(port, "/api/v1/replays", body).context("starting a replay")?;
    let text = answer.text();
    let id = text.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let id = id.with_context(|| format!("no replay in: {text}"))?;
    let path = format!("/api/v1/replays/{id}");
    let done = wait(&host, &path, port, |replay| replay.contains("\"state\":\"done\""))?;
    let (took, cpu) = (started.elapsed(), host.usage().cpu - before.cpu);
    ensure!(number(&done, "\"done\":") == args.messages, "not all were handled: {done}");
    stop(host)?;
    Ok(Figures {
        taken: args.messages as f64 / taken.as_secs_f64(),
        replayed: args.messages as f64 / took.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / args.messages as f64,
    })
}

/// Starts a host without a line per message. Returns its port.
fn start(args: &Args, kafka: &Kafka, store: &str, guest: &str) -> Result<(Process, u16)> {
    let file = plugin(guest).display().to_string();
    let mut arguments = vec!["--plugin", &file, "--bootstrap-servers", kafka.bootstrap(), "--store", store];
    arguments.extend(["--listen", "127.0.0.1:0"]);
    arguments.extend(args.host_args.iter().map(String::as_str));
    let host = Process::start_with(&binary("host"), &arguments, &[("RUST_LOG", "warn")]);
    let line = host.wait_for(|line| line.contains("/readyz"), READY);
    let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
    host.wait_for(|line| line.starts_with("Ready in"), READY);
    Ok((host, port.with_context(|| format!("no port in {line}"))?))
}

/// Waits for an answer at this path. Returns it.
fn wait(host: &Process, path: &str, port: u16, is_it: impl Fn(&str) -> bool) -> Result<String> {
    let started = Instant::now();
    loop {
        let text = get(port, path).map(|answer| answer.text()).unwrap_or_default();
        if is_it(&text) {
            return Ok(text);
        }
        if started.elapsed() > BOUND {
            bail!("{path} is {text} after {BOUND:?}:\n{}", host.lines().join("\n"));
        }
        sleep(POLL);
    }
}

/// The number behind a text.
fn number(text: &str, name: &str) -> u64 {
    let digits = text.split(name).nth(1).map(|rest| rest.split(|digit: char| !digit.is_ascii_digit()).next());
    digits.flatten().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}
