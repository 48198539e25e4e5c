//! A host with dead letters of a plugin whose next build is fixed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use testkit::{Kafka, Process, Record, eventually, get, plugin};

use crate::chromium::BOUND;

/// A host with Kafka and a store.
pub struct Desk {
    kafka: Kafka,
    process: Process,
    pub port: u16,
    directory: PathBuf,
}

/// A build of the plugin that handles what the running one rejects.
pub fn fixed_build() -> String {
    plugin("faulty-mended").display().to_string()
}

impl Desk {
    pub fn start(name: &str, more: &[&str]) -> Self {
        let kafka = Kafka::start();
        kafka.create_topic("faulty-fast", 2, &[]);
        let directory =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        let (process, port) = host(&kafka, &plugin("faulty-fast"), &directory, more);
        Self { kafka, process, port, directory }
    }

    /// Produces dead letters and waits until the desk has them.
    pub fn fail(&self, bodies: impl IntoIterator<Item = String>) {
        let before = self.count("");
        let records: Vec<Record> = bodies.into_iter().map(|body| Record::new(body).with_key("k")).collect();
        let count = records.len() as u64;
        self.kafka.produce("faulty-fast", records);
        eventually(BOUND, || self.count("") == before + count);
    }

    /// Produces messages that wait for a retry for an hour, and are done then.
    pub fn wait_for_retry(&self, ids: impl IntoIterator<Item = usize>) {
        let due_ms = base::clock::now_ms() + 3_600_000;
        let record = |id| {
            Record::new(format!(r#"{{"id":"w{id}","do":"done"}}"#))
                .with_key(format!("w{id}"))
                .with_header("retry_topic-attempts", [2])
                .with_header("retry_topic-backoff-timestamp", due_ms.to_be_bytes())
                .with_header("host-failure-code", if id % 2 == 0 { "smtp-421" } else { "smtp-450" })
                .with_header("kafka_exception-message", "<b>try</b> again later")
        };
        self.kafka.produce("faulty-fast-retry-10", ids.into_iter().map(record));
    }

    /// Produces `rejected` dead letters that the fixed build handles, and `unreadable` ones that no build
    /// handles.
    pub fn fail_as_usual(&self, rejected: usize, unreadable: usize) {
        self.fail((0..rejected).map(|id| format!(r#"{{"id":"{id}","do":"reject"}}"#)));
        self.fail((0..unreadable).map(|id| format!(r#"{{"id":"u{id}","colour":"<b>red</b>"}}"#)));
    }

    pub fn count(&self, filter: &str) -> u64 {
        let answer = get(self.port, &format!("/api/v1/dead-letters/count?{filter}")).expect("an answer");
        let json: Value =
            serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()));
        json["dead_letters"].as_u64().unwrap_or_else(|| panic!("{}", answer.text()))
    }

    pub fn waiting(&self) -> Value {
        let answer = get(self.port, "/api/v1/waiting").expect("an answer");
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    pub fn failures(&self) -> Vec<Value> {
        let answer = get(self.port, "/api/v1/failures").expect("an answer");
        let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        json["items"].as_array().expect("items").clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Number of records with this id on the plugin's topic.
    pub fn on_topic(&self, id: &str) -> usize {
        let wanted = format!(r#""id":"{id}""#);
        self.kafka.read_all("faulty-fast").iter().filter(|record| record.text().contains(&wanted)).count()
    }

    pub fn stop_kafka(&self) {
        self.kafka.kill();
    }

    pub fn start_kafka(&self) {
        self.kafka.start_again();
    }

    /// The answer of `/readyz`.
    pub fn ready(&self) -> String {
        get(self.port, "/readyz").expect("an answer").text()
    }

    pub fn lag(&self) -> i64 {
        self.kafka.lag("faulty-fast-group", "faulty-fast")
    }

    /// Replaces the running build by the fixed one, at the same address.
    pub fn deploy(&mut self) {
        self.process.terminate();
        self.process.wait(Duration::from_secs(40));
        let port = format!("127.0.0.1:{}", self.port);
        let (process, _) = host(&self.kafka, &plugin("faulty-mended"), &self.directory, &["--listen", &port]);
        self.process = process;
    }

    pub fn stop(mut self) {
        self.process.terminate();
        assert_eq!(self.process.wait(Duration::from_secs(40)).code(), Some(0));
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn host(kafka: &Kafka, plugin: &Path, directory: &Path, more: &[&str]) -> (Process, u16) {
    let (plugin, store) = (plugin.display().to_string(), format!("sqlite:{}/host.db", directory.display()));
    let mut args = vec!["--bootstrap-servers", kafka.bootstrap(), "--plugin", &plugin, "--store", &store];
    args.extend(["-X", "group.instance.id=browser"]);
    if !more.contains(&"--listen") {
        args.extend(["--listen", "127.0.0.1:0"]);
    }
    args.extend(more);
    let process = Process::start("host", &args);
    process.wait_for(|line| line.starts_with("Ready in"), BOUND);
    let line = process.wait_for(|line| line.contains("  console  http://"), BOUND);
    let port = line.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
    (process, port.expect("a port"))
}
