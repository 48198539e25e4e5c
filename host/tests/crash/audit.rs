//! What must hold of the broker's records whatever happened.

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

    /// Where the delivery number `attempt` is read.
    pub fn topic(&self, attempt: u32) -> String {
        match attempt {
            1 => self.source.to_owned(),
            later => format!("{}-retry-{}", self.source, self.delays_ms[later as usize - 2]),
        }
    }

    /// The consumer group of the delivery number `attempt`.
    pub fn group(&self, attempt: u32) -> String {
        if attempt == 1 { self.group.to_owned() } else { format!("{}-retry", self.group) }
    }

    pub fn lag(&self, kafka: &Kafka, attempt: u32) -> i64 {
        kafka.lag(&self.group(attempt), &self.topic(attempt))
    }

    pub fn committed(&self, kafka: &Kafka, attempt: u32) -> Vec<Option<i64>> {
        kafka.committed(&self.group(attempt), &self.topic(attempt))
    }

    /// Waits until nothing is left to do: no lag in any topic, first to last, since each feeds
    /// only later ones.
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

    /// No committed offset lies beyond a message whose failure is not durable yet, or, where
    /// `deliveries` is given and complete, beyond one that was never delivered. `letters` are dead
    /// letters that were copied off.
    #[track_caller]
    pub fn check_commits(
        &self,
        kafka: &Kafka,
        work: &Workload,
        deliveries: Option<&Deliveries>,
        letters: &[usize],
    ) {
        // Positions first: what they promise must be in the topics that are read afterwards.
        let committed: Vec<_> = (1..=ATTEMPTS).map(|attempt| self.committed(kafka, attempt)).collect();
        let mut dead = self.ids(kafka, &self.dead());
        dead.extend(letters);
        for (attempt, committed) in (1..=ATTEMPTS).zip(committed) {
            let next =
                if attempt < ATTEMPTS { self.ids(kafka, &self.topic(attempt + 1)) } else { HashSet::new() };
            for record in kafka.read_all(&self.topic(attempt)) {
                // A partition that was added since has no position here.
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

    /// Every message is done or dead, never both, and as it should be; nothing is left to do.
    /// Says what was repeated.
    #[track_caller]
    pub fn check_ends(
        &self,
        kafka: &Kafka,
        work: &Workload,
        deliveries: &Deliveries,
        letters: &[usize],
    ) -> Report {
        self.check_commits(kafka, work, Some(deliveries), letters);
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
        all.extend(letters);
        let dead: BTreeSet<usize> = all.iter().copied().collect();
        assert!(done.is_disjoint(&dead), "done and dead: {:?}", done.intersection(&dead));
        let neither: Vec<usize> = work.ids().filter(|id| !done.contains(id) && !dead.contains(id)).collect();
        assert!(neither.is_empty(), "neither done nor dead: {neither:?}");
        Report {
            messages: work.len(),
            dead: dead.len(),
            repeated: deliveries.repeats(),
            repeated_letters: all.len() - dead.len(),
            given_up: deliveries.given_up(),
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    pub messages: usize,
    pub dead: usize,
    /// Deliveries beyond one of each attempt.
    pub repeated: u32,
    /// Dead letters beyond one of each message.
    pub repeated_letters: usize,
    /// What the hosts that lived on said of it.
    pub given_up: GivenUp,
}

impl Report {
    /// Prints what happened, and why it may have.
    pub fn print(&self, cause: &str) {
        println!(
            "{cause}: {} messages, {} of them dead; repeated: {} deliveries, {} dead letters \
             (hosts gave up at most {} lost, {} cut off)",
            self.messages,
            self.dead,
            self.repeated,
            self.repeated_letters,
            self.given_up.lost,
            self.given_up.cut_off
        );
    }

    /// Nothing may have been repeated.
    #[track_caller]
    pub fn check_exactly_once(&self) {
        assert_eq!((self.repeated, self.repeated_letters), (0, 0), "{self:?}");
    }
}
