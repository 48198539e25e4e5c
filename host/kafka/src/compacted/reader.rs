//! The thread that reads a compacted topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;

use super::{Log, PARTITION};
use crate::errors::Context;
use crate::raw::{Event, Queue};

/// The longest sleep, which delays the end.
const MAX_SLEEP: Duration = Duration::from_millis(200);
/// The pause after an error of the client.
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// The number of records that are read at once.
const BATCH: usize = 256;

/// Reads a compacted topic in a thread.
pub struct Reader(thread::JoinHandle<()>);

impl Reader {
    /// Reads the topic of `log` until `stop` is set, once it is known to exist. `config` is that of a consumer.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start<L: Log>(
        log: &Arc<L>,
        config: &ClientConfig,
        stop: &Arc<AtomicBool>,
    ) -> std::io::Result<Self> {
        let mut config = config.clone();
        // No group is joined, and nothing is committed.
        config.set("group.id", log.group());
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        config.set("enable.partition.eof", "true");
        config.remove("group.instance.id");
        let (shared, stop) = (Arc::clone(log), Arc::clone(stop));
        let thread = thread::Builder::new().name(log.topic().name().into_owned());
        let thread = thread.spawn(move || run(&*shared, &config, &stop))?;
        log.set_reader(thread.thread().clone());
        Ok(Self(thread))
    }

    /// Waits for the end of the thread. The stop flag must be set.
    pub fn join(self) {
        self.0.thread().unpark();
        if self.0.join().is_err() {
            tracing::error!("the reader of a compacted topic panicked");
        }
    }
}

fn run(log: &impl Log, config: &ClientConfig, stop: &AtomicBool) {
    let mut reading: Option<Reading> = None;
    let mut begins = false;
    while !stop.load(Ordering::Relaxed) {
        begins |= log.begins();
        if begins {
            match Reading::begin(log, config) {
                Ok(new) => (reading, begins) = (new, false),
                Err(error) => {
                    tracing::warn!(topic = %log.topic().name(), %error, "the topic cannot be read");
                    thread::park_timeout(ERROR_PAUSE);
                    continue;
                }
            }
        }
        let more = reading.as_mut().is_some_and(|reading| reading.read(log));
        if !more {
            thread::park_timeout(MAX_SLEEP);
        }
    }
}

/// A client at its place in the topic.
struct Reading {
    consumer: Arc<BaseConsumer<Context>>,
    queue: Arc<Queue>,
    events: Vec<Event>,
}

impl Reading {
    /// Reads the topic from its beginning. None if the client does not know the partition.
    fn begin(log: &impl Log, config: &ClientConfig) -> KafkaResult<Option<Self>> {
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(config.create_with_context(Context::default())?);
        let topic = log.topic().name();
        let thread = thread::current();
        let on_ready = Box::new(move || thread.unpark());
        let Some(queue) = Queue::of_partition(Arc::clone(&consumer), &topic, PARTITION, on_ready) else {
            return Ok(None);
        };
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&topic, PARTITION, Offset::Beginning)?;
        consumer.assign(&list)?;
        Ok(Some(Self { consumer, queue, events: Vec::with_capacity(BATCH) }))
    }

    /// Reads what is there. Returns whether there may be more.
    fn read(&mut self, log: &impl Log) -> bool {
        // Errors of the connection, which the client logs and recovers from.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        let count = self.queue.read(BATCH, &mut self.events, |error| {
            tracing::debug!(topic = %log.topic().name(), %error, "a compacted topic");
        });
        for event in self.events.drain(..) {
            match event {
                Event::Message(message) => log.read(message.offset(), message.key(), message.value()),
                Event::End(end) => log.read_all(end),
            }
        }
        if count > 0 {
            log.has_read();
        }
        count == BATCH
    }
}
