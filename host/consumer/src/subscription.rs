//! What a plugin subscribes to: as it describes itself, below what the configuration says.

use std::num::NonZeroU32;
use std::time::Duration;

use contract::{RetryPolicy, Subscription as Described};
use settings::Ordering;
use settings::{OnDead, PluginSettings, RetrySettings};

use crate::policy::{Policy, Retry};

/// Kafka's longest topic name.
const MAX_TOPIC: usize = 249;
/// What the names of retry topics have behind the topic's, as Spring Kafka's have.
const RETRY_SUFFIX: &str = "-retry";
/// What the name of a dead-letter topic has behind the topic's.
const DEAD_LETTER_SUFFIX: &str = ".dlt";
/// The pause before a call in place.
const BLOCKING_DELAY: Duration = Duration::from_millis(100);
/// How many messages may be called at the same time at most.
const MAX_CONCURRENCY: u32 = 1000;

/// Topic, group, and what becomes of failures.
#[derive(Debug)]
pub struct Subscription {
    /// The topic it handles.
    pub topic: String,
    /// The consumer group it handles it in.
    pub group: String,
    /// Where its dead letters go.
    pub dead_letter_topic: String,
    /// What its name has behind the topic's where nothing else names it.
    pub dead_letter_suffix: String,
    /// What the names of its retry topics have behind the topic's.
    pub retry_suffix: String,
    /// How many messages may be called at the same time; None leaves it to the workers.
    pub concurrency: Option<NonZeroU32>,
    /// When failed messages are tried again.
    pub policy: Policy,
    /// Which messages wait for which.
    pub ordering: Ordering,
    /// What becomes of the messages after a dead letter of the same key.
    pub on_dead: OnDead,
}

impl Subscription {
    /// # Errors
    /// A sentence that says which value is not possible.
    pub fn new(described: Described, settings: Option<&PluginSettings>) -> Result<Self, String> {
        let Described { topic: own_topic, group, dead_letter_topic, retry } = described;
        let defaults = PluginSettings { topic: own_topic.clone(), ..PluginSettings::default() };
        let settings = settings.unwrap_or(&defaults);
        let topic = settings.topic.clone();
        let suffix = settings.dead_letter_suffix.as_deref();
        let dead_letter_suffix = suffix.unwrap_or(DEAD_LETTER_SUFFIX).to_owned();
        let dead_letter_topic = match settings.dead_letter_topic.clone() {
            Some(named) => named,
            // What the plugin describes belongs to its own topic.
            None if suffix.is_some() || topic != own_topic => format!("{topic}{dead_letter_suffix}"),
            None => dead_letter_topic,
        };
        let policy = Policy::new(merged(&retry, &settings.retry), settings.rules.clone())
            .map_err(|what| format!("its retry policy is not possible: {what}"))?;
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
        };
        check(&subscription)?;
        Ok(subscription)
    }

    /// The retry topics, one per tier, shortest delay first; none where failed messages are tried
    /// again in their place.
    pub fn retry_topics(&self) -> Vec<String> {
        if self.ordering.is_in_place() { Vec::new() } else { self.unordered_retry_topics() }
    }

    /// The retry topics it would have without any order.
    ///
    /// They are named as Spring Kafka names its own (3.3.16,
    /// `org.springframework.kafka.retrytopic.DestinationTopicPropertiesFactory`, with `@RetryableTopic`'s
    /// defaults `SUFFIX_WITH_DELAY_VALUE` and `SINGLE_TOPIC`): the topics are as many as the retries less
    /// the repetitions of the last delay (`reusableTopicAttempts`). Where that makes one topic it has the
    /// bare suffix, `email.send-retry`, whether there is one retry or all delays are equal
    /// (`getTopicSuffix`). Else each has its delay, `email.send-retry-1000`, and the delays at the
    /// largest one, after which an exponential backoff rises no more, share the last topic. (A largest
    /// delay that is not given is 30 s there: `ExponentialBackOffPolicy.DEFAULT_MAX_INTERVAL`.)
    pub fn unordered_retry_topics(&self) -> Vec<String> {
        let base = format!("{}{}", self.topic, self.retry_suffix);
        match self.policy.tiers_ms() {
            [_] => vec![base],
            tiers => tiers.iter().map(|delay| format!("{base}-{delay}")).collect(),
        }
    }

    /// The consumer group of the retry topics.
    pub fn retry_group(&self) -> String {
        format!("{}-retry", self.group)
    }

    /// The consumer group of its dead letters: `email-send-dlt-group` for `email-send-group`.
    pub fn dead_letter_group(&self) -> String {
        match self.group.strip_suffix("-group") {
            Some(name) => format!("{name}-dlt-group"),
            None => format!("{}-dlt", self.group),
        }
    }
}

