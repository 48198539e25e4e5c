//! `host produce`.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Read};
use std::time::Duration;

use base::error::UserError;
use base::text;
use kafka::errors;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use settings::KafkaArgs;

use crate::output::note;
use crate::session::{self, Session};

/// Arguments of `host produce`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The topic to publish to
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// What stands between key and value in a line, e.g. : or \t; without it messages have no key
    #[arg(long, value_name = "TEXT", value_parser = separator)]
    key_separator: Option<String>,
    /// A header for every message; repeat for more
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    #[command(flatten)]
    kafka: KafkaArgs,
}

/// Runs `host produce`: every line of stdin becomes a message, without its line feed.
pub fn run(args: Args) -> anyhow::Result<()> {
    Session::open(&args.kafka, &[])?.topic(&args.topic)?;
    let config = settings(&args.kafka, &batch_bytes(&args)?);
    let limit = config.get("message.max.bytes").and_then(|limit| limit.parse().ok()).unwrap_or(MAX_BYTES);
    let producer: BaseProducer<Deliveries> =
        config.create_with_context(Deliveries::default()).map_err(|error| errors::invalid_config(&error))?;
    let stdin = io::stdin().lock();
    if stdin.is_terminal() {
        note(format!("a line is a message to {}; Ctrl-D ends", args.topic));
    }
    let read = publish(stdin, &producer, &args, limit);
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(20));
    }
    let tally = producer.context().tally.lock();
    note(format!("published {} messages to {}", tally.delivered, args.topic));
    read.map_err(|error| UserError::unavailable(format!("cannot read stdin: {error}")))?;
    Ok(tally.outcome()?)
}

/// The largest message taken, unless `-X message.max.bytes` says otherwise. The topic's own limit
/// (`max.message.bytes`, 1 MiB unless changed) is the broker's to apply.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// The broker refuses a whole batch that is larger than the topic's limit on messages, so batches
/// stay below it, and a message that is too large by itself fails alone.
fn batch_bytes(args: &Args) -> Result<String, UserError> {
    let settings = session::settings(&args.kafka, &args.topic)?.unwrap_or_default();
    let limit = settings.into_iter().find(|setting| setting.name == "max.message.bytes");
    let limit = limit.and_then(|setting| setting.value?.parse::<u32>().ok());
    Ok(limit.unwrap_or(1_000_000).clamp(1, 1_000_000).to_string())
}

fn settings(kafka: &KafkaArgs, batch_bytes: &str) -> ClientConfig {
    kafka::client::config(
        kafka,
        &[
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("linger.ms", "5"),
            ("batch.size", batch_bytes),
            ("message.timeout.ms", "30000"),
            ("message.max.bytes", &MAX_BYTES.to_string()),
            // What waits is bounded, whatever stdin brings.
            ("queue.buffering.max.kbytes", "131072"),
            // The same key goes to the same partition as from Kafka's own clients.
            ("partitioner", "murmur2_random"),
        ],
    )
}

fn publish(
    mut input: impl BufRead,
    producer: &BaseProducer<Deliveries>,
    args: &Args,
    limit: usize,
) -> io::Result<()> {
    let headers = (args.headers.iter()).fold(OwnedHeaders::new(), |headers, (name, value)| {
        headers.insert(Header { key: name, value: Some(value) })
    });
    let headers = (!args.headers.is_empty()).then_some(headers);
    let mut line = Vec::new();
    for number in 1_u64.. {
        let (key, value) = match read_line(&mut input, &mut line, limit)? {
            Line::End => break,
            Line::TooLong => {
                producer.context().failed(format!("longer than {limit} bytes, first in line {number}"));
                continue;
            }
            Line::Whole => match split(&line, args.key_separator.as_deref()) {
                Some(parts) => parts,
                None => {
                    let separator = args.key_separator.as_deref().unwrap_or_default();
                    producer.context().no_key(separator, number);
                    continue;
                }
            },
        };
        let record =
            BaseRecord { headers: headers.clone(), key, ..BaseRecord::to(&args.topic).payload(value) };
        if let Err(error) = send(producer, record) {
            producer.context().failed(errors::reason(&error));
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
                break;
            }
        }
        if number % 256 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    Ok(())
}

/// Queues a record; a full queue is waited for.
fn send<'a>(
    producer: &BaseProducer<Deliveries>,
    mut record: BaseRecord<'a, [u8], [u8]>,
) -> Result<(), KafkaError> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again))
                if producer.in_flight_count() > 0 =>
            {
                producer.poll(Duration::from_millis(10));
                record = again;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, with or without a line feed at its end.
    Whole,
    /// A line of more than the limit; it was skipped.
    TooLong,
    /// There is no more.
    End,
}

