//! `GET /history`: what each plugin did in the last hour and the last day.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The history of a plugin in this process, which counts from its own start, for its own partitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PluginHistory {
    /// The plugin's name, without its version.
    pub plugin: String,
    /// The last hour, in steps of 10 s.
    pub hour: Series,
    /// The last day, in steps of 5 min.
    pub day: Series,
}

/// Values in equal steps, the oldest first. A value is null if nothing is known, as while Kafka did not answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// The length of a step, in milliseconds.
    pub step_ms: u64,
    /// The end of the last step, in milliseconds since the Unix epoch; 0 before the first.
    pub end_ms: i64,
    /// Messages that were handled per second: done and skipped.
    pub handled: Vec<Option<f32>>,
    /// Failed calls per second.
    pub failed: Vec<Option<f32>>,
    /// Messages in the retry topics at the end of each step.
    pub waiting: Vec<Option<f32>>,
    /// Lag at the end of each step.
    pub lag: Vec<Option<f32>>,
}
