//! The topics of the plugins: what a start would refuse, what does not work at the moment, and the client's rights.

use std::slice;
use std::sync::Arc;

use base::error::UserError;
use base::finding::Finding;
use base::text::counted;
use consumer::Subscription;
use kafka::raw::admin;
use kafka::{client, errors};
use kafka_topics::admin::Topics;
use kafka_topics::topic_check::{self, Cluster};
use kafka_topics::topic_plan::TopicPlan;
use kafka_topics::topic_state;
use settings::{KafkaArgs, RunArgs};

use crate::TIMEOUT;
use crate::report::{Area, Check};

/// Surveys the topics; none is created or changed.
pub async fn check(args: Arc<RunArgs>, subscriptions: Arc<Vec<Subscription>>) -> Vec<Check> {
    let plans: Vec<TopicPlan> = subscriptions.iter().map(Subscription::topic_plan).collect();
    let surveyed = async { Topics::new(&args.kafka, false)?.survey(&plans).await };
    let cluster = match surveyed.await {
        Ok(cluster) => cluster,
        Err(error) => return vec![Check::new(Area::Topics, "survey", "", [Finding::refusal(&error)])],
    };
    let mut checks = Vec::with_capacity(plans.len() + 2);
    let mut known = Vec::new();
    for plan in &plans {
        let mut findings = topic_check::check(&cluster, slice::from_ref(plan));
        findings.extend(topic_state::check(&cluster, plan, args.create_topics));
        findings.extend(topic_check::published(&cluster, plan, &plans));
        known.extend(findings.iter().cloned());
        checks.push(Check::new(Area::Topics, &plan.source, detail(&cluster, plan), findings));
    }
    if plans.len() > 1 {
        let together =
            topic_check::check(&cluster, &plans).into_iter().filter(|found| !known.contains(found));
        checks.push(Check::new(Area::Topics, "together", "no plugin reads the retries of another", together));
    }
    checks.push(rights(&args, &cluster, &plans));
    checks
}

fn detail(cluster: &Cluster, plan: &TopicPlan) -> String {
    let Some(source) = cluster.topics.get(&plan.source) else {
        return "the host creates it, and its retry and dead-letter topics, at start".to_owned();
    };
    let retry = counted(plan.retry.len() as u64, "retry topic");
    let partitions = counted(source.partitions as u64, "partition");
    let detail = format!("{partitions}, {retry}, dead letters in {}", plan.dead_letter);
    match plan.all().filter(|name| !cluster.topics.contains_key(*name)).count() {
        0 => detail,
        missing => format!("{detail}; {missing} of them are created at start"),
    }
}

/// The rights on the topics that exist. A host without the right to settings works, and does not check them.
fn rights(args: &RunArgs, cluster: &Cluster, plans: &[TopicPlan]) -> Check {
    let hidden = cluster.has_hidden_settings.then(topic_state::hidden_settings);
    let (detail, missing) = match missing_rights(&args.kafka, args.desk, cluster, plans) {
        Ok(missing) => ("on topics: as needed".to_owned(), missing),
        Err(error) => (format!("on topics: unknown ({})", error.problem()), Vec::new()),
    };
    Check::new(Area::Topics, "rights", detail, missing.into_iter().chain(hidden))
}

fn missing_rights(
    kafka: &KafkaArgs,
    has_desk: bool,
    cluster: &Cluster,
    plans: &[TopicPlan],
) -> Result<Vec<Finding>, UserError> {
    let names = plans.iter().flat_map(TopicPlan::needed).filter(|name| cluster.topics.contains_key(*name));
    let names: Vec<&str> = names.map(String::as_str).collect();
    let connection = client::open(kafka, &[])?;
    let rights = admin::rights_on_topics(&connection, &names, TIMEOUT);
    client::drop_in_background(connection);
    let rights = rights.map_err(|code| UserError::unavailable(errors::short(code)))?;
    let mut findings: Vec<Finding> = Vec::new();
    for plan in plans {
        for name in plan.needed() {
            let Some(found) = rights.get(name) else { continue };
            let is_published = plan.publishes.contains(name);
            let is_read = !is_published && (*name != plan.dead_letter || has_desk);
            let is_written = !is_published && *name != plan.source;
            for (is_missing, right, why) in [
                (is_read && !found.read, "READ", "its messages are not handled"),
                (is_written && !found.write, "WRITE", "failed messages cannot be published to it"),
                (
                    is_published && !found.write,
                    "WRITE",
                    "a plugin cannot publish to it, and its messages wait",
                ),
            ] {
                let problem = format!("this client may not {right} topic {name}");
                if is_missing && findings.iter().all(|finding| finding.problem != problem) {
                    let cure = format!("grant {right} and DESCRIBE on topic {name} to this client");
                    findings.push(Finding::error(problem, why).cure(cure));
                }
            }
        }
    }
    Ok(findings)
}
