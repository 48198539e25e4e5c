//! The partitions that this process reads, for the API and the console.

use std::sync::Arc;

use desk_api::{PartitionOverview, PartitionState};
use kafka::health::{Health, PartitionStatus};
use kafka::partition::Condition;

use crate::{DeskState, PluginInfo, health};

/// A partition of a plugin.
pub struct Assigned<'a> {
    /// The plugin.
    pub plugin: &'a PluginInfo,
    /// The member's id in its group.
    pub member: Option<String>,
    /// The partition's state.
    pub status: PartitionStatus,
}

/// All partitions: by plugin in the order of the configuration, first those that are not read, then by topic in the order
/// of the deliveries of a message, and number.
pub fn assigned(state: &DeskState) -> Vec<Assigned<'_>> {
    let mut all = Vec::new();
    for member in state.members.iter() {
        let id = member.member_id();
        for status in member.partitions() {
            let owner = state.plugins.iter().position(|plugin| plugin.reads(&status));
            if let Some((index, plugin)) = owner.and_then(|index| Some((index, state.plugins.get(index)?))) {
                all.push((index, Assigned { plugin, member: id.clone(), status }));
            }
        }
    }
    all.sort_by_key(|(index, Assigned { plugin, status, .. })| {
        (*index, rank(status.condition), plugin.tier(&status.topic), status.partition)
    });
    all.into_iter().map(|(_, assigned)| assigned).collect()
}

/// The lag of a group on the partitions of a topic that this process owns; None while Kafka does not answer: what its
/// producers publish meanwhile is not known.
pub fn lag(members: &[Arc<Health>], group: &str, topic: &str) -> Option<u64> {
    if health::outage(members).is_some() {
        return None;
    }
    let all = members.iter().flat_map(|member| member.partitions());
    let own = all.filter(|status| status.group == group && status.topic == topic);
    Some(own.map(|status| status.lag.max(0).unsigned_abs()).sum())
}

/// The messages in a plugin's retry topics.
pub fn waiting(members: &[Arc<Health>], plugin: &PluginInfo) -> Option<u64> {
    plugin.retry_topics.iter().map(|topic| lag(members, &plugin.group, topic)).sum()
}

/// What an operator looks for comes first.
fn rank(condition: Condition) -> u8 {
    match condition {
        Condition::Blocked(_) => 0,
        Condition::Resting(_) => 1,
        Condition::Draining => 2,
        Condition::Reading => 3,
    }
}

impl PluginInfo {
    /// 0 for the source, then the number of the retry topic.
    fn tier(&self, topic: &str) -> usize {
        self.retry_topics.iter().position(|retry| retry == topic).map_or(0, |index| index + 1)
    }

    fn reads(&self, status: &PartitionStatus) -> bool {
        self.group == status.group
            && (self.topic == status.topic || self.retry_topics.contains(&status.topic))
    }
}

impl Assigned<'_> {
    /// The partition in the API.
    pub fn overview(self) -> PartitionOverview {
        let since_ms = self.since_ms();
        let PartitionStatus { topic, partition, condition, next, lag, in_flight, held_keys, .. } =
            self.status;
        PartitionOverview {
            plugin: self.plugin.name.to_string(),
            topic,
            partition,
            state: state(condition),
            reason: condition.reason().map(str::to_owned),
            since_ms,
            offset: next,
            lag: lag.max(0).unsigned_abs(),
            in_progress: in_flight as u64,
            held_keys: held_keys as u64,
            member: self.member,
        }
    }

    /// Since when nothing has been read, in milliseconds since the Unix epoch, to the second.
    pub fn since_ms(&self) -> Option<i64> {
        self.status.condition.reason()?;
        Some(health::since_ms(self.status.lasts))
    }
}

/// The state in the API.
pub fn state(condition: Condition) -> PartitionState {
    match condition {
        Condition::Reading => PartitionState::Reading,
        Condition::Resting(_) => PartitionState::Resting,
        Condition::Blocked(_) => PartitionState::Blocked,
        Condition::Draining => PartitionState::Draining,
    }
}
