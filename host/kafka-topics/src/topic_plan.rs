//! The topics of a plugin as configured, and the settings of those that are derived from its source.

use std::time::Duration;

use base::clock::{millis, millis_u64};

use crate::topic_settings::TopicSettings;

/// For how long derived topics keep records at least when the host creates them: for a host that is away for as long
/// as Kafka keeps messages by default.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// The absence of the host that existing topics must cover: a long weekend. Topics that other tools create have the
/// broker's retention, 7 days by default.
pub const ABSENCE: Duration = Duration::from_secs(3 * 24 * 3600);
/// The additional size of records in derived topics in bytes, for the host's headers.
const HEADER_ROOM: u64 = 64 << 10;
/// The broker's default for `max.message.bytes`.
const DEFAULT_MAX_MESSAGE_BYTES: u64 = 1_048_588;

/// The topics of a plugin, which may not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// The consumer group.
    pub group: String,
    /// The source topic.
    pub source: String,
    /// The retry topics.
    pub retry: Vec<String>,
    /// The dead-letter topic.
    pub dead_letter: String,
    /// The topic of the held keys, if the plugin holds any.
    pub held_keys: Option<String>,
    /// The topic of the decisions about waiting retries, which exists from the first decision on. None without retry
    /// topics.
    pub decisions: Option<String>,
    /// The longest time that a record waits in a retry topic until it is due.
    pub max_wait: Duration,
    /// The topics to which the plugin may publish. Others create them.
    pub publishes: Vec<String>,
}

impl TopicPlan {
    /// The plan of a compacted topic alone.
    pub fn of_compacted(source: &str, name: &str) -> Self {
        Self {
            group: String::new(),
            source: source.to_owned(),
            retry: Vec::new(),
            dead_letter: String::new(),
            held_keys: Some(name.to_owned()),
            decisions: None,
            max_wait: Duration::ZERO,
            publishes: Vec::new(),
        }
    }

    /// The topics derived from the source: the retry topics, the dead-letter topic, the topic of held keys.
    pub fn derived(&self) -> Vec<String> {
        self.retry.iter().chain([&self.dead_letter]).chain(&self.held_keys).cloned().collect()
    }

    /// The source, then the derived topics.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        [&self.source].into_iter().chain(&self.retry).chain([&self.dead_letter]).chain(&self.held_keys)
    }

    /// All that must exist: [`TopicPlan::all`], and those to which the plugin may publish.
    pub fn needed(&self) -> impl Iterator<Item = &String> {
        self.all().chain(&self.publishes)
    }

    /// The settings with which a derived topic is created. `source` is None if the source's cannot be read.
    pub fn settings_of(
        &self,
        derived: &str,
        source: Option<&TopicSettings>,
        replication: usize,
    ) -> Vec<(&'static str, String)> {
        let limit = source.and_then(|source| source.max_message_bytes).unwrap_or(DEFAULT_MAX_MESSAGE_BYTES);
        let mut settings = if self.is_held_keys(derived) {
            vec![("cleanup.policy", "compact".to_owned())]
        } else {
            vec![
                ("cleanup.policy", "delete".to_owned()),
                ("max.message.bytes", limit.saturating_add(HEADER_ROOM).to_string()),
                ("retention.ms", self.retention_ms(derived, source).to_string()),
                ("retention.bytes", "-1".to_owned()),
            ]
        };
        if let Some(wanted) = source.and_then(|source| min_insync_replicas(source, replication)) {
            settings.push(("min.insync.replicas", wanted.to_string()));
        }
        settings
    }

    /// The retention in milliseconds of a derived topic that the host creates: that of the source and at least 7
    /// days, after the time that its records wait. Negative: unlimited.
    pub fn retention_ms(&self, derived: &str, source: Option<&TopicSettings>) -> i64 {
        match source.and_then(|source| source.retention_ms) {
            Some(kept) if kept < 0 => -1,
            kept => kept.unwrap_or(0).max(millis(RETENTION)).saturating_add(millis(self.wait(derived))),
        }
    }

    /// The retention in milliseconds that a derived topic needs so that a host finds its records again after an
    /// [`ABSENCE`].
    pub fn needed_retention_ms(&self, derived: &str) -> u64 {
        millis_u64(ABSENCE + self.wait(derived))
    }

    /// Whether it is one of the retry topics.
    pub fn is_retry(&self, name: &str) -> bool {
        self.retry.iter().any(|retry| retry == name)
    }

    /// Whether it is the topic of the held keys.
    pub fn is_held_keys(&self, name: &str) -> bool {
        self.held_keys.as_deref() == Some(name)
    }

    /// The partitions that a derived topic needs: those of its source, or one for held keys.
    pub fn partitions_of(&self, derived: &str, source: usize) -> usize {
        if self.is_held_keys(derived) { 1 } else { source }
    }

    fn wait(&self, derived: &str) -> Duration {
        if self.is_retry(derived) { self.max_wait } else { Duration::ZERO }
    }
}

