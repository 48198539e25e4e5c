//! `host topics`.

use base::error::UserError;
use base::text;
use clap::{Subcommand, value_parser};
use kafka::errors;
use rdkafka::admin::{ConfigSource, NewTopic, TopicReplication, TopicResult};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataPartition;
use rdkafka::topic_partition_list::Offset;
use serde::Serialize;
use settings::KafkaArgs;

use crate::kafka_client::{self, KafkaClient};
use desk_cli::confirm;
use desk_cli::output::{self, Format, OutputArgs, note};

/// Arguments of `host topics`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create topics
    Create(Create),
    /// List topics
    List(List),
    /// Show partitions, offsets and settings of topics
    Describe(Describe),
    /// Delete topics and every message in them
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Topics to create
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,
    /// Number of partitions [default: the broker's]
    #[arg(long, value_name = "N", value_parser = value_parser!(i32).range(1..=100_000))]
    partitions: Option<i32>,
    /// Number of replicas [default: the broker's]
    #[arg(long, value_name = "N", value_parser = value_parser!(i32).range(1..=32_767))]
    replication_factor: Option<i32>,
    /// Topic setting, such as retention.ms=86400000; can be repeated
    #[arg(long = "config", value_name = "NAME=VALUE", value_parser = setting)]
    configs: Vec<(String, String)>,
    /// Accept topics that exist already
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Include Kafka's internal topics (with the prefix __)
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
}

#[derive(Debug, clap::Args)]
struct Describe {
    /// Topics to show
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
}

#[derive(Debug, clap::Args)]
struct Delete {
    /// Topics to delete
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
}

/// Runs `host topics`.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Create(args) => create(args)?,
        Command::List(args) => list(&args)?,
        Command::Describe(args) => describe(args)?,
        Command::Delete(args) => delete(args)?,
    }
    Ok(())
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, for example --config retention.ms=86400000".to_owned()),
    }
}

fn create(mut args: Create) -> Result<(), UserError> {
    deduplicate(&mut args.names);
    let client = KafkaClient::open(&args.kafka, &[])?;
    // Fails fast if the cluster is unreachable: the timeout of changes is longer.
    let brokers = client.metadata(None)?.brokers().len();
    let topics: Vec<_> = (args.names.iter())
        .map(|name| NewTopic {
            name,
            num_partitions: args.partitions.unwrap_or(-1),
            // -1: the broker's default.
            replication: TopicReplication::Fixed(args.replication_factor.unwrap_or(-1)),
            config: args.configs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        })
        .collect();
    let results = kafka_client::admin(&args.kafka, "create topics", async |admin, options| {
        admin.create_topics(&topics, options).await
    })?;
    let mut created = Vec::new();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.push(name),
            Err((name, RDKafkaErrorCode::TopicAlreadyExists)) if args.if_not_exists => {
                note(format!("{name} exists already"));
            }
            Err((name, code)) => failures.push(not_created(&name, code, &args, brokers)),
        }
    }
    client.wait_for_topics(&created, true);
    changed(args.output, "created", &created)?;
    report(failures)
}

/// Says which topics were changed.
fn changed(output: OutputArgs, what: &str, names: &[String]) -> Result<(), UserError> {
    match output.format() {
        Format::Json => output::print_json(&names),
        Format::Table => {
            names.iter().for_each(|name| note(format!("{what} {name}")));
            Ok(())
        }
    }
}