/// Reads one line without its line feed, holding at most `limit` bytes and one of it.
///
/// # Errors
/// What reading it ends with.
pub fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, limit: usize) -> io::Result<Line> {
    line.clear();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    if input.by_ref().take(most).read_until(b'\n', line)? == 0 {
        return Ok(Line::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > limit {
        input.skip_until(b'\n')?;
        return Ok(Line::TooLong);
    }
    Ok(Line::Whole)
}

/// Key and value of a line; none where the separator is asked for and missing.
pub fn split<'l>(line: &'l [u8], separator: Option<&str>) -> Option<(Option<&'l [u8]>, &'l [u8])> {
    let Some(separator) = separator.map(str::as_bytes) else { return Some((None, line)) };
    let at = line.windows(separator.len()).position(|window| window == separator)?;
    let (key, rest) = line.split_at_checked(at)?;
    Some((Some(key), rest.get(separator.len()..)?))
}

fn separator(text: &str) -> Result<String, String> {
    match text.replace("\\t", "\t") {
        text if text.is_empty() => Err("a separator is not empty".to_owned()),
        text => Ok(text),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, as in --header source=import".to_owned()),
    }
}

/// Counts what became of the messages.
#[derive(Debug, Default)]
struct Deliveries {
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    delivered: u64,
    /// Reason to how many.
    failed: BTreeMap<String, u64>,
    /// Lines without the separator, the first of them, and the separator.
    without_key: Option<(u64, u64, String)>,
}

impl Deliveries {
    fn failed(&self, reason: String) {
        let mut tally = self.tally.lock();
        // Reasons are few; should they not be, the count still holds.
        let reason = if tally.failed.len() < 16 { reason } else { "other reasons".to_owned() };
        *tally.failed.entry(reason).or_default() += 1;
    }

    fn no_key(&self, separator: &str, line: u64) {
        let mut tally = self.tally.lock();
        tally.without_key.get_or_insert_with(|| (0, line, separator.to_owned())).0 += 1;
    }
}

impl Tally {
    fn outcome(&self) -> Result<(), UserError> {
        let mut reasons: Vec<_> = self.failed.iter().map(|(reason, n)| format!("{n}: {reason}")).collect();
        if let Some((n, line, separator)) = &self.without_key {
            let separator = text::line(separator.as_bytes());
            reasons.push(format!("{n}: no key separator '{separator}', first in line {line}"));
        }
        let failed = self.failed.values().sum::<u64>() + self.without_key.as_ref().map_or(0, |(n, ..)| *n);
        if failed == 0 {
            return Ok(());
        }
        let all = failed + self.delivered;
        let failure = UserError::unavailable(format!(
            "{failed} of {all} messages were not published ({})",
            reasons.join("; ")
        ));
        let too_large = errors::short(RDKafkaErrorCode::MessageSizeTooLarge);
        Err(if self.failed.contains_key(&too_large) {
            failure.help("the topic's limit is its setting max.message.bytes: host topics describe TOPIC")
        } else {
            failure
        })
    }
}

impl ClientContext for Deliveries {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", "{facility} {message}");
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        match delivered {
            Ok(_) => self.tally.lock().delivered += 1,
            Err((error, _)) => self.failed(errors::reason(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], limit: usize) -> Vec<Result<Vec<u8>, ()>> {
        let mut input = io::BufReader::with_capacity(3, input);
        let mut line = Vec::new();
        std::iter::from_fn(|| match read_line(&mut input, &mut line, limit).unwrap() {
            Line::End => None,
            Line::TooLong => Some(Err(())),
            Line::Whole => Some(Ok(line.clone())),
        })
        .collect()
    }

    #[test]
    fn lines_are_messages() {
        let ok = |text: &[u8]| Ok(text.to_vec());
        assert_eq!(lines(b"a\n\n\xff\0\r\nlast", 10), [ok(b"a"), ok(b""), ok(b"\xff\0\r"), ok(b"last")]);
        assert_eq!(lines(b"", 10), []);
        assert_eq!(lines(b"\n", 10), [ok(b"")]);
    }

    #[test]
    fn a_long_line_is_skipped_whole() {
        assert_eq!(lines(b"1234\n12345\n1", 4), [Ok(b"1234".to_vec()), Err(()), Ok(b"1".to_vec())]);
        assert_eq!(lines(b"12345", 4), [Err(())]);
        assert_eq!(lines(b"1234", 4), [Ok(b"1234".to_vec())]);
    }

    #[test]
    fn keys_end_at_the_first_separator() {
        assert_eq!(split(b"k:v:w", Some(":")), Some((Some(&b"k"[..]), &b"v:w"[..])));
        assert_eq!(split(b":", Some(":")), Some((Some(&b""[..]), &b""[..])));
        assert_eq!(split(b"k", Some("::")), None);
        assert_eq!(split(b"", Some(":")), None);
        assert_eq!(split(b"k:v", None), Some((None, &b"k:v"[..])));
        assert_eq!(separator("\\t"), Ok("\t".to_owned()));
        assert!(separator("").is_err());
    }
}
