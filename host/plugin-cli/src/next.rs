//! The consequence of an outcome under the plugin's policy.

use std::fmt;

use base::clock;
use consumer::policy::{Failed, Step};
use consumer::subscription::Subscription;
use sandbox::cause::{Cause, LeadsTo};
use serde::Serialize;
use settings::Action;

/// The consequence for the message.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Next {
    /// It is finished.
    Finish,
    /// It is finished although it failed, by a rule.
    Discard,
    /// It is retried.
    Retry(Retry),
    /// It becomes a dead letter.
    DeadLetter {
        /// The dead-letter topic.
        topic: String,
    },
}

/// A retry.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// The retry topic; None if the message is retried in place.
    topic: Option<String>,
    /// The number of the retry, from 1; None if it spends no attempt.
    number: Option<u32>,
    /// The number of retries for this failure.
    of: u32,
    /// The delay without jitter, in milliseconds.
    after_ms: i64,
}

impl Next {
    /// The consequence of an outcome of the delivery with this number, if the message failed now for the first time.
    pub fn after(subscription: &Subscription, attempt: u32, failed: Option<&Cause>) -> Self {
        let Some(cause) = failed else { return Self::Finish };
        let policy = &subscription.policy;
        let ruling = policy.ruling(&cause.code, cause.leads_to == LeadsTo::Reject);
        let dead = || Self::DeadLetter { topic: subscription.dead_letter_topic.clone() };
        match ruling.action {
            Action::Discard => return Self::Discard,
            Action::Reject => return dead(),
            Action::Retry => {}
        }
        let now_ms = clock::now_ms();
        let (retries, after_ms) = (ruling.retries, cause.leads_to.after_ms());
        let failed = Failed { attempt, retries, after_ms, now_ms, first_failed_ms: now_ms, random: 0.0 };
        let Step::Retry { tier, attempt: next, due_ms } = policy.next(&failed) else { return dead() };
        Self::Retry(Retry {
            topic: subscription.retry_topics().into_iter().nth(tier),
            number: (next > attempt).then_some(attempt),
            of: retries,
            after_ms: due_ms - now_ms,
        })
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Retry { topic, number, of, after_ms } = match self {
            Self::Finish => return f.write_str("finished"),
            Self::Discard => return f.write_str("discarded by a rule"),
            Self::DeadLetter { topic } => return write!(f, "dead letter in {topic}"),
            Self::Retry(retry) => retry,
        };
        let seconds = *after_ms as f64 / 1000.0;
        match number {
            Some(number) => write!(f, "retry {number} of {of} after {seconds} s")?,
            None => write!(f, "again after {seconds} s, without spending an attempt,")?,
        }
        match topic {
            Some(topic) => write!(f, " on {topic}"),
            None => f.write_str(" in place"),
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::{Failure, RetryLater};
    use contract::{RetryPolicy, Subscription as Described};
    use settings::Ordering;
    use settings::{PluginSettings, RuleSettings};

    use super::*;

    fn subscription(change: impl FnOnce(&mut PluginSettings)) -> Subscription {
        let described = Described {
            topic: "t".into(),
            group: "g".into(),
            dead_letter_topic: "t.dlt".into(),
            retry: RetryPolicy {
                retries: 2,
                delay_ms: 500,
                multiplier: 2.0,
                max_delay_ms: 3_600_000,
                jitter: 1.0,
                max_age_ms: 86_400_000,
            },
        };
        let mut settings = PluginSettings { topic: "t".into(), ..PluginSettings::default() };
        change(&mut settings);
        Subscription::new(described, Some(&settings)).expect("possible")
    }

    fn shown(subscription: &Subscription, attempt: u32, after_ms: Option<u64>) -> String {
        let failure = Failure { code: "busy".into(), detail: String::new() };
        let cause = Cause::retry(RetryLater { failure, after_ms });
        Next::after(subscription, attempt, Some(&cause)).to_string()
    }

    #[test]
    fn the_policy_decides() {
        let plain = subscription(|_| {});
        assert_eq!(Next::after(&plain, 1, None), Next::Finish);
        assert_eq!(shown(&plain, 1, None), "retry 1 of 2 after 0.5 s on t-retry-500");
        assert_eq!(shown(&plain, 2, None), "retry 2 of 2 after 1 s on t-retry-1000");
        assert_eq!(shown(&plain, 3, None), "dead letter in t.dlt");
        assert_eq!(
            shown(&plain, 3, Some(700)),
            "again after 0.7 s, without spending an attempt, on t-retry-1000"
        );
        let reject = Cause::reject(Failure { code: "no".into(), detail: String::new() });
        assert_eq!(Next::after(&plain, 1, Some(&reject)).to_string(), "dead letter in t.dlt");
        let ordered = subscription(|settings| settings.ordering = Some(Ordering::Key));
        assert_eq!(shown(&ordered, 1, None), "retry 1 of 2 after 0.5 s in place");
    }

    #[test]
    fn rules_take_precedence() {
        let rule = |action: &str| {
            subscription(|settings| {
                let action = Some(serde_json::from_value(action.into()).expect("an action"));
                settings.rules =
                    vec![RuleSettings { code: "busy".into(), action, ..RuleSettings::default() }];
            })
        };
        assert_eq!(shown(&rule("discard"), 1, None), "discarded by a rule");
        assert_eq!(shown(&rule("reject"), 1, None), "dead letter in t.dlt");
    }
}
