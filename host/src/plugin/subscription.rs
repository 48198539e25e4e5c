//! What a plugin subscribes to: as it describes itself, below what the configuration says.

use super::bindings::exports::consumer::plugin::lifecycle::{RetryPolicy, Subscription as Described};
use crate::config::{OnDead, PluginSettings, RetrySettings};
use crate::kafka::order::Ordering;
use crate::pipeline::policy::{Policy, Retry};

/// Kafka's longest topic name, less what a tier's suffix takes.
const MAX_TOPIC: usize = 249 - "-retry-86400000".len();

/// Topic, group, and what becomes of failures.
#[derive(Debug)]
pub struct Subscription {
    /// The topic it handles.
    pub topic: String,
    /// The consumer group it handles it in.
    pub group: String,
    /// Where its dead letters go.
    pub dead_letter_topic: String,
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
        let Described { topic, group, dead_letter_topic, retry } = described;
        let moved = settings.is_some_and(|settings| settings.topic != topic);
        let topic = settings.map_or(topic, |settings| settings.topic.clone());
        let dead_letter_topic = match settings.and_then(|settings| settings.dead_letter_topic.clone()) {
            Some(named) => named,
            // What the plugin describes belongs to its own topic.
            None if moved => format!("{topic}.dlt"),
            None => dead_letter_topic,
        };
        let group = settings.and_then(|settings| settings.group.clone()).unwrap_or(group);
        check(&topic, &group, &dead_letter_topic)?;
        let ordering = settings.and_then(|settings| settings.ordering).unwrap_or_default();
        let on_dead = settings.and_then(|settings| settings.on_dead).unwrap_or_default();
        if on_dead == OnDead::Hold && ordering != Ordering::Key {
            return Err("on-dead = \"hold\" needs ordering = \"key\": without it no message follows another"
                .to_owned());
        }
        let settings = settings.map(|settings| settings.retry.clone()).unwrap_or_default();
        let policy = Policy::new(merged(&retry, &settings))
            .map_err(|what| format!("its retry policy is not possible: {what}"))?;
        Ok(Self { topic, group, dead_letter_topic, policy, ordering, on_dead })
    }

    /// The retry topics, one per tier, shortest delay first; none where failed messages are tried
    /// again in their place.
    pub fn retry_topics(&self) -> Vec<String> {
        if self.ordering.is_in_place() {
            return Vec::new();
        }
        self.policy.tiers_ms().iter().map(|delay| format!("{}-retry-{delay}", self.topic)).collect()
    }

    /// The consumer group of the retry topics.
    pub fn retry_group(&self) -> String {
        format!("{}-retry", self.group)
    }
}

fn merged(described: &RetryPolicy, settings: &RetrySettings) -> Retry {
    let millis = |time: Option<std::time::Duration>, described: u64| {
        time.map_or(described, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    Retry {
        retries: settings.retries.unwrap_or(described.retries),
        delay_ms: millis(settings.delay, described.delay_ms),
        multiplier: settings.multiplier.unwrap_or(described.multiplier),
        max_delay_ms: millis(settings.max_delay, described.max_delay_ms),
        jitter: settings.jitter.unwrap_or(described.jitter),
        max_age_ms: millis(settings.max_age, described.max_age_ms),
    }
}

fn check(topic: &str, group: &str, dead_letter_topic: &str) -> Result<(), String> {
    if group.is_empty() || group.len() > 200 || group.contains(char::is_control) {
        return Err("its group is empty, too long or holds control characters".to_owned());
    }
    for (what, name) in [("topic", topic), ("dead-letter topic", dead_letter_topic)] {
        if !is_topic(name) {
            return Err(format!(
                "its {what} {name:?} is not a topic name (1 to {MAX_TOPIC} of a-z A-Z 0-9 . _ -)"
            ));
        }
    }
    if topic == dead_letter_topic {
        return Err("its dead-letter topic is the topic it reads".to_owned());
    }
    let retries_of_it = format!("{topic}-retry-");
    if dead_letter_topic.starts_with(&retries_of_it) {
        return Err(format!("its dead-letter topic begins like its retry topics, {retries_of_it}"));
    }
    Ok(())
}

fn is_topic(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_TOPIC).contains(&name.len()) && name.bytes().all(legal) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        assert!(!is_topic("") && !is_topic("..") && !is_topic("a b") && !is_topic(&"x".repeat(249)));
    }
}
