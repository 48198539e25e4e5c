//! A consumer that both Spring and the host can run, and its deliveries.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use testkit::{Boot, Kafka, Process, Record, binary, plugin, spring};

use crate::support::{SHUTDOWN, between, big_endian, deliveries, file, fresh, id_of, sqlite};

/// Above the time of any step on a busy machine.
pub const BOUND: Duration = Duration::from_secs(180);
/// The number of partitions of the source and of its retry topics.
pub const PARTITIONS: usize = 2;

/// A consumer with the same topic, group and retry policy on both sides.
pub struct Consumer {
    boot: Boot,
    pub kafka: &'static Kafka,
    pub topic: String,
    pub group: String,
    pub dead: String,
    pub retries: u32,
    pub delay_ms: u64,
    pub multiplier: u64,
    /// The store of its hosts.
    pub store: String,
}

impl Consumer {
    pub fn new(boot: Boot, topic: &str, retries: u32, delay_ms: u64, multiplier: u64) -> Self {
        let kafka = Kafka::shared();
        kafka.create_topic(topic, PARTITIONS, &[]);
        let (group, dead) = (format!("{topic}-group"), format!("{topic}.dlt"));
        let (topic, store) = (topic.to_owned(), sqlite(&fresh(topic)));
        Self { boot, kafka, topic, group, dead, retries, delay_ms, multiplier, store }
    }

    pub fn retry_topics(&self) -> Vec<String> {
        let delay = |retry| self.delay_ms * self.multiplier.pow(retry);
        (0..self.retries).map(|retry| format!("{}-retry-{}", self.topic, delay(retry))).collect()
    }

    pub fn retry_group(&self) -> String {
        format!("{}-retry", self.group)
    }

    /// The group of Spring for a retry topic.
    pub fn spring_group(&self, retry_topic: &str) -> String {
        retry_topic.replacen(&self.topic, &self.group, 1)
    }

    /// Starts Spring and waits until it has the partitions of the source.
    pub fn spring(&self) -> Process {
        let (attempts, delay, multiplier) =
            ((self.retries + 1).to_string(), self.delay_ms.to_string(), self.multiplier.to_string());
        let process = spring(
            self.boot,
            &[
                ("spring.kafka.bootstrap-servers", self.kafka.bootstrap()),
                // With few messages, every failure would wait for the default.
                ("spring.kafka.consumer.fetch-max-wait", "5ms"),
                ("interop.topic", &self.topic),
                ("interop.group", &self.group),
                ("interop.partitions", &PARTITIONS.to_string()),
                ("interop.concurrency", &PARTITIONS.to_string()),
                ("interop.attempts", &attempts),
                ("interop.delay", &delay),
                ("interop.multiplier", &multiplier),
            ],
        );
        let assigned = format!("assigned group={} ", self.group);
        process.wait_for(|line| line.starts_with(&assigned), BOUND);
        process
    }

    /// A `host.toml` with this consumer and this number of retries.
    pub fn config(&self, retries: u32) -> PathBuf {
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[kafka]\nbootstrap-servers = \"{}\"\n\
             [store]\nurl = \"{}\"\n[[plugin]]\npath = \"{}\"\ntopic = \"{}\"\ngroup = \"{}\"\n\
             retry = {{ retries = {retries}, delay = \"{}ms\", multiplier = {}.0 }}\n",
            self.kafka.bootstrap(),
            self.store,
            plugin("faulty").display(),
            self.topic,
            self.group,
            self.delay_ms,
            self.multiplier,
        );
        file(&format!("{}-{retries}.toml", self.topic), text.as_bytes())
    }

    /// Starts the host with this consumer.
    pub fn host(&self, retries: u32) -> Process {
        let config = self.config(retries);
        let process = Process::start("host", &["--config", config.to_str().expect("UTF-8")]);
        process.wait_for(|line| line.starts_with("Ready in"), BOUND);
        process
    }

    /// Runs `host groups adopt`. Returns its exit code and its lines.
    pub fn adopt(&self, retries: u32, flags: &[&str]) -> (Option<i32>, String) {
        let config = self.config(retries);
        let mut args = vec!["--config", config.to_str().expect("UTF-8"), "groups", "adopt"];
        args.extend(flags);
        let mut process = Process::start_with(&binary("host"), &args, &[]);
        let status = process.wait(BOUND);
        let lines = process.lines().join("\n");
        println!("--- host {} ---\n{lines}", args[2..].join(" "));
        (status.code(), lines)
    }

    /// Checks that `host groups adopt` refuses with all these texts and changes nothing.
    #[track_caller]
    pub fn refuses(&self, retries: u32, flags: &[&str], expected_texts: &[&str]) {
        let to_spring = flags.contains(&"--to-spring");
        let before = self.commits(to_spring);
        let (code, text) = self.adopt(retries, flags);
        assert_eq!(code, Some(1), "{text}");
        expected_texts
            .iter()
            .for_each(|expected| assert!(text.contains(expected), "no {expected:?} in {text}"));
        assert_eq!(self.commits(to_spring), before);
    }

    /// The committed offsets of one side on each retry topic.
    pub fn commits(&self, by_spring: bool) -> Vec<Vec<Option<i64>>> {
        let group = |topic: &str| if by_spring { self.spring_group(topic) } else { self.retry_group() };
        self.retry_topics().iter().map(|topic| self.kafka.committed(&group(topic), topic)).collect()
    }

    /// Waits until either side has read the retry topics to their ends.
    pub fn settle(&self) {
        let read = |topic: &String| {
            let groups = [self.retry_group(), self.spring_group(topic)];
            groups.iter().any(|group| self.kafka.lag(group, topic) == 0)
        };
        testkit::eventually(BOUND, || self.retry_topics().iter().all(read));
    }

    /// The due time of each attempt, from all records on the retry topics.
    pub fn due_us(&self) -> HashMap<(String, u32), i64> {
        let records = self.retry_topics().into_iter().flat_map(|topic| self.kafka.read_all(&topic));
        let due = records.map(|record| {
            let attempt = big_endian(&record, "retry_topic-attempts");
            let due = big_endian(&record, "retry_topic-backoff-timestamp") * 1000;
            ((id_of(&record), u32::try_from(attempt).expect("an attempt")), due)
        });
        let due: Vec<_> = due.collect();
        let count = due.len();
        let due: HashMap<_, _> = due.into_iter().collect();
        assert_eq!(due.len(), count, "an attempt was published twice");
        due
    }
}

