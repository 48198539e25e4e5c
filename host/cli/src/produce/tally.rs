//! The outcome of each line that `host produce` publishes.

use std::collections::BTreeMap;

use base::clock;
use base::error::UserError;
use kafka::errors;
use kafka::raw::may_be_persisted;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;

/// Counts delivered and failed messages.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    pub(super) tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) delivered: u64,
    /// Messages that are not published, by reason.
    failed: BTreeMap<String, Lines>,
    /// Messages that may or may not be published, by reason.
    unknown: BTreeMap<String, Lines>,
}

/// Lines of the input.
#[derive(Debug, Default)]
struct Lines {
    count: u64,
    /// The first ones.
    shown: Vec<u64>,
}

impl Lines {
    const MAX_SHOWN: usize = 10;
    /// The maximum number of reasons; more are counted together.
    const MAX_REASONS: usize = 16;

    fn add(reasons: &mut BTreeMap<String, Self>, reason: String, line: u64) {
        let is_known = reasons.len() < Self::MAX_REASONS || reasons.contains_key(&reason);
        let reason = if is_known { reason } else { "other reasons".to_owned() };
        let lines = reasons.entry(reason).or_default();
        lines.count += 1;
        if lines.shown.len() < Self::MAX_SHOWN {
            lines.shown.push(line);
        }
    }

    fn describe(reasons: &BTreeMap<String, Self>) -> String {
        let each = reasons.iter().map(|(reason, Self { count, shown })| {
            let unit = if *count == 1 { "line" } else { "lines" };
            let numbers: Vec<_> = shown.iter().map(u64::to_string).collect();
            let more = if shown.len() < usize::try_from(*count).unwrap_or(usize::MAX) { ", …" } else { "" };
            format!("{count}: {reason}, {unit} {}{more}", numbers.join(", "))
        });
        each.collect::<Vec<_>>().join("; ")
    }
}

impl Deliveries {
    pub(super) fn failed(&self, reason: String, line: u64) {
        Lines::add(&mut self.tally.lock().failed, reason, line);
    }

    fn unknown(&self, reason: String, line: u64) {
        Lines::add(&mut self.tally.lock().unknown, reason, line);
    }
}

impl Tally {
    fn has(&self, code: RDKafkaErrorCode) -> bool {
        self.failed.contains_key(&errors::short(code))
    }

    /// # Errors
    /// A message was not published, or not certainly; the error names the lines.
    pub(super) fn outcome(&self) -> Result<(), UserError> {
        let count = |reasons: &BTreeMap<_, Lines>| reasons.values().map(|lines| lines.count).sum::<u64>();
        let (failed, unknown) = (count(&self.failed), count(&self.unknown));
        let all = failed + unknown + self.delivered;
        let mut problems = Vec::new();
        if failed > 0 {
            let reasons = Lines::describe(&self.failed);
            problems.push(format!("{failed} of {all} messages were not published ({reasons})"));
        }
        if unknown > 0 {
            let reasons = Lines::describe(&self.unknown);
            problems.push(format!("{unknown} of {all} messages may or may not be published ({reasons})"));
        }
        if problems.is_empty() {
            return Ok(());
        }
        let mut failure = UserError::unavailable(problems.join("; "));
        if self.has(RDKafkaErrorCode::MessageSizeTooLarge) {
            failure = failure
                .help("the topic's limit is its setting max.message.bytes: host topics describe TOPIC");
        }
        // librdkafka reports several refused records of a batch as invalid, whatever the reason.
        let is_invalid = self.has(RDKafkaErrorCode::InvalidRecord);
        if is_invalid || self.has(RDKafkaErrorCode::InvalidTimestamp) {
            failure = failure.help(clock::KAFKA_HELP);
        }
        if is_invalid {
            failure = failure.help("a compacted topic needs keys: --key-separator TEXT");
        }
        if unknown > 0 {
            failure = failure.help("look for them before you publish them again: host consume TOPIC");
        }
        Err(failure)
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
    /// The number of the line.
    type DeliveryOpaque = usize;

    fn delivery(&self, delivered: &DeliveryResult<'_>, line: usize) {
        let line = u64::try_from(line).unwrap_or(u64::MAX);
        match delivered {
            // librdkafka only concludes that the broker has it, see the host's own publisher.
            Ok(record) if record.offset() < 0 => {
                self.unknown("Kafka did not confirm where it stored the message".to_owned(), line);
            }
            Ok(_) => self.tally.lock().delivered += 1,
            Err((error, record)) if may_be_persisted(record) => self.unknown(errors::reason(error), line),
            Err((error, _)) => self.failed(errors::reason(error), line),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    #[test]
    fn a_confirmation_without_an_offset_is_not_counted_as_published() {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("t", 1, 1).expect("a topic");
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("enable.idempotence", "true")
            .set("batch.num.messages", "1");
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::default()).expect("a producer");
        let flush = || {
            while producer.in_flight_count() > 0 {
                producer.poll(Duration::from_millis(20));
            }
        };
        let send = |line| {
            let record: BaseRecord<'_, [u8], [u8], usize> =
                BaseRecord::with_opaque_to("t", line).payload(b"x");
            producer.send(record).expect("queued");
            flush();
        };
        send(1);
        // As after a repeated attempt: librdkafka reports success, and no offset.
        let duplicate = RDKafkaRespErr::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER;
        cluster.request_errors(RDKafkaApiKey::Produce, &[duplicate]);
        send(2);
        send(3);
        let tally = producer.context().tally.lock();
        assert_eq!(tally.delivered, 2);
        let error = tally.outcome().expect_err("one is unknown");
        assert_eq!(error.code(), 1);
        let expected = "1 of 3 messages may or may not be published \
            (1: Kafka did not confirm where it stored the message, line 2)";
        assert_eq!(error.problem(), expected);
    }

    #[test]
    fn failures_name_their_lines() {
        let deliveries = Deliveries::default();
        (1..=12).for_each(|line| deliveries.failed("too large".to_owned(), line));
        deliveries.failed("no key separator ':'".to_owned(), 13);
        deliveries.unknown("timed out".to_owned(), 14);
        let error = deliveries.tally.lock().outcome().expect_err("failures");
        let expected = "13 of 14 messages were not published (1: no key separator ':', line 13; \
            12: too large, lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …); \
            1 of 14 messages may or may not be published (1: timed out, line 14)";
        assert_eq!(error.problem(), expected);
    }
}
