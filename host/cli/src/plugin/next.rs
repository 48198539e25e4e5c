//! What would follow a call's outcome, by the plugin's policy.

use std::fmt;

use base::clock;
use consumer::policy::{Failed, Step};
use consumer::subscription::Subscription;
use sandbox::cause::{Cause, LeadsTo};
use serde::Serialize;
use settings::Action;

/// What would become of the message.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Next {
    /// It is finished.
    Finish,
    /// It is finished although it failed: a rule says so.
    Discard,
    /// It is tried again.
    Retry(Retry),
    /// It is a dead letter.
    DeadLetter {
        /// Where.
        topic: String,
    },
}

/// Another try.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// The retry topic; None where it waits in its place.
    topic: Option<String>,
    /// Which retry it is, from 1; None where it spends no attempt.
    number: Option<u32>,
    /// How many there are for this failure.
    of: u32,
    /// Without jitter.
    after_ms: i64,
}

impl Next {
    /// After this outcome of the delivery `attempt`, the first failure of which is now.
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
            Self::Discard => return f.write_str("discarded, as its rule says"),
            Self::DeadLetter { topic } => return write!(f, "dead letter in {topic}"),
            Self::Retry(retry) => retry,
        };
        let seconds = *after_ms as f64 / 1000.0;
        match number {
            Some(number) => write!(f, "retry {number} of {of} after {seconds} s")?,
            None => write!(f, "again after {seconds} s, spending no attempt,")?,
        }
        match topic {
            Some(topic) => write!(f, " on {topic}"),
            None => f.write_str(" in its place"),
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

    fn told(subscription: &Subscription, attempt: u32, after_ms: Option<u64>) -> String {
        let failure = Failure { code: "busy".into(), detail: String::new() };
        let cause = Cause::retry(RetryLater { failure, after_ms });
        Next::after(subscription, attempt, Some(&cause)).to_string()
    }

    #[test]
    fn the_policy_decides() {
        let plain = subscription(|_| {});
        assert_eq!(Next::after(&plain, 1, None), Next::Finish);
        assert_eq!(told(&plain, 1, None), "retry 1 of 2 after 0.5 s on t-retry-500");
        assert_eq!(told(&plain, 2, None), "retry 2 of 2 after 1 s on t-retry-1000");
        assert_eq!(told(&plain, 3, None), "dead letter in t.dlt");
        assert_eq!(told(&plain, 3, Some(700)), "again after 0.7 s, spending no attempt, on t-retry-1000");
        let reject = Cause::reject(Failure { code: "no".into(), detail: String::new() });
        assert_eq!(Next::after(&plain, 1, Some(&reject)).to_string(), "dead letter in t.dlt");
        let ordered = subscription(|settings| settings.ordering = Some(Ordering::Key));
        assert_eq!(told(&ordered, 1, None), "retry 1 of 2 after 0.5 s in its place");
    }

    #[test]
    fn rules_count_more() {
        let rule = |action: &str| {
            subscription(|settings| {
                let action = Some(serde_json::from_value(action.into()).expect("an action"));
                settings.rules =
                    vec![RuleSettings { code: "busy".into(), action, ..RuleSettings::default() }];
            })
        };
        assert_eq!(told(&rule("discard"), 1, None), "discarded, as its rule says");
        assert_eq!(told(&rule("reject"), 1, None), "dead letter in t.dlt");
    }
}
