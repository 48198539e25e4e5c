use std::time::Duration;

use effects::Calls;
use kafka::publisher::RecordPublisher;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Code};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use settings::KafkaArgs;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::*;
use crate::call::Services;

const BOUND: Duration = Duration::from_secs(30);
const TOPIC: &str = "results";

/// An embedded broker with a topic of one partition, and access to it.
struct Scene {
    cluster: MockCluster<'static, DefaultProducerContext>,
    effects: Effects,
    topic: Arc<Topic>,
}

impl Scene {
    fn new() -> Self {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic(TOPIC, 1, 1).expect("a topic");
        let kafka = KafkaArgs {
            bootstrap_servers: cluster.bootstrap_servers(),
            properties: Vec::new(),
            environment_properties: None,
            file_properties: Vec::new(),
        };
        let services = Services::new(Effects::new(Handle::current()));
        let services = services.with(Some(Arc::new(RecordPublisher::new(&kafka))));
        let grant = ProduceGrant::new(&[TOPIC], Some(&services));
        let topic = grant.topic(TOPIC).cloned().flatten().expect("access");
        Self { cluster, effects: services.effects, topic }
    }

    fn publication(&self, record: produce::NewRecord, order: &mut Order) -> Publication {
        let key = Calls::of("group", "message").next(digest(&record));
        let record = Arc::new(outgoing(record, &self.topic, &key));
        Publication { topic: Arc::clone(&self.topic), key, record, turn: Some(order.next(TOPIC)) }
    }

    async fn publish(&self, record: produce::NewRecord) -> Published {
        let publication = self.publication(record, &mut Order::default());
        let published = timeout(BOUND, publication.run(None, &self.effects)).await;
        published.expect("in time").expect("no end of the call")
    }

    /// The next requests to publish fail.
    fn refuse(&self, code: Code, times: usize) {
        self.cluster.request_errors(RDKafkaApiKey::Produce, &vec![code; times]);
    }

    /// The values and ids of all records.
    fn read(&self, count: usize) -> Vec<(String, Option<String>)> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.cluster.bootstrap_servers()).set("group.id", "readers");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(TOPIC, 0, Offset::Beginning).expect("an offset");
        consumer.assign(&all).expect("assigned");
        let read = (0..count).map(|_| consumer.poll(BOUND).expect("in time").expect("a record"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        read.map(|record| {
            let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
            let id = headers.filter(|header| header.key == "host-id").last();
            let id = id.and_then(|header| header.value).map(text);
            (record.payload().map(text).unwrap_or_default(), id)
        })
        .collect()
    }
}

fn record(value: &str) -> produce::NewRecord {
    let value = Some(value.as_bytes().to_vec());
    produce::NewRecord { topic: TOPIC.to_owned(), key: Some(b"key".to_vec()), value, headers: Vec::new() }
}

fn header(name: &str, value: &str) -> Header {
    Header { key: name.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_the_effects_id_unless_the_plugin_sets_one() {
    let scene = Scene::new();
    let own = produce::NewRecord { headers: vec![header("host-id", "mine")], ..record("b") };
    assert_eq!(scene.publish(record("a")).await.expect("published").offset, 0);
    assert_eq!(scene.publish(own).await.expect("published").offset, 1);
    let id = Calls::of("group", "message").next(digest(&record("a"))).id();
    assert_eq!(scene.read(2), [("a".into(), Some(id)), ("b".into(), Some("mine".into()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_call_are_published_together_and_in_order() {
    let scene = Scene::new();
    // The room grows with every success.
    scene.publish(record("first")).await.expect("published");
    let mut order = Order::default();
    let all = (0..200).map(|number| scene.publication(record(&number.to_string()), &mut order));
    let all: Vec<_> = all.collect();
    let published = try_join_all(all.into_iter().map(|one| one.run(None, &scene.effects)));
    let published = timeout(BOUND, published).await.expect("in time").expect("no end of the call");
    let offsets = published.into_iter().map(|one| one.expect("published").offset);
    assert!(offsets.eq(1..=200), "in order");
    let values: Vec<_> = scene.read(201).into_iter().skip(1).map(|(value, _)| value).collect();
    assert!(values.iter().map(|value| value.parse::<u32>().expect("a number")).eq(0..200), "{values:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_concern_the_record_waits() {
    let scene = Scene::new();
    for code in [
        Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        Code::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
        Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    ] {
        scene.refuse(code, 2);
        scene.publish(record("waits")).await.expect("published");
        assert!(scene.topic.destination.works(), "{code:?}");
    }
    assert_eq!(scene.read(3).len(), 3, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_refuses_says_so_and_what_to_do() {
    let scene = Scene::new();
    scene.refuse(Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 4);
    let publishing = scene.publish(record("waits"));
    let seen = async {
        loop {
            if let Some((_, reason)) = scene.topic.destination.status().outage {
                return reason;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (published, reason) = tokio::join!(publishing, timeout(BOUND, seen));
    published.expect("published");
    let reason = reason.expect("an outage");
    assert!(
        reason.starts_with("Topic authorization failed; grant WRITE and DESCRIBE on topic results"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_alone_is_refused_for_good() {
    let scene = Scene::new();
    scene.refuse(Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    scene.publish(record("with others")).await.expect("published alone");
    scene.refuse(Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 2);
    match scene.publish(record("alone")).await {
        Err(ProduceError::Permanent(text)) => {
            assert!(text.starts_with("results: Message size too large"), "{text}")
        }
        other => panic!("{other:?}"),
    }
    assert!(scene.topic.destination.works());
}

#[test]
fn every_field_identifies_a_record() {
    let base = record("a");
    let different = [
        record("b"),
        produce::NewRecord { topic: "other".into(), ..base.clone() },
        produce::NewRecord { key: None, ..base.clone() },
        produce::NewRecord { key: Some(Vec::new()), ..base.clone() },
        produce::NewRecord { value: None, ..base.clone() },
        produce::NewRecord { headers: vec![header("a", "1")], ..base.clone() },
        produce::NewRecord { headers: vec![header("a", "2")], ..base.clone() },
        produce::NewRecord { headers: vec![Header { key: "a".into(), value: None }], ..base.clone() },
    ];
    let mut digests: Vec<_> = different.iter().chain([&base]).map(digest).collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 9);
    assert_eq!(size(&different[5]), 7 + 3 + 1 + 2);
    assert_eq!(digest(&base.clone()), digest(&base));
}

#[test]
fn a_position_can_be_recalled() {
    let position = Position { partition: 3, offset: 1 << 40 };
    let recalled = Position::recall(position.record()).expect("a position");
    assert_eq!((recalled.partition, recalled.offset), (3, 1 << 40));
    assert!(Position::recall(Record { head: "<1@b>".into(), body: Vec::new() }).is_none());
}
