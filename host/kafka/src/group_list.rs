//! Consumer groups and their members, listed without joining.

use std::thread;
use std::time::{Duration, Instant};

use base::text;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::groups::{GroupInfo, GroupList};

/// Members of groups with the newer protocol cannot be listed.
pub const UNKNOWN_MEMBERS: &str = "may have members: they cannot be listed";
/// The number of members that a text names.
const MAX_SHOWN: usize = 3;
/// The pause while a coordinator is starting.
const PAUSE: Duration = Duration::from_millis(100);

/// Reads the groups of all brokers, or one of them. Retries for up to `timeout` while a coordinator is starting.
///
/// # Errors
/// A broker does not answer within `timeout`.
pub fn fetch<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: Option<&str>,
    timeout: Duration,
) -> KafkaResult<GroupList> {
    let deadline = Instant::now() + timeout;
    loop {
        let error = match consumer.fetch_group_list(group, timeout) {
            Ok(groups) => return Ok(groups),
            Err(error) => error,
        };
        let starting = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::CoordinatorLoadInProgress | RDKafkaErrorCode::CoordinatorNotAvailable)
        );
        if !starting || Instant::now() >= deadline {
            return Err(error);
        }
        thread::sleep(PAUSE);
    }
}

/// Whether it is a classic group. Kafka describes other listed groups as dead, without members.
pub fn is_classic(group: &GroupInfo) -> bool {
    group.state() != "Dead" || !group.members().is_empty()
}

/// How many members a group has and, for the first of them, on a line each, who they are.
pub fn listed(group: &GroupInfo) -> String {
    let lines = group.members().iter().take(MAX_SHOWN).map(|member| {
        let host = member.client_host().trim_start_matches('/');
        format!("\n  {} on {}", text::line(member.client_id().as_bytes()), text::line(host.as_bytes()))
    });
    format!("members: {}{}", group.members().len(), lines.collect::<String>())
}
