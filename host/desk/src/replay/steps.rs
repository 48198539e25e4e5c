//! Steps of a replay: outcomes, and whether to continue.

/// The outcomes of a step's dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Succeeded on the first attempt.
    pub done: u64,
    /// Failed on the first attempt.
    pub failed: u64,
    /// Finished with an unknown outcome.
    pub unknown: u64,
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
            _ => {}
        }
    }

    /// Decides the consequence. An unknown outcome is not a failure, but counts as sent.
    pub fn verdict(self, limit_percent: u8, is_last: bool) -> Verdict {
        let Self { done, failed, unknown } = self;
        let sent = done + failed + unknown;
        let too_many = u128::from(failed) * 100 > u128::from(limit_percent) * u128::from(sent);
        let reason = if too_many {
            format!("{failed} of {sent} failed, more than {limit_percent} %")
        } else {
            String::new()
        };
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
        let counts = |done, failed, unknown| Counts { done, failed, unknown };
        assert_eq!(counts(15, 5, 0).verdict(25, false), Verdict::Continue);
        let reason = "7 of 20 failed, more than 25 %".to_owned();
        assert_eq!(counts(13, 7, 0).verdict(25, false), Verdict::Stop(reason.clone()));
        assert_eq!(counts(10, 7, 3).verdict(25, false), Verdict::Stop(reason));
        assert_eq!(counts(0, 0, 5).verdict(0, false), Verdict::Continue);
        assert_eq!(counts(0, 1, 0).verdict(100, false), Verdict::Continue);
        assert!(matches!(counts(999, 1, 0).verdict(0, false), Verdict::Stop(_)));
    }

    #[test]
    fn after_the_last_step_the_replay_is_done() {
        let counts = |done, failed| Counts { done, failed, unknown: 0 };
        assert_eq!(counts(3, 0).verdict(50, true), Verdict::Done(String::new()));
        let reason = "3 of 4 failed, more than 50 %".to_owned();
        assert_eq!(counts(1, 3).verdict(50, true), Verdict::Done(reason));
        assert_eq!(counts(0, 0).verdict(0, true), Verdict::Done(String::new()));
    }
}
