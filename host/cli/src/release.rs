//! `host groups release`: releases keys that are held after a dead letter.

use base::error::UserError;
use base::text;
use kafka::committed::{Committed, add_commit};
use kafka::key_order::{OrderKey, order_key};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;
use settings::{KafkaArgs, Ordering};

use crate::kafka_client::KafkaClient;
use crate::live_group;
use crate::output::note;

/// Arguments of `host groups release`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Consumer group of the plugin
    #[arg(value_name = "GROUP")]
    group: String,
    /// Topic of the plugin
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Key to release; can be repeated
    #[arg(long = "key", value_name = "KEY", required_unless_present = "all")]
    keys: Vec<String>,
    /// Release every key
    #[arg(long, conflicts_with = "keys")]
    all: bool,
    #[command(flatten)]
    kafka: KafkaArgs,
}

/// Removes keys from the metadata of the committed offsets. The offsets do not change.
///
/// # Errors
/// The group has members, or holds no such key.
pub fn run(args: &Args) -> Result<(), UserError> {
    if args.group.is_empty() {
        return Err(UserError::usage("the group's name is empty").help("host groups list"));
    }
    let own = [("group.id", args.group.as_str()), ("enable.auto.commit", "false")];
    let client = KafkaClient::open(&args.kafka, &own)?;
    let committed = committed(&client, &args.topic)?;
    let mut changed = TopicPartitionList::new();
    let mut released = 0;
    for found in committed {
        let Some(mut metadata) = found.host_metadata() else { continue };
        let Some(window) = &mut metadata.window else { continue };
        let before = window.held_keys.len();
        window.held_keys.retain(|key| !args.selects(*key));
        if window.held_keys.len() < before {
            released += before - window.held_keys.len();
            let (key, text) = ((args.topic.as_str(), found.partition), metadata.encode(found.offset));
            add_commit(&mut changed, key, found.position(), &text)
                .map_err(|error| client.failure("release keys", &error))?;
        }
    }
    let (group, topic) = (text::line(args.group.as_bytes()), &args.topic);
    if released == 0 {
        return Err(UserError::unavailable(format!("{group} holds no such key of {topic}"))
            .help("keys are held after a dead letter if the plugin has on-dead = \"hold\""));
    }
    commit(&client, &group, &changed)?;
    note(format_args!("released {} of {topic}", text::counted(released, "key")));
    Ok(())
}

impl Args {
    fn selects(&self, key: OrderKey) -> bool {
        self.all
            || self.keys.iter().any(|named| order_key(Ordering::Key, Some(named.as_bytes())) == Some(key))
    }
}

fn committed(client: &KafkaClient, topic: &str) -> Result<Vec<Committed>, UserError> {
    let metadata = client.topic(topic)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    client.committed(partitions.map(|partition| (topic, partition.id())))
}

/// Kafka accepts a commit from outside only while the group has no members.
fn commit(client: &KafkaClient, group: &str, changed: &TopicPartitionList) -> Result<(), UserError> {
    client.consumer.commit(changed, CommitMode::Sync).map_err(|error| {
        if live_group::is_rejection(&error) {
            let what = format!("{group} has members, which would overwrite the change");
            UserError::unavailable(what).help("stop its hosts, release the key, and restart them")
        } else {
            client.failure("release keys", &error)
        }
    })
}
