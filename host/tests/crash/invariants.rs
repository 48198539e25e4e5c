//! Invariants of the broker's records after any fault.

use std::collections::{BTreeSet, HashSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::Kafka;

use crate::fixture::{Deliveries, GivenUp};
use crate::workload::{ATTEMPTS, End, Workload, id_of};

/// The topics and groups of a test plugin.
pub struct Chain {
    source: &'static str,
    group: &'static str,
    delays_ms: [u32; 5],
}

pub const FAST: Chain =
    Chain { source: "faulty-fast", group: "faulty-fast-group", delays_ms: [10, 20, 40, 80, 160] };
pub const SLOW: Chain =
    Chain { source: "faulty", group: "faulty-group", delays_ms: [1000, 2000, 4000, 8000, 16000] };

impl Chain {
    pub fn source(&self) -> &'static str {
        self.source
    }

    pub fn dead(&self) -> String {
        format!("{}.dlt", self.source)
    }

    /// Creates its retry topics and its dead-letter topic.
    pub fn create_derived(&self, kafka: &Kafka, partitions: usize) {
        let retries = (2..=ATTEMPTS).map(|attempt| self.topic(attempt));
        retries.chain([self.dead()]).for_each(|topic| kafka.create_topic(&topic, partitions, &[]));
    }

    /// The topic of this attempt.
    pub fn topic(&self, attempt: u32) -> String {
        match attempt {
            1 => self.source.to_owned(),
            later => format!("{}-retry-{}", self.source, self.delays_ms[later as usize - 2]),
        }
    }

    /// The consumer group of this attempt.
    pub fn group(&self, attempt: u32) -> String {
        if attempt == 1 { self.group.to_owned() } else { format!("{}-retry", self.group) }
    }

    pub fn lag(&self, kafka: &Kafka, attempt: u32) -> i64 {
        kafka.lag(&self.group(attempt), &self.topic(attempt))
    }

    pub fn committed(&self, kafka: &Kafka, attempt: u32) -> Vec<Option<i64>> {
        kafka.committed(&self.group(attempt), &self.topic(attempt))
    }

    /// Waits until no topic has lag. The topics are checked in order, because each feeds only later ones.
    pub fn settle(&self, kafka: &Kafka, bound: Duration) {
        let end = Instant::now() + bound;
        for attempt in 1..=ATTEMPTS {
            while self.lag(kafka, attempt) > 0 {
                assert!(
                    Instant::now() < end,
                    "{} stands at {:?} of {:?} after {bound:?}",
                    self.topic(attempt),
                    self.committed(kafka, attempt),
                    kafka.end_offsets(&self.topic(attempt)),
                );
                sleep(Duration::from_millis(50));
            }
        }
    }

    fn ids(&self, kafka: &Kafka, topic: &str) -> HashSet<usize> {
        kafka.read_all(topic).iter().map(id_of).collect()
    }

    /// Checks that no committed offset is beyond a message whose failure is not durable. With complete
    /// `deliveries`, it is not beyond an undelivered message either. `copied` are dead letters that were
    /// copied before their topic was deleted.
    #[track_caller]
    pub fn check_commits(
        &self,
        kafka: &Kafka,
        work: &Workload,
        deliveries: Option<&Deliveries>,
        copied: &[usize],
    ) {
        // Offsets are read before topics, because topics must have the records of committed messages.
        let committed: Vec<_> = (1..=ATTEMPTS).map(|attempt| self.committed(kafka, attempt)).collect();
        let mut dead = self.ids(kafka, &self.dead());
        dead.extend(copied);
        for (attempt, committed) in (1..=ATTEMPTS).zip(committed) {
            let next =
                if attempt < ATTEMPTS { self.ids(kafka, &self.topic(attempt + 1)) } else { HashSet::new() };
            for record in kafka.read_all(&self.topic(attempt)) {
                // A partition that was added later has no offset here.
                let partition = usize::try_from(record.partition).expect("a partition");
                let position = committed.get(partition).copied().flatten();
                if position.is_none_or(|position| record.offset >= position) {
                    continue;
                }
                let id = id_of(&record);
                let durable = match work.end(id, attempt) {
                    End::Done => deliveries.is_none_or(|all| all.count(id, attempt) > 0),
                    End::Retried => next.contains(&id),
                    End::Dead => dead.contains(&id),
                };
                assert!(
                    durable,
                    "{}-{} is committed at {position:?}, but message {id} at {} has not ended ({:?})",
                    self.topic(attempt),
                    record.partition,
                    record.offset,
                    work.end(id, attempt),
                );
            }
        }
    }

    /// Checks that every message is either done or dead-lettered, as expected. Reports repeated deliveries.
    #[track_caller]
    pub fn check_ends(
        &self,
        kafka: &Kafka,
        work: &Workload,
        deliveries: &Deliveries,
        copied: &[usize],
    ) -> Report {
        self.check_commits(kafka, work, Some(deliveries), copied);
        let delivered = |id| (1..=work.last_attempt(id)).all(|attempt| deliveries.count(id, attempt) > 0);
        let lost: Vec<usize> = work.ids().filter(|id| !delivered(*id)).collect();
        assert!(lost.is_empty(), "{} messages were not delivered on every attempt: {lost:?}", lost.len());
        let beyond = deliveries.distinct().filter(|(id, attempt)| *attempt > work.last_attempt(*id));
        assert_eq!(beyond.collect::<Vec<_>>(), [(0, 0); 0], "delivered after their end");
        let done: BTreeSet<usize> = deliveries
            .distinct()
            .filter(|(id, attempt)| work.end(*id, *attempt) == End::Done)
            .map(|(id, _)| id)
            .collect();
        let mut all: Vec<usize> = kafka.read_all(&self.dead()).iter().map(id_of).collect();
        all.extend(copied);
        let dead: BTreeSet<usize> = all.iter().copied().collect();
        assert!(done.is_disjoint(&dead), "done and dead: {:?}", done.intersection(&dead));
        let neither: Vec<usize> = work.ids().filter(|id| !done.contains(id) && !dead.contains(id)).collect();
        assert!(neither.is_empty(), "neither done nor dead: {neither:?}");
        Report {
            messages: work.len(),
            dead: dead.len(),
            repeated: deliveries.repeats(),
            repeated_dead_letters: all.len() - dead.len(),
            given_up: deliveries.given_up(),
        }
    }
}

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    pub messages: usize,
    pub dead: usize,
    /// Deliveries beyond one per attempt.
    pub repeated: u32,
    /// Dead copied beyond one per message.
    pub repeated_dead_letters: usize,
    /// Deliveries that may be repeated, according to the surviving hosts.
    pub given_up: GivenUp,
}

impl Report {
    /// Prints the result and the reported causes of repeats.
    pub fn print(&self, cause: &str) {
        println!(
            "{cause}: {} messages, {} of them dead; repeated: {} deliveries, {} dead letters \
             (hosts gave up at most {} lost, {} interrupted)",
            self.messages,
            self.dead,
            self.repeated,
            self.repeated_dead_letters,
            self.given_up.lost,
            self.given_up.interrupted
        );
    }

    /// Checks that no delivery and no dead letter was repeated.
    #[track_caller]
    pub fn check_exactly_once(&self) {
        assert_eq!((self.repeated, self.repeated_dead_letters), (0, 0), "{self:?}");
    }
}
