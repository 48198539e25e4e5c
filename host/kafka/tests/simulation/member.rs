//! A model of a group member around a real partition: the client's fetches and its commits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kafka::delivery::Delivery;
use kafka::partition::{Partition, PartitionContext, Source};
use kafka::raw::{Event, Message, OnReady};
use kafka::resume::{Cause, Resume};
use kafka::tracker::Position;
use rdkafka::error::KafkaError;

use crate::cluster::{Cluster, StoredCommit};

const TOPIC: &str = "t";

/// The queue of a partition.
#[derive(Clone)]
struct Queue(Arc<Fetched>);

/// What was fetched and not read.
struct Fetched {
    events: Mutex<VecDeque<Event>>,
    on_ready: OnReady,
    first: AtomicI64,
}

impl Queue {
    fn with<T>(&self, act: impl FnOnce(&mut VecDeque<Event>) -> T) -> T {
        act(&mut self.0.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, events: Vec<Event>) {
        let was_empty = self.with(|queue| {
            let was_empty = queue.is_empty();
            queue.extend(events);
            was_empty
        });
        if was_empty {
            (self.0.on_ready)();
        }
    }
}

impl Source for Queue {
    fn read(&self, max: usize, into: &mut Vec<Event>, _: &mut dyn FnMut(KafkaError)) -> usize {
        self.with(|events| {
            let count = max.min(events.len());
            into.extend(events.drain(..count));
            count
        })
    }

    fn fetched(&self) -> usize {
        self.with(|events| events.len())
    }

    fn known_first(&self) -> Option<i64> {
        Some(self.0.first.load(Ordering::Relaxed))
    }
}

/// A commit that was sent.
pub struct Sent {
    /// The generation of its sender.
    pub generation: u32,
    /// The commit.
    pub commit: StoredCommit,
}

/// The owner of the partition.
pub struct Member {
    /// The real partition.
    pub partition: Arc<Partition>,
    context: Arc<PartitionContext>,
    queue: Queue,
    /// The generation of the group when it joined.
    generation: u32,
    /// From where the client fetches.
    position: Position,
    /// The end of the log, if it was reported.
    reported_end: Option<i64>,
    /// The leader epoch with which the client last checked its position.
    checked: i32,
    /// The commit in flight.
    pub sent: Option<Sent>,
    /// The calls in progress, each with its record.
    pub deliveries: Vec<(usize, Delivery)>,
}

impl Member {
    /// Is assigned the partition.
    pub fn join(cluster: &Cluster, context: &Arc<PartitionContext>) -> Self {
        let resume = cluster.resume();
        let position = resume.position;
        let (partition, queue) = open(cluster, context, resume);
        Self {
            partition,
            context: Arc::clone(context),
            queue,
            generation: cluster.generation,
            position: cluster.valid(position),
            reported_end: None,
            checked: cluster.epoch,
            sent: None,
            deliveries: Vec::new(),
        }
    }

    /// The client fetches up to `max` records.
    pub fn fetch(&mut self, cluster: &Cluster, max: usize) {
        // The client learns of another leader, and checks its position. That of an earlier topic tells nothing.
        let epoch = self.position.epoch.filter(|_| self.checked < cluster.epoch);
        self.checked = cluster.epoch;
        let valid = cluster.valid(Position { epoch, ..self.position });
        if valid.offset != self.position.offset {
            self.position = valid;
            self.reported_end = None;
        }
        self.queue.0.first.store(cluster.first, Ordering::Relaxed);
        let mut events = Vec::new();
        for _ in 0..max {
            let Some(record) = cluster.record(self.position.offset) else { break };
            let id = record.id.to_le_bytes();
            let message = Message::simulated(self.position.offset, record.epoch, &[record.key], &id);
            events.push(Event::Message(message));
            self.position = Position { offset: self.position.offset + 1, epoch: Some(record.epoch) };
        }
        if self.position.offset == cluster.end() && self.reported_end != Some(cluster.end()) {
            self.reported_end = Some(cluster.end());
            events.push(Event::End(cluster.end()));
        }
        if !events.is_empty() {
            self.queue.push(events);
        }
    }

    /// Whether the log's records were all fetched.
    pub fn is_at_end(&self, cluster: &Cluster) -> bool {
        self.position.offset == cluster.end() && self.reported_end == Some(cluster.end())
    }

    /// Sends a commit, unless one is in flight.
    pub fn commit(&mut self) {
        if self.sent.is_none()
            && let Some((position, metadata)) = self.partition.uncommitted()
        {
            let commit = StoredCommit { position, metadata };
            self.sent = Some(Sent { generation: self.generation, commit });
        }
    }

    /// The response to the commit in flight arrives.
    pub fn confirm(&mut self, is_stored: bool) {
        if let Some(Sent { commit, .. }) = self.sent.take()
            && is_stored
        {
            self.partition.set_committed(commit.position.offset);
        }
    }

    /// The revoked partition's commit, which waits for its response.
    pub fn commit_revoked(&mut self, cluster: &mut Cluster) {
        if let Some((position, metadata)) = self.partition.uncommitted() {
            cluster.store(self.generation, StoredCommit { position, metadata });
        }
    }

    /// The host asks for the id of the topic, and for what a message means that was read again. Returns the calls of a
    /// partition that is given up.
    pub fn check_log(&mut self, cluster: &Cluster) -> Vec<(usize, Delivery)> {
        if cluster.topic().is_some() && self.partition.topic_id() != cluster.topic() {
            return self.read_again(cluster, Resume::again(cluster.topic(), 0, Cause::Recreated));
        }
        match self.partition.resume_after_regression() {
            Some(resume) => self.read_again(cluster, resume),
            None => Vec::new(),
        }
    }

    fn read_again(&mut self, cluster: &Cluster, resume: Resume) -> Vec<(usize, Delivery)> {
        self.partition.close();
        let position = match resume.cause {
            Cause::Recreated => Position { offset: cluster.first, epoch: None },
            _ => resume.position,
        };
        self.position = cluster.valid(position);
        (self.reported_end, self.checked) = (None, cluster.epoch);
        (self.partition, self.queue) = open(cluster, &self.context, resume);
        std::mem::take(&mut self.deliveries)
    }
}

fn open(cluster: &Cluster, context: &Arc<PartitionContext>, resume: Resume) -> (Arc<Partition>, Queue) {
    let mut queue = None;
    let partition = Partition::open(TOPIC, 0, Some(resume), Arc::clone(context), |on_ready| {
        let (events, first) = (Mutex::default(), cluster.first.into());
        queue = Some(Queue(Arc::new(Fetched { events, on_ready, first })));
        queue.clone()
    });
    let (partition, queue) = (partition.expect("it is open"), queue.expect("it is open"));
    // `Cluster::valid` has checked where it begins.
    partition.set_checked();
    (partition, queue)
}
