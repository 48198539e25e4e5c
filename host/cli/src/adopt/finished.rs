//! Finished messages after the committed offset. The host commits them as metadata, which Spring ignores and
//! overwrites.

use base::error::UserError;
use kafka::committed::Committed;

use crate::kafka_client::KafkaClient;

fn named(of: &[(String, i32)]) -> impl Iterator<Item = (&str, i32)> {
    of.iter().map(|(topic, partition)| (topic.as_str(), *partition))
}

/// Refuses a migration after which messages would be handled twice.
///
/// # Errors
/// Messages after a committed offset are finished already.
pub fn check_none_finished(client: &KafkaClient, of: &[(String, i32)]) -> Result<(), UserError> {
    for found in client.committed(named(of))? {
        let Some(window) = found.host_metadata().and_then(|metadata| metadata.window) else { continue };
        let Committed { topic, partition: index, offset: base, .. } = found;
        let covered = usize::try_from(window.end.saturating_sub(base)).unwrap_or(0);
        let finished = covered.saturating_sub(window.unfinished.len());
        if finished > 0 {
            let what = format!(
                "{finished} messages of {topic}[{index}] after the committed offset {base} are finished, and \
                 Spring would handle them again"
            );
            return Err(UserError::unavailable(what)
                .help("run this host until the messages before them are finished too"));
        }
    }
    Ok(())
}
