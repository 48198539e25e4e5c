//! A plugin's subscription: its own description, overridden by the configuration.

use std::num::NonZeroU32;
use std::time::Duration;

use base::clock::millis_u64;
use base::topic_name::MAX_TOPIC_NAME;
pub use base::topic_name::is_topic;
use contract::{RetryPolicy, Subscription as Described};
use kafka::{decisions, held_keys};
use kafka_topics::topic_plan::TopicPlan;
use sandbox::capabilities::produce;
use settings::{OnDead, Ordering, PluginSettings, RetrySettings};

use crate::policy::{Policy, Retry};

/// The default suffix of retry topics, which is Spring Kafka's.
const RETRY_SUFFIX: &str = "-retry";
/// The default suffix of the dead-letter topic.
const DEAD_LETTER_SUFFIX: &str = ".dlt";
/// The default pause before a blocking try.
const BLOCKING_DELAY: Duration = Duration::from_millis(100);
/// The maximum number of concurrent calls.
const MAX_CONCURRENCY: u32 = 1000;

/// The topics, the consumer group and the handling of failures.
#[derive(Debug)]
pub struct Subscription {
    /// The source topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// The dead-letter topic.
    pub dead_letter_topic: String,
    /// The suffix of the dead-letter topic, unless the topic is configured.
    pub dead_letter_suffix: String,
    /// The suffix of the retry topics.
    pub retry_suffix: String,
    /// The maximum number of concurrent calls; None is the workers' default.
    pub concurrency: Option<NonZeroU32>,
    /// The retry policy.
    pub policy: Policy,
    /// The order of the messages.
    pub ordering: Ordering,
    /// The handling of messages whose key has a dead letter.
    pub on_dead: OnDead,
    /// The number of requested retries in a row after which the plugin rests; None if it never does.
    pub breaker: Option<NonZeroU32>,
    /// The topics to which the plugin may publish.
    pub publishes: Vec<String>,
}

impl Subscription {
    /// Combines a plugin's description and its settings, which take precedence.
    ///
    /// # Errors
    /// A value is invalid.
    pub fn new(described: Described, settings: Option<&PluginSettings>) -> Result<Self, String> {
        let Described { topic: own_topic, group, dead_letter_topic, retry } = described;
        let defaults = PluginSettings { topic: own_topic.clone(), ..PluginSettings::default() };
        let settings = settings.unwrap_or(&defaults);
        let topic = settings.topic.clone();
        let suffix = settings.dead_letter_suffix.as_deref();
        let dead_letter_suffix = suffix.unwrap_or(DEAD_LETTER_SUFFIX).to_owned();
        let dead_letter_topic = match settings.dead_letter_topic.clone() {
            Some(configured) => configured,
            // The topic that the plugin describes belongs to its own source topic.
            None if suffix.is_some() || topic != own_topic => format!("{topic}{dead_letter_suffix}"),
            None => dead_letter_topic,
        };
        let policy = Policy::new(merged(&retry, &settings.retry), settings.rules.clone())
            .map_err(|what| format!("its retry policy is invalid: {what}"))?;
        let subscription = Self {
            topic,
            group: settings.group.clone().unwrap_or(group),
            dead_letter_topic,
            dead_letter_suffix,
            retry_suffix: settings.retry_suffix.clone().unwrap_or_else(|| RETRY_SUFFIX.to_owned()),
            concurrency: settings.concurrency,
            policy,
            ordering: settings.ordering.unwrap_or_default(),
            on_dead: settings.on_dead.unwrap_or_default(),
            breaker: settings.breaker.and_then(NonZeroU32::new),
            publishes: produce::topics(Some(settings)),
        };
        check(&subscription)?;
        Ok(subscription)
    }

    /// The retry topics, one per tier, in the order of their delays. There are none if failed messages are
    /// retried in place.
    pub fn retry_topics(&self) -> Vec<String> {
        if self.ordering.is_in_place() { Vec::new() } else { self.unordered_retry_topics() }
    }

    /// The retry topics that an unordered subscription has.
    ///
    /// Their names are those of Spring Kafka (3.3.16,
    /// `org.springframework.kafka.retrytopic.DestinationTopicPropertiesFactory`, with the defaults of
    /// `@RetryableTopic`, `SUFFIX_WITH_DELAY_VALUE` and `SINGLE_TOPIC`). The number of topics is the number
    /// of retries minus the repetitions of the last delay (`reusableTopicAttempts`). A single topic, for one
    /// retry or equal delays, has the suffix alone: `email.send-retry` (`getTopicSuffix`). Otherwise each
    /// topic has its delay, `email.send-retry-1000`, and all retries with the maximum delay share the last
    /// topic. (Spring's default maximum is 30 s: `ExponentialBackOffPolicy.DEFAULT_MAX_INTERVAL`.)
    pub fn unordered_retry_topics(&self) -> Vec<String> {
        let base = format!("{}{}", self.topic, self.retry_suffix);
        match self.policy.tiers_ms() {
            [_] => vec![base],
            tiers => tiers.iter().map(|delay| format!("{base}-{delay}")).collect(),
        }
    }