fn merged(described: &RetryPolicy, settings: &RetrySettings) -> Retry {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Retry {
        retries: settings.retries.unwrap_or(described.retries),
        delay_ms: settings.delay.map_or(described.delay_ms, millis),
        multiplier: settings.multiplier.unwrap_or(described.multiplier),
        max_delay_ms: settings.max_delay.map_or(described.max_delay_ms, millis),
        jitter: settings.jitter.unwrap_or(described.jitter),
        max_age_ms: settings.max_age.map_or(described.max_age_ms, millis),
        blocking_tries: settings.blocking_tries.unwrap_or(0),
        blocking_delay_ms: millis(settings.blocking_delay.unwrap_or(BLOCKING_DELAY)),
    }
}

fn check(subscription: &Subscription) -> Result<(), String> {
    let Subscription { topic, group, dead_letter_topic, dead_letter_suffix, retry_suffix, .. } = subscription;
    if group.is_empty() || group.len() > 200 || group.contains(char::is_control) {
        return Err("its group is empty, too long or holds control characters".to_owned());
    }
    if subscription.concurrency.is_some_and(|calls| calls.get() > MAX_CONCURRENCY) {
        return Err(format!("its concurrency is more than {MAX_CONCURRENCY}"));
    }
    for (what, suffix) in [("retry", retry_suffix), ("dead-letter", dead_letter_suffix)] {
        if suffix.is_empty() {
            return Err(format!("its {what} suffix is empty"));
        }
    }
    if subscription.on_dead == OnDead::Hold && subscription.ordering != Ordering::Key {
        return Err(
            "on-dead = \"hold\" needs ordering = \"key\": without it no message follows another".to_owned()
        );
    }
    let retry_topics = subscription.retry_topics();
    let named = [("topic", topic), ("dead-letter topic", dead_letter_topic)];
    for (what, name) in named.into_iter().chain(retry_topics.iter().map(|name| ("retry topic", name))) {
        if !is_topic(name) {
            return Err(format!(
                "its {what} {name:?} is not a topic name (1 to {MAX_TOPIC} of a-z A-Z 0-9 . _ -)"
            ));
        }
    }
    if topic == dead_letter_topic {
        return Err("its dead-letter topic is the topic it reads".to_owned());
    }
    // Also those of other policies: a policy may change.
    let retries_of_it = format!("{topic}{retry_suffix}");
    let rest = dead_letter_topic.strip_prefix(&retries_of_it);
    if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) {
        return Err(format!("its dead-letter topic begins like its retry topics, {retries_of_it}"));
    }
    Ok(())
}

