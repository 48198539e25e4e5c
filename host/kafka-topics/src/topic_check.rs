//! What is wrong with the topics of plugins: facts about a cluster in, findings out.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use base::error::UserError;
use base::finding::{Finding, Severity};
use humantime_serde::re::humantime::format_duration;

use crate::topic_plan::{self, ABSENCE, TopicPlan};
use crate::topic_settings::{Known, TopicSettings};

/// What to do about a retry topic of two plugins.
const SET_ANOTHER: &str =
    "set another topic, retry-suffix or dead-letter-topic for one of the plugins in [[plugin]]";

/// What is known of a cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    /// Its address, for commands.
    pub bootstrap_servers: String,
    /// Its topics, as far as the client may see them.
    pub topics: BTreeMap<String, Shape>,
    /// Settings of its topics.
    pub settings: Known,
    /// Whether the client may not read the settings of a topic that it asked for.
    pub has_hidden_settings: bool,
}

/// The partitions of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The number of partitions.
    pub partitions: usize,
    /// The replicas of each.
    pub replication: usize,
    /// The number of partitions that no broker leads.
    pub leaderless: usize,
    /// The fewest replicas that a partition has in sync.
    pub in_sync: usize,
}

/// Checks the topics of these plugins: those that exist, and the names of those that do not. What is not known is
/// not reported.
pub fn check(cluster: &Cluster, plans: &[TopicPlan]) -> Vec<Finding> {
    let mut findings = shared_topics(plans);
    findings.extend(shared_held_keys(plans));
    findings.extend(colliding_names(cluster, plans));
    findings.extend(foreign_decisions(cluster, plans).into_iter().map(|(_, finding)| finding));
    for plan in plans {
        for name in plan.derived() {
            if let Some(settings) = cluster.settings.get(&name) {
                let topic = Existing { cluster, plan, name: &name, settings };
                let found = match plan.is_held_keys(&name) {
                    true => [topic.no_compaction(), None, None, topic.replicas()],
                    false => [topic.compaction(), topic.retention(), topic.size(), topic.replicas()],
                };
                findings.extend(found.into_iter().flatten());
            }
        }
    }
    // Plugins may share a derived topic.
    let mut distinct = Vec::with_capacity(findings.len());
    findings.into_iter().for_each(|finding| {
        if !distinct.contains(&finding) {
            distinct.push(finding);
        }
    });
    distinct
}

/// Checks the topics to which a plugin of `all` may publish: they exist, or are the source of a plugin, for which they are
/// created; and none is a topic of failed messages.
pub fn published(cluster: &Cluster, plan: &TopicPlan, all: &[TopicPlan]) -> Vec<Finding> {
    let (mut findings, group) = (Vec::new(), &plan.group);
    for name in &plan.publishes {
        let taken = all.iter().find(|other| other.derived().contains(name));
        let finding = if let Some(other) = taken {
            let owner = &other.group;
            let problem =
                format!("group {group} may publish to {name}, a topic of the failed messages of {owner}");
            let why = "its records would be taken for failed messages";
            Finding::error(problem, why).cure("publish to another topic")
        } else if !cluster.topics.contains_key(name) && !all.iter().any(|other| other.source == *name) {
            let why = format!("the plugin of group {group} publishes to it, and the host does not create it");
            let address = &cluster.bootstrap_servers;
            Finding::error(format!("topic {name} does not exist"), why)
                .cure(format!("create it: host topics create {name} --bootstrap-servers {address}"))
        } else {
            continue;
        };
        findings.push(finding.cure(format!("or remove \"produce:{name}\" from the plugin's `allow`")));
    }
    findings
}

/// The error for findings with which the host does not start, if there are any.
pub fn refusal(findings: &[Finding]) -> Option<UserError> {
    let errors: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let [first, others @ ..] = errors.as_slice() else { return None };
    if others.is_empty() {
        return Some((*first).clone().into());
    }
    let lines = errors.iter().map(|finding| format!("\n  {}: {}", finding.problem, finding.why));
    let error = UserError::usage(format!("topics cannot be used:{}", lines.collect::<String>()));
    Some(errors.iter().flat_map(|finding| finding.cures.clone()).fold(error, UserError::help))
}

