//! The wall clock in Kafka's unit, milliseconds since the Unix epoch.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, rounded down.
pub fn now_ms() -> i64 {
    since_epoch().map_or(0, |(millis, _)| millis)
}

/// Milliseconds since the Unix epoch, rounded up, so that a delay counted from here never ends early.
pub fn now_ms_ceil() -> i64 {
    since_epoch().map_or(0, |(millis, exact)| if exact { millis } else { millis.saturating_add(1) })
}

fn since_epoch() -> Option<(i64, bool)> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let millis = i64::try_from(elapsed.as_millis()).ok()?;
    Some((millis, elapsed.subsec_nanos() % 1_000_000 == 0))
}
