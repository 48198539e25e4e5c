//! Guests under names of their own, the host as a process, and its log lines.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testkit::{Kafka, Process, Record, plugin};

/// Above the time of any step on a busy machine.
pub const BOUND: Duration = Duration::from_secs(90);
/// The host's shutdown bound plus a margin.
pub const SHUTDOWN: Duration = Duration::from_secs(35);
/// The name of the guest as built.
const FAST: &str = "faulty-fast";
/// The retry delays of `faulty-fast`, in milliseconds.
pub const FAST_TIERS: [u64; 5] = [10, 20, 40, 80, 160];

/// A guest with a topic and a group of its own.
pub struct Guest {
    /// The plugin's file.
    pub path: PathBuf,
    /// Its name and its topic.
    pub topic: String,
    /// Its group.
    pub group: String,
    /// Its retry topics, shortest delay first.
    pub retry_topics: Vec<String>,
    /// Its dead-letter topic.
    pub dead: String,
}

impl Guest {
    /// `faulty-fast` under another name, which is padded to the same length.
    pub fn fast(name: &str) -> Self {
        let name = format!("{name:-<width$}", width = FAST.len());
        assert_eq!(name.len(), FAST.len(), "{name} is longer than {FAST}");
        let path = patched("faulty_fast", &name, &[(FAST, &name)]);
        Self::new(path, &name, &FAST_TIERS)
    }

    /// [`Guest::fast`], with calls of up to 64 messages.
    pub fn batching(name: &str) -> Self {
        let Self { topic, .. } = Self::fast(name);
        let batches = ("max-batch=001", "max-batch=064");
        Self::new(patched("faulty_fast", &topic, &[(FAST, &topic), batches]), &topic, &FAST_TIERS)
    }

    /// `faulty` as built, with the default delays of the product.
    pub fn slow() -> Self {
        Self::new(plugin("faulty"), "faulty", &[1000, 2000, 4000, 8000, 16000])
    }

    fn new(path: PathBuf, name: &str, tiers: &[u64]) -> Self {
        Self {
            path,
            topic: name.to_owned(),
            group: format!("{name}-group"),
            retry_topics: tiers.iter().map(|delay| format!("{name}-retry-{delay}")).collect(),
            dead: format!("{name}.dlt"),
        }
    }

