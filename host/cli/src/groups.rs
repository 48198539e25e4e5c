//! `host groups`.

mod held;
mod states;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use base::error::UserError;
use base::text;
use clap::Subcommand;
use kafka::assignment;
use kafka::group_list;
pub use kafka::group_list::is_classic;
use rdkafka::groups::{GroupInfo, GroupList, GroupMemberInfo};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::Offset;
use serde::Serialize;
use settings::KafkaArgs;
use settings::RunArgs;
use tokio::runtime::Runtime;

use self::held::HeldKey;
use self::states::{State, States};
use crate::adopt;
use crate::kafka_client::{KafkaClient, TIMEOUT};
use crate::release;
use desk_cli::dlt::client::ApiArgs;
use desk_cli::dlt::format::{age, fitted};
use desk_cli::output::{self, OutputArgs, escaped, note};

/// Arguments of `host groups`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List consumer groups
    List(List),
    /// Show a group's members, offsets and lag, and the state of the partitions of a running host
    Describe(Describe),
    /// Release keys that are held after a dead letter
    Release(release::Args),
    /// Migrate a consumer from Spring Kafka, or back to it, while retries are pending
    Adopt(Box<adopt::Args>),
}

impl Args {
    /// The arguments for running plugins.
    pub fn run_args_mut(&mut self) -> Option<&mut RunArgs> {
        match &mut self.command {
            Command::Adopt(args) => Some(&mut args.run),
            Command::List(_) | Command::Describe(_) | Command::Release(_) => None,
        }
    }
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
}

#[derive(Debug, clap::Args)]
struct Describe {
    /// Consumer group
    #[arg(value_name = "GROUP")]
    group: String,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
}

/// Runs `host groups`, whose clients of Kafka block the thread. A host's API is asked, and keys are released, on the
/// runtime.
pub fn run(args: Args, runtime: &Runtime) -> anyhow::Result<()> {
    match args.command {
        Command::List(args) => list(&args)?,
        Command::Describe(args) => describe(&args, runtime)?,
        Command::Adopt(args) => adopt::run(&args)?,
        Command::Release(args) => release::run(&args, runtime)?,
    }
    Ok(())
}

#[derive(Serialize)]
struct Listed {
    group: String,
    /// Absent if Kafka's description of classic groups does not cover the group.
    state: Option<String>,
    protocol_type: Option<String>,
    members: Option<usize>,
}

fn list(args: &List) -> Result<(), UserError> {
    let client = KafkaClient::open(&args.kafka, &[])?;
    client.metadata(None)?;
    let found = fetch(&client, None)?;
    let mut groups: Vec<_> = found.groups().iter().map(listed).collect();
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    if groups.iter().any(|group| group.state.is_none()) {
        note(UNKNOWN_STATE);
    }
    args.output.print(&groups, || {
        let rows = groups.iter().map(|g| {
            let state = g.state.as_deref().unwrap_or("unknown").to_owned();
            let (kind, members) = (output::cell(g.protocol_type.as_ref()), output::cell(g.members));
            [text::line(g.group.as_bytes()), state, kind, members]
        });
        output::table(["GROUP", "STATE", "TYPE", ">MEMBERS"], rows)
    })
}

const UNKNOWN_STATE: &str = "note: a group in unknown state is being deleted, or is not a classic consumer group: \
                             state and members of groups with the newer protocol (KIP-848) and of share groups \
                             cannot be read";

fn listed(group: &GroupInfo) -> Listed {
    let classic = is_classic(group);
    Listed {
        group: group.name().to_owned(),
        state: classic.then(|| text::line(group.state().as_bytes())),
        protocol_type: Some(text::line(group.protocol_type().as_bytes())).filter(|text| !text.is_empty()),
        members: classic.then(|| group.members().len()),
    }
}

#[derive(Serialize)]
struct Described {
    #[serde(flatten)]
    listed: Summary,
    members: Option<Vec<Member>>,
    partitions: Vec<Partition>,
    held_keys: Vec<HeldKey>,
}

#[derive(Serialize)]
struct Summary {
    group: String,
    state: Option<String>,
    protocol_type: Option<String>,
    /// The assignor in use.
    assignor: Option<String>,
}

