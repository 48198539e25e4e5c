//! Steps of a replay: outcomes, and whether to continue.
//!
//! The failure limit also holds within a step: the first dead letters of a step are sent alone, and more only as
//! outcomes arrive.

/// Dead letters of a step that are sent before there are outcomes.
const FIRST: u64 = 20;
/// Outcomes that decide about the rest of the step.
const SAMPLE: u64 = 10;
/// Dead letters that are sent until the outcomes are read again.
const MAX_AHEAD: u64 = 2000;

/// The outcomes of a step's dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Succeeded on the first attempt.
    pub done: u64,
    /// Failed on the first attempt.
    pub failed: u64,
    /// Finished with an unknown outcome.
    pub unknown: u64,
    /// Sent, without an outcome yet.
    pub sent: u64,
    /// Not sent and not to be sent.
    pub skipped: u64,
}

/// What follows from the outcomes in the middle of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Up to this number of dead letters may be sent.
    Send(u64),
    /// More outcomes must arrive.
    Wait,
    /// The replay stops, because too many failed.
    Stop(String),
}

/// The consequence of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The replay continues with the next step.
    Continue,
    /// The replay stops, because too many failed.
    Stop(String),
    /// It was the last step. The reason for which the replay would have stopped, or empty.
    Done(String),
}

impl Counts {
    /// Adds dead letters in this state; other states do not count.
    pub fn add(&mut self, state: &str, count: u64) {
        match state {
            "done" => self.done += count,
            "failed" => self.failed += count,
            "unknown" => self.unknown += count,
            "sent" => self.sent += count,
            "gone" => self.skipped += count,
            _ => {}
        }
    }

    /// The number of dead letters that do not wait any more.
    pub fn left_the_queue(self) -> u64 {
        self.outcomes() + self.sent + self.skipped
    }

    fn outcomes(self) -> u64 {
        self.done + self.failed + self.unknown
    }

    /// The reason to stop, or empty.
    fn excess(self, limit_percent: u8) -> String {
        let (failed, outcomes) = (self.failed, self.outcomes());
        if u128::from(failed) * 100 > u128::from(limit_percent) * u128::from(outcomes) {
            return format!("{failed} of {outcomes} failed, more than {limit_percent} %");
        }
        String::new()
    }

    /// Decides in the middle of a step.
    pub fn progress(self, limit_percent: u8) -> Progress {
        if limit_percent >= 100 {
            return Progress::Send(MAX_AHEAD);
        }
        let outcomes = self.outcomes();
        let allowed = if outcomes < SAMPLE {
            FIRST.saturating_sub(outcomes + self.sent)
        } else {
            let reason = self.excess(limit_percent);
            if !reason.is_empty() {
                return Progress::Stop(reason);
            }
            (FIRST + 2 * outcomes).saturating_sub(self.sent).min(MAX_AHEAD)
        };
        if allowed == 0 { Progress::Wait } else { Progress::Send(allowed) }
    }

    /// Decides the consequence. An unknown outcome is not a failure, but counts as sent.
    pub fn verdict(self, limit_percent: u8, is_last: bool) -> Verdict {
        let reason = self.excess(limit_percent);
        let too_many = !reason.is_empty();
        match (is_last, too_many) {
            (true, _) => Verdict::Done(reason),
            (false, true) => Verdict::Stop(reason),
            (false, false) => Verdict::Continue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_rate_above_the_limit_stops_and_the_limit_itself_does_not() {
        let counts = |done, failed, unknown| Counts { done, failed, unknown, ..Counts::default() };
        assert_eq!(counts(15, 5, 0).verdict(25, false), Verdict::Continue);
        let reason = "7 of 20 failed, more than 25 %".to_owned();
        assert_eq!(counts(13, 7, 0).verdict(25, false), Verdict::Stop(reason.clone()));
        assert_eq!(counts(10, 7, 3).verdict(25, false), Verdict::Stop(reason));
        assert_eq!(counts(0, 0, 5).verdict(0, false), Verdict::Continue);
        assert_eq!(counts(0, 1, 0).verdict(100, false), Verdict::Continue);
        assert!(matches!(counts(999, 1, 0).verdict(0, false), Verdict::Stop(_)));
    }

    #[test]
    fn within_a_step_more_are_sent_only_as_outcomes_arrive() {
        let counts = |done, failed, sent| Counts { done, failed, sent, ..Counts::default() };
        assert_eq!(counts(0, 0, 0).progress(50), Progress::Send(20));
        assert_eq!(counts(0, 0, 20).progress(50), Progress::Wait);
        assert_eq!(counts(0, 9, 11).progress(50), Progress::Wait, "too few to decide");
        assert_eq!(
            counts(0, 10, 10).progress(50),
            Progress::Stop("10 of 10 failed, more than 50 %".to_owned())
        );
        assert_eq!(counts(10, 0, 10).progress(50), Progress::Send(30));
        assert_eq!(counts(5, 5, 40).progress(50), Progress::Wait);
        assert_eq!(counts(90_000, 5, 40).progress(50), Progress::Send(MAX_AHEAD));
        assert_eq!(counts(0, 900, 4000).progress(100), Progress::Send(MAX_AHEAD), "nothing stops it");
        assert_eq!(Counts { skipped: 7, ..counts(1, 2, 3) }.left_the_queue(), 13);
    }

    #[test]
    fn after_the_last_step_the_replay_is_done() {
        let counts = |done, failed| Counts { done, failed, ..Counts::default() };
        assert_eq!(counts(3, 0).verdict(50, true), Verdict::Done(String::new()));
        let reason = "3 of 4 failed, more than 50 %".to_owned();
        assert_eq!(counts(1, 3).verdict(50, true), Verdict::Done(reason));
        assert_eq!(counts(0, 0).verdict(0, true), Verdict::Done(String::new()));
    }
}
