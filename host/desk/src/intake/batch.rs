//! Dead letters that are read and not stored yet.

use std::collections::{BTreeMap, HashSet};

use base::{clock, text};
use desk_api::{DeadLetter, Location};
use kafka::raw;
use rdkafka::message::{BorrowedMessage, Message};

use crate::record::{self, Record};

/// Limits of one transaction.
const MAX_DEAD_LETTERS: usize = 500;
const MAX_BYTES: usize = 8 << 20;

/// Dead letters for one transaction.
#[derive(Default)]
pub(super) struct Batch {
    pub dead_letters: Vec<DeadLetter>,
    bytes: usize,
}

impl Batch {
    pub fn is_full(&self) -> bool {
        self.dead_letters.len() >= MAX_DEAD_LETTERS || self.bytes >= MAX_BYTES
    }

    pub fn add(&mut self, record: Record) {
        self.bytes += size(&record);
        self.dead_letters.push(record::dead_letter(record, clock::now_ms()));
    }

    /// A log line per failure for the new dead letters.
    pub fn log_lines(&self, new: &HashSet<String>) -> Vec<String> {
        let mut failures: BTreeMap<&str, (usize, &DeadLetter)> = BTreeMap::new();
        for dead_letter in self.dead_letters.iter().filter(|dead_letter| new.contains(&dead_letter.id)) {
            let (count, last) = failures.entry(&dead_letter.failure).or_insert((0, dead_letter));
            *count += 1;
            *last = dead_letter;
        }
        failures.into_values().map(|(count, last)| log_line(count, last)).collect()
    }
}

fn log_line(count: usize, last: &DeadLetter) -> String {
    let failure = last.failure.get(..8).unwrap_or_default();
    let count = text::counted(count, "dead letter");
    let (code, plugin) = (text::line(last.code.as_bytes()), text::line(last.plugin.as_bytes()));
    let location = last.location.as_ref().map(|location| {
        let Location { topic, partition, offset } = location;
        format!(", last at {topic} partition {partition} offset {offset}")
    });
    let location = location.unwrap_or_default();
    format!(
        "{count}: {code} of {plugin} (failure {failure}){location}; see host dlt list --failure {failure}"
    )
}

/// Copies a record. The safe crate would panic on header names that are not UTF-8.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        location: Location {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        },
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: raw::headers(message)
            .map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
            .collect(),
    }
}

/// The size of a record's payload, in bytes.
fn size(record: &Record) -> usize {
    let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + len(value)).sum();
    len(&record.key) + len(&record.value) + headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_names_the_failure_and_the_command_that_lists_it() {
        let record = Record {
            location: Location { topic: "t.dlt".to_owned(), partition: 2, offset: 17 },
            timestamp_ms: 1,
            key: None,
            value: None,
            headers: vec![
                (b"host-plugin".to_vec(), Some(b"email@0.1.0".to_vec())),
                (b"host-failure-code".to_vec(), Some(b"bad\naddress".to_vec())),
            ],
        };
        assert_eq!(size(&record), 50);
        let dead_letter = record::dead_letter(record, 1);
        let failure = &dead_letter.failure[..8];
        assert_eq!(
            log_line(3, &dead_letter),
            format!(
                "3 dead letters: bad\\naddress of email@0.1.0 (failure {failure}), last at t.dlt partition 2 \
                 offset 17; see host dlt list --failure {failure}"
            )
        );
        assert!(log_line(1, &dead_letter).starts_with("1 dead letter: "));
    }
}
