//! Answers to decisions, and the removal of those that are done.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use base::clock;
use base::throttle::Throttle;

use super::{Decision, Decisions, Entry, Key, Part, Standing, Target, standing};
use crate::partition::Partition;
use crate::publisher::Publisher;

/// The interval at which decisions are answered.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long an answer stays at least, for those that wait for it, in milliseconds.
const KEPT_MS: i64 = 10_000;
/// The interval at which it is logged that answers cannot be published.
const REPORT_INTERVAL: Duration = Duration::from_secs(300);

impl Decisions {
    /// Answers the decisions about partitions of this process, and removes those whose messages are done, until dropped.
    pub async fn answer(self: Arc<Self>, publisher: Arc<Publisher>) {
        let mut report = Throttle::new(REPORT_INTERVAL);
        loop {
            tokio::time::sleep(INTERVAL).await;
            let records = self.answers();
            if records.is_empty() {
                continue;
            }
            if let (_, Some(error)) = self.publish(&publisher, records).await
                && report.is_due()
            {
                // They apply without an answer, and the next round tries again.
                tracing::warn!(topic = %self.topic.name(), %error, "decisions about waiting retries cannot be answered");
            }
        }
    }

    /// What is to be published now.
    fn answers(&self) -> Vec<(Key, Option<Entry>)> {
        if self.is_empty() {
            return Vec::new();
        }
        let partitions: Vec<Arc<Partition>> =
            self.partitions.lock().iter().filter_map(Weak::upgrade).collect();
        let open = partitions.iter().filter(|partition| !partition.is_closed());
        let by_name: HashMap<(&str, i32), &Arc<Partition>> =
            open.map(|partition| ((partition.topic(), partition.index()), partition)).collect();
        let before_ms = clock::now_ms().saturating_sub(KEPT_MS);
        let mut records = Vec::new();
        for (target, decision, standing) in self.all() {
            let Some(partition) = by_name.get(&(target.topic.as_str(), target.partition)) else { continue };
            if standing == Standing::Decided {
                let answer = partition.answer(target.offset, decision.number);
                records.extend(answer.map(|obeyed| {
                    (target.part(Part::Answer), Some(Entry::Answer { number: decision.number, obeyed }))
                }));
            } else if decision.at_ms < before_ms && partition.has_committed(target.offset) {
                records.extend([Part::Decision, Part::Answer].map(|part| (target.part(part), None)));
            }
        }
        records
    }

    fn all(&self) -> Vec<(Target, Arc<Decision>, Standing)> {
        let table = self.table.lock();
        let decisions = table.iter().filter_map(|(key, entry)| match entry {
            Entry::Decision(decision) => {
                let standing = standing(&table, &key.target, decision.number);
                Some((key.target.clone(), Arc::clone(decision), standing))
            }
            Entry::Answer { .. } => None,
        });
        decisions.collect()
    }
}