    /// Waits until every lag is 0. The lag of the source is read first, because messages move from the source
    /// to the retry topics.
    #[track_caller]
    pub fn settle(&self, kafka: &Kafka) {
        let end = Instant::now() + BOUND;
        loop {
            let lags = self.lags(kafka);
            if lags.iter().all(|(_, lag)| *lag == 0) {
                return;
            }
            assert!(Instant::now() < end, "not settled in {BOUND:?}, lags: {lags:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The group that ingests its dead letters.
    pub fn dead_letter_group(&self) -> String {
        self.group.replace("-group", "-dlt-group")
    }

    fn lags<'a>(&'a self, kafka: &Kafka) -> Vec<(&'a str, i64)> {
        let retry_group = format!("{}-retry", self.group);
        let source = [(self.topic.as_str(), kafka.lag(&self.group, &self.topic))];
        let retries = self.retry_topics.iter().map(|topic| (topic.as_str(), kafka.lag(&retry_group, topic)));
        source.into_iter().chain(retries).collect()
    }
}

/// A copy of a built guest in which texts are replaced by others of the same length.
pub fn patched(built: &str, name: &str, replacements: &[(&str, &str)]) -> PathBuf {
    let mut bytes = std::fs::read(plugin(built)).expect("the guest's bytes");
    for (from, to) in replacements {
        assert_eq!(from.len(), to.len(), "{from} -> {to}");
        let places: Vec<usize> = bytes
            .windows(from.len())
            .enumerate()
            .filter(|(_, window)| *window == from.as_bytes())
            .map(|(place, _)| place)
            .collect();
        assert!(!places.is_empty(), "{built} does not contain {from}");
        for place in places {
            bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    file(&format!("{name}.wasm"), &bytes)
}

/// A file with these bytes. It is renamed into place, because another process may be reading it.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e");
    std::fs::create_dir_all(&dir).expect("a directory for the test's files");
    let (path, new) = (dir.join(name), dir.join(format!("{name}.{}", std::process::id())));
    std::fs::write(&new, bytes).expect("the test's file is written");
    std::fs::rename(&new, &path).expect("the test's file is put in place");
    path
}

/// The path of a store that does not exist yet.
pub fn fresh(name: &str) -> PathBuf {
    let path = file(&format!("{name}.db"), b"");
    for other in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{other}", path.display()));
    }
    path
}

/// The URL of the store in this file.
pub fn sqlite(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// A running host.
pub struct Host {
    /// The process.
    pub process: Process,
    /// The port of its HTTP server.
    pub port: u16,
}

impl Host {
    /// Starts the host on some plugins and waits until it has joined their groups.
    #[track_caller]
    pub fn start(kafka: &Kafka, plugins: &[&Path]) -> Self {
        Self::start_with(kafka, plugins, &[])
    }

    /// Starts the host with more arguments.
    #[track_caller]
    pub fn start_with(kafka: &Kafka, plugins: &[&Path], more: &[&str]) -> Self {
        let mut args = vec!["--bootstrap-servers", kafka.bootstrap()];
        for path in plugins {
            args.extend(["--plugin", path.to_str().expect("a path in UTF-8")]);
        }
        args.extend(more);
        Self::run(&args, &[])
    }

    /// Starts the host with only these arguments and this environment.
    #[track_caller]
    pub fn run(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::run_program(&testkit::binary("host"), args, env)
    }

    /// As [`run`](Self::run), by a program that becomes the host.
    #[track_caller]
    pub fn run_program(program: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let args: Vec<&str> = args.iter().copied().chain(["--listen", "127.0.0.1:0"]).collect();
        let process = Process::start_with(program, &args, env);
        process.wait_for(|line| line.starts_with("Ready in"), BOUND);
        let line = process.wait_for(|line| line.starts_with("  health"), BOUND);
        let port = between(&line, "http://127.0.0.1:", "/readyz").and_then(|port| port.parse().ok());
        Self { process, port: port.unwrap_or_else(|| panic!("no port in {line}")) }
    }

    /// Sends SIGTERM. The exit code must be 0 within the bound, and no thread may have panicked. Returns all
    /// lines.
    #[track_caller]
    pub fn stop(mut self) -> Vec<String> {
        self.process.terminate();
        let status = self.process.wait(SHUTDOWN);
        let lines = self.process.lines();
        assert_eq!(status.code(), Some(0), "{}", lines.join("\n"));
        let panicked = lines.iter().find(|line| line.contains("panicked") && !line.contains("plugin="));
        assert_eq!(panicked, None);
        // Something still held a pipeline, whose outcomes the host waits for.
        let unrecorded =
            lines.iter().find(|line| line.contains("outcomes of replayed messages were not recorded"));
        assert_eq!(unrecorded, None);
        lines
    }

    /// The number of deliveries with this id so far.
    pub fn handled(&self, id: &str) -> usize {
        let text = format!("handled id={id} ");
        self.process.count(|line| line.contains(&text))
    }
}

/// One `handled` line of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The attempt passed to the guest.
    pub attempt: u32,
    /// By the clock of the host, in microseconds since the Unix epoch.
    pub at_us: i64,
}

/// The deliveries of each id, in the order of the log.
pub fn deliveries(lines: &[String]) -> HashMap<String, Vec<Delivery>> {
    let mut all: HashMap<String, Vec<Delivery>> = HashMap::new();
    for line in lines {
        let Some(id) = between(line, "plugin: handled id=", " ") else { continue };
        let attempt = between(line, " attempt=", " ").and_then(|text| text.parse().ok());
        let delivery = Delivery { attempt: attempt.expect("an attempt"), at_us: timestamp_us(line) };
        all.entry(id.to_owned()).or_default().push(delivery);
    }
    all
}

/// The attempts of one id's deliveries, in the order of the log.
pub fn attempts(all: &HashMap<String, Vec<Delivery>>, id: &str) -> Vec<u32> {
    all.get(id).into_iter().flatten().map(|delivery| delivery.attempt).collect()
}

/// The text between two others.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// The time at the start of a log line, `2026-11-23T15:00:25.123456Z`.
fn timestamp_us(line: &str) -> i64 {
    let time = line.split('Z').next().unwrap_or_default();
    let numbers: Vec<i64> = time.split(['-', 'T', ':', '.']).filter_map(|part| part.parse().ok()).collect();
    let [year, month, day, hour, minute, second, micros] = numbers[..] else { panic!("no time in {line}") };
    // Days since the epoch. A year begins in March (days_from_civil by Howard Hinnant).
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros
}

/// The body that requests an action of the guest.
pub fn body(id: &str, action: &str, more: &str) -> String {
    format!(r#"{{"id":"{id}","do":"{action}"{more}}}"#)
}

/// The id in a record's value.
pub fn id_of(record: &Record) -> String {
    between(&record.text(), r#""id":""#, "\"").unwrap_or("-").to_owned()
}

/// The value of a header: a signed big-endian number of up to eight bytes, as Java writes it.
#[track_caller]
pub fn big_endian(record: &Record, name: &str) -> i64 {
    let value = record.header(name).unwrap_or_else(|| panic!("no {name}"));
    assert!((1..=8).contains(&value.len()), "{name}: {value:?}");
    let sign = if value[0] & 0x80 == 0 { 0 } else { -1 };
    value.iter().fold(sign, |number, byte| (number << 8) | i64::from(*byte))
}
