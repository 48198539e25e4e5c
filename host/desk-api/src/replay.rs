//! Replays: they publish dead letters again.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::filter::Filter;

/// The topic to which dead letters are sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum ReplayTarget {
    /// The message's original topic: every consumer group that reads it receives the message again
    #[default]
    Source,
    /// The first retry topic of the consumer group in which the message failed: no other group receives it
    Retry,
}

impl ReplayTarget {
    /// The target's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Retry => "retry",
        }
    }
}

/// The state of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplayState {
    /// Dead letters are being sent.
    Running,
    /// Paused by a user.
    Paused,
    /// Stopped because too many dead letters of a step failed; can be resumed.
    Stopped,
    /// Cancelled by a user. Dead letters that were not sent stay open.
    Cancelled,
    /// Every dead letter was sent and has an outcome.
    Done,
}

impl ReplayState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Running, Self::Paused, Self::Stopped, Self::Cancelled, Self::Done];

    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }
}

/// The settings of a replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayPlan {
    /// The topic to send to.
    pub target: ReplayTarget,
    /// Maximum rate, in dead letters per second; greater than 0. Null means no limit.
    pub rate: Option<f64>,
    /// Sizes of the steps; the last size repeats. Empty means a single step.
    pub ramp: Vec<u32>,
    /// Failure rate of a step above which the replay stops, in percent; 0 to 100.
    pub limit_percent: u8,
    /// Dead letters whose message has been replayed this many times are skipped.
    pub max_replays: u32,
}

impl Default for ReplayPlan {
    fn default() -> Self {
        Self {
            target: ReplayTarget::Source,
            rate: None,
            ramp: Vec::new(),
            limit_percent: 50,
            max_replays: 10,
        }
    }
}

impl ReplayPlan {
    /// The steps of a careful replay.
    pub const CAREFUL_RAMP: [u32; 7] = [1, 2, 5, 20, 100, 500, 2000];

    /// Checks the values.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self { rate: Some(rate), .. } if !(*rate > 0.0 && *rate <= 1e6) => {
                Err("rate: more than 0 and at most 1,000,000 dead letters per second".to_owned())
            }
            Self { ramp, .. } if ramp.contains(&0) || ramp.len() > 100 => {
                Err("ramp: at most 100 sizes, each at least 1".to_owned())
            }
            Self { limit_percent: 101.., .. } => Err("limit_percent: 0 to 100".to_owned()),
            _ => Ok(()),
        }
    }

    /// The size of the step with this number, counted from 0.
    pub fn step(&self, number: u64) -> u64 {
        let index = usize::try_from(number).unwrap_or(usize::MAX).min(self.ramp.len().saturating_sub(1));
        self.ramp.get(index).map_or(u64::MAX, |size| u64::from(*size))
    }
}

/// A replay. Timestamps are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Replay {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Time at which it was created.
    pub created_ms: i64,
    /// The state.
    pub state: ReplayState,
    /// Time of the last state change.
    pub state_since_ms: i64,
    /// The reason why the replay stopped or waits; empty otherwise.
    pub state_reason: String,
    /// The user who created it.
    pub actor: String,
    /// The reason given.
    pub reason: String,
    /// The filter that selected the dead letters.
    pub filter: Filter,
    /// The settings of the replay.
    pub plan: ReplayPlan,
    /// Number of dead letters.
    pub dead_letters: u64,
    /// Number of dead letters in finished steps.
    pub stepped: u64,
    /// Number of finished steps.
    pub steps: u64,
    /// Not sent yet.
    pub waiting: u64,
    /// Sent, without an outcome yet.
    pub sent: u64,
    /// Succeeded on the first attempt.
    pub done: u64,
    /// Failed on the first attempt.
    pub failed: u64,
    /// Finished with an unknown outcome.
    pub unknown: u64,
    /// Not sent: no longer open, or the topic does not exist.
    pub skipped: u64,
}

/// A request to start a replay, or to preview one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// The dead letters; only open ones are sent.
    #[serde(default)]
    pub filter: Filter,
    /// The settings of the replay.
    #[serde(default)]
    pub plan: ReplayPlan,
    /// The reason, for the audit log.
    #[serde(default)]
    pub reason: String,
    /// Confirms that an empty filter means every dead letter.
    #[serde(default)]
    pub all: bool,
    /// Id of a trial: restricts the replay to dead letters that did not fail in it.
    #[serde(default)]
    pub trial: Option<String>,
}

/// A request to pause, resume or cancel a replay.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayChange {
    /// The reason, for the audit log.
    #[serde(default)]
    pub reason: String,
}

/// The preview of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayPreview {
    /// Number of dead letters it would send.
    pub dead_letters: u64,
    /// The topics it would send to.
    pub topics: Vec<TopicShare>,
    /// What the messages have sent already.
    #[serde(default)]
    pub effects: ReplayEffects,
    /// Warnings to consider before the replay is started.
    pub warnings: Vec<String>,
}

/// The effects (e-mails and HTTP requests) that the messages of a replay have had, according to the ledger. A message
/// counts once; one that is in none of these numbers has sent nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayEffects {
    /// Messages with effects that were sent; these are not sent again.
    pub sent: u64,
    /// Messages with an effect in doubt: it may have been sent, and is sent again unless the plugin is configured
    /// with `unsettled = "dead-letter"`.
    pub in_doubt: u64,
    /// Messages that became dead letters of this desk, or were restored, after the ledger could delete what they had
    /// sent. All of it is sent again.
    pub unknown: u64,
}

/// A topic of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicShare {
    /// The topic.
    pub topic: String,
    /// Number of dead letters to be sent to it.
    pub dead_letters: u64,
}

/// A replay that has started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StartedReplay {
    /// The replay.
    #[serde(flatten)]
    pub replay: Replay,
    /// The warnings of its preview.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_size_of_a_ramp_repeats_and_an_empty_ramp_is_one_step() {
        let plan = ReplayPlan { ramp: vec![1, 2, 5], ..ReplayPlan::default() };
        let sizes: Vec<u64> = (0..6).map(|number| plan.step(number)).collect();
        assert_eq!(sizes, [1, 2, 5, 5, 5, 5]);
        assert_eq!(ReplayPlan::default().step(0), u64::MAX);
    }
}
