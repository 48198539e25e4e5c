//! `host consume`.

use std::collections::HashMap;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use base::error::UserError;
use clap::value_parser;
use kafka::errors;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::Offset;
use settings::KafkaArgs;

use crate::interrupt::Interrupt;
use crate::output::{self, note};
use crate::record;
use crate::session::Session;

/// Arguments of `host consume`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The topic to read
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Start at the oldest message instead of waiting for new ones; in a group that has committed
    /// offsets, those count
    #[arg(long)]
    from_beginning: bool,
    /// Join this consumer group and commit what was printed; without it no group is joined
    #[arg(long, value_name = "GROUP", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    group: Option<String>,
    /// Stop after this many messages
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    max_messages: Option<u64>,
    /// Show partition, offset, timestamp, key and headers before each value
    #[arg(long)]
    headers: bool,
    /// How to print messages: their values, or a JSON object with everything a line
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    kafka: KafkaArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Values, a line each
    Text,
    /// JSON, an object a line
    Json,
}

/// Runs `host consume`.
pub fn run(args: Args) -> anyhow::Result<()> {
    let interrupt = Interrupt::listen()?;
    let reset = if args.from_beginning { "earliest" } else { "latest" };
    let own = [
        // Reading needs a name even where no group is joined; nothing is committed under it.
        ("group.id", args.group.as_deref().unwrap_or("host-consume")),
        ("auto.offset.reset", reset),
        ("enable.auto.commit", if args.group.is_some() { "true" } else { "false" }),
        ("enable.auto.offset.store", "false"),
        ("auto.commit.interval.ms", "1000"),
        ("queued.max.messages.kbytes", "16384"),
        ("fetch.wait.max.ms", "100"),
    ];
    let session = Session::open(&args.kafka, &own)?;
    start(&session, &args)?;
    let mut printer = Printer::new(&session, &args);
    let read = pump(&session, &args, &interrupt, &mut printer);
    let committed = printer.commit();
    Ok(read.and(committed)?)
}

fn start(session: &Session, args: &Args) -> Result<(), UserError> {
    let metadata = session.topic(&args.topic)?;
    let failed = |error: KafkaError| session.failure("read the topic", &error);
    if let Some(group) = &args.group {
        session.consumer.subscribe(&[args.topic.as_str()]).map_err(failed)?;
        note(format!("consuming {} in group {group}; Ctrl-C ends", args.topic));
        return Ok(());
    }
    let topics = metadata.topics().iter().filter(|topic| topic.name() == args.topic);
    let partitions: Vec<_> =
        topics.flat_map(|topic| topic.partitions()).map(|p| (args.topic.clone(), p.id())).collect();
    // The offsets are looked up now, so that what is written after this line's note is printed.
    let from = if args.from_beginning { Offset::Beginning } else { Offset::End };
    let positions = session.offsets(from, &partitions)?;
    for position in positions.elements() {
        position.error().map_err(|error| session.failure("find where to start", &error))?;
    }
    session.consumer.assign(&positions).map_err(failed)?;
    let from = if args.from_beginning { "beginning" } else { "end" };
    note(format!("consuming {} from its {from}, {} partitions; Ctrl-C ends", args.topic, partitions.len()));
    Ok(())
}

/// Prints until it is time to stop: enough messages, a signal, or nobody who reads.
fn pump(
    session: &Session,
    args: &Args,
    stop: &Interrupt,
    printer: &mut Printer<'_>,
) -> Result<(), UserError> {
    let mut left = args.max_messages.unwrap_or(u64::MAX);
    let mut lost = false;
    while left > 0 && !stop.seen() {
        let polled = match session.consumer.poll(Duration::ZERO) {
            Some(polled) => Some(polled),
            // Nothing is waiting: show what was read before waiting for more.
            None if !printer.flush()? => return Ok(()),
            None => session.consumer.poll(Duration::from_millis(100)),
        };
        match polled {
            None => {}
            Some(Err(error)) => lost = judge(session, args, &error, lost)?,
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

/// Whether an error ends the command. One that may pass is said once, until messages flow again.
fn judge(session: &Session, args: &Args, error: &KafkaError, lost: bool) -> Result<bool, UserError> {
    use RDKafkaErrorCode as Code;
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
    match error.rdkafka_error_code() {
        Some(Code::InconsistentGroupProtocol) => {
            let group = args.group.as_deref().unwrap_or_default();
            Err(UserError::unavailable(format!("group {group} has members with another assignor"))
                .help(
                    "use theirs: -X partition.assignment.strategy=cooperative-sticky (or range, roundrobin)",
                )
                .help("or read without the group: leave out --group"))
        }
        Some(
            Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::FencedInstanceId
            | Code::UnsupportedVersion,
        ) => Err(session.failure("read the topic", error)),
        _ if fatal => Err(session.failure("read the topic", error)),
        _ => {
            if !lost {
                note(format!("warning: {}; trying again", errors::reason(error)));
            }
            Ok(true)
        }
    }
}

/// Prints messages and, in a group, remembers which ones reached stdout.
struct Printer<'s> {
    session: &'s Session,
    topic: &'s str,
    group: bool,
    headers: bool,
    format: Format,
    terminal: bool,
    out: BufWriter<io::StdoutLock<'static>>,
    /// Partition to last offset written since the last flush.
    written: HashMap<i32, i64>,
    unflushed: usize,
}

impl<'s> Printer<'s> {
    /// How many messages may wait to be flushed: as many come again if the process is killed.
    const BATCH: usize = 1000;

    fn new(session: &'s Session, args: &'s Args) -> Self {
        let stdout = io::stdout();
        Self {
            session,
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

    /// Prints one message; false when nobody reads stdout any more.
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
        if self.unflushed >= Self::BATCH { self.flush() } else { Ok(true) }
    }

    fn print_text(&mut self, message: &BorrowedMessage<'_>) -> io::Result<()> {
        if self.headers {
            record::write_headers(&mut self.out, message)?;
        }
        record::write_value(&mut self.out, message, self.terminal)
    }

    /// Hands everything to stdout, and what got there to the next commit; false when nobody reads.
    fn flush(&mut self) -> Result<bool, UserError> {
        self.unflushed = 0;
        if !open(self.out.flush())? {
            return Ok(false);
        }
        for (partition, offset) in self.written.drain() {
            if self.group {
                // Refused for a partition that went to another member, who will print it again.
                let _ = self.session.consumer.store_offset(self.topic, partition, offset);
            }
        }
        Ok(true)
    }

    /// Commits what was flushed, where there is a group.
    fn commit(&self) -> Result<(), UserError> {
        if !self.group {
            return Ok(());
        }
        match self.session.consumer.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
            Err(error) => Err(self.session.failure("commit what was printed", &error)),
        }
    }
}

/// Whether stdout still has a reader.
fn open(written: io::Result<()>) -> Result<bool, UserError> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(output::unwritable(&error)),
    }
}
