//! Reports of the first delivery of replayed messages, for the desk.

use tokio::sync::mpsc;

/// The maximum number of queued reports. Further reports are lost, and their outcome is `unknown`.
pub const QUEUE: usize = 100_000;

/// The replay of a record, according to its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayTag {
    /// The replay's id.
    pub replay: String,
    /// The position in the replay, from 1.
    pub position: i64,
}

impl ReplayTag {
    /// Parses `<id>/<position>`; None for any other value.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (replay, position) = std::str::from_utf8(value).ok()?.split_once('/')?;
        let is_id = replay.len() == 32 && replay.bytes().all(|byte| byte.is_ascii_hexdigit());
        let position = position.parse().ok().filter(|position| *position > 0)?;
        is_id.then(|| Self { replay: replay.to_owned(), position })
    }

    /// The header's value.
    pub fn write(replay: &str, position: i64) -> String {
        format!("{replay}/{position}")
    }
}

/// The outcome of a record's first delivery. It is valid only if the replay published this record, since
/// other records can have the same header.
#[derive(Debug, Clone)]
pub struct Report {
    /// The replay according to the header.
    pub tag: ReplayTag,
    /// The consumer group that handled it.
    pub group: String,
    /// The record's topic.
    pub topic: String,
    /// The record's partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// Whether the call failed, so that the message was neither done nor skipped.
    pub failed: bool,
}

/// Sends reports.
#[derive(Debug, Clone)]
pub struct Outcomes(mpsc::Sender<Report>);

impl Outcomes {
    /// The sender and the receiver of reports.
    pub fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Sends a report without waiting.
    pub fn report(&self, report: Report) {
        if self.0.try_send(report).is_err() {
            tracing::warn!("the outcome of a replayed message was lost, because too many wait for the store");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_round_trip_and_other_values_are_ignored() {
        let replay = "0123456789abcdef0123456789abcdef".to_owned();
        let written = ReplayTag::write(&replay, 7);
        assert_eq!(ReplayTag::read(written.as_bytes()), Some(ReplayTag { replay: replay.clone(), position: 7 }));
        for other in
            ["", "/", "x/1", "7", &replay, &format!("{replay}/"), &format!("{replay}/0"), &format!("{replay}/-1")]
        {
            assert_eq!(ReplayTag::read(other.as_bytes()), None, "{other}");
        }
        assert_eq!(ReplayTag::read(&[0xff; 40]), None);
    }
}