#[derive(Serialize)]
struct Member {
    id: String,
    client_id: String,
    host: String,
    /// Absent if the assignment is not in the format of the consumer protocol.
    partitions: Option<Vec<(String, i32)>>,
}

#[derive(Serialize)]
struct Partition {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end_offset: Option<i64>,
    lag: Option<i64>,
    member: Option<String>,
    client_id: Option<String>,
    host: Option<String>,
    /// Of the host that was asked; null if another has the partition.
    #[serde(flatten)]
    state: Option<State>,
}

fn describe(args: &Describe, runtime: &Runtime) -> Result<(), UserError> {
    if args.group.is_empty() {
        return Err(UserError::usage("the group's name is empty").help("host groups list"));
    }
    let own = [
        ("group.id", args.group.as_str()),
        ("enable.auto.commit", "false"),
        // As in Kafka's own tools, the end includes uncommitted transactions.
        ("isolation.level", "read_uncommitted"),
    ];
    let client = KafkaClient::open(&args.kafka, &own)?;
    let metadata = client.metadata(None)?;
    let found = fetch(&client, Some(&args.group))?;
    let Some(group) = found.groups().iter().find(|group| group.name() == args.group) else {
        return Err(UserError::unavailable(format!("no group {}", text::line(args.group.as_bytes())))
            .help("list groups: host groups list"));
    };
    let members: Vec<_> = group.members().iter().map(|m| member(group, m)).collect();
    let states = runtime.block_on(states(&args.api, &members));
    let partitions = partitions(&client, &metadata, &members, &states)?;
    let described = Described {
        listed: summary(group),
        held_keys: held::of(&client, &args.kafka, &metadata, &args.group, &partitions)?,
        partitions,
        members: is_classic(group).then_some(members),
    };
    if described.members.is_none() {
        note(UNKNOWN_STATE);
    }
    args.output.print(&described, || blocks(&described))
}

/// The states of the members' partitions, as far as a running host has them.
async fn states(api: &ApiArgs, members: &[Member]) -> States {
    if members.is_empty() {
        return States::default();
    }
    States::fetch(api).await.unwrap_or_else(|error| {
        note(format!("note: without the state of the partitions, which only their host knows: {error}"));
        States::default()
    })
}

/// Reads the groups of all brokers, or one of them.
pub fn fetch(client: &KafkaClient, group: Option<&str>) -> Result<GroupList, UserError> {
    group_list::fetch(&client.consumer, group, TIMEOUT).map_err(|error| client.failure("list groups", &error))
}

fn summary(group: &GroupInfo) -> Summary {
    let Listed { group: name, state, protocol_type, .. } = listed(group);
    let assignor = Some(text::line(group.protocol().as_bytes())).filter(|text| !text.is_empty());
    Summary { group: name, state, protocol_type, assignor }
}

fn member(group: &GroupInfo, member: &GroupMemberInfo) -> Member {
    // Kafka Connect and others have assignments in other formats.
    let consumer = group.protocol_type() == "consumer";
    Member {
        id: member.id().to_owned(),
        client_id: member.client_id().to_owned(),
        host: member.client_host().trim_start_matches('/').to_owned(),
        partitions: match member.assignment() {
            None => Some(Vec::new()),
            Some(bytes) => consumer.then(|| assignment::decode(bytes)).flatten(),
        },
    }
}

