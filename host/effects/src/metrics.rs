//! The Prometheus metric of effects.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::Performed;

const EFFECTS: &str = "host_effects_total";
const STORE: &str = "host_store_available";

/// Registers the description.
pub fn describe() {
    describe_counter!(EFFECTS, "E-mails, HTTP requests and records of plugins, by result.");
    describe_gauge!(STORE, "1 if effects can be recorded, 0 while they wait for the store.");
}

/// Reports whether effects can be recorded.
pub fn store_available(is_available: bool) {
    gauge!(STORE).set(if is_available { 1.0 } else { 0.0 });
}

/// Counts an attempted effect and returns it.
pub fn count_performed<T, E>(group: &str, performed: Performed<T, E>) -> Performed<T, E> {
    let result = match &performed {
        Performed::Done(_) => "done",
        Performed::Failed(_) => "failed",
        Performed::Unknown(_) => "unknown",
    };
    count(group, result);
    performed
}

/// Counts an effect that was not attempted (`remembered`, `refused` or `unavailable`), or is attempted
/// although it is in doubt (`repeated`).
pub fn count(group: &str, result: &'static str) {
    counter!(EFFECTS, "group" => group.to_owned(), "result" => result).increment(1);
}
