//! A host under test and its deliveries.

use std::cell::Cell;
use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{Kafka, Process, Usage};

/// Above the time of any step that is immediate on an idle machine.
pub const BOUND: Duration = Duration::from_secs(60);
/// The bound of the host's shutdown.
pub const SHUTDOWN: Duration = Duration::from_secs(30);

/// The maximum of printed lines per host.
const MAX_PRINTED: usize = 400;

/// A running host.
pub struct Host {
    process: Process,
    started: Instant,
    /// The number of lines read so far, and the deliveries among them.
    seen: Cell<(usize, usize)>,
}

impl Host {
    /// Starts a host with these plugins and more arguments.
    pub fn start(kafka: &Kafka, plugins: &[&str], more: &[&str]) -> Self {
        let files: Vec<String> =
            plugins.iter().map(|name| testkit::plugin(name).display().to_string()).collect();
        let mut args = vec!["--bootstrap-servers", kafka.bootstrap(), "--listen", "127.0.0.1:0"];
        for file in &files {
            args.extend(["--plugin", file]);
        }
        let store = store(kafka);
        if !more.contains(&"--store") {
            args.extend(["--store", &store]);
        }
        args.extend(more);
        Self::start_as(&args)
    }

    /// Starts a host with only these arguments.
    pub fn start_as(args: &[&str]) -> Self {
        Self { started: Instant::now(), process: Process::start("host", args), seen: Cell::default() }
    }

    /// Waits until it has joined its groups. Returns the time since its start.
    pub fn ready(&self, bound: Duration) -> Duration {
        self.process.wait_for(|line| line.starts_with("Ready in"), bound);
        self.started.elapsed()
    }

    /// Waits for a line.
    pub fn wait(&self, matches: impl Fn(&str) -> bool, bound: Duration) -> String {
        self.process.wait_for(matches, bound)
    }

    /// The number of deliveries so far.
    pub fn handled(&self) -> usize {
        let (lines, deliveries) = self.seen.get();
        let new = self.process.lines_after(lines);
        let deliveries = deliveries + new.iter().filter(|line| is_delivery(line)).count();
        self.seen.set((lines + new.len(), deliveries));
        deliveries
    }

    /// Waits for `count` deliveries.
    pub fn wait_handled(&self, count: usize, bound: Duration) {
        let end = Instant::now() + bound;
        while self.handled() < count {
            assert!(Instant::now() < end, "{} of {count} deliveries in {bound:?}", self.handled());
            sleep(Duration::from_millis(1));
        }
    }

    /// Its CPU time and memory so far.
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

    /// Sends SIGKILL. Returns all lines.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill();
        self.process.wait(BOUND);
        self.lines()
    }

    /// Waits for its end. Returns its exit code and all lines.
    pub fn ended(mut self, bound: Duration) -> (Option<i32>, Vec<String>) {
        let status = self.process.wait(bound);
        (status.code(), self.lines())
    }

    /// Sends SIGTERM. It must exit with code 0 within its bound. Returns all lines.
    pub fn stop(mut self) -> Vec<String> {
        self.process.terminate();
        let (code, lines) = self.ended(SHUTDOWN);
        assert_eq!(code, Some(0), "{:?}", lines.last());
        lines
    }
}

/// The store of a test's hosts. Hosts of concurrent tests would wait for each other's locks in a common one.
pub fn store(kafka: &Kafka) -> String {
    format!("sqlite:{}", kafka.dir().join("host.db").display())
}

impl Drop for Host {
    /// Prints its lines without deliveries, for the analysis of a failed test.
    fn drop(&mut self) {
        let lines = self.process.lines();
        let shown: Vec<&String> = lines.iter().filter(|line| !is_delivery(line)).collect();
        let state = if self.process.is_running() { "runs" } else { "has ended" };
        println!("--- lines of host {}, which {state} ---", self.process.pid());
        shown.iter().take(MAX_PRINTED).for_each(|line| println!("{line}"));
    }
}

pub fn is_delivery(line: &str) -> bool {
    line.contains("handled id=")
}

/// The number of deliveries of each attempt of each message.
#[derive(Debug, Clone, Default)]
pub struct Deliveries {
    counts: HashMap<(usize, u32), u32>,
    /// Deliveries that may be repeated, according to the hosts.
    given_up: GivenUp,
}

/// Deliveries that may be repeated, by cause, as logged by the hosts. A killed host logs nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenUp {
    /// Partitions were lost without notice.
    pub lost: usize,
    /// Calls were interrupted at the drain bound.
    pub interrupted: usize,
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
                self.given_up.interrupted += repeated(line);
            }
        }
    }

    pub fn given_up(&self) -> GivenUp {
        self.given_up
    }

    /// The number of deliveries of this attempt.
    pub fn count(&self, id: usize, attempt: u32) -> u32 {
        self.counts.get(&(id, attempt)).copied().unwrap_or(0)
    }

    /// Every delivered attempt, once.
    pub fn distinct(&self) -> impl Iterator<Item = (usize, u32)> {
        self.counts.keys().copied()
    }

    /// Deliveries beyond one per attempt.
    pub fn repeats(&self) -> u32 {
        self.counts.values().map(|count| count - 1).sum()
    }
}

/// The id and the attempt of a delivery.
pub fn parse(line: &str) -> (usize, u32) {
    let id = field(line, "handled id=").and_then(|id| id.parse().ok());
    let attempt = field(line, " attempt=").and_then(|attempt| attempt.parse().ok());
    id.zip(attempt).unwrap_or_else(|| panic!("not a delivery of this test: {line}"))
}

fn repeated(line: &str) -> usize {
    field(line, " repeated=").and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = &line[line.find(name)? + name.len()..];
    rest.split(' ').next()
}
