//! The wall clock in Kafka's unit, milliseconds since the Unix epoch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Why Kafka refuses a record as `INVALID_TIMESTAMP`: its time was taken from this machine's clock.
pub const KAFKA_REFUSES: &str = "Kafka refuses the time of this machine's clock";
/// The help for [`KAFKA_REFUSES`].
pub const KAFKA_HELP: &str = "compare this machine's clock with the brokers': date -u; by default Kafka takes times up \
    to 1 h ahead of its own (message.timestamp.after.max.ms)";

/// Milliseconds since the Unix epoch, rounded down.
pub fn now_ms() -> i64 {
    since_epoch().map_or(0, |(millis, _)| millis)
}

/// Milliseconds since the Unix epoch, rounded up, so that a delay counted from here never ends early.
pub fn now_ms_ceil() -> i64 {
    since_epoch().map_or(0, |(millis, exact)| if exact { millis } else { millis.saturating_add(1) })
}

/// A duration in milliseconds, saturating.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A duration in milliseconds as an unsigned number, saturating.
pub fn millis_u64(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch() -> Option<(i64, bool)> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let millis = i64::try_from(elapsed.as_millis()).ok()?;
    Some((millis, elapsed.subsec_nanos() % 1_000_000 == 0))
}
