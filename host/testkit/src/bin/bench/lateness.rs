//! `bench lateness`: the delay of retries after their due time, by the clock of the host.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use testkit::{Process, Rng, WallClock};

use crate::retries::{PARTITIONS, Setup, conditions, now_ms, stop, waiting};

const DELAYS_MS: [u64; 3] = [100, 1_000, 10_000];
/// The maximum of messages due per second.
const MAX_PER_SECOND: u64 = 5_000;
/// The bound on publishing the messages, which must end before the first is due.
const WRITING: Duration = Duration::from_secs(2);
const WRITTEN_PER_SECOND: u64 = 15_000;
/// The bound on the delay of the last message.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
const MEASURED: &str = "\
Lateness: from the due time in the record's header to the guest's first line in the host's log, both
by the host's clock, in milliseconds. All messages are in the retry topic of their delay before the
first is due. They stand there as if they had failed at an even pace, at most 5,000 a second, in the
order they were written, and fall due at that pace. \"after-ms\": every other message has asked for a
delay of its own, from 1 ms to that of the topic, and so is due before others that stand in front of it.
Clock: that of the host against the writer's; the due times are by the host's, as those it writes are.";

/// Arguments of `bench lateness`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of waiting messages; several numbers with commas
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000])]
    waiting: Vec<u64>,
    /// Offset of the host's clock in seconds; several offsets with commas
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, default_values_t = [0, 5, -5])]
    clocks: Vec<i64>,
    /// The host to measure instead of the built one
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
}

/// A line of the table.
struct Case {
    clock_s: i64,
    delay_ms: u64,
    waiting: u64,
    /// Half of the messages choose their delay.
    mixed: bool,
}

/// The due time of a message by the clock of the host, and whether the message chose it.
#[derive(Clone, Copy)]
struct Due {
    at_ms: i64,
    chosen: bool,
}

