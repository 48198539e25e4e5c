//! Records that were read and are not in the store.

use std::collections::{BTreeMap, HashSet};

use base::{clock, text};
use kafka::raw;
use rdkafka::message::{BorrowedMessage, Message};

use crate::letter::{Letter, Place, Record};

/// What one transaction writes at most.
const MOST: usize = 500;
const MOST_BYTES: usize = 8 << 20;

/// Letters for one transaction.
#[derive(Default)]
pub(super) struct Batch {
    pub letters: Vec<Letter>,
    bytes: usize,
}

impl Batch {
    pub fn is_full(&self) -> bool {
        self.letters.len() >= MOST || self.bytes >= MOST_BYTES
    }

    pub fn add(&mut self, record: Record) {
        self.bytes += size(&record);
        self.letters.push(Letter::read(record, clock::now_ms()));
    }

    /// What is said of those that are new: a line for each group of failures, not for each letter.
    pub fn lines(&self, new: &HashSet<String>) -> Vec<String> {
        let mut groups: BTreeMap<&str, (usize, &Letter)> = BTreeMap::new();
        for letter in self.letters.iter().filter(|letter| new.contains(&letter.id)) {
            let (count, last) = groups.entry(&letter.failure_group).or_insert((0, letter));
            *count += 1;
            *last = letter;
        }
        groups.into_values().map(|(count, last)| line(count, last)).collect()
    }
}

fn line(count: usize, last: &Letter) -> String {
    let group = last.failure_group.get(..8).unwrap_or_default();
    let letters = text::counted(count, "dead letter");
    let (code, plugin) = (text::line(last.code.as_bytes()), text::line(last.plugin.as_bytes()));
    let place = last.place.as_ref().map(|place| {
        format!(", the last one at offset {} of {} {}", place.offset, place.topic, place.partition)
    });
    let place = place.unwrap_or_default();
    format!("{letters}: {code} of {plugin} (group {group}){place}; see host dlt list --group {group}")
}

/// The safe crate panics on headers with foreign names.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        place: Place {
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

/// Bytes that it takes up.
fn size(record: &Record) -> usize {
    let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + len(value)).sum();
    len(&record.key) + len(&record.value) + headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_failed_and_what_shows_it() {
        let record = Record {
            place: Place { topic: "t.dlt".to_owned(), partition: 2, offset: 17 },
            timestamp_ms: 1,
            key: None,
            value: None,
            headers: vec![
                (b"host-plugin".to_vec(), Some(b"email@0.1.0".to_vec())),
                (b"host-failure-code".to_vec(), Some(b"bad\naddress".to_vec())),
            ],
        };
        assert_eq!(size(&record), 50);
        let letter = Letter::read(record, 1);
        let group = &letter.failure_group[..8];
        assert_eq!(
            line(3, &letter),
            format!(
                "3 dead letters: bad\\naddress of email@0.1.0 (group {group}), the last one at offset 17 \
                 of t.dlt 2; see host dlt list --group {group}"
            )
        );
        assert!(line(1, &letter).starts_with("1 dead letter: "));
    }
}
