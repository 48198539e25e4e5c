//! The metadata of a commit: the log that its offset belongs to, and the [`Window`] after it.
//!
//! The text is `host2 <topic id> <initial partitions> <epoch>`, followed by the window's text after a space if the offset
//! alone is not sufficient. The epoch is the window's, plus 1. Numbers
//! have base 36; 0 if unknown. `host1 <window>` is the form of earlier versions.

use std::str;

use kafka_raw::TopicId;

use crate::window::{Window, digits, parse_digits};

/// The maximum length of the text in bytes; the broker's default limit (`offset.metadata.max.bytes`) is 4096 bytes.
pub const MAX_LEN: usize = 3500;

const VERSION: &str = "host2 ";
const EARLIER_VERSION: &str = "host1 ";

/// The metadata of a commit.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CommitMetadata {
    /// The topic, since a topic of the same name may be created later. None if the cluster has no topic ids.
    pub topic: Option<TopicId>,
    /// The number of partitions that the topic had when the group read it first. A partition that was added later
    /// starts at its beginning.
    pub initial_partitions: i32,
    /// The state of the messages after the committed offset.
    pub window: Option<Window>,
}

impl CommitMetadata {
    /// The text for a commit of `base`.
    pub fn encode(&self, base: i64) -> String {
        let topic = digits(self.topic.map_or(0, |topic| topic.0));
        let partitions = digits(self.initial_partitions.max(0).unsigned_abs().into());
        let window = self.window.as_ref().map(|window| window.encode(base)).unwrap_or_default();
        let epoch = self.window.as_ref().and_then(|window| u128::try_from(window.epoch?).ok());
        let epoch = digits(epoch.map_or(0, |epoch| epoch + 1));
        let space = if window.is_empty() { "" } else { " " };
        format!("{VERSION}{topic} {partitions} {epoch}{space}{window}")
    }

    /// Parses the metadata of a commit of `base`. None if another program wrote it.
    pub fn decode(base: i64, bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        if let Some(window) = text.strip_prefix(EARLIER_VERSION) {
            return Some(Self { window: Some(Window::decode(base, window)?), ..Self::default() });
        }
        let mut words = text.strip_prefix(VERSION)?.splitn(4, ' ');
        let topic = Some(TopicId(parse_digits(words.next()?)?)).filter(|topic| topic.0 != 0);
        let initial_partitions = i32::try_from(parse_digits(words.next()?)?).ok()?;
        let epoch =
            i32::try_from(parse_digits(words.next()?)?).ok()?.checked_sub(1).filter(|epoch| *epoch >= 0);
        let window = match words.next() {
            Some(window) => Some(Window { epoch, ..Window::decode(base, window)? }),
            None => None,
        };
        Some(Self { topic, initial_partitions, window })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn window() -> Window {
        Window { start: 5, end: 9, unfinished: BTreeMap::from([(6, None)]), epoch: Some(9) }
    }

    #[test]
    fn the_text_has_the_documented_form() {
        let topic = Some(TopicId(36));
        let mut metadata = CommitMetadata { topic, initial_partitions: 3, window: Some(window()) };
        assert_eq!(metadata.encode(5), "host2 10 3 a 4 0 1");
        metadata.window = None;
        assert_eq!(metadata.encode(5), "host2 10 3 0");
        assert_eq!(CommitMetadata::default().encode(5), "host2 0 0 0");
    }

    #[test]
    fn the_earlier_form_is_read() {
        let read = CommitMetadata::decode(5, b"host1 4 0 1 z").expect("metadata");
        assert_eq!((read.topic, read.initial_partitions), (None, 0));
        assert_eq!(read.window, Some(Window { epoch: None, ..window() }));
    }

    #[test]
    fn other_texts_are_ignored() {
        for text in [
            &b""[..],
            b"host3 1 0",
            b"host2",
            b"host2 1",
            b"host2 1 ? 0",
            b"host2 1 1",
            b"host2 1 1 0 4",
            b"host1 4",
            b"\xff",
        ] {
            assert_eq!(CommitMetadata::decode(10, text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        #[test]
        fn metadata_round_trips_within_its_maximum_length(id in any::<u128>(), partitions in 0..i32::MAX, long in any::<bool>()) {
            let topic = Some(TopicId(id)).filter(|topic| topic.0 != 0);
            let holes = if long { 0..9000 } else { 1..2 };
            let unfinished = holes.map(|hole| (6 + 2 * hole, None)).collect();
            let window = Some(Window { end: 30_000, unfinished, ..window() });
            let metadata = CommitMetadata { topic, initial_partitions: partitions, window };
            let text = metadata.encode(5);
            prop_assert!(text.len() <= MAX_LEN, "{}", text.len());
            let read = CommitMetadata::decode(5, text.as_bytes()).expect("metadata");
            prop_assert_eq!((read.topic, read.initial_partitions), (topic, partitions));
            prop_assert!(long || read == metadata);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(base in any::<i64>(), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            CommitMetadata::decode(base, &bytes);
            CommitMetadata::decode(base, &[VERSION.as_bytes(), &bytes].concat());
        }
    }
}