fn not_created(name: &str, code: RDKafkaErrorCode, args: &Create, brokers: usize) -> UserError {
    let shown = text::line(name.as_bytes());
    match code {
        RDKafkaErrorCode::TopicAlreadyExists => {
            UserError::unavailable(format!("topic {shown} exists already"))
                .help("accept existing topics: --if-not-exists")
                .help(format!("show it: host topics describe {shown}"))
        }
        RDKafkaErrorCode::InvalidTopic => kafka_client::invalid_topic(name),
        RDKafkaErrorCode::InvalidReplicationFactor => {
            let wanted = args.replication_factor.map_or_else(|| "default".to_owned(), |n| n.to_string());
            UserError::usage(format!(
                "cannot create topic {shown}: replication factor {wanted}, but {}",
                text::counted(brokers, "broker")
            ))
            .help(format!("set a replication factor from 1 to {brokers}: --replication-factor N"))
        }
        RDKafkaErrorCode::InvalidConfig => {
            let configs: Vec<_> =
                args.configs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            UserError::usage(format!("cannot create topic {shown}: Kafka refuses {}", configs.join(", ")))
                .help("topic settings: https://kafka.apache.org/documentation/#topicconfigs")
        }
        code => UserError::unavailable(format!("cannot create topic {shown}: {}", errors::short(code))),
    }
}

#[derive(Serialize)]
struct Listed {
    name: String,
    partitions: usize,
    replication_factor: usize,
}

fn list(args: &List) -> Result<(), UserError> {
    let metadata = KafkaClient::open(&args.kafka, &[])?.metadata(None)?;
    let mut topics: Vec<_> = (metadata.topics().iter())
        .filter(|topic| args.internal || !topic.name().starts_with("__"))
        .map(|topic| Listed {
            name: topic.name().to_owned(),
            partitions: topic.partitions().len(),
            replication_factor: topic.partitions().iter().map(|p| p.replicas().len()).max().unwrap_or(0),
        })
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    args.output.print(&topics, || {
        let row = |t: &Listed| [t.name.clone(), t.partitions.to_string(), t.replication_factor.to_string()];
        output::table(["TOPIC", ">PARTITIONS", ">REPLICATION"], topics.iter().map(row))
    })
}

#[derive(Serialize)]
struct Described {
    name: String,
    partitions: Vec<Partition>,
    /// The topic's own settings; absent without permission to read them.
    configs: Option<Vec<Setting>>,
}

#[derive(Serialize)]
struct Partition {
    partition: i32,
    /// Absent if the partition has no leader.
    leader: Option<i32>,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    start_offset: Option<i64>,
    end_offset: Option<i64>,
}

#[derive(Serialize)]
struct Setting {
    name: String,
    /// Absent for secrets.
    value: Option<String>,
}

fn describe(mut args: Describe) -> Result<(), UserError> {
    deduplicate(&mut args.names);
    // As in Kafka's own tools, the end includes uncommitted transactions.
    let client = KafkaClient::open(&args.kafka, &[("isolation.level", "read_uncommitted")])?;
    let mut topics = Vec::new();
    for name in &args.names {
        let partitions = partitions(&client, name)?;
        topics.push(Described { name: name.clone(), partitions, configs: configs(&args.kafka, name)? });
    }
    args.output.print(&topics, || topics.iter().map(block).collect::<Vec<_>>().join("\n\n"))
}

fn partitions(client: &KafkaClient, name: &str) -> Result<Vec<Partition>, UserError> {
    let metadata = client.topic(name)?;
    let mut found: Vec<&MetadataPartition> =
        metadata.topics().iter().filter(|topic| topic.name() == name).flat_map(|t| t.partitions()).collect();
    found.sort_by_key(|partition| partition.id());
    let led: Vec<_> = found.iter().filter(|p| p.leader() >= 0).map(|p| (name.to_owned(), p.id())).collect();
    let (starts, ends) = (client.offsets(Offset::Beginning, &led)?, client.offsets(Offset::End, &led)?);
    let at = |list: &rdkafka::TopicPartitionList, id| {
        list.find_partition(name, id).filter(|found| found.error().is_ok()).and_then(|p| p.offset().to_raw())
    };
    Ok(found
        .into_iter()
        .map(|partition| Partition {
            partition: partition.id(),
            leader: (partition.leader() >= 0).then_some(partition.leader()),
            replicas: partition.replicas().to_vec(),
            isr: partition.isr().to_vec(),
            start_offset: at(&starts, partition.id()),
            end_offset: at(&ends, partition.id()),
        })
        .collect())
}

