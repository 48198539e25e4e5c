use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::DefaultConsumerContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::topic_partition_list::Offset;

use super::*;
use rdkafka::TopicPartitionList;

const BOUND: Duration = Duration::from_secs(20);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A partition is revoked and assigned again while a message of the first assignment still references its
/// queue.
#[test]
fn a_queue_of_an_earlier_assignment_does_not_disable_the_next_one() {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("again", 1, 1).expect("a topic");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "again");
    let consumer: Arc<BaseConsumer<DefaultConsumerContext>> = Arc::new(config.create().expect("a consumer"));
    let counted = |count: &Arc<AtomicUsize>| {
        let count = Arc::clone(count);
        Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        })
    };
    let (first, second) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let open =
        |count| Queue::of_partition(Arc::clone(&consumer), "again", 0, counted(count)).expect("a queue");
    let old = open(&first);
    let new = open(&second);
    drop(old);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("again", 0, Offset::Beginning).expect("an offset");
    consumer.assign(&list).expect("assigned");
    let producer: BaseProducer = config.create().expect("a producer");
    producer.send(BaseRecord::<(), str>::to("again").payload("x")).expect("queued");
    until("the message's wake-up", || {
        let _ = (producer.poll(Duration::ZERO), consumer.poll(Duration::ZERO));
        second.load(Ordering::Relaxed) > 0
    });
    assert_eq!(first.load(Ordering::Relaxed), 0);
    let mut events = Vec::new();
    until("the message", || {
        new.read(1, &mut events, |error| panic!("{error}"));
        events.iter().any(|event| matches!(event, Event::Message(_)))
    });
}
