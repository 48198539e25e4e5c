//! The topics and consumer groups of the plugins, for the API and the console.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use consumer::Pipeline;
use desk_api::{AssignedPartitions, GroupMember, GroupOverview, TopicOverview, TopicUse};
use kafka_inquiry::Inquiry;
use kafka_inquiry::members::{self, Group, Member};
use settings::KafkaArgs;

use crate::{DeskState, PluginInfo, partitions};

/// The time that a page waits for Kafka.
const BOUND: Duration = Duration::from_millis(500);
/// For how long the members of groups count as known.
const FRESH: Duration = Duration::from_secs(5);

/// Asks for the members of consumer groups. The embedded broker cannot tell.
pub type GroupInquiry = Arc<Inquiry<Option<BTreeMap<String, Group>>>>;

/// Asks this Kafka.
pub fn group_inquiry(kafka: &KafkaArgs) -> GroupInquiry {
    Inquiry::new(kafka, members::of, FRESH)
}

/// The topics of all plugins, in the order of the deliveries of a message.
pub fn topics(state: &DeskState) -> Vec<TopicOverview> {
    state.plugins.iter().flat_map(|plugin| topics_of(state, plugin)).collect()
}

fn topics_of(state: &DeskState, plugin: &PluginInfo) -> Vec<TopicOverview> {
    let pipeline = plugin.pipeline.upgrade();
    let plan = pipeline.as_deref().map(|pipeline| pipeline.subscription.topic_plan());
    let read = state.members.iter().flat_map(|member| member.partitions()).collect::<Vec<_>>();
    let settings = state.topic_settings.lock();
    let topic = |topic: &String, used_as: TopicUse, group: String| {
        let own =
            |status: &&kafka::health::PartitionStatus| status.group == plugin.group && status.topic == *topic;
        let is_read = used_as != TopicUse::DeadLetter;
        TopicOverview {
            plugin: plugin.name.to_string(),
            topic: topic.clone(),
            used_as,
            group,
            partitions: read.iter().filter(own).count() as u64,
            lag: if is_read { partitions::lag(&state.members, &plugin.group, topic) } else { None },
            retention_ms: settings.get(topic).and_then(|known| known.retention_ms),
            needed_retention_ms: match used_as {
                TopicUse::Source => None,
                TopicUse::Retry | TopicUse::DeadLetter => {
                    plan.as_ref().map(|plan| plan.needed_retention_ms(topic))
                }
            },
        }
    };
    let source = topic(&plugin.topic, TopicUse::Source, plugin.group.clone());
    let retry =
        plugin.retry_topics.iter().map(|name| topic(name, TopicUse::Retry, plugin.retry_group.clone()));
    let dead = pipeline.as_deref().map(|Pipeline { subscription, .. }| {
        topic(&subscription.dead_letter_topic, TopicUse::DeadLetter, subscription.dead_letter_group())
    });
    [source].into_iter().chain(retry).chain(dead).collect()
}

/// The consumer groups of all plugins with their members on all hosts.
pub async fn groups(state: &DeskState) -> Vec<GroupOverview> {
    let pairs = state.plugins.iter().flat_map(|plugin| {
        let retry = (!plugin.retry_topics.is_empty()).then_some(&plugin.retry_group);
        [&plugin.group].into_iter().chain(retry).map(|group| (plugin.name.to_string(), group.clone()))
    });
    let pairs: Vec<(String, String)> = pairs.collect();
    let names: BTreeSet<String> = pairs.iter().map(|(_, group)| group.clone()).collect();
    let answer = state.groups.of(&names, BOUND).await;
    let own: BTreeSet<String> = state.members.iter().filter_map(|member| member.member_id()).collect();
    let (found, reason) = match answer {
        Ok(Some(found)) => (found, None),
        Ok(None) => (BTreeMap::new(), Some("the embedded broker does not list members".to_owned())),
        Err(why) => (BTreeMap::new(), Some(format!("Kafka does not answer: {why}"))),
    };
    let overview = |(plugin, group): (String, String)| {
        let known = found.get(&group);
        let members = known.into_iter().flat_map(|known| &known.members);
        GroupOverview {
            plugin,
            group,
            state: known.map(|known| known.state.clone()),
            reason: reason.clone().filter(|_| known.is_none()),
            members: members.map(|member| shown(member, &own)).collect(),
        }
    };
    pairs.into_iter().map(overview).collect()
}

fn shown(member: &Member, own: &BTreeSet<String>) -> GroupMember {
    let Member { id, client, address, assigned } = member;
    let partitions = assigned
        .iter()
        .map(|(topic, all)| AssignedPartitions { topic: topic.clone(), partitions: all.clone() });
    GroupMember {
        id: id.clone(),
        client: client.clone(),
        address: address.clone(),
        is_own: own.contains(id),
        partitions: partitions.collect(),
    }
}
