//! Shared parts of the retry benchmarks: a broker, a host with a retry policy, and waiting records.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use testkit::{Kafka, Process, Record, binary, plugin};

/// The topic of the guest.
pub const SOURCE: &str = "faulty";
pub const PARTITIONS: usize = 4;
/// The size of messages in the other benchmarks.
const VALUE_LEN: usize = 200;
const GROUP: &str = "faulty-group";
const READY: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);

/// A broker, and the settings of a host with the guest `faulty`.
pub struct Setup {
    pub kafka: Kafka,
    host: PathBuf,
    config: PathBuf,
    delays_ms: Vec<u64>,
}

impl Setup {
    /// Starts a broker with the topics of the guest. A failed message is retried after each of these delays,
    /// each `multiplier` times the previous one.
    pub fn new(host: Option<&Path>, delay_ms: u64, multiplier: u64, retries: u32) -> Result<Self> {
        let host = host.map_or_else(|| binary("host"), Path::to_owned);
        let component = plugin("faulty");
        let kafka = Kafka::start_for_speed();
        let config = kafka.dir().join("host.toml");
        let text = format!(
            "[[plugin]]\npath = \"{}\"\ntopic = \"{SOURCE}\"\n[plugin.retry]\nretries = {retries}\n\
             delay = \"{delay_ms}ms\"\nmultiplier = {multiplier}.0\n",
            component.display()
        );
        std::fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let delays_ms: Vec<u64> = (0..retries).map(|retry| delay_ms * multiplier.pow(retry)).collect();
        let setup = Self { kafka, host, config, delays_ms };
        for topic in [SOURCE.to_owned(), setup.dead()].into_iter().chain(setup.tiers()) {
            setup.kafka.create_topic(&topic, PARTITIONS, &[]);
        }
        Ok(setup)
    }

    /// The retry topics.
    pub fn tiers(&self) -> Vec<String> {
        self.delays_ms.iter().map(|delay| format!("{SOURCE}-retry-{delay}")).collect()
    }

    pub fn dead(&self) -> String {
        format!("{SOURCE}.dlt")
    }

    pub fn retry_group(&self) -> String {
        format!("{GROUP}-retry")
    }

    /// Starts a host and waits until it has joined its groups.
    pub fn start(&self, env: &[(&str, &str)]) -> Result<Process> {
        self.start_with(&[], env)
    }

    /// Starts a host with more arguments.
    pub fn start_with(&self, more: &[String], env: &[(&str, &str)]) -> Result<Process> {
        let config = self.config.to_str().context("the path of host.toml is not UTF-8")?;
        let server = self.kafka.bootstrap();
        let mut args = vec!["--config", config, "--bootstrap-servers", server, "--listen", "127.0.0.1:0"];
        args.extend(more.iter().map(String::as_str));
        let process = Process::start_with(&self.host, &args, env);
        process.wait_for(|line| line.starts_with("Ready in"), READY);
        Ok(process)
    }

    /// The number of records of a topic.
    pub fn count(&self, topic: &str) -> u64 {
        self.kafka.end_offsets(topic).into_iter().sum::<i64>().unsigned_abs()
    }
}

/// Sends SIGTERM. The host must exit with success.
pub fn stop(mut host: Process) -> Result<()> {
    host.terminate();
    let status = host.wait(STOP);
    ensure!(status.success(), "after SIGTERM the host ended with {status}:\n{}", host.lines().join("\n"));
    Ok(())
}

/// A message of 200 bytes that requests an action of the guest.
pub fn message(number: u64, action: &str) -> Record {
    let frame = format!(r#"{{"id":"","do":"{action}"}}"#).len();
    let id = format!("{number:-<width$}", width = VALUE_LEN - frame);
    Record::new(format!(r#"{{"id":"{id}","do":"{action}"}}"#))
        .on((number % PARTITIONS as u64) as i32)
        .with_header("host-id", format!("01920000-0000-7000-8000-{number:012x}"))
}

/// A waiting record as left in a retry topic by a host or by Spring Kafka, with its due time in milliseconds
/// since the Unix epoch.
pub fn waiting(number: u64, due_ms: i64) -> Record {
    let now = now_ms().to_be_bytes();
    message(number, "done")
        .with_header("kafka_original-topic", SOURCE)
        .with_header("kafka_original-partition", ((number % PARTITIONS as u64) as i32).to_be_bytes())
        .with_header("kafka_original-offset", (number / PARTITIONS as u64).to_be_bytes())
        .with_header("kafka_original-timestamp", now)
        .with_header("kafka_original-timestamp-type", "CreateTime")
        .with_header("kafka_dlt-original-consumer-group", GROUP)
        .with_header("kafka_exception-fqcn", "consumer.plugin.Retry")
        .with_header("kafka_exception-cause-fqcn", "asked-retry")
        .with_header("kafka_exception-message", "asked to retry")
        .with_header("kafka_exception-stacktrace", "")
        .with_header("retry_topic-original-timestamp", now)
        .with_header("retry_topic-attempts", 2_u32.to_be_bytes())
        .with_header("retry_topic-backoff-timestamp", due_ms.to_be_bytes())
        .with_header("host-attempts", "1")
        .with_header("host-first-failed", now_ms().to_string())
}

/// Milliseconds since the Unix epoch, by the clock of this process.
pub fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// The conditions of a run, for its table.
pub fn conditions(partitions: usize) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "{cores} cores, the broker on the same ones, {partitions} partitions; load average {load} at the end"
    )
}
