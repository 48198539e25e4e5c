//! What a host commits beside its offsets. Spring does not read it, and writes over it.

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::commands::session::{Session, TIMEOUT};
use crate::error::Failure;
use crate::kafka::raw;
use crate::kafka::window::Window;

/// What the session's group has committed for these partitions, as it would be committed again.
///
/// # Errors
/// Kafka does not say.
pub fn committed(session: &Session, of: &[(String, i32)]) -> Result<TopicPartitionList, Failure> {
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in of {
        asked.add_partition(topic, *partition);
    }
    let mut again = TopicPartitionList::new();
    if of.is_empty() {
        return Ok(again);
    }
    let found = session.consumer.committed_offsets(asked, TIMEOUT);
    let found = found.map_err(|error| session.failure("read the group's offsets", &error))?;
    for element in found.elements() {
        let (topic, index, Offset::Offset(offset)) = (element.topic(), element.partition(), element.offset())
        else {
            continue;
        };
        let mut element = again.add_partition(topic, index);
        element.set_offset(Offset::Offset(offset)).map_err(|error| session.failure("commit", &error))?;
        let beside = raw::metadata(&found, topic, index).and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(text) = beside.filter(|text| !text.is_empty()) {
            element.set_metadata(text);
        }
    }
    Ok(again)
}

/// Refuses to hand over what would be handled twice.
///
/// # Errors
/// Messages behind a committed offset are finished already.
pub fn check_none_finished(session: &Session, of: &[(String, i32)]) -> Result<(), Failure> {
    let committed = committed(session, of)?;
    for element in committed.elements() {
        let (topic, index, Offset::Offset(base)) = (element.topic(), element.partition(), element.offset())
        else {
            continue;
        };
        let window = raw::metadata(&committed, topic, index).and_then(|text| Window::decode(base, &text));
        let Some(window) = window else { continue };
        let covered = usize::try_from(window.end.saturating_sub(base)).unwrap_or(0);
        let finished = covered.saturating_sub(window.unfinished.len());
        if finished > 0 {
            let what = format!(
                "{finished} messages of {topic}[{index}] behind the committed offset {base} are finished, \
                 and Spring would handle them again"
            );
            return Err(Failure::unavailable(what)
                .help("start this host again, until those before them are finished as well"));
        }
    }
    Ok(())
}
