//! The members of consumer groups, with the partitions that are assigned to them.

use std::collections::{BTreeMap, BTreeSet};

use kafka::errors::Context;
use kafka::{assignment, group_list};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;

use crate::TIMEOUT;

/// A consumer group as its coordinator describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Kafka's word for its state, such as `Stable`.
    pub state: String,
    /// Its members. Empty for a group with the newer protocol, whose members cannot be listed.
    pub members: Vec<Member>,
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The id in its group.
    pub id: String,
    /// The client's id.
    pub client: String,
    /// The client's address.
    pub address: String,
    /// The partitions of each topic that are assigned to it.
    pub assigned: BTreeMap<String, Vec<i32>>,
}

/// Describes these groups. None for all if the broker is the embedded one, which cannot. Blocks for up to 5 s for each
/// group.
///
/// # Errors
/// Kafka does not answer.
pub fn of(
    consumer: &BaseConsumer<Context>,
    groups: &BTreeSet<String>,
) -> KafkaResult<Option<BTreeMap<String, Group>>> {
    let mut found = BTreeMap::new();
    // The id of the cluster is known with the first metadata.
    let id = consumer.client().fetch_cluster_id(TIMEOUT);
    if base::kafka_args::is_embedded(id.as_deref()) {
        return Ok(None);
    }
    for name in groups {
        let listed = group_list::fetch(consumer, Some(name), TIMEOUT)?;
        for group in listed.groups().iter().filter(|group| group.name() == name) {
            let members = group.members().iter().map(|member| Member {
                id: member.id().to_owned(),
                client: member.client_id().to_owned(),
                address: member.client_host().trim_start_matches('/').to_owned(),
                assigned: by_topic(member.assignment().and_then(assignment::decode).unwrap_or_default()),
            });
            let group = Group { state: group.state().to_owned(), members: members.collect() };
            found.insert(name.clone(), group);
        }
    }
    Ok(Some(found))
}

fn by_topic(assigned: Vec<(String, i32)>) -> BTreeMap<String, Vec<i32>> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in assigned {
        topics.entry(topic).or_default().push(partition);
    }
    topics.values_mut().for_each(|partitions| partitions.sort_unstable());
    topics
}
