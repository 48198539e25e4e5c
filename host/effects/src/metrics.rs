//! What is counted of effects, for Prometheus.

use metrics::{counter, describe_counter};

use crate::Performed;

const EFFECTS: &str = "host_effects_total";

/// Describes it to the recorder.
pub fn describe() {
    describe_counter!(EFFECTS, "E-mails and requests of plugins, by result.");
}

/// An effect was performed; gives it back.
pub fn effect<T, E>(group: &str, performed: Performed<T, E>) -> Performed<T, E> {
    let result = match &performed {
        Performed::Done(_) => "done",
        Performed::Failed(_) => "failed",
        Performed::Unknown(_) => "unknown",
    };
    effect_is(group, result);
    performed
}

/// An effect was not performed: `remembered`, `refused` or `unavailable`; or it is, once more: `repeated`.
pub fn effect_is(group: &str, result: &'static str) {
    counter!(EFFECTS, "group" => group.to_owned(), "result" => result).increment(1);
}
