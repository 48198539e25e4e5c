//! `host consume`.

use std::collections::HashMap;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use base::error::UserError;
use base::text;
use clap::value_parser;
use kafka::errors;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::Offset;
use settings::KafkaArgs;

use crate::interrupt::Interrupt;
use crate::kafka_client::KafkaClient;
use crate::live_group::{self, Members};
use crate::record;
use desk_cli::output::{self, note};

/// Arguments of `host consume`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Topic to read
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Start at the oldest message instead of the next one; committed offsets of a group take precedence
    #[arg(long)]
    from_beginning: bool,
    /// Join this consumer group and commit the offsets of printed messages
    #[arg(long, value_name = "GROUP", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    group: Option<String>,
    /// Join the group although it has members, and take a share of their messages
    #[arg(long, requires = "group")]
    steal: bool,
    /// Stop after this many messages
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    max_messages: Option<u64>,
    /// Show partition, offset, timestamp, key and headers before each value
    #[arg(long)]
    headers: bool,
    /// Output format: values, or a JSON object per line
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    kafka: KafkaArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Values, one per line
    Text,
    /// JSON, one object per line
    Json,
}

/// Runs `host consume`.
pub fn run(args: Args) -> anyhow::Result<()> {
    let interrupt = Interrupt::listen()?;
    let reset = if args.from_beginning { "earliest" } else { "latest" };
    let own = [
        // librdkafka requires a group id; without a group nothing is committed.
        ("group.id", args.group.as_deref().unwrap_or("host-consume")),
        ("auto.offset.reset", reset),
        ("enable.auto.commit", if args.group.is_some() { "true" } else { "false" }),
        ("enable.auto.offset.store", "false"),
        ("auto.commit.interval.ms", "1000"),
        ("queued.max.messages.kbytes", "16384"),
        ("fetch.wait.max.ms", "100"),
    ];
    let client = KafkaClient::open(&args.kafka, &own)?;
    start(&client, &args)?;
    let mut printer = Printer::new(&client, &args);
    let read = pump(&client, &args, &interrupt, &mut printer);
    let committed = printer.commit();
    Ok(read.and(committed)?)
}

fn start(client: &KafkaClient, args: &Args) -> Result<(), UserError> {
    let metadata = client.topic(&args.topic)?;
    let topics = metadata.topics().iter().filter(|topic| topic.name() == args.topic);
    let partitions: Vec<_> =
        topics.flat_map(|topic| topic.partitions()).map(|p| (args.topic.clone(), p.id())).collect();
    let failed = |error: KafkaError| client.failure("read the topic", &error);
    if let Some(group) = &args.group {
        if !args.steal {
            refuse_members(args, group, &partitions)?;
        }
        client.consumer.subscribe(&[args.topic.as_str()]).map_err(failed)?;
        note(format!("consuming {} in group {group}; Ctrl-C ends", args.topic));
        return Ok(());
    }
    // Read before the note, so that messages published after it are printed.
    let from = if args.from_beginning { Offset::Beginning } else { Offset::End };
    let positions = client.offsets(from, &partitions)?;
    for position in positions.elements() {
        position.error().map_err(|error| client.failure("find where to start", &error))?;
    }
    client.consumer.assign(&positions).map_err(failed)?;
    let from = if args.from_beginning { "beginning" } else { "end" };
    note(format!("consuming {} from its {from}, {} partitions; Ctrl-C ends", args.topic, partitions.len()));
    Ok(())
}

/// Refuses to join a group with members, which would not get the messages that this command takes. A member that
/// joins between this check and the command's own join is not noticed.
fn refuse_members(args: &Args, group: &str, partitions: &[(String, i32)]) -> Result<(), UserError> {
    let client = live_group::outside(&args.kafka, group)?;
    let name = text::line(group.as_bytes());
    let members = match live_group::members(&client, group, partitions)? {
        Members::None => return Ok(()),
        Members::Unknown => {
            note(format!("note: group {name} {}", live_group::UNKNOWN_MEMBERS));
            return Ok(());
        }
        Members::Listed(members) => format!(", {members}"),
        Members::Unlisted(error) if live_group::is_rejection(&error) => String::new(),
        Members::Unlisted(error) => return Err(client.failure("find the members of the group", &error)),
    };
    let what = format!("group {name} is active, and its members would miss what this command reads{members}");
    Err(UserError::usage(what)
        .help("read without a group, which takes no messages from others: omit --group")
        .help("or use a group of your own: --group NAME")
        .help("or stop its members first; a killed one remains until its session times out (45 s by default)")
        .help("or, if you mean to take a share of its messages: --steal"))
}

