//! How long giving partitions back may take.

use std::time::Duration;

use base::error::UserError;
use kafka::publisher::PUBLISH_BOUND;
use sandbox::Plugin;
use settings::KafkaArgs;

use crate::policy::BLOCKING_BOUND;

/// How long a partition that is given back may drain, beside the longest call and publish.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);
/// What must be longer than the drain bound, with librdkafka's default.
const LONGEST_REBALANCE: (&str, Duration) = ("max.poll.interval.ms", Duration::from_secs(300));

/// How long a partition that is given back may take: what is under way ends by its own bounds.
pub fn drain(plugin: &Plugin) -> Duration {
    BLOCKING_BOUND + plugin.grants.limits.call_time + PUBLISH_BOUND + DRAIN_MARGIN
}

/// A drained partition must be committed before the group gives it to somebody else, which it does
/// after `max.poll.interval.ms`. The session does not bound it: librdkafka sends heartbeats while a
/// rebalance callback drains.
///
/// # Errors
/// It is not longer.
pub fn check_bounds(kafka: &KafkaArgs, plugin: &Plugin) -> Result<(), UserError> {
    let (name, default) = LONGEST_REBALANCE;
    let given = kafka.given().rev().find(|(key, _)| key == name);
    let bound = match given {
        Some((_, value)) => value
            .parse()
            .map(Duration::from_millis)
            .map_err(|_| UserError::usage(format!("{name}={value}: not a number of milliseconds")))?,
        None => default,
    };
    let drain = drain(plugin);
    if drain >= bound {
        let (bound, drain) = (bound.as_millis(), drain.as_millis());
        let what = format!("{name} is {bound} ms, but a partition may take {drain} ms to drain");
        let default = default.as_millis();
        return Err(
            UserError::usage(what).help(format!("raise {name}, or leave it at its default of {default}"))
        );
    }
    Ok(())
}
