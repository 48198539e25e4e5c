//! `host groups release`: releases keys that are held after a dead letter. Running hosts notice it at once.

use base::error::UserError;
use base::text;
use kafka::errors::{invalid_config, publish_help, short};
use kafka::key_order::{OrderKey, order_key};
use kafka::publisher::Publisher;
use serde_json::json;
use settings::{KafkaArgs, Ordering};
use tokio::runtime::Runtime;

use crate::held_keys;
use crate::kafka_client::KafkaClient;
use desk_cli::output::OutputArgs;

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
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
}

/// Releases the keys in their topic, which hosts may be reading.
///
/// # Errors
/// The group holds no such key, or Kafka is unreachable.
pub fn run(args: &Args, runtime: &Runtime) -> Result<(), UserError> {
    if args.group.is_empty() {
        return Err(UserError::usage("the group's name is empty").help("host groups list"));
    }
    let client = KafkaClient::open(&args.kafka, &[])?;
    client.topic(&args.topic)?;
    let metadata = client.metadata(None)?;
    let held = held_keys::read(&client, &args.kafka, &metadata, &args.group, &args.topic)?;
    let (group, topic) = (text::line(args.group.as_bytes()), &args.topic);
    let keys: Vec<OrderKey> = held.iter().flat_map(|held| held.list()).map(|(key, _)| key).collect();
    let keys: Vec<OrderKey> = keys.into_iter().filter(|key| args.selects(*key)).collect();
    let Some(held) = held.filter(|_| !keys.is_empty()) else {
        return Err(UserError::unavailable(format!("{group} holds no such key of {topic}"))
            .help(format!("list held keys: host groups describe {group}"))
            .help("keys are held after a dead letter if the plugin has on-dead = \"hold\""));
    };
    let publisher = Publisher::new(&args.kafka).map_err(|error| invalid_config(&error))?;
    let released = runtime.block_on(held.release(&publisher, &keys)).map_err(|code| {
        let left = text::counted(keys.iter().filter(|key| held.contains(**key)).count(), "key");
        let help = publish_help(Some(code), &held.topic().name());
        let what = format!("cannot release {left} of {topic}: {}", short(code));
        UserError::unavailable(what).help(help)
    })?;
    args.output.report(&json!({ "released": released }), || {
        format!("released {} of {topic}", text::counted(released, "key"))
    })
}

impl Args {
    fn selects(&self, key: OrderKey) -> bool {
        self.all
            || self.keys.iter().any(|named| order_key(Ordering::Key, Some(named.as_bytes())) == Some(key))
    }
}
