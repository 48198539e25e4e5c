//! Publishing for plugins, with producers of its own: what Kafka refuses of a plugin, or does not take for a time, never
//! delays the host's retry and dead-letter records.

use std::ffi::CString;
use std::fmt;
use std::sync::OnceLock;

use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;
use settings::KafkaArgs;

use super::client::{Client, Unacknowledged};
use super::{Placed, SETTINGS};
use crate::raw::{HeaderList, Record};

/// The settings that differ from those of the host's own records.
const OF_PLUGINS: [(&str, &str); 2] = [
    // A record does not wait for others. Those that come while requests are in flight share the next batch.
    ("linger.ms", "0"),
    // A record that was sent stays with its producer, which does not write it twice, during an outage. One that is given
    // up would be in doubt.
    ("message.timeout.ms", "3600000"),
];

/// A record of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic to publish to.
    pub topic: CString,
    /// None is a null key.
    pub key: Option<Vec<u8>>,
    /// None is a null value.
    pub value: Option<Vec<u8>>,
    /// Names and values, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Publishes the records of plugins and waits for the acknowledgement (`acks=all`, idempotent).
pub struct RecordPublisher {
    config: ClientConfig,
    /// Created on first use.
    batched: OnceLock<Client>,
    unbatched: OnceLock<Client>,
}

impl RecordPublisher {
    /// A publisher that connects when the first record is published.
    pub fn new(kafka: &KafkaArgs) -> Self {
        let mut own = SETTINGS.to_vec();
        own.retain(|(key, _)| OF_PLUGINS.iter().all(|(other, _)| other != key));
        own.extend(OF_PLUGINS);
        let config = crate::client::config(kafka, &own);
        Self { config, batched: OnceLock::new(), unbatched: OnceLock::new() }
    }

    /// Publishes a record; its key decides about the partition, and its time is that of this machine's clock. Calls
    /// `enqueued` when its place in the order is certain, and `stalled` whenever it was not acknowledged for another 5 s.
    ///
    /// # Errors
    /// The record was not published, or may not have been.
    pub async fn publish(
        &self,
        record: &NewRecord,
        enqueued: impl FnOnce(),
        stalled: impl Fn(),
    ) -> Result<Placed, Unacknowledged> {
        let refused = |code| Unacknowledged { code, may_be_there: false };
        let batched = Client::made(&self.batched, || self.config.clone()).map_err(refused)?;
        let published = batched.publish_watched(record.raw(), enqueued, &stalled).await;
        // A batch is refused as a whole: the topic may accept this record without the others, or compressed.
        if let Err(Unacknowledged { code, .. }) = published
            && let Code::MessageSizeTooLarge | Code::InvalidDifferentRecord | Code::InvalidRecord = code
        {
            let unbatched = batched.unbatched(&self.unbatched).map_err(refused)?;
            return unbatched.publish_watched(record.raw(), || {}, stalled).await;
        }
        published
    }

    /// The last error of the connection, unless it is older than a minute.
    pub fn last_error(&self) -> Option<String> {
        self.batched.get()?.last_error()
    }

    /// Makes the producers fetch a topic's metadata: they remember for minutes that it does not exist, or that they may
    /// not use it. Blocks for up to 10 s.
    pub fn refresh_metadata(&self, topic: &str) {
        [&self.batched, &self.unbatched].into_iter().filter_map(OnceLock::get).for_each(|client| {
            client.refresh_metadata(topic);
        });
    }
}

/// Without the configuration, which may contain secrets.
impl fmt::Debug for RecordPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordPublisher")
    }
}

impl NewRecord {
    fn raw(&self) -> Record<'_> {
        let mut headers = HeaderList::with_capacity(self.headers.len());
        self.headers.iter().for_each(|(name, value)| headers.push(name.as_bytes(), value.as_deref()));
        Record {
            topic: &self.topic,
            partition: None,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            timestamp_ms: None,
            headers,
        }
    }
}
