//! Steps of a replay: what became of one, and what follows from that.

/// What became of the letters of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Finished on their first try.
    pub done: u64,
    /// Failed on it.
    pub failed: u64,
    /// Finished, nobody knows how.
    pub unknown: u64,
}

/// What follows a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next one.
    Next,
    /// Too many failed: why.
    Stop(String),
    /// It was the last one; why it would have stopped, or empty.
    Done(String),
}

impl Counts {
    /// Adds letters in a state of that name; others do not count.
    pub fn add(&mut self, state: &str, count: u64) {
        match state {
            "done" => self.done += count,
            "failed" => self.failed += count,
            "unknown" => self.unknown += count,
            _ => {}
        }
    }

    /// What follows. `unknown` is no failure, and counts among what was sent.
    pub fn judge(self, limit_percent: u8, is_last: bool) -> Verdict {
        let Self { done, failed, unknown } = self;
        let sent = done + failed + unknown;
        let too_many = u128::from(failed) * 100 > u128::from(limit_percent) * u128::from(sent);
        let why = if too_many {
            format!("{failed} of {sent} failed, more than {limit_percent} %")
        } else {
            String::new()
        };
        match (is_last, too_many) {
            (true, _) => Verdict::Done(why),
            (false, true) => Verdict::Stop(why),
            (false, false) => Verdict::Next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Plan;

    #[test]
    fn a_share_above_the_limit_stops_and_the_limit_itself_does_not() {
        let counts = |done, failed, unknown| Counts { done, failed, unknown };
        assert_eq!(counts(15, 5, 0).judge(25, false), Verdict::Next);
        let why = "7 of 20 failed, more than 25 %".to_owned();
        assert_eq!(counts(13, 7, 0).judge(25, false), Verdict::Stop(why.clone()));
        assert_eq!(counts(10, 7, 3).judge(25, false), Verdict::Stop(why));
        assert_eq!(counts(0, 0, 5).judge(0, false), Verdict::Next);
        assert_eq!(counts(0, 1, 0).judge(100, false), Verdict::Next);
        assert!(matches!(counts(999, 1, 0).judge(0, false), Verdict::Stop(_)));
    }

    #[test]
    fn after_the_last_step_there_is_nothing_to_stop() {
        let counts = |done, failed| Counts { done, failed, unknown: 0 };
        assert_eq!(counts(3, 0).judge(50, true), Verdict::Done(String::new()));
        let why = "3 of 4 failed, more than 50 %".to_owned();
        assert_eq!(counts(1, 3).judge(50, true), Verdict::Done(why));
        assert_eq!(counts(0, 0).judge(0, true), Verdict::Done(String::new()));
    }

    #[test]
    fn the_last_size_of_a_ramp_goes_on_and_without_one_there_is_one_step() {
        let plan = Plan { ramp: vec![1, 2, 5], ..Plan::default() };
        let sizes: Vec<u64> = (0..6).map(|number| plan.step(number)).collect();
        assert_eq!(sizes, [1, 2, 5, 5, 5, 5]);
        assert_eq!(Plan::default().step(0), u64::MAX);
    }
}