/// Retry topics that another plugin reads as something else. Retry topics and dead-letter topics of one kind may be
/// shared: records have the group that wrote them.
fn shared_topics(plans: &[TopicPlan]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for plan in plans {
        for other in plans.iter().filter(|other| other.group != plan.group) {
            let TopicPlan { source, dead_letter, group: reader, .. } = other;
            let group = &plan.group;
            let mut add = |name: &String, what: &str, why: String| {
                findings.push(Finding {
                    severity: Severity::Error,
                    problem: format!(
                        "topic {name} is a retry topic of group {group} and {what} of group {reader}"
                    ),
                    why,
                    cures: vec![SET_ANOTHER.to_owned()],
                });
            };
            if plan.is_retry(source) {
                add(
                    source,
                    "the source topic",
                    format!("group {reader} would handle the retries of {group}"),
                );
            }
            if plan.is_retry(dead_letter) {
                let why = format!("retries of {group} would be stored as dead letters of {reader}");
                add(dead_letter, "the dead-letter topic", why);
            }
        }
    }
    findings
}

/// Topics of held keys that a plugin uses as something else.
fn shared_held_keys(plans: &[TopicPlan]) -> impl Iterator<Item = Finding> {
    let used = |plan: &TopicPlan| Some((plan.group.clone(), plan.held_keys.clone()?));
    plans.iter().filter_map(used).filter_map(|(group, name)| {
        let (other, what) = used_as(plans, &name)?;
        Some(Finding {
            severity: Severity::Error,
            problem: format!(
                "topic {name} has the held keys of group {group} and is {what} of group {other}"
            ),
            why: format!("group {other} would handle held keys as messages"),
            cures: vec![
                "set another topic, retry-suffix or dead-letter-topic for one of the plugins in [[plugin]]"
                    .to_owned(),
                "or hold no keys: on-dead = \"continue\"".to_owned(),
            ],
        })
    })
}

/// The group that uses a topic for messages, and as what.
fn used_as<'a>(plans: &'a [TopicPlan], name: &str) -> Option<(&'a str, &'static str)> {
    plans.iter().find_map(|plan| {
        let what = match name {
            name if plan.source == name => "the source topic",
            name if plan.dead_letter == name => "the dead-letter topic",
            name if plan.is_retry(name) => "a retry topic",
            _ => return None,
        };
        Some((plan.group.as_str(), what))
    })
}

/// Topics that have the name of a topic of decisions and are used otherwise. The host leaves them alone: it neither reads
/// them nor decides anything about the retries of that source.
pub fn foreign_decisions(cluster: &Cluster, plans: &[TopicPlan]) -> Vec<(String, Finding)> {
    let found = plans.iter().filter_map(|plan| {
        let name = plan.decisions.as_ref()?;
        let is = other_use(cluster, plans, name)?;
        let source = &plan.source;
        let finding = Finding {
            severity: Severity::Warning,
            problem: format!("topic {name} {is}, so it is not the topic of decisions about retries of {source}"),
            why: "it is left alone, and waiting retries are listed but cannot be run now, postponed or given up"
                .to_owned(),
            cures: vec![format!(
                "if nothing uses the topic, delete it: host topics delete {name} --bootstrap-servers {}; the host \
                 creates it with the first decision",
                cluster.bootstrap_servers
            )],
        };
        Some((name.clone(), finding))
    });
    found.collect()
}

/// Why a topic is not one of decisions, if anything tells.
fn other_use(cluster: &Cluster, plans: &[TopicPlan], name: &str) -> Option<String> {
    if let Some((group, what)) = used_as(plans, name) {
        return Some(format!("is {what} of group {group}"));
    }
    let shape = cluster.topics.get(name)?;
    if shape.partitions != 1 {
        return Some(format!("has {} partitions, not one", shape.partitions));
    }
    let policy = cluster.settings.get(name)?.cleanup_policy.as_deref()?.trim();
    (policy != "compact").then(|| format!("is not compacted alone (cleanup.policy={policy})"))
}

/// Names that Kafka refuses to create, because they differ from another topic's only in `.` and `_`. The names of
/// metrics, in which both are `_`, would be the same.
fn colliding_names(cluster: &Cluster, plans: &[TopicPlan]) -> Vec<Finding> {
    let unified = |name: &str| name.replace('.', "_");
    let mut by_unified: HashMap<String, &str> =
        cluster.topics.keys().map(|name| (unified(name), name.as_str())).collect();
    let mut findings = Vec::new();
    for name in plans.iter().flat_map(TopicPlan::all) {
        if cluster.topics.contains_key(name) {
            continue;
        }
        let other = *by_unified.entry(unified(name)).or_insert(name);
        if other != name {
            let exists = if cluster.topics.contains_key(other) { "exists" } else { "is to be created too" };
            findings.push(Finding {
                severity: Severity::Error,
                problem: format!("topic {name} cannot be created, because topic {other} {exists}"),
                why: "Kafka refuses names that differ only in '.' and '_'".to_owned(),
                cures: vec![
                    "set another topic, retry-suffix, dead-letter-suffix or dead-letter-topic in [[plugin]]"
                        .to_owned(),
                ],
            });
        }
    }
    findings
}

