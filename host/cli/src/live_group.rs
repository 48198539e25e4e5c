//! Consumer groups with members, which a command from outside must not disturb.

use base::error::UserError;
use kafka::committed::{Committed, add_commit};
pub use kafka::group_list::{UNKNOWN_MEMBERS, listed};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use settings::KafkaArgs;

use crate::groups;
use crate::kafka_client::KafkaClient;

/// Whether a group has members.
pub enum Members {
    /// It has none.
    None,
    /// It has these, as text.
    Listed(String),
    /// It has members, since the broker rejects a commit from outside.
    Unlisted(KafkaError),
    /// They cannot be listed, and the group has committed no offset that could be committed once more.
    Unknown,
}

/// A client that reads and commits offsets of a group without joining it.
pub fn outside(kafka: &KafkaArgs, group: &str) -> Result<KafkaClient, UserError> {
    KafkaClient::open(
        kafka,
        &[("group.id", group), ("enable.auto.commit", "false"), ("isolation.level", "read_uncommitted")],
    )
}

/// The members of the group of a client from [`outside`]. `partitions` are those that the group may have committed.
///
/// # Errors
/// Kafka does not answer.
pub fn members(
    client: &KafkaClient,
    group: &str,
    partitions: &[(String, i32)],
) -> Result<Members, UserError> {
    let found = groups::fetch(client, Some(group))?;
    let Some(found) = found.groups().iter().find(|found| found.name() == group) else {
        return Ok(Members::None);
    };
    if !found.members().is_empty() {
        return Ok(Members::Listed(listed(found)));
    }
    if groups::is_classic(found) { Ok(Members::None) } else { probe(client, partitions) }
}

/// Commits the committed offsets once more: the broker rejects the commit if the group has members.
pub fn probe(client: &KafkaClient, partitions: &[(String, i32)]) -> Result<Members, UserError> {
    let named = partitions.iter().map(|(topic, partition)| (topic.as_str(), *partition));
    let committed = again(client, client.committed(named)?)?;
    if committed.count() == 0 {
        return Ok(Members::Unknown);
    }
    Ok(client
        .consumer
        .commit(&committed, CommitMode::Sync)
        .map_or_else(Members::Unlisted, |()| Members::None))
}

/// Offsets, leader epochs and metadata as they were committed.
fn again(client: &KafkaClient, committed: Vec<Committed>) -> Result<TopicPartitionList, UserError> {
    let mut again = TopicPartitionList::new();
    for found in committed {
        let (key, position) = ((found.topic.as_str(), found.partition), found.position());
        let text = str::from_utf8(&found.metadata).unwrap_or_default();
        add_commit(&mut again, key, position, text).map_err(|error| client.failure("commit", &error))?;
    }
    Ok(again)
}

/// Whether the broker rejects a commit because the group has members.
pub fn is_rejection(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::UnknownMemberId
                | Code::IllegalGeneration
                | Code::RebalanceInProgress
                | Code::FencedInstanceId
                | Code::StaleMemberEpoch
        )
    )
}