/// Prints messages until the limit, a signal, or a closed stdout.
fn pump(
    client: &KafkaClient,
    args: &Args,
    stop: &Interrupt,
    printer: &mut Printer<'_>,
) -> Result<(), UserError> {
    let mut left = args.max_messages.unwrap_or(u64::MAX);
    let mut lost = false;
    while left > 0 && !stop.is_set() {
        let polled = match client.consumer.poll(Duration::ZERO) {
            Some(polled) => Some(polled),
            // Flush before waiting.
            None if !printer.flush()? => return Ok(()),
            None => client.consumer.poll(Duration::from_millis(100)),
        };
        match polled {
            None => {}
            Some(Err(error)) => lost = is_transient(client, args, &error, lost)?,
            Some(Ok(message)) => {
                lost = false;
                left -= 1;
                if !printer.print(&message)? {
                    return Ok(());
                }
            }
        }
    }
    printer.flush().map(|_| ())
}

/// Whether an error is transient. A transient error is reported once, until the next message.
fn is_transient(
    client: &KafkaClient,
    args: &Args,
    error: &KafkaError,
    lost: bool,
) -> Result<bool, UserError> {
    use RDKafkaErrorCode as Code;
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
    match error.rdkafka_error_code() {
        Some(Code::InconsistentGroupProtocol) => {
            let group = args.group.as_deref().unwrap_or_default();
            let error = UserError::unavailable(format!("the members of group {group} use another assignor"))
                .help("read without a group: omit --group");
            // Otherwise they have joined after the check.
            Err(if args.steal {
                error.help("or use theirs: -X partition.assignment.strategy=cooperative-sticky (or range, roundrobin)")
            } else {
                error
            })
        }
        Some(
            Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::FencedInstanceId
            | Code::UnsupportedVersion,
        ) => Err(client.failure("read the topic", error)),
        _ if fatal => Err(client.failure("read the topic", error)),
        _ => {
            if !lost {
                note(format!("warning: {}; retrying", errors::reason(error)));
            }
            Ok(true)
        }
    }
}

/// Prints messages and, in a group, tracks which ones reached stdout.
struct Printer<'s> {
    client: &'s KafkaClient,
    topic: &'s str,
    group: bool,
    headers: bool,
    format: Format,
    terminal: bool,
    out: BufWriter<io::StdoutLock<'static>>,
    /// The last offset written since the last flush, by partition.
    written: HashMap<i32, i64>,
    unflushed: usize,
}

impl<'s> Printer<'s> {
    /// Maximum number of unflushed messages; they are printed again if the process is killed.
    const MAX_UNFLUSHED: usize = 1000;

    fn new(client: &'s KafkaClient, args: &'s Args) -> Self {
        let stdout = io::stdout();
        Self {
            client,
            topic: &args.topic,
            group: args.group.is_some(),
            headers: args.headers,
            format: args.output,
            terminal: stdout.is_terminal(),
            out: BufWriter::with_capacity(64 * 1024, stdout.lock()),
            written: HashMap::new(),
            unflushed: 0,
        }
    }

    /// Prints a message. Returns false if stdout is closed.
    fn print(&mut self, message: &BorrowedMessage<'_>) -> Result<bool, UserError> {
        let written = match self.format {
            Format::Json => {
                let json = output::json(serde_json::to_string(&record::Json::of(message)))?;
                writeln!(self.out, "{json}")
            }
            Format::Text => self.print_text(message),
        };
        if !open(written)? {
            return Ok(false);
        }
        self.written.insert(message.partition(), message.offset());
        self.unflushed += 1;
        if self.unflushed >= Self::MAX_UNFLUSHED { self.flush() } else { Ok(true) }
    }

    fn print_text(&mut self, message: &BorrowedMessage<'_>) -> io::Result<()> {
        if self.headers {
            record::write_headers(&mut self.out, message)?;
        }
        record::write_value(&mut self.out, message, self.terminal)
    }

    /// Flushes stdout and stores the offsets for the next commit. Returns false if stdout is closed.
    fn flush(&mut self) -> Result<bool, UserError> {
        self.unflushed = 0;
        if !open(self.out.flush())? {
            return Ok(false);
        }
        for (partition, offset) in self.written.drain() {
            if self.group {
                // Fails for a revoked partition, whose new owner prints the message again.
                let _ = self.client.consumer.store_offset(self.topic, partition, offset);
            }
        }
        Ok(true)
    }

    /// Commits the offsets of flushed messages, in a group.
    fn commit(&self) -> Result<(), UserError> {
        if !self.group {
            return Ok(());
        }
        match self.client.consumer.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
            Err(error) => Err(self.client.failure("commit offsets", &error)),
        }
    }
}

/// Whether stdout is still open.
fn open(written: io::Result<()>) -> Result<bool, UserError> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(output::unwritable(&error)),
    }
}
