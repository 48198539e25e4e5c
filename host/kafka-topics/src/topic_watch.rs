//! Watches the topics while the host runs: derived topics grow with their source and are created again if
//! deleted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::error::UserError;
use base::throttle::Throttle;
use parking_lot::Mutex;

use crate::admin::{Derived, Topics};
use crate::topic_check;
use crate::topic_plan::TopicPlan;
use crate::topic_settings::Known;
use crate::topic_state;
use kafka::publisher::{Destination, Publisher};

/// The default interval of the checks, and of the metadata refresh of consumers.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// The number of intervals after which every consumer has noticed that a topic was deleted.
const INTERVALS_UNTIL_NOTICED: u32 = 2;
/// The minimum time between two checks, however many publishes fail.
const PAUSE: Duration = Duration::from_secs(2);
/// The interval at which a lasting error is logged again.
const REPORT_INTERVAL: Duration = Duration::from_secs(300);

/// A source topic with the topics derived from it.
pub struct TopicChain {
    /// Their names.
    pub plan: TopicPlan,
    /// Its retry topics, which consumers read.
    pub retry: Vec<Destination>,
    /// Its dead-letter topic.
    pub dead_letter: Destination,
    /// The topic of the held keys, if the plugin holds any.
    pub held_keys: Option<Destination>,
}

/// Checks topic chains periodically.
pub struct TopicWatch {
    topics: Topics,
    publisher: Arc<Publisher>,
    interval: Duration,
    chains: Vec<(TopicChain, Reports)>,
    /// The settings of the topics, as they were read last.
    settings: Known,
    shown: Arc<Mutex<Known>>,
    deleted: DeletedTopics,
    /// Topics that have the name of a topic of decisions and are used otherwise.
    foreign: HashSet<String>,
}

impl TopicWatch {
    /// A watch that checks its chains every `interval`, and after a failed publish.
    pub fn new(topics: Topics, publisher: Arc<Publisher>, interval: Duration) -> Self {
        let deleted = DeletedTopics { since: HashMap::new(), wait: interval * INTERVALS_UNTIL_NOTICED };
        let (chains, settings, shown) = (Vec::new(), Known::new(), Arc::default());
        let foreign = HashSet::new();
        Self { topics, publisher, interval, chains, settings, shown, deleted, foreign }
    }

    /// The settings of the topics, as they were read last.
    pub fn settings(&self) -> Arc<Mutex<Known>> {
        Arc::clone(&self.shown)
    }

    /// Checks the topics of all plugins, before any is created.
    ///
    /// # Errors
    /// A topic cannot be used, or Kafka is unreachable.
    pub async fn check_all(&mut self, plans: &[TopicPlan]) -> Result<(), UserError> {
        let cluster = self.topics.survey(plans).await?;
        if cluster.has_hidden_settings {
            tracing::info!("{}", topic_state::hidden_settings());
        }
        let mut findings = topic_check::check(&cluster, plans);
        findings.extend(plans.iter().flat_map(|plan| topic_check::published(&cluster, plan, plans)));
        if let Some(refusal) = topic_check::refusal(&findings) {
            return Err(refusal);
        }
        for (name, finding) in topic_check::foreign_decisions(&cluster, plans) {
            tracing::warn!("{}", UserError::from(finding));
            self.foreign.insert(name);
        }
        self.settings = cluster.settings;
        Ok(())
    }

    /// The topic of a plugin's decisions, unless a topic of that name is used otherwise.
    pub fn decisions_of<'a>(&self, plan: &'a TopicPlan) -> Option<&'a str> {
        plan.decisions.as_deref().filter(|name| !self.foreign.contains(*name))
    }

    /// Makes sure that the topics of a plugin exist; see [`Topics::ensure`].
    ///
    /// # Errors
    /// A topic is missing and may not or cannot be created, or Kafka is unreachable.
    pub async fn ensure(&mut self, plan: &TopicPlan) -> Result<Derived, UserError> {
        self.topics.ensure(plan, &mut self.settings).await
    }

    /// Adds a chain, and logs the problems that `found` has.
    pub fn add(&mut self, chain: TopicChain, found: Derived) {
        let mut reports = Reports::default();
        reports.log(found.errors, found.warnings);
        self.chains.push((chain, reports));
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            self.shown.lock().clone_from(&self.settings);
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = self.publisher.topic_check_requested() => {}
            }
            self.check_chains().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn check_chains(&mut self) {
        let names: Vec<String> =
            self.chains.iter().flat_map(|(chain, _)| chain.plan.all()).cloned().collect();
        let mut are_settings_read = false;
        for (chain, reports) in &mut self.chains {
            // librdkafka logs an unreachable broker itself.
            if !self.topics.is_reachable(&chain.plan.source) {
                continue;
            }
            if !are_settings_read {
                are_settings_read = true;
                // Without an answer the last one counts, so that lasting problems are not logged anew.
                if let Some(settings) = self.topics.settings(&names).await {
                    self.settings = settings;
                }
            }
            let (errors, warnings) =
                check(&self.topics, &self.publisher, chain, &self.settings, &mut self.deleted).await;
            reports.log(errors, warnings);
        }
    }
}

