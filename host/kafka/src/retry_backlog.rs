//! Messages in retry topics that a change of the ordering would leave unread.

use std::time::Duration;

use base::error::UserError;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use settings::KafkaArgs;

use crate::committed::committed;
use crate::{client, errors};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Makes sure that the retry topics have no unprocessed messages. A plugin with ordering does not read them,
/// so the messages would stay there.
///
/// # Errors
/// A topic has unprocessed messages, or Kafka is unreachable.
pub fn ensure_empty(kafka: &KafkaArgs, group: &str, topics: &[String]) -> Result<(), UserError> {
    let own = [("group.id", group), ("enable.auto.commit", "false")];
    let consumer = client::open(kafka, &own)?;
    let unreachable = |error: KafkaError| errors::unreachable(&kafka.bootstrap_servers, &consumer, &error);
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).map_err(unreachable)?;
        let found = metadata.topics().iter().filter(|found| found.error().is_none());
        let partitions: Vec<i32> =
            found.flat_map(|found| found.partitions()).map(|partition| partition.id()).collect();
        let asked = partitions.iter().map(|partition| (topic.as_str(), *partition));
        let committed = committed(&consumer, asked, TIMEOUT).map_err(unreachable)?;
        let mut backlog = 0;
        for partition in partitions {
            let (first, end) = consumer.fetch_watermarks(topic, partition, TIMEOUT).map_err(unreachable)?;
            let read = committed.iter().find(|found| found.partition == partition);
            let next = read.map_or(first, |found| found.offset.max(first));
            backlog += end.saturating_sub(next).max(0);
        }
        if backlog > 0 {
            let what = format!("{topic} still holds {backlog} messages, which are not read with an ordering");
            return Err(UserError::unavailable(what)
                .help("run with ordering = \"unordered\" until they are processed")
                .help(format!("watch the lag: host groups describe {group}")));
        }
    }
    Ok(())
}
