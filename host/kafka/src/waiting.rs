//! The messages that wait in the retry topics of a group, as an operator sees them.
//!
//! A client that joins no group reads from the committed offset of each partition to its end. What it has read is kept and
//! brought up to date while somebody looks, and then forgotten.

mod index;
mod reading;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base::clock;
use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use settings::{KafkaArgs, OffsetReset};
use tokio::sync::watch;
use tokio::time::timeout;

use self::index::Index;
pub use self::index::WaitingRetry;
use crate::decisions::Target;
use crate::errors::{self, Context};
use crate::group::{describe, locate};
use crate::{client, raw};

/// The age up to which what was read is not read again.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The time after which what nobody looks at is forgotten.
const IDLE: Duration = Duration::from_secs(120);

/// The messages that wait for a group's retries.
pub struct Waiting {
    config: ClientConfig,
    servers: String,
    group: String,
    topics: Vec<String>,
    index: Mutex<Index>,
    client: Mutex<Option<Arc<BaseConsumer<Context>>>>,
    last_look: Mutex<Instant>,
    is_reading: AtomicBool,
    is_sweeping: AtomicBool,
    rounds: watch::Sender<u64>,
}

/// How far the messages are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// As of when, in milliseconds since the Unix epoch; None if nothing was read yet.
    pub as_of_ms: Option<i64>,
    /// The number of records behind those that were read.
    pub unread: u64,
    /// Why Kafka could not be read last.
    pub problem: Option<String>,
}

impl Waiting {
    /// The messages of `group` that wait in these retry topics, which `retry_group` reads.
    pub fn new(kafka: &KafkaArgs, group: &str, retry_group: &str, topics: Vec<String>) -> Arc<Self> {
        let config = client::config(
            kafka,
            &[
                ("group.id", retry_group),
                ("enable.auto.commit", "false"),
                ("enable.partition.eof", "true"),
                ("auto.offset.reset", "earliest"),
                ("fetch.wait.max.ms", "10"),
                // Bounds what was fetched and not read, also if headers are large.
                ("queued.min.messages", "1000"),
                ("queued.max.messages.kbytes", "4096"),
            ],
        );
        Arc::new(Self {
            config,
            servers: kafka.bootstrap_servers.clone(),
            group: group.to_owned(),
            topics,
            index: Mutex::default(),
            client: Mutex::default(),
            last_look: Mutex::new(Instant::now()),
            is_reading: AtomicBool::new(false),
            is_sweeping: AtomicBool::new(false),
            rounds: watch::Sender::new(0),
        })
    }

    /// The retry topics, shortest delay first.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Brings what is known up to date, within `wait`. Reading goes on if that is not enough.
    pub async fn refresh(self: &Arc<Self>, wait: Duration) -> Scan {
        *self.last_look.lock() = Instant::now();
        if !self.topics.is_empty() && !self.index.lock().is_younger_than(MAX_AGE) {
            let mut rounds = self.rounds.subscribe();
            if !self.is_reading.swap(true, Ordering::AcqRel) {
                let waiting = Arc::clone(self);
                tokio::task::spawn_blocking(move || waiting.round());
                self.sweep_later();
            }
            if timeout(wait, rounds.changed()).await.is_err() {
                let mut scan = self.index.lock().scan();
                scan.problem = scan.problem.or_else(|| self.last_error());
                return scan;
            }
        }
        self.index.lock().scan()
    }

    /// The client's last error, while it is asking Kafka.
    fn last_error(&self) -> Option<String> {
        let client = self.client.lock().clone()?;
        // Errors are queued as events.
        while let Some(Err(_)) = client.poll(Duration::ZERO) {}
        client.context().cause()
    }

    /// Looks at each message that is known to wait: the number of its topic, partition, offset.
    pub fn each(&self, mut look: impl FnMut(usize, i32, i64, &WaitingRetry)) {
        self.index.lock().each(&mut look);
    }

    /// The record as decisions name it.
    pub fn target(&self, topic: usize, partition: i32, offset: i64) -> Option<Target> {
        let topic = self.topics.get(topic)?.clone();
        Some(Target { topic, partition, offset })
    }

    fn round(&self) {
        let outcome = self.read();
        let mut index = self.index.lock();
        match outcome {
            Ok(()) => index.is_read(clock::now_ms()),
            Err(error) => index.fail(errors::reason(&error)),
        }
        drop(index);
        self.is_reading.store(false, Ordering::Release);
        self.rounds.send_modify(|round| *round += 1);
    }

    fn read(&self) -> Result<(), KafkaError> {
        let consumer = self.client()?;
        let topics = describe(&consumer, self.topics.iter().map(String::as_str));
        let topics = topics.inspect_err(|_| raw::bootstrap_again(consumer.client(), &self.servers))?;
        consumer.context().forget_error();
        let partitions = topics.iter().flat_map(|(name, topic)| {
            let count = i32::try_from(topic.partitions).unwrap_or(0);
            (0..count).map(move |partition| (name.clone(), partition))
        });
        let located = locate(&consumer, partitions.collect(), &topics, OffsetReset::Earliest)?;
        let number = |name: &String| self.topics.iter().position(|topic| topic == name);
        let located = located.into_iter().filter_map(|((name, partition), (resume, end))| {
            Some(((number(&name)?, partition), resume, end))
        });
        let behind = self.index.lock().follow(located);
        if !reading::read(&consumer, self, behind)? {
            *self.client.lock() = None;
        }
        Ok(())
    }

    fn client(&self) -> Result<Arc<BaseConsumer<Context>>, KafkaError> {
        let mut client = self.client.lock();
        if let Some(client) = &*client {
            return Ok(Arc::clone(client));
        }
        let new = Arc::new(self.config.create_with_context(Context::default())?);
        *client = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Forgets everything when nobody has looked for a while.
    fn sweep_later(self: &Arc<Self>) {
        if self.is_sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let waiting = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE / 4).await;
                let Some(waiting) = waiting.upgrade() else { return };
                if waiting.last_look.lock().elapsed() >= IDLE && !waiting.is_reading.load(Ordering::Acquire) {
                    waiting.is_sweeping.store(false, Ordering::Release);
                    *waiting.index.lock() = Index::default();
                    let client = waiting.client.lock().take();
                    // Closing it waits for its threads.
                    tokio::task::spawn_blocking(move || drop(client));
                    return;
                }
            }
        });
    }
}
