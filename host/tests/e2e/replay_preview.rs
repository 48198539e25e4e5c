//! The preview of a replay: its warnings.

use std::sync::Arc;
use std::time::Duration;

use desk::replay::Replayer;
use desk_api::{Filter, ReplayPlan, ReplayTarget, TopicShare};
use kafka::publisher::Publisher;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::Offset;
use settings::KafkaArgs;
use testkit::{Kafka, Record, eventually};

use crate::support::{BOUND, Guest, body};
use crate::test_desk::{TestDesk, all_done};

/// How long the ledger keeps effects.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// A replayer for previews.
fn replayer(desk: &TestDesk, kafka: &Kafka) -> Replayer {
    let args = KafkaArgs {
        bootstrap_servers: kafka.bootstrap().to_owned(),
        properties: Vec::new(),
        environment_properties: None,
        file_properties: Vec::new(),
    };
    let publisher = Arc::new(Publisher::new(&args).expect("a producer"));
    Replayer::new(desk.desk.clone(), args, publisher, Vec::new(), WEEK)
}

#[test]
fn other_groups_that_read_the_topic_are_named() {
    // A Kafka of its own: every group of the cluster is examined.
    let (kafka, guest, desk) = (&Kafka::start(), Guest::fast("rep-warn"), TestDesk::new("replay-warn"));
    let host = desk.start(kafka, &guest, &[]);
    kafka.produce(&guest.topic, [Record::new(body("x", "done", ""))]);
    eventually(BOUND, || kafka.lag(&guest.group, &guest.topic) == 0);
    let consumer: BaseConsumer = kafka.config("rep-billing").create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&guest.topic, 0, Offset::Offset(0)).expect("an offset");
    consumer.commit(&list, CommitMode::Sync).expect("committed");
    let mut dead_letters = all_done(&guest, 5);
    dead_letters[1].value_cut = Some(2_000_000);
    dead_letters[2].replays = 10;
    desk.ingest(&dead_letters);
    let replayer = replayer(&desk, kafka);
    let preview = |plan: &ReplayPlan| desk.runtime.block_on(replayer.preview(&Filter::default(), None, plan));
    // A preview does not wait long for a Kafka that is slow to answer. Its inquiry goes on.
    let mut found = preview(&ReplayPlan::default()).expect("possible");
    eventually(BOUND, || {
        found = preview(&ReplayPlan::default()).expect("possible");
        !found.warnings.iter().any(|warning| warning.contains("Kafka does not answer"))
    });
    assert_eq!(found.topics, [TopicShare { topic: guest.topic.clone(), dead_letters: 3 }]);
    let expected = [
        "left out: 1 dead letter already replayed 10 times or more".to_owned(),
        "left out: 1 dead letter whose value was cut: it exceeded the dead-letter topic's size limit"
            .to_owned(),
        format!(
            "group rep-billing also reads {} and will receive these messages again; --to retry sends them to {} only",
            guest.topic, guest.group
        ),
    ];
    assert_eq!(found.warnings, expected);
    let error = preview(&ReplayPlan { target: ReplayTarget::Retry, ..ReplayPlan::default() })
        .expect_err("no plugin here");
    assert!(error.to_string().contains("no plugin of this host handles"), "{error}");
    host.stop();
    // Dead letters of an active replay are left out of the next one.
    desk.replay(&ReplayPlan { rate: Some(0.001), ..ReplayPlan::default() });
    let found = preview(&ReplayPlan::default()).expect("possible");
    assert_eq!(found.dead_letters, 0);
    assert!(found.warnings[2].contains("3 dead letters in another replay"), "{:?}", found.warnings);
}
