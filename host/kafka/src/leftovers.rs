//! What lies in retry topics that nobody reads any more.

use std::time::Duration;

use base::error::UserError;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use settings::KafkaArgs;

use crate::committed::committed;
use crate::errors::{self, Context};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Refuses to handle in order what has messages left in retry topics: they would stay there.
///
/// # Errors
/// There are some; or Kafka does not answer.
pub fn check(kafka: &KafkaArgs, group: &str, topics: &[String]) -> Result<(), UserError> {
    let own = [("group.id", group), ("enable.auto.commit", "false")];
    let consumer: BaseConsumer<Context> = crate::client::config(kafka, &own)
        .create_with_context(Context::default())
        .map_err(|error| errors::refused(&error))?;
    let away = |error: KafkaError| errors::away(&kafka.bootstrap_servers, &consumer, &error);
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).map_err(away)?;
        let found = metadata.topics().iter().filter(|found| found.error().is_none());
        let partitions: Vec<i32> =
            found.flat_map(|found| found.partitions()).map(|partition| partition.id()).collect();
        let asked = partitions.iter().map(|partition| (topic.as_str(), *partition));
        let committed = committed(&consumer, asked, TIMEOUT).map_err(away)?;
        let mut left = 0;
        for partition in partitions {
            let (first, end) = consumer.fetch_watermarks(topic, partition, TIMEOUT).map_err(away)?;
            let read = committed.iter().find(|found| found.partition == partition);
            let next = read.map_or(first, |found| found.offset.max(first));
            left += end.saturating_sub(next).max(0);
        }
        if left > 0 {
            let what = format!("{topic} still holds {left} messages, which nobody reads in order");
            return Err(UserError::unavailable(what)
                .help("run with ordering = \"unordered\" until they are handled")
                .help(format!("see them go: host groups describe {group}")));
        }
    }
    Ok(())
}
