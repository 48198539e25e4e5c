use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::Producer as _;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::timeout;

use super::*;

const BOUND: Duration = Duration::from_secs(20);

fn client(cluster: &MockCluster<'_, impl ClientContext>) -> Client {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    SETTINGS.iter().for_each(|(key, value)| {
        config.set(*key, *value);
    });
    Client::new(config).expect("a producer")
}

async fn publish(client: &Client) -> Result<(), RDKafkaErrorCode> {
    let record = Record {
        topic: c"fatal",
        partition: None,
        key: None,
        value: None,
        timestamp_ms: None,
        headers: HeaderList::with_capacity(0),
    };
    timeout(BOUND, client.publish(record)).await.expect("a report").map(drop)
}

#[tokio::test]
async fn a_producer_that_failed_while_idle_is_replaced() {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("fatal", 1, 1).expect("a topic");
    cluster.request_errors(
        RDKafkaApiKey::InitProducerId,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED],
    );
    let client = client(&cluster);
    let failed = async {
        while client.producer.read().client().fatal_error().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, failed).await.expect("a fatal error");
    assert_eq!(publish(&client).await, Err(RDKafkaErrorCode::Fatal));
    assert_eq!(publish(&client).await, Ok(()));
}

#[tokio::test]
async fn a_producer_that_fails_while_publishing_is_replaced() {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("fatal", 1, 1).expect("a topic");
    let client = client(&cluster);
    assert_eq!(publish(&client).await, Ok(()));
    // For librdkafka, broker and producer disagree about the published records.
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
    );
    let broken = Arc::clone(&client.producer.read());
    assert!(publish(&client).await.is_err());
    assert!(broken.client().fatal_error().is_some());
    assert_eq!(publish(&client).await, Ok(()));
}

/// A topic that is deleted and created again refuses one record and accepts the next one, which is in flight
/// already, as the first of an empty log.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_not_acknowledged_because_a_later_one_was() {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("fatal", 1, 1).expect("a topic");
    let mut client = client(&cluster);
    for (key, value) in UNBATCHED {
        client.config.set(key, value);
    }
    let client = Client::new(client.config).expect("a producer");
    assert_eq!(publish(&client).await, Ok(()));
    cluster.broker_round_trip_time(1, Duration::from_millis(300)).expect("a slow broker");
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    cluster.request_errors(RDKafkaApiKey::Produce, &[refused]);
    let (first, second) = tokio::join!(publish(&client), publish(&client));
    assert_eq!((first, second), (Err(UNPROVEN), Ok(())));
    let consumer: BaseConsumer = client.config.create().expect("a consumer");
    let (_, end) = consumer.fetch_watermarks("fatal", 0, BOUND).expect("the log's end");
    assert_eq!(end, 2, "the log holds what was acknowledged");
}