/// A derived topic that exists.
struct Existing<'a> {
    cluster: &'a Cluster,
    plan: &'a TopicPlan,
    name: &'a str,
    settings: &'a TopicSettings,
}

impl Existing<'_> {
    fn compaction(&self) -> Option<Finding> {
        let policy = self.settings.cleanup_policy.as_ref()?;
        policy.split(',').any(|part| part.trim() == "compact").then(|| Finding {
            severity: Severity::Error,
            problem: format!("topic {} is compacted (cleanup.policy={policy})", self.name),
            why: "Kafka refuses failed messages without a key, and removes all but the last one of a key"
                .to_owned(),
            cures: vec![self.set("cleanup.policy", "delete")],
        })
    }

    fn no_compaction(&self) -> Option<Finding> {
        let policy = self.settings.cleanup_policy.as_ref()?;
        (policy.trim() != "compact").then(|| Finding {
            severity: Severity::Error,
            problem: format!("topic {} is not compacted alone (cleanup.policy={policy})", self.name),
            why: "Kafka would remove held keys after a time, or the topic is another application's"
                .to_owned(),
            cures: vec![
                format!("if nothing else uses the topic: {}", self.set("cleanup.policy", "compact")),
                "otherwise hold no keys: on-dead = \"continue\"".to_owned(),
            ],
        })
    }

    fn retention(&self) -> Option<Finding> {
        let kept_ms = u64::try_from(self.settings.retention_ms?).ok()?;
        let needed_ms = self.plan.needed_retention_ms(self.name);
        let waits = if self.plan.is_retry(self.name) {
            format!("retries wait for up to {} (max-age)", format_duration(self.plan.max_wait))
        } else {
            "dead letters wait until the desk has stored them".to_owned()
        };
        let wanted = self.plan.retention_ms(self.name, self.cluster.settings.get(&self.plan.source));
        (kept_ms < needed_ms).then(|| Finding {
            severity: Severity::Warning,
            problem: format!(
                "topic {} keeps records for {} (retention.ms={kept_ms}), and {} are needed",
                self.name,
                time(kept_ms),
                time(needed_ms)
            ),
            why: format!(
                "{waits}, also while no host runs, for which {} are allowed; what Kafka removes before is lost",
                format_duration(ABSENCE)
            ),
            cures: vec![self.set("retention.ms", &wanted.to_string())],
        })
    }

    fn size(&self) -> Option<Finding> {
        let limit = u64::try_from(self.settings.retention_bytes?).ok()?;
        Some(Finding {
            severity: Severity::Warning,
            problem: format!("topic {} is limited in size (retention.bytes={limit})", self.name),
            why: "what Kafka removes from a larger partition before it is handled is lost".to_owned(),
            cures: vec![self.set("retention.bytes", "-1")],
        })
    }

    fn replicas(&self) -> Option<Finding> {
        let source = &self.plan.source;
        let shape = self.cluster.topics.get(source)?;
        let wanted = topic_plan::min_insync_replicas(self.cluster.settings.get(source)?, shape.replication)?;
        let found = self.settings.min_insync_replicas?;
        let replication = self.cluster.topics.get(self.name)?.replication;
        let set = self.set("min.insync.replicas", &wanted.to_string());
        (found < wanted).then(|| Finding {
            severity: Severity::Warning,
            problem: format!(
                "topic {} has min.insync.replicas={found}, its source {source} has {wanted}",
                self.name
            ),
            why: "a failed message may be lost with fewer brokers than a message of the source".to_owned(),
            cures: vec![if replication < wanted {
                format!("give the topic {wanted} replicas (kafka-reassign-partitions), then {set}")
            } else {
                set
            }],
        })
    }

    /// The command that changes a setting.
    fn set(&self, setting: &str, value: &str) -> String {
        format!(
            "kafka-configs --bootstrap-server {} --alter --entity-type topics --entity-name {} --add-config \
             {setting}={value}",
            self.cluster.bootstrap_servers, self.name
        )
    }
}

fn time(millis: u64) -> String {
    format_duration(Duration::from_millis(millis)).to_string()
}

#[cfg(test)]
#[path = "topic_check_tests.rs"]
mod tests;
