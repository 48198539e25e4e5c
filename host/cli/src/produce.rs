//! `host produce`.

mod tally;

use std::io::{self, BufRead, IsTerminal, Read};
use std::time::Duration;

use base::error::UserError;
use base::text;
use kafka::errors;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;
use settings::KafkaArgs;

use self::tally::Deliveries;
use crate::kafka_client::{self, KafkaClient};
use desk_cli::output::{OutputArgs, note};

/// Arguments of `host produce`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Topic to publish to
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Separator of key and value in a line, for example : or \t; without it messages have no key
    #[arg(long, value_name = "TEXT", value_parser = separator)]
    key_separator: Option<String>,
    /// Header of every message; can be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
}

/// Runs `host produce`: publishes each line of stdin as a message, without its line feed.
pub fn run(args: Args) -> anyhow::Result<()> {
    let client = KafkaClient::open(&args.kafka, &[])?;
    client.topic(&args.topic)?;
    let batch_bytes = if client.is_embedded() { MAX_BATCH } else { batch_bytes(&args)? };
    let config = settings(&args.kafka, &batch_bytes.to_string());
    let limit = config.get("message.max.bytes").and_then(|limit| limit.parse().ok()).unwrap_or(MAX_BYTES);
    let producer: BaseProducer<Deliveries> =
        config.create_with_context(Deliveries::default()).map_err(|error| errors::invalid_config(&error))?;
    let stdin = io::stdin().lock();
    if stdin.is_terminal() {
        note(format!("each line is published to {}; Ctrl-D ends", args.topic));
    }
    let read = publish(stdin, &producer, &args, limit);
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(20));
    }
    let tally = producer.context().tally.lock();
    args.output.report(&json!({ "topic": args.topic, "published": tally.delivered }), || {
        format!("published {} to {}", text::counted(tally.delivered, "message"), args.topic)
    })?;
    read.map_err(|error| UserError::unavailable(format!("cannot read stdin: {error}")))?;
    Ok(tally.outcome()?)
}

/// Default of `message.max.bytes`. The broker enforces the topic's own limit (`max.message.bytes`, 1 MiB by default).
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// The default of librdkafka. The broker of the demo has no settings that could be asked for.
const MAX_BATCH: u32 = 1_000_000;

/// The batch size: below the topic's limit for messages, because the broker rejects a larger batch as a whole.
fn batch_bytes(args: &Args) -> Result<u32, UserError> {
    let settings = kafka_client::settings(&args.kafka, &args.topic)?.unwrap_or_default();
    let limit = settings.into_iter().find(|setting| setting.name == "max.message.bytes");
    let limit = limit.and_then(|setting| setting.value?.parse::<u32>().ok());
    Ok(limit.unwrap_or(MAX_BATCH).clamp(1, MAX_BATCH))
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
            // Bounds memory.
            ("queue.buffering.max.kbytes", "131072"),
            // As in Kafka's own clients, so that a key goes to the same partition.
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
                producer.context().failed(format!("longer than {limit} bytes"), number);
                continue;
            }
            Line::Whole => match split(&line, args.key_separator.as_deref()) {
                Some(parts) => parts,
                None => {
                    let separator = text::line(args.key_separator.as_deref().unwrap_or_default().as_bytes());
                    producer.context().failed(format!("no key separator '{separator}'"), number);
                    continue;
                }
            },
        };
        let record = BaseRecord::with_opaque_to(&args.topic, position(number)).payload(value);
        let record = BaseRecord { headers: headers.clone(), key, ..record };
        if let Err(error) = send(producer, record) {
            producer.context().failed(errors::reason(&error), number);
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

/// The number of a line, as librdkafka passes it to the delivery report.
fn position(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Queues a record. Waits while the queue is full.
fn send<'a>(
    producer: &BaseProducer<Deliveries>,
    mut record: BaseRecord<'a, [u8], [u8], usize>,
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

/// The result of reading a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, with or without a line feed at its end.
    Whole,
    /// A line above the limit; it was skipped.
    TooLong,
    /// The end of the input.
    End,
}

/// Reads one line without its line feed. Buffers at most `limit` + 1 bytes.
///
/// # Errors
/// The input cannot be read.
pub fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, limit: usize) -> io::Result<Line> {
    line.clear();
    let max = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    if input.by_ref().take(max).read_until(b'\n', line)? == 0 {
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

/// Key and value of a line; None if the separator is missing.
pub fn split<'l>(line: &'l [u8], separator: Option<&str>) -> Option<(Option<&'l [u8]>, &'l [u8])> {
    let Some(separator) = separator.map(str::as_bytes) else { return Some((None, line)) };
    let at = line.windows(separator.len()).position(|window| window == separator)?;
    let (key, rest) = line.split_at_checked(at)?;
    Some((Some(key), rest.get(separator.len()..)?))
}

fn separator(text: &str) -> Result<String, String> {
    match text.replace("\\t", "\t") {
        text if text.is_empty() => Err("the separator is empty".to_owned()),
        text => Ok(text),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, for example --header source=import".to_owned()),
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
