//! What of a plugin's topics does not work at the moment: facts about a cluster in, findings out. A host waits for most
//! of it, or mends it, so that a start does not refuse it as it refuses what [`crate::topic_check`] finds.

use base::error::UserError;
use base::finding::{Finding, Severity};
use base::text;

use crate::topic_check::{Cluster, Shape};
use crate::topic_plan::TopicPlan;

/// Checks the topics of a plugin. `creates` is whether the host creates and grows topics.
pub fn check(cluster: &Cluster, plan: &TopicPlan, creates: bool) -> Vec<Finding> {
    let source = cluster.topics.get(&plan.source);
    let mut findings = Vec::new();
    for name in plan.all() {
        let Some(shape) = cluster.topics.get(name) else {
            if !creates {
                findings.push(Finding::refusal(&missing(name, &cluster.bootstrap_servers)));
            }
            continue;
        };
        findings.extend(leaders(cluster, name, shape));
        findings.extend(replicas(cluster, plan, name, shape));
        let wanted = source.map_or(0, |source| plan.partitions_of(name, source.partitions));
        if shape.partitions < wanted && !creates {
            let error = too_few_partitions(name, shape.partitions, &plan.source, wanted);
            let why = "an order by key or partition is that of the source only with the same partitions";
            findings.push(Finding::of(Severity::Warning, &error, why));
        }
    }
    for name in &plan.publishes {
        if let Some(shape) = cluster.topics.get(name) {
            findings.extend(leaders(cluster, name, shape));
            findings.extend(replicas(cluster, plan, name, shape));
        }
    }
    findings
}

/// The finding of a client that may not read the settings of all topics.
pub fn hidden_settings() -> Finding {
    let problem = "settings of topics are not checked, such as their retention";
    Finding::warning(problem, "records may be removed before they are handled")
        .cure("for that, grant this client DESCRIBE_CONFIGS on its topics")
}

/// The error for a topic that does not exist.
pub(crate) fn missing(name: &str, address: &str) -> UserError {
    UserError::unavailable(format!("topic {name} does not exist"))
        .help(format!("create it: host topics create {name} --bootstrap-servers {address}"))
        .help("or let the host create it: --create-topics=true")
}

pub(crate) fn too_few_partitions(name: &str, count: usize, source: &str, wanted: usize) -> UserError {
    let partitions = text::counted(count as u64, "partition");
    UserError::unavailable(format!("topic {name} has {partitions}, its source {source} has {wanted}"))
        .help(format!("add partitions to topic {name}, or let the host do it: --create-topics=true"))
        .help(placed_by_key(count))
}

pub(crate) fn placed_by_key(partitions: usize) -> String {
    format!("until then, messages from partition {partitions} and above are placed by their key")
}

fn leaders(cluster: &Cluster, name: &str, shape: &Shape) -> Option<Finding> {
    (shape.leaderless > 0).then(|| {
        let partitions = text::counted(shape.leaderless as u64, "partition");
        Finding::error(
            format!("topic {name} has {partitions} without a leader"),
            "nothing can be read from them or published to them",
        )
        .cure(describe(name, cluster, "start the brokers of their replicas"))
    })
}

/// Replicas that a topic needs for `acks=all`. The host does not publish to the source, but its producers do.
fn replicas(cluster: &Cluster, plan: &TopicPlan, name: &String, shape: &Shape) -> Option<Finding> {
    let needed = cluster.settings.get(name)?.min_insync_replicas?;
    if shape.in_sync >= needed || shape.leaderless > 0 {
        return None;
    }
    let problem = format!(
        "topic {name} has a partition with {} in sync, and min.insync.replicas={needed}",
        text::counted(shape.in_sync as u64, "replica")
    );
    let finding = if *name == plan.source {
        Finding::warning(problem, "its producers cannot publish with acks=all")
    } else if plan.publishes.contains(name) {
        Finding::error(problem, "plugins cannot publish to it, and their messages wait")
    } else {
        Finding::error(problem, "failed messages cannot be published to it, and their partitions wait")
    };
    Some(finding.cure(describe(name, cluster, "start the brokers of its other replicas")))
}

fn describe(name: &str, cluster: &Cluster, what: &str) -> String {
    format!("{what}: host topics describe {name} --bootstrap-servers {}", cluster.bootstrap_servers)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::topic_settings::TopicSettings;

    const WELL: Shape = Shape { partitions: 2, replication: 3, leaderless: 0, in_sync: 3 };

    /// What is found in a cluster with the topics `s`, `s-retry` and `s.dlt`, of which one has this shape.
    fn found(name: &str, shape: Option<Shape>, creates: bool) -> Vec<String> {
        let plan = TopicPlan {
            group: "g".into(),
            source: "s".into(),
            retry: vec!["s-retry".into()],
            dead_letter: "s.dlt".into(),
            held_keys: None,
            decisions: None,
            max_wait: Duration::ZERO,
            publishes: Vec::new(),
        };
        let mut cluster = Cluster { bootstrap_servers: "kafka:9092".into(), ..Cluster::default() };
        for topic in plan.all() {
            let shape = if topic == name { shape } else { Some(WELL) };
            cluster.topics.extend(shape.map(|shape| (topic.clone(), shape)));
            let settings = TopicSettings { min_insync_replicas: Some(2), ..TopicSettings::default() };
            cluster.settings.insert(topic.clone(), settings);
        }
        let findings = check(&cluster, &plan, creates);
        findings.iter().map(|finding| format!("{:?}: {finding}", finding.severity)).collect()
    }

    #[test]
    fn each_state_that_does_not_work_is_found() {
        for (name, shape, creates, expected) in [
            (
                "s.dlt",
                None,
                false,
                "Error: topic s.dlt does not exist: the host does not start; create it: host",
            ),
            (
                "s",
                Some(Shape { leaderless: 1, in_sync: 0, ..WELL }),
                true,
                "Error: topic s has 1 partition without",
            ),
            (
                "s",
                Some(Shape { in_sync: 1, ..WELL }),
                true,
                "Warning: topic s has a partition with 1 replica in",
            ),
            (
                "s-retry",
                Some(Shape { in_sync: 1, ..WELL }),
                true,
                "Error: topic s-retry has a partition with 1",
            ),
            (
                "s.dlt",
                Some(Shape { partitions: 1, ..WELL }),
                false,
                "Warning: topic s.dlt has 1 partition, its",
            ),
        ] {
            let found = found(name, shape, creates);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:?}");
        }
        for (name, shape) in
            [("s", Some(WELL)), ("s", None), ("s.dlt", Some(Shape { partitions: 1, ..WELL }))]
        {
            assert_eq!(found(name, shape, true), [""; 0], "{name}: {shape:?}");
        }
    }
}