/// Whether Kafka takes this name for a topic's.
pub fn is_topic(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_TOPIC).contains(&name.len()) && name.bytes().all(legal) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use settings::{File, RuleSettings};

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
    fn what_is_left_out_is_as_the_plugin_describes_it() {
        let plain = Subscription::new(described(), None).expect("possible");
        let listed = Subscription::new(described(), Some(&settings("email.send"))).expect("possible");
        assert_eq!(format!("{plain:?}"), format!("{listed:?}"));
        assert_eq!(listed.policy.tiers_ms(), [1000, 2000, 4000, 8000, 16000]);
    }

    #[test]
    fn the_group_of_dead_letters_is_named_after_the_group() {
        let named = |group: &str| {
            let settings = PluginSettings { group: Some(group.into()), ..settings("email.send") };
            Subscription::new(described(), Some(&settings)).expect("possible").dead_letter_group()
        };
        assert_eq!(named("email-send-group"), "email-send-dlt-group");
        assert_eq!(named("mailers"), "mailers-dlt");
    }

    #[test]
    fn settings_count_more() {
        let mut settings = settings("mail");
        settings.retry = RetrySettings {
            retries: Some(2),
            delay: Some(Duration::from_millis(50)),
            ..RetrySettings::default()
        };
        let listed = Subscription::new(described(), Some(&settings)).expect("possible");
        assert_eq!((&*listed.topic, &*listed.dead_letter_topic), ("mail", "mail.dlt"));
        assert_eq!(listed.group, "email-send-group");
        assert_eq!(listed.policy.tiers_ms(), [50, 100]);
        settings.dead_letter_topic = Some("letters".into());
        settings.group = Some("mailers".into());
        let listed = Subscription::new(described(), Some(&settings)).expect("possible");
        assert_eq!((&*listed.dead_letter_topic, &*listed.group), ("letters", "mailers"));
    }

    #[test]
    fn what_is_not_possible_is_refused() {
        let mut bad = settings("a b");
        assert!(Subscription::new(described(), Some(&bad)).is_err_and(|what| what.contains("topic name")));
        bad = settings("email.send.dlt");
        bad.dead_letter_topic = Some("email.send.dlt".into());
        assert!(Subscription::new(described(), Some(&bad)).is_err_and(|what| what.contains("it reads")));
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
    fn topic_names_are_kafkas() {
        assert!(is_topic("email.send") && is_topic("a_b-c.9"));
        assert!(is_topic(&"x".repeat(249)) && !is_topic(&"x".repeat(250)));
        assert!(!is_topic("") && !is_topic("..") && !is_topic("a b"));
        // With the longest suffix it has to fit.
        let told = Subscription::new(described(), Some(&settings(&"x".repeat(240))));
        assert!(told.is_err_and(|what| what.contains("retry topic \"xxx")));
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
        Subscription::new(Described { retry, ..described() }, None).expect("possible")
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
        // One retry, and equal delays: the bare suffix.
        assert_eq!(topics(retrying(1, 1000, 2.0, 60_000)), ["-retry"]);
        assert_eq!(topics(retrying(4, 1000, 1.0, 60_000)), ["-retry"]);
        assert_eq!(topics(retrying(4, 1000, 2.0, 1000)), ["-retry"]);
        // The delays at the cap share one topic, which has its delay all the same.
        assert_eq!(topics(retrying(2, 1000, 2.0, 60_000)), ["-retry-1000", "-retry-2000"]);
        assert_eq!(topics(retrying(5, 1000, 2.0, 4000)), ["-retry-1000", "-retry-2000", "-retry-4000"]);
        assert_eq!(topics(retrying(4, 1000, 9.0, 1500)), ["-retry-1000", "-retry-1500"]);
    }

    #[test]
    fn suffixes_name_topics() {
        let mut given = settings("email.send");
        given.retry_suffix = Some(".again".into());
        given.dead_letter_suffix = Some("-dlt".into());
        let listed = Subscription::new(described(), Some(&given)).expect("possible");
        assert_eq!(listed.retry_topics()[0], "email.send.again-1000");
        assert_eq!(listed.dead_letter_topic, "email.send-dlt");
        given.retry.multiplier = Some(1.0);
        given.dead_letter_topic = Some("letters".into());
        let listed = Subscription::new(described(), Some(&given)).expect("possible");
        assert_eq!(listed.retry_topics(), ["email.send.again"]);
        assert_eq!(listed.dead_letter_topic, "letters", "a name counts more than a suffix");
        for (retry, dead, what) in [
            ("", ".dlt", "retry suffix is empty"),
            ("-retry", "", "dead-letter suffix is empty"),
            ("/x", ".dlt", "is not a topic name"),
            ("-dlt", "-dlt", "begins like"),
            (".dlt", ".dlt-1", "begins like"),
        ] {
            let mut given = settings("email.send");
            (given.retry_suffix, given.dead_letter_suffix) = (Some(retry.into()), Some(dead.into()));
            let told = Subscription::new(described(), Some(&given)).expect_err("not possible");
            assert!(told.contains(what), "{retry} {dead}: {told}");
        }
    }

    #[test]
    fn rules_and_blocking_tries_are_part_of_the_policy() {
        let mut given = settings("email.send");
        given.retry.blocking_tries = Some(3);
        given.rules =
            vec![RuleSettings { code: "smtp-*".into(), retries: Some(7), ..RuleSettings::default() }];
        let listed = Subscription::new(described(), Some(&given)).expect("possible");
        assert_eq!(listed.policy.tiers_ms().len(), 7);
        assert_eq!((listed.policy.retry().blocking_tries, listed.policy.retry().blocking_delay_ms), (3, 100));
        given.rules.push(RuleSettings { code: "smtp-1".into(), ..RuleSettings::default() });
        assert!(Subscription::new(described(), Some(&given)).is_err_and(|what| what.contains("smtp-1")));
        given = settings("email.send");
        given.concurrency = NonZeroU32::new(1001);
        assert!(Subscription::new(described(), Some(&given)).is_err_and(|what| what.contains("concurrency")));
    }

    #[test]
    fn the_example_of_the_guide_is_possible() {
        let guide = include_str!("../../../docs/guides/retries.md");
        let example = guide.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```"));
        let file = File::parse(example.expect("an example").0, &[]).expect("a file");
        let listed = Subscription::new(described(), file.plugins.first()).expect("possible");
        assert_eq!(listed.policy.rules().len(), 4);
        let smtp = listed.policy.ruling("smtp-421", false);
        assert_eq!((smtp.retries, smtp.blocking_tries), (10, 2));
        // What the guide says of it.
        let delays = [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000];
        assert_eq!(listed.policy.tiers_ms(), delays);
        assert_eq!(listed.concurrency, NonZeroU32::new(16));
    }
}