/// The replicas that must have a record of a derived topic: as many as for the source, but not more than there are,
/// since the host publishes with `acks=all` and others may publish to the source without.
pub fn min_insync_replicas(source: &TopicSettings, replication: usize) -> Option<usize> {
    source.min_insync_replicas.map(|wanted| wanted.min(replication.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn plan() -> TopicPlan {
        TopicPlan {
            group: "g".into(),
            source: "s".into(),
            retry: vec!["s-retry".into()],
            dead_letter: "s.dlt".into(),
            held_keys: Some("s-held".into()),
            decisions: Some("s-waiting".into()),
            max_wait: Duration::from_secs(24 * 3600),
            publishes: Vec::new(),
        }
    }

    fn keeping(days: i64) -> TopicSettings {
        TopicSettings { retention_ms: Some(days * DAY_MS), ..TopicSettings::default() }
    }

    #[test]
    fn derived_topics_keep_records_for_at_least_7_days_and_as_long_as_the_source() {
        let days = |name: &str, source: Option<i64>| {
            plan().retention_ms(name, source.map(keeping).as_ref()) as f64 / DAY_MS as f64
        };
        for (source, retry, dead_letter) in
            [(None, 8.0, 7.0), (Some(1), 8.0, 7.0), (Some(7), 8.0, 7.0), (Some(30), 31.0, 30.0)]
        {
            assert_eq!((days("s-retry", source), days("s.dlt", source)), (retry, dead_letter), "{source:?}");
        }
        let forever = TopicSettings { retention_ms: Some(-1), ..TopicSettings::default() };
        assert_eq!(plan().retention_ms("s-retry", Some(&forever)), -1);
        let longest = TopicSettings { retention_ms: Some(i64::MAX), ..TopicSettings::default() };
        assert_eq!(plan().retention_ms("s-retry", Some(&longest)), i64::MAX);
    }

    #[test]
    fn derived_topics_are_created_after_the_pattern_of_the_source() {
        let source = TopicSettings {
            min_insync_replicas: Some(2),
            max_message_bytes: Some(200_000),
            retention_bytes: Some(1000),
            ..keeping(1)
        };
        let settings: Vec<String> = plan()
            .settings_of("s.dlt", Some(&source), 3)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let expected = [
            "cleanup.policy=delete",
            "max.message.bytes=265536",
            "retention.ms=604800000",
            "retention.bytes=-1",
            "min.insync.replicas=2",
        ];
        assert_eq!(settings, expected);
        let held = plan().settings_of("s-held", Some(&source), 3);
        let expected = [("cleanup.policy", "compact".to_owned()), ("min.insync.replicas", "2".to_owned())];
        assert_eq!(held, expected);
        let unknown = plan().settings_of("s.dlt", None, 3);
        assert!(unknown.iter().all(|(name, _)| *name != "min.insync.replicas"), "{unknown:?}");
    }

    #[test]
    fn no_more_replicas_are_required_than_there_are() {
        let source = TopicSettings { min_insync_replicas: Some(2), ..TopicSettings::default() };
        assert_eq!(
            [1, 2, 3].map(|replication| min_insync_replicas(&source, replication)),
            [Some(1), Some(2), Some(2)]
        );
    }
}
