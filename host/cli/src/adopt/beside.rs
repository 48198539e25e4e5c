//! What a host commits beside its offsets. Spring does not read it, and writes over it.

use base::error::UserError;
use kafka::committed::Committed;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::session::Session;

/// What the session's group has committed for these partitions, as it would be committed again.
///
/// # Errors
/// Kafka does not say.
pub fn committed(session: &Session, of: &[(String, i32)]) -> Result<TopicPartitionList, UserError> {
    let mut again = TopicPartitionList::new();
    for found in session.committed(named(of))? {
        let mut element = again.add_partition(&found.topic, found.partition);
        element
            .set_offset(Offset::Offset(found.offset))
            .map_err(|error| session.failure("commit", &error))?;
        if let Some(text) = String::from_utf8(found.metadata).ok().filter(|text| !text.is_empty()) {
            element.set_metadata(text);
        }
    }
    Ok(again)
}

fn named(of: &[(String, i32)]) -> impl Iterator<Item = (&str, i32)> {
    of.iter().map(|(topic, partition)| (topic.as_str(), *partition))
}

/// Refuses to hand over what would be handled twice.
///
/// # Errors
/// Messages behind a committed offset are finished already.
pub fn check_none_finished(session: &Session, of: &[(String, i32)]) -> Result<(), UserError> {
    for found in session.committed(named(of))? {
        let Some(window) = found.window() else { continue };
        let Committed { topic, partition: index, offset: base, .. } = found;
        let covered = usize::try_from(window.end.saturating_sub(base)).unwrap_or(0);
        let finished = covered.saturating_sub(window.unfinished.len());
        if finished > 0 {
            let what = format!(
                "{finished} messages of {topic}[{index}] behind the committed offset {base} are finished, \
                 and Spring would handle them again"
            );
            return Err(UserError::unavailable(what)
                .help("start this host again, until those before them are finished as well"));
        }
    }
    Ok(())
}