/// Measures every case and prints the table.
///
/// # Errors
/// A delivery was early or missing.
pub fn run(args: &Args) -> Result<()> {
    let mut rng = Rng::seeded();
    let setup = Setup::new(args.host.as_deref(), DELAYS_MS[0], 10, DELAYS_MS.len() as u32)?;
    println!("| clock | delay | waiting | messages | p50 ms | p99 ms | max ms | early |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut early = 0;
    for case in cases(args) {
        let (due, late) = measure(&setup, &case, &mut rng).with_context(|| {
            format!("{} waiting for {} ms, clock {} s off", case.waiting, case.delay_ms, case.clock_s)
        })?;
        early += print(&case, &due, &late);
    }
    println!("\n{}.\n\n{MEASURED}", conditions(PARTITIONS));
    ensure!(early == 0, "{early} deliveries were early by the clock of the host");
    Ok(())
}

fn cases(args: &Args) -> Vec<Case> {
    let mut cases = Vec::new();
    for &clock_s in &args.clocks {
        for mixed in [false, true] {
            // The effect of the clock does not depend on the mix.
            if clock_s != 0 && mixed {
                continue;
            }
            for delay_ms in DELAYS_MS {
                cases.extend(args.waiting.iter().map(|&waiting| Case { clock_s, delay_ms, waiting, mixed }));
            }
        }
    }
    cases
}

/// The due times, and the delay of each message in milliseconds.
fn measure(setup: &Setup, case: &Case, rng: &mut Rng) -> Result<(Vec<Due>, Vec<f64>)> {
    let clock = (case.clock_s != 0).then(|| WallClock::new(&format!("{:+}s", case.clock_s)));
    let env = clock.as_ref().map(WallClock::env);
    let host = setup.start(env.as_ref().map_or(&[], |env| env.as_slice()))?;
    let writing = WRITING + Duration::from_secs(case.waiting / WRITTEN_PER_SECOND);
    let begin_ms = now_ms() + i64::try_from(writing.as_millis())?;
    let due = schedule(case, begin_ms + case.clock_s * 1000, rng);
    let records = (0..).zip(&due).map(|(number, due)| waiting(number, due.at_ms));
    setup.kafka.produce(&format!("faulty-retry-{}", case.delay_ms), records);
    ensure!(now_ms() < begin_ms, "writing the messages took longer than {writing:?}");
    let last_ms = due.iter().map(|due| due.at_ms).max().unwrap_or(0) - case.clock_s * 1000;
    let left = Duration::from_millis((last_ms - now_ms()).max(0).unsigned_abs());
    let begun = deliveries(&host, due.len(), left + PATIENCE)?;
    stop(host)?;
    let late = due.iter().zip(begun).map(|(due, begun_us)| begun_us as f64 / 1e3 - due.at_ms as f64);
    let late = late.collect();
    Ok((due, late))
}

/// The due times of messages that fail one after the other from `begin_ms` on.
fn schedule(case: &Case, begin_ms: i64, rng: &mut Rng) -> Vec<Due> {
    let pace = case.waiting.clamp(1, MAX_PER_SECOND);
    let due = |number: u64| {
        let chosen = case.mixed && number % 2 == 1;
        let delay_ms = if chosen { 1 + rng.below(case.delay_ms) } else { case.delay_ms };
        Due { at_ms: begin_ms.saturating_add_unsigned(number * 1000 / pace + delay_ms), chosen }
    };
    (0..case.waiting).map(due).collect()
}

/// Waits until every message was delivered once. Returns the times, in microseconds since the Unix epoch.
fn deliveries(host: &Process, count: usize, bound: Duration) -> Result<Vec<i64>> {
    let end = Instant::now() + bound;
    let mut begun = vec![None; count];
    let (mut seen, mut found) = (0, 0);
    while found < count {
        ensure!(Instant::now() < end, "{found} of {count} messages were delivered in {bound:?}");
        sleep(POLL);
        let lines = host.lines_after(seen);
        seen += lines.len();
        for line in &lines {
            let Some((number, at_us)) = delivery(line) else { continue };
            let slot = begun.get_mut(number).with_context(|| format!("not one of the messages: {line}"))?;
            if slot.replace(at_us).is_some() {
                bail!("delivered twice: {line}");
            }
            found += 1;
        }
    }
    Ok(begun.into_iter().flatten().collect())
}

/// The number of a message and its time in microseconds, from the log line of the guest.
fn delivery(line: &str) -> Option<(usize, i64)> {
    let (_, id) = line.split_once("handled id=")?;
    let number = id.split('-').next()?.parse().ok()?;
    Some((number, timestamp_us(line.split(' ').next()?)?))
}

/// `2026-11-23T21:10:32.123456Z` in microseconds since the Unix epoch.
fn timestamp_us(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, fraction) = time.split_once('.')?;
    let seconds = time.split(':').try_fold(0, |sum, part| Some(sum * 60 + part.parse::<i64>().ok()?))?;
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    // Days since the epoch in the proleptic Gregorian calendar. A year begins in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some((days * 86_400 + seconds) * 1_000_000 + micros)
}

/// Prints the lines of a case. Returns the number of early deliveries.
fn print(case: &Case, due: &[Due], late: &[f64]) -> usize {
    let of = |chosen: bool| {
        let both = due.iter().zip(late);
        both.filter(|(due, _)| due.chosen == chosen).map(|(_, late)| *late).collect::<Vec<f64>>()
    };
    if case.mixed {
        line(case, "policy's delay, mixed", of(false)) + line(case, "after-ms, mixed", of(true))
    } else {
        line(case, "policy's delay", of(false))
    }
}

fn line(case: &Case, kind: &str, mut late: Vec<f64>) -> usize {
    late.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = ((late.len() as f64 * share).ceil() as usize).saturating_sub(1);
        late.get(index).copied().unwrap_or(f64::NAN)
    };
    let early = late.iter().filter(|late| **late < 0.0).count();
    println!(
        "| {:+} s | {} ms | {} | {kind} | {:.1} | {:.1} | {:.1} | {early} |",
        case.clock_s,
        case.delay_ms,
        case.waiting,
        at(0.5),
        at(0.99),
        at(1.0)
    );
    early
}
