//! A host under test, and what its deliveries were.

use std::cell::Cell;
use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{Kafka, Process, Usage};

/// For what happens at once on a quiet machine.
pub const BOUND: Duration = Duration::from_secs(60);
/// The bound of the host's shutdown.
pub const SHUTDOWN: Duration = Duration::from_secs(30);

/// How many of a host's lines are shown.
const MOST_TOLD: usize = 400;

/// A running host.
pub struct Host {
    process: Process,
    started: Instant,
    /// Lines that were looked at, and the deliveries among them.
    seen: Cell<(usize, usize)>,
}

impl Host {
    /// Starts it with these plugins, more arguments after them.
    pub fn start(kafka: &Kafka, plugins: &[&str], more: &[&str]) -> Self {
        let files: Vec<String> =
            plugins.iter().map(|name| testkit::plugin(name).display().to_string()).collect();
        let mut args = vec!["--bootstrap-servers", kafka.bootstrap(), "--listen", "127.0.0.1:0"];
        for file in &files {
            args.extend(["--plugin", file]);
        }
        args.extend(more);
        Self::start_as(&args)
    }

    /// Starts it with these arguments alone.
    pub fn start_as(args: &[&str]) -> Self {
        Self { started: Instant::now(), process: Process::start("host", args), seen: Cell::default() }
    }

    /// Waits until it has joined its groups; how long that took from its start.
    pub fn ready(&self, bound: Duration) -> Duration {
        self.process.wait_for(|line| line.starts_with("Ready in"), bound);
        self.started.elapsed()
    }

    /// Waits for a line.
    pub fn wait(&self, matches: impl Fn(&str) -> bool, bound: Duration) -> String {
        self.process.wait_for(matches, bound)
    }

    /// How many deliveries it has begun.
    pub fn handled(&self) -> usize {
        let (lines, deliveries) = self.seen.get();
        let new = self.process.lines_after(lines);
        let deliveries = deliveries + new.iter().filter(|line| is_delivery(line)).count();
        self.seen.set((lines + new.len(), deliveries));
        deliveries
    }

    /// Waits until it has begun `count` deliveries.
    pub fn wait_handled(&self, count: usize, bound: Duration) {
        let end = Instant::now() + bound;
        while self.handled() < count {
            assert!(Instant::now() < end, "{} of {count} deliveries in {bound:?}", self.handled());
            sleep(Duration::from_millis(1));
        }
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        self.process.usage()
    }

    pub fn lines(&self) -> Vec<String> {
        self.process.lines()
    }

    pub fn count(&self, matches: impl Fn(&str) -> bool) -> usize {
        self.process.count(matches)
    }

    pub fn terminate(&mut self) {
        self.process.terminate();
    }

    /// SIGKILL; every line it has written.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill();
        self.process.wait(BOUND);
        self.lines()
    }

    /// Waits for its end; its exit code and every line it has written.
    pub fn ended(mut self, bound: Duration) -> (Option<i32>, Vec<String>) {
        let status = self.process.wait(bound);
        (status.code(), self.lines())
    }

    /// SIGTERM, which must end it with exit code 0 within its bound; every line it has written.
    pub fn stop(mut self) -> Vec<String> {
        self.process.terminate();
        let (code, lines) = self.ended(SHUTDOWN);
        assert_eq!(code, Some(0), "{:?}", lines.last());
        lines
    }
}

impl Drop for Host {
    /// What it said beside deliveries, for whoever looks into a failure.
    fn drop(&mut self) {
        let lines = self.process.lines();
        let told: Vec<&String> = lines.iter().filter(|line| !is_delivery(line)).collect();
        let state = if self.process.is_running() { "runs" } else { "has ended" };
        println!("--- host {}, which {state}, said ---", self.process.pid());
        told.iter().take(MOST_TOLD).for_each(|line| println!("{line}"));
    }
}

pub fn is_delivery(line: &str) -> bool {
    line.contains("handled id=")
}

/// How often each attempt of each message was delivered.
#[derive(Debug, Clone, Default)]
pub struct Deliveries {
    counts: HashMap<(usize, u32), u32>,
    /// What the hosts said they gave up, at most.
    given_up: GivenUp,
}

/// Deliveries that hosts said may be repeated, by cause. A killed one says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenUp {
    /// Partitions were lost without notice.
    pub lost: usize,
    /// The drain bound cut calls off.
    pub cut_off: usize,
}

impl Deliveries {
    pub fn of(lines: &[String]) -> Self {
        let mut deliveries = Self::default();
        deliveries.add(lines);
        deliveries
    }

    pub fn add(&mut self, lines: &[String]) {
        for line in lines {
            if is_delivery(line) {
                *self.counts.entry(parse(line)).or_default() += 1;
            } else if line.contains("partitions lost") {
                self.given_up.lost += repeated(line);
            } else if line.contains("cancelled at the drain bound") {
                self.given_up.cut_off += repeated(line);
            }
        }
    }

    pub fn given_up(&self) -> GivenUp {
        self.given_up
    }

    /// How often this attempt was delivered.
    pub fn count(&self, id: usize, attempt: u32) -> u32 {
        self.counts.get(&(id, attempt)).copied().unwrap_or(0)
    }

    /// Every delivery that was made, once.
    pub fn distinct(&self) -> impl Iterator<Item = (usize, u32)> {
        self.counts.keys().copied()
    }

    /// Deliveries beyond one of each attempt.
    pub fn repeats(&self) -> u32 {
        self.counts.values().map(|count| count - 1).sum()
    }
}

/// The id and the attempt of a delivery.
pub fn parse(line: &str) -> (usize, u32) {
    let id = field(line, "handled id=").and_then(|id| id.parse().ok());
    let attempt = field(line, " attempt=").and_then(|attempt| attempt.parse().ok());
    id.zip(attempt).unwrap_or_else(|| panic!("not a delivery of the test's: {line}"))
}

fn repeated(line: &str) -> usize {
    field(line, " repeated=").and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = &line[line.find(name)? + name.len()..];
    rest.split(' ').next()
}
