//! Reading retry topics to their ends.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use super::Waiting;
use super::index::Place;
use crate::errors::Context;
use crate::raw::{Event, Queue};

/// The maximum time of a round; a later one goes on.
const BOUND: Duration = Duration::from_secs(3);
/// The longest sleep.
const MAX_SLEEP: Duration = Duration::from_millis(50);
/// The number of events that are read at once.
const BATCH: usize = 500;

/// Reads these partitions from the given offsets to their ends, as far as time and memory allow. Returns whether the
/// client may be used again: one that reads nothing of a partition may never do so (see [`crate::fetch_watch`]).
///
/// # Errors
/// The client does not know one of them, or refuses to read.
pub fn read(
    consumer: &Arc<BaseConsumer<Context>>,
    waiting: &Waiting,
    behind: Vec<(Place, i64)>,
) -> Result<bool, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(behind.len());
    let mut queues = Vec::with_capacity(behind.len());
    for ((topic, partition), next) in behind {
        let Some(name) = waiting.topics.get(topic) else { continue };
        let thread = thread::current();
        let on_ready = Box::new(move || thread.unpark());
        // Before it is assigned.
        let queue = Queue::of_partition(Arc::clone(consumer), name, partition, on_ready);
        let unknown = || KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownPartition);
        queues.push(((topic, partition), name.as_str(), queue.ok_or_else(unknown)?));
        list.add_partition_offset(name, partition, Offset::Offset(next))?;
    }
    if queues.is_empty() {
        return Ok(true);
    }
    consumer.assign(&list)?;
    let is_usable = read_queues(consumer, waiting, queues);
    consumer.unassign()?;
    Ok(is_usable)
}

fn read_queues(
    consumer: &BaseConsumer<Context>,
    waiting: &Waiting,
    mut queues: Vec<(Place, &str, Arc<Queue>)>,
) -> bool {
    let mut silent: HashSet<Place> = queues.iter().map(|(place, ..)| *place).collect();
    let until = Instant::now() + BOUND;
    let mut events = Vec::with_capacity(BATCH);
    while !queues.is_empty() && Instant::now() < until {
        // Errors of the connection, which the client logs and recovers from.
        while consumer.poll(Duration::ZERO).is_some() {}
        let mut count = 0;
        for (place, name, queue) in &queues {
            let read = queue.read(BATCH, &mut events, |error| {
                tracing::debug!(topic = name, %error, "waiting retries");
            });
            count += read;
            if read > 0 {
                silent.remove(place);
            }
            let mut index = waiting.index.lock();
            for event in events.drain(..) {
                match event {
                    Event::Message(message) => index.add(*place, name, &waiting.group, &message),
                    Event::End(end) => index.reach(*place, end),
                }
            }
        }
        let index = waiting.index.lock();
        queues.retain(|(place, ..)| !index.is_at_end(*place));
        let is_full = index.is_full();
        drop(index);
        if is_full {
            return true;
        }
        if count == 0 {
            thread::park_timeout(MAX_SLEEP);
        }
    }
    silent.is_empty()
}
