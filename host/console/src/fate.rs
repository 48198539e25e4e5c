//! What became of dead letters and replays, in the console's words.

use desk_api::{DeadLetterState, Replay, ReplayItem, ReplayItemState, ReplayState};

use super::page::PageContext;

/// What became of a dead letter or a replay.
pub struct Fate {
    /// The class of its colour.
    pub class: &'static str,
    pub name: &'static str,
    /// The dead letter that it became.
    pub dead_letter: Option<String>,
    /// An explanation, or empty.
    pub detail: String,
}

impl Fate {
    fn new(class: &'static str, name: &'static str) -> Self {
        Self { class, name, dead_letter: None, detail: String::new() }
    }
}

impl PageContext {
    /// What became of a dead letter: its outcome if it was replayed, otherwise its state.
    pub fn fate(&self, state: &DeadLetterState, outcome: &Option<ReplayItem>) -> Fate {
        match (state, outcome) {
            (DeadLetterState::Replayed, Some(item)) if item.sent_ms.is_some() => self.item_fate(item),
            (DeadLetterState::Open, Some(item)) if item.state == ReplayItemState::Waiting => {
                let detail = self.texts.desk.waits_in_replay.to_owned();
                Fate { detail, ..Fate::new(state.as_str(), self.state(state)) }
            }
            _ => Fate::new(state.as_str(), self.state(state)),
        }
    }

    /// What became of a dead letter in a replay.
    pub fn item_fate(&self, item: &ReplayItem) -> Fate {
        let texts = self.texts;
        match item.state {
            ReplayItemState::Waiting => Fate::new("waiting", texts.waiting),
            ReplayItemState::Sent => Fate::new("sent", texts.desk.waits_for_outcome),
            ReplayItemState::Handled => Fate::new("done", texts.desk.handled),
            ReplayItemState::Failed if item.failed_as.is_some() => {
                Fate { dead_letter: item.failed_as.clone(), ..Fate::new("failed", texts.desk.failed_again) }
            }
            ReplayItemState::Failed => {
                let detail = texts.desk.first_attempt_failed_detail.to_owned();
                Fate { detail, ..Fate::new("paused", texts.desk.first_attempt_failed) }
            }
            ReplayItemState::Unknown => Fate::new("paused", texts.unknown),
            ReplayItemState::Skipped => {
                let reason = self.remark(item.skip_reason.as_deref().unwrap_or_default());
                Fate { detail: reason, ..Fate::new("cancelled", texts.skipped) }
            }
        }
    }

    /// What became of a replay. One of which dead letters failed again has not simply succeeded.
    pub fn replay_fate(&self, replay: &Replay) -> Fate {
        match replay.state {
            ReplayState::Done if replay.failed > 0 => Fate::new("failed", self.texts.desk.done_with_failures),
            state => Fate::new(state.as_str(), self.replay_state(&state)),
        }
    }
}