    /// All its topics.
    pub fn topic_plan(&self) -> TopicPlan {
        let retry = self.retry_topics();
        TopicPlan {
            group: self.group.clone(),
            source: self.topic.clone(),
            decisions: (!retry.is_empty()).then(|| decisions::topic_of(&self.topic)),
            retry,
            dead_letter: self.dead_letter_topic.clone(),
            held_keys: (self.on_dead == OnDead::Hold).then(|| held_keys::topic_of(&self.topic)),
            max_wait: Duration::from_millis(self.policy.retry().max_age_ms),
            publishes: self.publishes.clone(),
        }
    }

    /// The consumer group of the retry topics.
    pub fn retry_group(&self) -> String {
        format!("{}-retry", self.group)
    }

    /// The consumer group of the dead-letter topic: `email-send-dlt-group` for `email-send-group`.
    pub fn dead_letter_group(&self) -> String {
        match self.group.strip_suffix("-group") {
            Some(name) => format!("{name}-dlt-group"),
            None => format!("{}-dlt", self.group),
        }
    }
}

fn merged(described: &RetryPolicy, settings: &RetrySettings) -> Retry {
    Retry {
        retries: settings.retries.unwrap_or(described.retries),
        delay_ms: settings.delay.map_or(described.delay_ms, millis_u64),
        multiplier: settings.multiplier.unwrap_or(described.multiplier),
        max_delay_ms: settings.max_delay.map_or(described.max_delay_ms, millis_u64),
        jitter: settings.jitter.unwrap_or(described.jitter),
        max_age_ms: settings.max_age.map_or(described.max_age_ms, millis_u64),
        blocking_tries: settings.blocking_tries.unwrap_or(0),
        blocking_delay_ms: millis_u64(settings.blocking_delay.unwrap_or(BLOCKING_DELAY)),
    }
}

