//! The embedded broker: librdkafka's mock cluster.

use std::time::Duration;

use kafka::raw;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseProducer, Producer as _};

/// The delay until a new consumer group gets its first assignment. The demo's groups have one member each, so
/// that there is none to wait for.
const REBALANCE_DELAY: Duration = Duration::from_millis(10);

/// An embedded broker. It runs until it is dropped.
pub struct Broker(BaseProducer);

impl Broker {
    /// Starts a broker on a free port of the loopback interface.
    ///
    /// # Errors
    /// librdkafka cannot start it.
    pub fn start() -> KafkaResult<Self> {
        let client: BaseProducer = ClientConfig::new().set("test.mock.num.brokers", "1").create()?;
        raw::set_initial_rebalance_delay(client.client(), REBALANCE_DELAY);
        Ok(Self(client))
    }

    /// The broker's address: `127.0.0.1:PORT`.
    pub fn bootstrap_servers(&self) -> String {
        self.0.client().mock_cluster().map(|cluster| cluster.bootstrap_servers()).unwrap_or_default()
    }
}
