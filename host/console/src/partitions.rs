//! The partitions of the plugins: those that are not read on the overview, and all of them with the topics.

use desk_api::PartitionState;
use kafka::partition::{Block, Condition, Limit};

use super::i18n::Texts;
use server::DeskState;
use server::partitions::{Assigned, assigned, state};

/// The maximum number of partitions of a plugin that are listed.
const MAX_ROWS: usize = 100;

/// The partitions of a plugin.
#[derive(Default)]
pub struct Partitions {
    /// The plugin's name, without its version.
    pub plugin: String,
    /// Those that are listed, first those that are not read.
    pub rows: Vec<PartitionRow>,
    /// The number of all.
    pub total: u64,
    /// The number of those that are not listed.
    pub unlisted: u64,
    /// The number of those that are not read, for a reason.
    pub waiting: u64,
    /// Whether keys are held in any.
    pub has_held_keys: bool,
    /// A notice for each topic, state and reason.
    pub notices: Vec<Notice>,
}

/// A partition.
pub struct PartitionRow {
    pub topic: String,
    pub partition: i32,
    pub state: PartitionState,
    pub reason: Option<&'static str>,
    pub since_ms: Option<i64>,
    pub offset: i64,
    pub lag: u64,
    pub in_progress: u64,
    pub held_keys: u64,
}

/// Partitions of a topic that are not read, for one reason.
pub struct Notice {
    pub topic: String,
    pub state: PartitionState,
    pub reason: &'static str,
    /// Since when the first of them has not been read.
    pub since_ms: i64,
    pub count: u64,
}

/// The partitions of each plugin that has any in this process.
pub fn of(desk: &DeskState, texts: &Texts) -> Vec<Partitions> {
    let mut all: Vec<Partitions> = Vec::new();
    for assigned in assigned(desk) {
        let plugin = &assigned.plugin.name;
        if all.last().is_none_or(|last| *last.plugin != **plugin) {
            all.push(Partitions { plugin: plugin.to_string(), ..Partitions::default() });
        }
        if let Some(last) = all.last_mut() {
            last.add(row(&assigned, texts));
        }
    }
    all
}

fn row(assigned: &Assigned<'_>, texts: &Texts) -> PartitionRow {
    let status = &assigned.status;
    PartitionRow {
        topic: status.topic.clone(),
        partition: status.partition,
        state: state(status.condition),
        reason: reason(status.condition, texts),
        since_ms: assigned.since_ms(),
        offset: status.next,
        lag: status.lag.max(0).unsigned_abs(),
        in_progress: status.in_flight as u64,
        held_keys: status.held_keys as u64,
    }
}

impl Partitions {
    fn add(&mut self, row: PartitionRow) {
        self.total += 1;
        self.has_held_keys |= row.held_keys > 0;
        if let Some((reason, since_ms)) = row.reason.zip(row.since_ms) {
            self.waiting += 1;
            self.notice(&row, reason, since_ms);
        }
        if self.rows.len() < MAX_ROWS {
            self.rows.push(row);
        } else {
            self.unlisted += 1;
        }
    }

    fn notice(&mut self, row: &PartitionRow, reason: &'static str, since_ms: i64) {
        let (topic, state) = (&row.topic, row.state);
        let same = |it: &&mut Notice| it.topic == *topic && it.state == state && it.reason == reason;
        if let Some(notice) = self.notices.iter_mut().find(same) {
            notice.count += 1;
            notice.since_ms = notice.since_ms.min(since_ms);
        } else {
            self.notices.push(Notice { topic: topic.clone(), state, reason, since_ms, count: 1 });
        }
    }
}

/// All conditions that have a reason.
const CONDITIONS: [Condition; 7] = [
    Condition::Blocked(Block::Commit),
    Condition::Blocked(Block::Publish),
    Condition::Blocked(Block::Fetch),
    Condition::Resting(Limit::Unfinished),
    Condition::Resting(Limit::Memory),
    Condition::Resting(Limit::Keys),
    Condition::Resting(Limit::Predecessor),
];

/// The reason of a condition in the language of the page.
pub fn localized<'a>(english: &'a str, texts: &Texts) -> &'a str {
    let found = CONDITIONS.into_iter().find(|condition| condition.reason() == Some(english));
    found.and_then(|condition| reason(condition, texts)).unwrap_or(english)
}

fn reason(condition: Condition, texts: &Texts) -> Option<&'static str> {
    match condition {
        Condition::Reading | Condition::Draining => None,
        Condition::Blocked(Block::Commit) => Some(texts.commit_unknown),
        Condition::Blocked(Block::Publish) => Some(texts.publish_fails),
        Condition::Blocked(Block::Fetch) => Some(texts.nothing_fetched),
        Condition::Resting(Limit::Unfinished) => Some(texts.too_many_unfinished),
        Condition::Resting(Limit::Memory) => Some(texts.too_much_memory),
        Condition::Resting(Limit::Keys) => Some(texts.too_many_keys),
        Condition::Resting(Limit::Predecessor) => Some(texts.predecessor_unfinished),
    }
}
