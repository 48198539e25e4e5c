//! Topics that change while the host runs: derived ones grow with their source and come back when
//! they are deleted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::error::UserError;

use crate::publisher::{Destination, Publisher};
use crate::topics::Topics;

/// How often the topics are looked at; consumers look for new partitions as often.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// After how many intervals every reader has noticed that a topic is gone.
const READERS_NOTICE: u32 = 2;
/// The pause after each look, however many publishes fail.
const PAUSE: Duration = Duration::from_secs(2);
/// How often the same failure is said.
const REPORT_INTERVAL: Duration = Duration::from_secs(300);

/// A source topic with the topics derived from it.
pub struct Chain {
    /// The source.
    pub source: String,
    /// Its retry topics, which consumers read.
    pub retry: Vec<Destination>,
    /// Its dead-letter topic.
    pub dead_letter: Destination,
}

/// Looks at the topics every `interval`, and when a publish failed, until it is dropped.
pub async fn run(topics: Topics, publisher: Arc<Publisher>, chains: Vec<Chain>, interval: Duration) {
    let mut reports: Vec<Reports> = chains.iter().map(|_| Reports::default()).collect();
    let mut gone = Gone { since: HashMap::new(), wait: interval * READERS_NOTICE };
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = publisher.in_doubt() => {}
        }
        for (chain, reports) in chains.iter().zip(&mut reports) {
            // Where nobody answers, librdkafka's own lines say so.
            if topics.answers(&chain.source) {
                reports.tell(look(&topics, &publisher, chain, &mut gone).await);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What could not be mended.
async fn look(topics: &Topics, publisher: &Publisher, chain: &Chain, gone: &mut Gone) -> Vec<UserError> {
    let retry = chain.retry.iter().filter(|to| !topics.creates() || gone.is_settled(topics, &to.name()));
    let derived: Vec<&Destination> = retry.chain([&chain.dead_letter]).collect();
    let names: Vec<String> = derived.iter().map(|to| to.name().into_owned()).collect();
    let found = match topics.follow(&chain.source, &names).await {
        Ok(found) => found,
        Err(failure) => return vec![failure],
    };
    for ((to, name), partitions) in derived.iter().zip(&names).zip(found.partitions) {
        // First of all: it refuses a partition that it does not know.
        tokio::task::block_in_place(|| publisher.look_up(name));
        to.set_partitions(partitions);
    }
    found.refused
}

/// Retry topics that were deleted. One that is made again at once is read on from the old position,
/// and what was put before it is skipped: librdkafka does not reset it. So first every reader must
/// have noticed, and given its partitions back.
struct Gone {
    since: HashMap<String, Instant>,
    wait: Duration,
}

impl Gone {
    /// Whether the topic is there, or was gone for long enough to make it again.
    fn is_settled(&mut self, topics: &Topics, name: &str) -> bool {
        if !topics.is_missing(name) {
            self.since.remove(name);
            return true;
        }
        let wait = self.wait;
        let since = self.since.entry(name.to_owned()).or_insert_with(|| {
            let seconds = wait.as_secs();
            tracing::warn!(
                topic = name,
                "gone; it is made again in {seconds} s, when its readers have noticed"
            );
            Instant::now()
        });
        since.elapsed() >= wait
    }
}

/// What was said of a chain, and when.
#[derive(Default)]
struct Reports(HashMap<String, Instant>);

impl Reports {
    /// Says each failure once and then at intervals, and again after it was mended.
    fn tell(&mut self, failures: Vec<UserError>) {
        let told = std::mem::take(&mut self.0);
        for failure in failures {
            let text = failure.to_string().replace("\n  help: ", "; ");
            let at = told.get(&text).copied().filter(|at| at.elapsed() < REPORT_INTERVAL);
            if at.is_none() {
                tracing::error!("{text}");
            }
            self.0.insert(text, at.unwrap_or_else(Instant::now));
        }
    }
}
