//! A model of what Kafka keeps: the log of one partition, and a group's commit.

use std::collections::VecDeque;

use kafka::commit_metadata::CommitMetadata;
use kafka::raw::TopicId;
use kafka::resume::{Commit, Log, Resume};
use kafka::tracker::Position;
use settings::OffsetReset;

/// A record of the log.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// Its number, unique in the simulation.
    pub id: usize,
    /// The epoch of the leader that appended it.
    pub epoch: i32,
    /// Its key.
    pub key: u8,
}

/// A commit on its way, or stored.
#[derive(Debug, Clone)]
pub struct StoredCommit {
    /// The offset with its leader epoch.
    pub position: Position,
    /// The metadata.
    pub metadata: String,
}

/// The cluster.
pub struct Cluster {
    /// Whether topics have ids.
    has_ids: bool,
    topic: u128,
    /// The epoch of the leader.
    pub epoch: i32,
    /// The offset of the first record.
    pub first: i64,
    /// The log.
    pub records: VecDeque<Record>,
    /// What is committed.
    pub commit: Option<StoredCommit>,
    /// The generation of the group. Commits of earlier ones are refused.
    pub generation: u32,
}

impl Cluster {
    /// A cluster with an empty topic.
    pub fn new(has_ids: bool) -> Self {
        let (records, commit) = (VecDeque::new(), None);
        Self { has_ids, topic: 1, epoch: 0, first: 0, records, commit, generation: 0 }
    }

    /// The id of the topic.
    pub fn topic(&self) -> Option<TopicId> {
        self.has_ids.then_some(TopicId(self.topic))
    }

    /// The offset after the last record.
    pub fn end(&self) -> i64 {
        self.first + self.records.len() as i64
    }

    /// The record at an offset.
    pub fn record(&self, offset: i64) -> Option<&Record> {
        self.records.get(usize::try_from(offset - self.first).ok()?)
    }

    /// The topic is deleted, with its commits, and created again.
    pub fn recreate(&mut self) {
        self.topic += 1;
        (self.epoch, self.first) = (0, 0);
        self.records.clear();
        self.commit = None;
    }

    /// A replica becomes the leader that lacks the last `count` records.
    pub fn elect(&mut self, count: usize) {
        self.epoch += 1;
        self.records.truncate(self.records.len().saturating_sub(count));
    }

    /// The retention removes the first `count` records.
    pub fn expire(&mut self, count: usize) {
        let count = count.min(self.records.len());
        self.records.drain(..count);
        self.first += count as i64;
    }

    /// Stores a commit of the present generation.
    pub fn store(&mut self, generation: u32, commit: StoredCommit) -> bool {
        let is_present = generation == self.generation;
        if is_present {
            self.commit = Some(commit);
        }
        is_present
    }

    /// Where a client goes on that wants to read from `position`: elsewhere if the log was cut before it (KIP-320), or if
    /// there is no such offset (`auto.offset.reset = earliest`).
    pub fn valid(&self, position: Position) -> Position {
        let valid = match position.epoch {
            Some(epoch) if epoch < self.epoch => self.cut(position, epoch),
            _ => position,
        };
        let exists = (self.first..=self.end()).contains(&valid.offset);
        if exists { valid } else { Position { offset: self.first, epoch: None } }
    }

    /// The position, or the offset at which records of epochs after `epoch` begin.
    fn cut(&self, position: Position, epoch: i32) -> Position {
        let count = self.records.partition_point(|record| record.epoch <= epoch);
        let offset = self.first + count as i64;
        let epoch = count.checked_sub(1).and_then(|last| Some(self.records.get(last)?.epoch));
        if position.offset <= offset { position } else { Position { offset, epoch } }
    }

    /// Where the next owner of the partition begins.
    pub fn resume(&self) -> Resume {
        let log = Log { topic: self.topic(), first: self.first, end: self.end() };
        let commit = self.commit.as_ref().map(|StoredCommit { position, metadata }| Commit {
            position: *position,
            metadata: CommitMetadata::decode(position.offset, metadata.as_bytes()),
        });
        Resume::at(commit, &log, 0, 1, OffsetReset::Earliest)
    }

    /// The offsets of the log, each with its record and epoch.
    pub fn describe(&self) -> String {
        let records = (self.first..).zip(&self.records);
        let records =
            records.map(|(offset, record)| format!("{offset}: {} of epoch {}", record.id, record.epoch));
        format!("topic {}, epoch {}, [{}]", self.topic, self.epoch, records.collect::<Vec<_>>().join(", "))
    }
}