fn check(subscription: &Subscription) -> Result<(), String> {
    let Subscription { topic, group, dead_letter_topic, dead_letter_suffix, retry_suffix, .. } = subscription;
    if group.is_empty() || group.len() > 200 || group.contains(char::is_control) {
        return Err("its group is empty, longer than 200 bytes or contains control characters".to_owned());
    }
    if subscription.concurrency.is_some_and(|calls| calls.get() > MAX_CONCURRENCY) {
        return Err(format!("its concurrency exceeds {MAX_CONCURRENCY}"));
    }
    for (what, suffix) in [("retry", retry_suffix), ("dead-letter", dead_letter_suffix)] {
        if suffix.is_empty() {
            return Err(format!("its {what} suffix is empty"));
        }
    }
    if subscription.on_dead == OnDead::Hold && subscription.ordering != Ordering::Key {
        return Err(
            "on-dead = \"hold\" requires ordering = \"key\", which defines the messages to hold".to_owned()
        );
    }
    let retry_topics = subscription.retry_topics();
    let held_topic = subscription.topic_plan().held_keys;
    let named = [("topic", topic), ("dead-letter topic", dead_letter_topic)];
    let named = named.into_iter().chain(held_topic.iter().map(|name| ("topic of held keys", name)));
    for (what, name) in named.into_iter().chain(retry_topics.iter().map(|name| ("retry topic", name))) {
        if !is_topic(name) {
            return Err(format!(
                "its {what} {name:?} is not a topic name (1 to {MAX_TOPIC_NAME} of a-z A-Z 0-9 . _ -)"
            ));
        }
    }
    if topic == dead_letter_topic {
        return Err("its dead-letter topic is its source topic".to_owned());
    }
    // Includes the retry topics of other policies.
    let retries_of_it = format!("{topic}{retry_suffix}");
    let is_retry = |name: &str| {
        name.strip_prefix(&retries_of_it).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if is_retry(dead_letter_topic) {
        return Err(format!("its dead-letter topic begins like its retry topics, {retries_of_it}"));
    }
    for name in &subscription.publishes {
        let (what, why) = match name {
            name if name == topic => ("its source topic", "it would handle its own records"),
            name if name == dead_letter_topic => ("its dead-letter topic", "only the host publishes to it"),
            name if is_retry(name) => ("a retry topic", "only the host publishes to it"),
            _ => continue,
        };
        return Err(format!("its `allow` has `produce:{name}`, which is {what}: {why}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use settings::{Allow, File, RuleSettings};

    use super::*;

    fn described() -> Described {
        Described {
            topic: "email.send".into(),
            group: "email-send-group".into(),
            dead_letter_topic: "email.send.dlt".into(),
            retry: RetryPolicy {
                retries: 5,
                delay_ms: 1000,
                multiplier: 2.0,
                max_delay_ms: 3_600_000,
                jitter: 0.0,
                max_age_ms: 86_400_000,
            },
        }
    }

    fn settings(topic: &str) -> PluginSettings {
        PluginSettings { topic: topic.into(), ..Default::default() }
    }

    #[test]
    fn defaults_are_those_of_the_plugin() {
        let plain = Subscription::new(described(), None).expect("valid");
        let listed = Subscription::new(described(), Some(&settings("email.send"))).expect("valid");
        assert_eq!(format!("{plain:?}"), format!("{listed:?}"));
        assert_eq!(listed.policy.tiers_ms(), [1000, 2000, 4000, 8000, 16000]);
    }

    #[test]
    fn the_dead_letter_group_is_named_after_the_group() {
        let named = |group: &str| {
            let settings = PluginSettings { group: Some(group.into()), ..settings("email.send") };
            Subscription::new(described(), Some(&settings)).expect("valid").dead_letter_group()
        };
        assert_eq!(named("email-send-group"), "email-send-dlt-group");
        assert_eq!(named("mailers"), "mailers-dlt");
    }

    #[test]
    fn settings_take_precedence() {
        let mut settings = settings("mail");
        settings.retry = RetrySettings {
            retries: Some(2),
            delay: Some(Duration::from_millis(50)),
            ..RetrySettings::default()
        };
        let listed = Subscription::new(described(), Some(&settings)).expect("valid");
        assert_eq!((&*listed.topic, &*listed.dead_letter_topic), ("mail", "mail.dlt"));
        assert_eq!(listed.group, "email-send-group");
        assert_eq!(listed.policy.tiers_ms(), [50, 100]);
        settings.dead_letter_topic = Some("letters".into());
        settings.group = Some("mailers".into());
        let listed = Subscription::new(described(), Some(&settings)).expect("valid");
        assert_eq!((&*listed.dead_letter_topic, &*listed.group), ("letters", "mailers"));
    }

    #[test]
    fn invalid_subscriptions_are_refused() {
        let mut bad = settings("a b");
        assert!(Subscription::new(described(), Some(&bad)).is_err_and(|what| what.contains("topic name")));
        bad = settings("email.send.dlt");
        bad.dead_letter_topic = Some("email.send.dlt".into());
        assert!(Subscription::new(described(), Some(&bad)).is_err_and(|what| what.contains("source topic")));
        bad.dead_letter_topic = Some("email.send.dlt-retry-1".into());
        assert!(Subscription::new(described(), Some(&bad)).is_err_and(|what| what.contains("begins like")));
        bad = settings("email.send");
        bad.retry.multiplier = Some(0.5);
        assert!(Subscription::new(described(), Some(&bad)).is_err_and(|what| what.contains("multiplier")));
        bad = settings("email.send");
        bad.group = Some(String::new());
        assert!(Subscription::new(described(), Some(&bad)).is_err_and(|what| what.contains("group")));
    }

    #[test]
    fn a_plugin_does_not_publish_to_its_own_topics() {
        let refused = |topic: &str| {
            let allow = vec![Allow::Capability(format!("produce:{topic}")), Allow::Capability("mail".into())];
            let settings = PluginSettings { allow, ..settings("email.send") };
            Subscription::new(described(), Some(&settings)).map(|subscription| subscription.publishes)
        };
        assert_eq!(refused("email.sent").expect("another topic"), ["email.sent"]);
        assert_eq!(refused("email.send-retrying").expect("another topic"), ["email.send-retrying"]);
        for (topic, what) in [
            ("email.send", "which is its source topic"),
            ("email.send.dlt", "which is its dead-letter topic"),
            ("email.send-retry", "which is a retry topic"),
            // Also one of another policy.
            ("email.send-retry-77", "which is a retry topic"),
        ] {
            assert!(refused(topic).expect_err(topic).contains(what), "{topic}");
        }
    }

    #[test]
    fn the_longest_suffix_is_part_of_the_length_of_a_topic_name() {
        let result = Subscription::new(described(), Some(&settings(&"x".repeat(240))));
        assert!(result.is_err_and(|what| what.contains("retry topic \"xxx")));
    }

    fn retrying(retries: u32, delay: u64, multiplier: f64, max_delay: u64) -> Subscription {
        let retry = RetryPolicy {
            retries,
            delay_ms: delay,
            multiplier,
            max_delay_ms: max_delay,
            jitter: 0.0,
            max_age_ms: 86_400_000,
        };
        Subscription::new(Described { retry, ..described() }, None).expect("valid")
    }

    #[test]
    fn retry_topics_have_springs_names() {
        let topics = |of: Subscription| {
            let names = of.retry_topics().into_iter();
            names
                .map(|name| name.strip_prefix("email.send").expect("its topic").to_owned())
                .collect::<Vec<_>>()
        };
        assert!(topics(retrying(0, 1000, 2.0, 60_000)).is_empty());
        // One retry, or equal delays: the suffix alone.
        assert_eq!(topics(retrying(1, 1000, 2.0, 60_000)), ["-retry"]);
        assert_eq!(topics(retrying(4, 1000, 1.0, 60_000)), ["-retry"]);
        assert_eq!(topics(retrying(4, 1000, 2.0, 1000)), ["-retry"]);
        // The retries with the maximum delay share one topic, which has its delay in its name.
        assert_eq!(topics(retrying(2, 1000, 2.0, 60_000)), ["-retry-1000", "-retry-2000"]);
        assert_eq!(topics(retrying(5, 1000, 2.0, 4000)), ["-retry-1000", "-retry-2000", "-retry-4000"]);
        assert_eq!(topics(retrying(4, 1000, 9.0, 1500)), ["-retry-1000", "-retry-1500"]);
    }

    #[test]
    fn suffixes_are_configurable() {
        let mut given = settings("email.send");
        given.retry_suffix = Some(".again".into());
        given.dead_letter_suffix = Some("-dlt".into());
        let listed = Subscription::new(described(), Some(&given)).expect("valid");
        assert_eq!(listed.retry_topics()[0], "email.send.again-1000");
        assert_eq!(listed.dead_letter_topic, "email.send-dlt");
        given.retry.multiplier = Some(1.0);
        given.dead_letter_topic = Some("letters".into());
        let listed = Subscription::new(described(), Some(&given)).expect("valid");
        assert_eq!(listed.retry_topics(), ["email.send.again"]);
        assert_eq!(listed.dead_letter_topic, "letters", "a name takes precedence over a suffix");
        for (retry, dead, what) in [
            ("", ".dlt", "retry suffix is empty"),
            ("-retry", "", "dead-letter suffix is empty"),
            ("/x", ".dlt", "is not a topic name"),
            ("-dlt", "-dlt", "begins like"),
            (".dlt", ".dlt-1", "begins like"),
        ] {
            let mut given = settings("email.send");
            (given.retry_suffix, given.dead_letter_suffix) = (Some(retry.into()), Some(dead.into()));
            let error = Subscription::new(described(), Some(&given)).expect_err("refused");
            assert!(error.contains(what), "{retry} {dead}: {error}");
        }
    }

    #[test]
    fn rules_and_blocking_tries_are_part_of_the_policy() {
        let mut given = settings("email.send");
        given.retry.blocking_tries = Some(3);
        given.rules =
            vec![RuleSettings { code: "smtp-*".into(), retries: Some(7), ..RuleSettings::default() }];
        let listed = Subscription::new(described(), Some(&given)).expect("valid");
        assert_eq!(listed.policy.tiers_ms().len(), 7);
        assert_eq!((listed.policy.retry().blocking_tries, listed.policy.retry().blocking_delay_ms), (3, 100));
        given.rules.push(RuleSettings { code: "smtp-1".into(), ..RuleSettings::default() });
        assert!(Subscription::new(described(), Some(&given)).is_err_and(|what| what.contains("smtp-1")));
        given = settings("email.send");
        given.concurrency = NonZeroU32::new(1001);
        assert!(Subscription::new(described(), Some(&given)).is_err_and(|what| what.contains("concurrency")));
    }

    #[test]
    fn the_example_of_the_guide_is_valid() {
        let guide = include_str!("../../../docs/guides/retries.md");
        let example = guide.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```"));
        let file = File::parse(example.expect("an example").0, &[]).expect("a file");
        let listed = Subscription::new(described(), file.plugins.first()).expect("valid");
        assert_eq!(listed.policy.rules().len(), 4);
        let smtp = listed.policy.ruling("smtp-421", false);
        assert_eq!((smtp.retries, smtp.blocking_tries), (10, 2));
        // As documented in the guide.
        let delays = [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000];
        assert_eq!(listed.policy.tiers_ms(), delays);
        assert_eq!(listed.concurrency, NonZeroU32::new(16));
    }
}