fn configs(kafka: &KafkaArgs, name: &str) -> Result<Option<Vec<Setting>>, UserError> {
    let Some(entries) = kafka_client::settings(kafka, name)? else { return Ok(None) };
    let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    let mut settings: Vec<_> =
        own.map(|e| Setting { name: e.name, value: e.value.filter(|_| !e.is_sensitive) }).collect();
    settings.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(settings))
}

fn block(topic: &Described) -> String {
    let replication = topic.partitions.iter().map(|p| p.replicas.len()).max().unwrap_or(0);
    let mut text =
        format!("{}  partitions {}  replication {replication}", topic.name, topic.partitions.len());
    match &topic.configs {
        None => text += "\n  settings: no permission to read them",
        Some(settings) => {
            for setting in settings {
                let value = setting.value.as_deref().unwrap_or("(hidden)");
                text += &format!("\n  {}={}", setting.name, text::line(value.as_bytes()));
            }
        }
    }
    let rows = topic.partitions.iter().map(|p| {
        let numbers = [output::numbers(&p.replicas), output::numbers(&p.isr)];
        let [replicas, isr] = numbers;
        let (leader, start, end) =
            (output::cell(p.leader), output::cell(p.start_offset), output::cell(p.end_offset));
        [p.partition.to_string(), leader, replicas, isr, start, end]
    });
    text + "\n" + &output::table([">PARTITION", ">LEADER", "REPLICAS", "ISR", ">START", ">END"], rows)
}

fn delete(mut args: Delete) -> Result<(), UserError> {
    deduplicate(&mut args.names);
    if !args.yes && !confirm::is_interactive() {
        return Err(UserError::usage(
            "confirmation is required, and there is no terminal; nothing was deleted",
        )
        .help(format!("skip the confirmation: host topics delete {} --yes", args.names.join(" "))));
    }
    let client = KafkaClient::open(&args.kafka, &[("isolation.level", "read_uncommitted")])?;
    let mut descriptions = Vec::new();
    for name in &args.names {
        let partitions = partitions(&client, name)?;
        let length = |p: &Partition| p.end_offset.zip(p.start_offset).map_or(0, |(end, start)| end - start);
        let messages = partitions.iter().map(length).sum::<i64>().unsigned_abs();
        let (parts, messages) =
            (text::counted(partitions.len(), "partition"), text::counted(messages, "message"));
        descriptions.push(format!("{name} ({parts}, up to {messages})"));
    }
    let question = format!("Delete {}? This cannot be undone.", descriptions.join(", "));
    if !args.yes && !confirm::confirm(&question)? {
        return Err(UserError::unavailable("nothing was deleted"));
    }
    let names: Vec<_> = args.names.iter().map(String::as_str).collect();
    let results = kafka_client::admin(&args.kafka, "delete topics", async |admin, options| {
        admin.delete_topics(&names, options).await
    })?;
    let (deleted, failed): (Vec<TopicResult>, Vec<TopicResult>) =
        results.into_iter().partition(Result::is_ok);
    let deleted: Vec<_> = deleted.into_iter().flatten().collect();
    client.wait_for_topics(&deleted, false);
    changed(args.output, "deleted", &deleted)?;
    let failed = failed.into_iter().filter_map(Result::err);
    report(
        failed
            .map(|(name, code)| {
                UserError::unavailable(format!("cannot delete topic {name}: {}", errors::short(code)))
            })
            .collect(),
    )
}

/// Prints all errors but the last, and returns the last.
fn report(mut errors: Vec<UserError>) -> Result<(), UserError> {
    let last = errors.pop();
    errors.iter().for_each(|error| note(format!("error: {error}")));
    last.map_or(Ok(()), Err)
}

fn deduplicate(names: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
}
