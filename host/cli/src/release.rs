//! `host groups release`: keys whose messages follow a dead letter are handled again.

use base::error::UserError;
use base::text;
use kafka::committed::Committed;
use kafka::key_order::order_key;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use settings::{KafkaArgs, Ordering};

use crate::output::note;
use crate::session::Session;

/// Arguments of `host groups release`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The group that handles the topic
    #[arg(value_name = "GROUP")]
    group: String,
    /// The topic
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// A key to release; repeat for more
    #[arg(long = "key", value_name = "KEY", required_unless_present = "all")]
    keys: Vec<String>,
    /// Release every key
    #[arg(long, conflicts_with = "keys")]
    all: bool,
    #[command(flatten)]
    kafka: KafkaArgs,
}

/// Takes keys out of what is committed beside the group's offsets, which stay as they are.
///
/// # Errors
/// The group has members, or nothing is held.
pub fn run(args: &Args) -> Result<(), UserError> {
    if args.group.is_empty() {
        return Err(UserError::usage("a group's name is not empty").help("host groups list"));
    }
    let own = [("group.id", args.group.as_str()), ("enable.auto.commit", "false")];
    let session = Session::open(&args.kafka, &own)?;
    let committed = committed(&session, &args.topic)?;
    let mut changed = TopicPartitionList::new();
    let mut released = 0;
    for found in committed {
        let Some(mut window) = found.window() else { continue };
        let before = window.held_keys.len();
        window.held_keys.retain(|key| !args.names(*key));
        if window.held_keys.len() < before {
            released += before - window.held_keys.len();
            let mut element = changed.add_partition(&args.topic, found.partition);
            element
                .set_offset(Offset::Offset(found.offset))
                .map_err(|error| session.failure("release keys", &error))?;
            element.set_metadata(window.encode(found.offset));
        }
    }
    let (group, topic) = (text::line(args.group.as_bytes()), &args.topic);
    if released == 0 {
        return Err(UserError::unavailable(format!("{group} holds no such key of {topic}"))
            .help("a key is held after a dead letter, where its plugin has on-dead = \"hold\""));
    }
    commit(&session, &group, &changed)?;
    note(format_args!("released {} of {topic}", text::counted(released, "key")));
    Ok(())
}

impl Args {
    fn names(&self, key: u64) -> bool {
        self.all
            || self.keys.iter().any(|named| order_key(Ordering::Key, Some(named.as_bytes())) == Some(key))
    }
}

fn committed(session: &Session, topic: &str) -> Result<Vec<Committed>, UserError> {
    let metadata = session.topic(topic)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    session.committed(partitions.map(|partition| (topic, partition.id())))
}

/// Kafka takes a commit of nobody's only while the group has no members.
fn commit(session: &Session, group: &str, changed: &TopicPartitionList) -> Result<(), UserError> {
    session.consumer.commit(changed, CommitMode::Sync).map_err(|error| match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::StaleMemberEpoch,
        ) => UserError::unavailable(format!("{group} has members, which would write over it"))
            .help("stop its hosts, release the key, and start them again"),
        _ => session.failure("release keys", &error),
    })
}
