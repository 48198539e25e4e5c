//! A source topic that is created again, or from which records are removed, under load.

use std::collections::HashSet;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use testkit::{Kafka, Rng, eventually, scale};

use crate::fixture::{BOUND, Deliveries, Host};
use crate::invariants::FAST;
use crate::workload::{Task, Workload};

const PLUGINS: &[&str] = &["faulty_fast"];

/// The messages of a deleted topic end with it. Those of the last one are all handled, whatever was committed before.
#[test]
fn a_source_topic_created_again_under_load_hides_no_message() {
    let mut rng = Rng::seeded();
    let (rounds, round) = scale((4, 1_000), (20, 2_500));
    let task = |rng: &mut Rng| if rng.below(10) == 0 { Task::Slow(1 + rng.below(600)) } else { Task::Done };
    let tasks: Vec<Task> = (0..rounds * round).map(|_| task(&mut rng)).collect();
    let work = Workload::new(tasks);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 2, &[]);
    let host = Host::start(&kafka, PLUGINS, &[]);
    for number in 0..rounds {
        if number > 0 {
            kafka.cli(
                "topics",
                &["--bootstrap-server", kafka.bootstrap(), "--delete", "--topic", FAST.source()],
            );
            kafka.create_topic(FAST.source(), 2, &[]);
            eventually(BOUND, || kafka.is_empty(FAST.source()));
        }
        let ids = number * round..(number + 1) * round;
        let before = host.handled();
        kafka.produce(FAST.source(), work.records(ids.clone()));
        // Every other topic is settled; of the others, calls and commits are under way when they are deleted.
        if number % 2 == 1 || number + 1 == rounds {
            let handled =
                || Deliveries::of(&host.lines()).distinct().map(|(id, _)| id).collect::<HashSet<_>>();
            eventually(scale(2, 4) * BOUND, || {
                let handled = handled();
                ids.clone().all(|id| handled.contains(&id))
            });
            FAST.settle(&kafka, BOUND);
        } else {
            host.wait_handled(before + 1 + rng.below(round as u64 / 2) as usize, BOUND);
        }
    }
    let deliveries = Deliveries::of(&host.stop());
    println!("the source topic created again {} times; repeated: {}", rounds - 1, deliveries.repeats());
}

/// What is removed before it is handled is counted, and nothing else is missing.
#[test]
fn records_removed_under_load_are_counted() {
    let mut rng = Rng::seeded();
    let (rounds, round) = scale((3, 2_000), (20, 2_500));
    let work = Workload::new((0..rounds * round).map(|_| Task::Slow(100)));
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 1, &[]);
    let host = Host::start(&kafka, PLUGINS, &[]);
    host.ready(BOUND);
    for number in 0..rounds {
        // Too large to be fetched long before they are handled.
        let records = work.records(number * round..(number + 1) * round);
        kafka.produce(FAST.source(), records.map(|record| record.with_header("h", vec![b'x'; 20_000])));
        let end = (number + 1) * round;
        let before = end - 1 - rng.below(round as u64 / 4) as usize;
        remove_before(&kafka, before);
        FAST.settle(&kafka, scale(2, 4) * BOUND);
    }
    let lines = host.stop();
    let counts = lines.iter().filter(|line| line.contains("removed from the log before"));
    let counted: usize = counts.filter_map(|line| number_after(line, "count=")).sum();
    let handled: HashSet<usize> = Deliveries::of(&lines).distinct().map(|(id, _)| id).collect();
    println!("{} messages, {} handled, {counted} counted as removed", work.len(), handled.len());
    assert!(counted > 0, "records were removed before they were handled");
    assert_eq!(handled.len() + counted, work.len());
}

fn remove_before(kafka: &Kafka, offset: usize) {
    let admin: AdminClient<DefaultClientContext> = kafka.config("").create().expect("an admin client");
    let mut list = TopicPartitionList::new();
    let offset = Offset::Offset(i64::try_from(offset).expect("an offset"));
    list.add_partition_offset(FAST.source(), 0, offset).expect("an offset");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let removed = runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).expect("an answer");
    assert!(removed.elements().iter().all(|element| element.error().is_ok()), "{removed:?}");
}

fn number_after(line: &str, name: &str) -> Option<usize> {
    let rest = &line[line.find(name)? + name.len()..];
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