/// All partitions that are assigned to a member or have a committed offset.
fn partitions(
    client: &KafkaClient,
    metadata: &Metadata,
    members: &[Member],
    states: &States,
) -> Result<Vec<Partition>, UserError> {
    let all = metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(move |p| (topic, p)));
    // Kafka returns offsets of named partitions only.
    let committed = committed(client, all.map(|(topic, p)| (topic.name(), p.id())))?;
    let mut owners = BTreeMap::new();
    for member in members {
        owners.extend(member.partitions.iter().flatten().map(|key| (key.clone(), member)));
    }
    let rows: BTreeSet<_> = committed.keys().chain(owners.keys()).cloned().collect();
    let led = leaders(metadata);
    let requested: Vec<_> = rows.iter().filter(|key| led.contains(key)).cloned().collect();
    let ends = client.offsets(Offset::End, &requested)?;
    let end = |topic: &str, partition| {
        let found = ends.find_partition(topic, partition)?;
        found.error().ok().and_then(|()| found.offset().to_raw()).filter(|offset| *offset >= 0)
    };
    Ok(rows
        .into_iter()
        .map(|key| {
            let (committed, member) = (committed.get(&key).copied(), owners.get(&key));
            let (topic, partition) = key;
            let end_offset = end(&topic, partition);
            let state = member.and_then(|member| states.of(&topic, partition, &member.id));
            Partition {
                lag: committed.zip(end_offset).map(|(committed, end)| end.saturating_sub(committed)),
                topic,
                partition,
                committed,
                end_offset,
                member: member.map(|member| member.id.clone()),
                client_id: member.map(|member| member.client_id.clone()),
                host: member.map(|member| member.host.clone()),
                state,
            }
        })
        .collect())
}

/// The committed offsets of the client's group for these partitions.
pub fn committed<'a>(
    client: &KafkaClient,
    partitions: impl Iterator<Item = (&'a str, i32)>,
) -> Result<BTreeMap<(String, i32), i64>, UserError> {
    let found = client.committed(partitions)?;
    Ok(found.into_iter().map(|found| ((found.topic, found.partition), found.offset)).collect())
}

fn leaders(metadata: &Metadata) -> HashSet<(String, i32)> {
    let all = metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(move |p| (topic, p)));
    all.filter(|(_, p)| p.leader() >= 0).map(|(topic, p)| (topic.name().to_owned(), p.id())).collect()
}

fn blocks(group: &Described) -> String {
    let members = group.members.as_ref().map(Vec::len);
    let mut text = format!(
        "{}  state {}  type {}  assignor {}  members {}",
        text::line(group.listed.group.as_bytes()),
        group.listed.state.as_deref().unwrap_or("unknown"),
        output::cell(group.listed.protocol_type.as_ref()),
        output::cell(group.listed.assignor.as_ref()),
        output::cell(members),
    );
    if !group.partitions.is_empty() {
        text += &format!("\n{}", offsets(&group.partitions));
    }
    if group.partitions.iter().any(|partition| partition.state.is_some()) {
        text += &format!("\n\n{}", conditions(&group.partitions));
    }
    if !group.held_keys.is_empty() {
        text += &format!("\n\n{}", held::table(&group.held_keys));
    }
    if let Some(members) = group.members.as_ref().filter(|members| !members.is_empty()) {
        let rows = members.iter().map(|m| {
            let owned = m.partitions.as_ref().map(Vec::len);
            [escaped(&m.id), escaped(&m.client_id), escaped(&m.host), output::cell(owned)]
        });
        text += &format!("\n\n{}", output::table(["MEMBER", "CLIENT", "HOST", ">PARTITIONS"], rows));
    }
    text
}

fn offsets(partitions: &[Partition]) -> String {
    let rows = partitions.iter().map(|p| {
        let (topic, committed, end) =
            (p.topic.clone(), output::cell(p.committed), output::cell(p.end_offset));
        let (client, host) = (output::cell(p.client_id.as_ref()), output::cell(p.host.as_ref()));
        let lag = output::cell(p.lag);
        [topic, p.partition.to_string(), committed, end, lag, escaped(&client), escaped(&host)]
    });
    output::table(["TOPIC", ">PARTITION", ">COMMITTED", ">END", ">LAG", "CLIENT", "HOST"], rows)
}

/// The partitions of the host that was asked.
fn conditions(partitions: &[Partition]) -> String {
    let rows = partitions.iter().filter_map(|p| {
        let state = p.state.as_ref()?;
        let (lasts, reason) = (output::cell(state.since_ms.map(age)), output::cell(state.reason.as_deref()));
        let (calls, held) = (state.in_progress.to_string(), state.held_keys.to_string());
        let (topic, number) = (p.topic.clone(), p.partition.to_string());
        Some([topic, number, state.state.to_owned(), lasts, calls, held, escaped(&reason)])
    });
    let headings = ["TOPIC", ">PARTITION", "STATE", ">FOR", ">CALLS", ">HELD KEYS", "REASON"];
    fitted(headings, rows.collect())
}