/// Sends SIGTERM and checks the exit code. Returns all lines.
#[track_caller]
pub fn stop(mut process: Process, expected: i32) -> Vec<String> {
    process.terminate();
    let status = process.wait(SHUTDOWN + BOUND);
    assert_eq!(status.code(), Some(expected), "{}", process.lines().join("\n"));
    process.lines()
}

/// The exit code of a JVM after SIGTERM: 128 + 15.
pub const SPRING_STOPPED: i32 = 143;

/// The delivery times of each attempt of each message, in microseconds since the Unix epoch.
#[derive(Default)]
pub struct Deliveries(pub HashMap<(String, u32), Vec<i64>>);

impl Deliveries {
    pub fn of_spring(lines: &[String]) -> Self {
        let mut all = Self::default();
        for line in lines.iter().filter(|line| line.starts_with("delivery at=")) {
            let field =
                |name: &str| between(&format!("{line} "), name, " ").map(str::to_owned).expect("a field");
            let attempt = field("attempt=").parse().expect("an attempt");
            let at: i64 = field("at=").parse().expect("a time");
            all.0.entry((field(" id="), attempt)).or_default().push(at * 1000);
        }
        all
    }

    pub fn of_host(lines: &[String]) -> Self {
        let mut all = Self::default();
        for (id, deliveries) in deliveries(lines) {
            for delivery in deliveries {
                all.0.entry((id.clone(), delivery.attempt)).or_default().push(delivery.at_us);
            }
        }
        all
    }

    /// The number of messages that had this attempt.
    pub fn count(&self, attempt: u32) -> usize {
        self.0.keys().filter(|(_, found)| *found == attempt).count()
    }

    pub fn and(mut self, other: Self) -> Self {
        for (key, times) in other.0 {
            self.0.entry(key).or_default().extend(times);
        }
        self
    }

    /// Checks that a message had each attempt from 1 to `last` once.
    #[track_caller]
    pub fn check(&self, id: &str, last: u32) {
        let mut attempts: Vec<u32> = self
            .0
            .iter()
            .filter(|((found, _), _)| found == id)
            .flat_map(|((_, attempt), times)| times.iter().map(|_| *attempt))
            .collect();
        attempts.sort_unstable();
        assert_eq!(attempts, (1..=last).collect::<Vec<_>>(), "{id}");
    }

    /// Checks that no retry was early. Prints their delays.
    #[track_caller]
    pub fn check_due(&self, side: &str, due_us: &HashMap<(String, u32), i64>) {
        let mut late: Vec<i64> = Vec::new();
        for ((id, attempt), times) in self.0.iter().filter(|((_, attempt), _)| *attempt > 1) {
            let due =
                due_us.get(&(id.clone(), *attempt)).unwrap_or_else(|| panic!("{id}: no record of {attempt}"));
            late.extend(times.iter().map(|at| at - due));
        }
        late.sort_unstable();
        if let (Some(first), Some(last)) = (late.first(), late.last()) {
            println!(
                "{side}: {} retries, {first} to {last} us late, median {}",
                late.len(),
                late[late.len() / 2]
            );
            assert!(*first >= 0, "{side}: {first} us early");
        }
    }
}

/// Waits until `count` messages have had this attempt.
pub fn wait_for_attempt(process: &Process, of: impl Fn(&[String]) -> Deliveries, attempt: u32, count: usize) {
    let end = Instant::now() + BOUND;
    loop {
        let found = of(&process.lines()).count(attempt);
        if found == count {
            return;
        }
        assert!(Instant::now() < end, "{found} of {count} had attempt {attempt}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Publishes `count` messages with these bodies. Returns their source records by id.
pub fn publish(consumer: &Consumer, count: usize, body: impl Fn(usize) -> String) -> HashMap<String, Record> {
    let records = (0..count).map(|id| {
        let partition = i32::try_from(id % PARTITIONS).expect("a small number");
        Record::new(body(id))
            .with_key(format!("key-{id}"))
            .with_header("trace", format!("{id}"))
            .on(partition)
    });
    consumer.kafka.produce(&consumer.topic, records);
    consumer.kafka.read_all(&consumer.topic).into_iter().map(|record| (id_of(&record), record)).collect()
}
