//! The time limits for draining partitions and for stopping.

use std::time::Duration;

use base::error::UserError;
use kafka::publisher::PUBLISH_BOUND;
use sandbox::Plugin;
use settings::KafkaArgs;

use crate::policy::BLOCKING_BOUND;

/// The time for draining a partition in addition to the longest call and publish.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);
/// The time for stopping in addition to the longest drain: leaving groups, replays, the intake.
const STOP_MARGIN: Duration = Duration::from_secs(10);
/// The maximum time for effects in flight whose calls have ended.
pub const SEND_BOUND: Duration = Duration::from_secs(10);
/// The property that must exceed the drain bound, with librdkafka's default.
const MAX_POLL_INTERVAL: (&str, Duration) = ("max.poll.interval.ms", Duration::from_secs(300));

/// The drain bound: the maximum time for draining a revoked partition. The deliveries in progress end within
/// their own limits.
pub fn drain(plugin: &Plugin) -> Duration {
    BLOCKING_BOUND + plugin.grants.limits.call_time + PUBLISH_BOUND + DRAIN_MARGIN
}

/// The maximum time from a signal to the end of a host that runs these plugins, of which [`SEND_BOUND`] is for effects.
/// The longest `call-time` decides.
pub fn stop<'a>(plugins: impl Iterator<Item = &'a Plugin>) -> Duration {
    plugins.map(drain).max().unwrap_or_default() + STOP_MARGIN + SEND_BOUND
}

/// Makes sure that `max.poll.interval.ms` exceeds the drain bound. A drained partition must be committed
/// before the group assigns it to another member, which happens after that interval. The session timeout does
/// not matter: librdkafka sends heartbeats while a rebalance callback drains.
///
/// # Errors
/// The interval does not exceed the bound.
pub fn check_bounds(kafka: &KafkaArgs, plugin: &Plugin) -> Result<(), UserError> {
    let (name, default) = MAX_POLL_INTERVAL;
    let given = kafka.given().rev().find(|(key, _)| key == name);
    let bound = match given {
        Some((_, value)) => value
            .parse()
            .map(Duration::from_millis)
            .map_err(|_| UserError::usage(format!("{name}: not a number of milliseconds")))?,
        None => default,
    };
    let drain = drain(plugin);
    if drain >= bound {
        let (bound, drain) = (bound.as_millis(), drain.as_millis());
        let what = format!("{name} is {bound} ms, but draining a partition may take {drain} ms");
        let default = default.as_millis();
        return Err(UserError::usage(what).help(format!("raise {name}, or keep its default of {default}")));
    }
    Ok(())
}
