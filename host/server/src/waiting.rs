//! The messages that wait for a retry, and decisions about them, for the API and the console.

mod decide;
mod list;

use std::sync::Arc;
use std::time::Duration;

use consumer::rules;
use desk_api::{DecisionState, WaitingAction, WaitingDecision, WaitingFilter};
use kafka::decisions::{Action, Decision, Decisions, Standing, Target};
use kafka::publisher::Publisher;
use kafka::waiting::{Scan, Waiting, WaitingRetry};
use settings::KafkaArgs;

pub use self::decide::{DecideError, Request, Selected, Shift, decide};
pub use self::list::list;
use crate::DeskState;

/// The retries of a plugin.
#[derive(Clone)]
pub struct PluginWaiting {
    /// The plugin's name, without its version.
    pub plugin: Arc<str>,
    /// The plugin's topic.
    pub source: String,
    /// The delay of each retry topic in milliseconds.
    pub delays_ms: Arc<[u64]>,
    /// The messages that wait.
    pub waiting: Arc<Waiting>,
    /// The decisions about them. None if their topic is used otherwise, so that there are none.
    pub decisions: Option<Arc<Decisions>>,
    /// Publishes decisions.
    pub publisher: Arc<Publisher>,
    /// The settings of Kafka clients.
    pub kafka: KafkaArgs,
    /// Whether missing topics are created.
    pub creates_topics: bool,
}

/// A message that waits.
struct Message<'a> {
    topic: usize,
    partition: i32,
    offset: i64,
    retry: &'a WaitingRetry,
}

impl PluginWaiting {
    /// Brings what is known up to date, within `wait`.
    async fn refresh(&self, wait: Duration) -> Scan {
        self.waiting.refresh(wait).await
    }

    /// Looks at each message that is known to wait and matches.
    fn each(&self, filter: &WaitingFilter, mut look: impl FnMut(Message<'_>)) {
        let topics = self.waiting.topics();
        let is_topic = |topic: usize| {
            filter.topic.as_ref().is_none_or(|wanted| topics.get(topic).is_some_and(|name| name == wanted))
        };
        let is_code = |code: &str| filter.code.as_ref().is_none_or(|pattern| rules::matches(pattern, code));
        self.waiting.each(|topic, partition, offset, retry| {
            if is_topic(topic) && is_code(&retry.code) {
                look(Message { topic, partition, offset, retry });
            }
        });
    }

    /// The decision about a message, unless it is about an earlier one at its place.
    fn decision(&self, target: &Target, retry: &WaitingRetry) -> Option<(Arc<Decision>, Standing)> {
        self.decisions.as_ref()?.find(target).filter(|(decision, _)| *decision.message == *retry.id)
    }
}

/// The plugins whose messages may match.
fn plugins<'a>(
    state: &'a DeskState,
    filter: &WaitingFilter,
) -> impl Iterator<Item = &'a PluginWaiting> + use<'a> {
    let wanted = filter.plugin.clone();
    let is_plugin = move |it: &&PluginWaiting| wanted.as_ref().is_none_or(|name| **name == *it.plugin);
    state.waiting.iter().filter(is_plugin)
}

/// The name of a record in the API: retry topic, partition and offset.
fn record_of(Target { topic, partition, offset }: &Target) -> String {
    format!("{topic}/{partition}/{offset}")
}

/// The record with this name.
fn parse_record(name: &str) -> Option<Target> {
    let mut parts = name.split('/');
    let (topic, partition, offset) = (parts.next()?, parts.next()?, parts.next()?);
    let target =
        Target { topic: topic.to_owned(), partition: partition.parse().ok()?, offset: offset.parse().ok()? };
    (parts.next().is_none() && record_of(&target) == name).then_some(target)
}

/// A decision in the API.
fn decision_overview(decision: &Decision, standing: Standing) -> WaitingDecision {
    WaitingDecision {
        action: match decision.action {
            Action::RunNow => WaitingAction::RunNow,
            Action::Postpone { .. } => WaitingAction::Postpone,
            Action::GiveUp => WaitingAction::GiveUp,
        },
        state: match standing {
            Standing::Decided => DecisionState::Decided,
            Standing::Obeyed => DecisionState::Obeyed,
            Standing::TooLate => DecisionState::TooLate,
        },
        actor: decision.by.clone(),
        reason: decision.reason.clone(),
        at_ms: decision.at_ms,
    }
}

/// When a message is due, as decided if the decision applies.
fn due_ms(retry: &WaitingRetry, decision: Option<&(Arc<Decision>, Standing)>) -> i64 {
    match decision {
        Some((decision, Standing::Decided | Standing::Obeyed)) => match decision.action {
            Action::Postpone { until_ms } => until_ms,
            Action::RunNow | Action::GiveUp => decision.at_ms,
        },
        _ => retry.due_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_one_name() {
        let target = Target { topic: "a.b-retry-1000".into(), partition: 2, offset: 17 };
        assert_eq!(parse_record(&record_of(&target)), Some(target));
        for other in ["", "a", "a/1", "a/1/x", "a/1/2/3", "a/+1/2", "a/01/2", "/", "//"] {
            assert_eq!(parse_record(other), None, "{other}");
        }
    }
}