/// Restores, grows and checks the topics of a chain. Returns the remaining errors and warnings.
async fn check(
    topics: &Topics,
    publisher: &Publisher,
    chain: &TopicChain,
    settings: &Known,
    deleted: &mut DeletedTopics,
) -> (Vec<UserError>, Vec<UserError>) {
    let retry = chain.retry.iter().filter(|to| !topics.creates() || deleted.may_create(topics, &to.name()));
    let derived: Vec<&Destination> = retry.chain([&chain.dead_letter]).chain(&chain.held_keys).collect();
    let names: Vec<String> = derived.iter().map(|to| to.name().into_owned()).collect();
    let found = match topics.follow(&chain.plan, &names, settings).await {
        Ok(found) => found,
        Err(error) => return (vec![error], Vec::new()),
    };
    for ((to, name), partitions) in derived.iter().zip(&names).zip(found.partitions) {
        // Before the new number of partitions is used: the producer refuses partitions that it does not know.
        tokio::task::block_in_place(|| publisher.refresh_metadata(name));
        to.set_partitions(partitions);
    }
    (found.errors, found.warnings)
}

/// Deleted retry topics. If a topic is created again at once, consumers continue at their old position and
/// skip the messages before it, since librdkafka does not reset the position. Every consumer must first
/// notice the deletion and lose its partitions.
struct DeletedTopics {
    since: HashMap<String, Instant>,
    wait: Duration,
}

impl DeletedTopics {
    /// Whether the topic exists, or was deleted long enough ago to be created again.
    fn may_create(&mut self, topics: &Topics, name: &str) -> bool {
        if !topics.is_missing(name) {
            self.since.remove(name);
            return true;
        }
        let wait = self.wait;
        let since = self.since.entry(name.to_owned()).or_insert_with(|| {
            let seconds = wait.as_secs();
            tracing::warn!(
                topic = name,
                "the topic was deleted; it is created again in {seconds} s, when its consumers have noticed"
            );
            Instant::now()
        });
        since.elapsed() >= wait
    }
}

/// The problems of a chain that were logged.
#[derive(Default)]
struct Reports(HashMap<String, Throttle>);

impl Reports {
    /// Logs errors once and then periodically, warnings once, and both again if they reappear. Returns the
    /// number of logged lines.
    fn log(&mut self, errors: Vec<UserError>, warnings: Vec<UserError>) -> usize {
        let mut previous = std::mem::take(&mut self.0);
        let mut logged = 0;
        let errors = errors.into_iter().map(|error| (error, Some(REPORT_INTERVAL)));
        let warnings = warnings.into_iter().map(|warning| (warning, None));
        for (problem, interval) in errors.chain(warnings) {
            let text = problem.to_string().replace("\n  help: ", "; ");
            let new = Throttle::new(interval.unwrap_or(Duration::MAX));
            let mut throttle = previous.remove(&text).unwrap_or(new);
            if throttle.is_due() {
                logged += 1;
                match interval {
                    Some(_) => tracing::error!("{text}"),
                    None => tracing::warn!("{text}"),
                }
            }
            self.0.insert(text, throttle);
        }
        logged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_problem_is_logged_once_and_again_when_it_reappears() {
        let problem = || vec![UserError::unavailable("topic t has 1 partition")];
        let mut reports = Reports::default();
        assert_eq!(reports.log(Vec::new(), problem()), 1);
        assert_eq!(reports.log(Vec::new(), problem()), 0);
        assert_eq!(reports.log(problem(), Vec::new()), 0);
        assert_eq!(reports.log(Vec::new(), Vec::new()), 0);
        assert_eq!(reports.log(problem(), Vec::new()), 1);
        assert_eq!(reports.log(vec![UserError::unavailable("another")], problem()), 1);
    }
}
