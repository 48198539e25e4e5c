//! Outcomes that never came: a host can be killed between the commit that passes a record and the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;

use super::rows::Overdue;
use crate::clock;
use crate::desk::Desk;
use crate::kafka::client::KafkaArgs;
use crate::kafka::committed::committed;
use crate::kafka::errors::Context;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);
/// How long ago a letter was sent that is looked at.
const FRESH: Duration = Duration::from_secs(5);
/// How long after its group's commit was seen to have passed a record its outcome may still come.
const PASSED: Duration = Duration::from_secs(30);
/// Likewise after it was sent, where nothing is known of the group.
const SILENT: Duration = Duration::from_secs(600);
/// How many are looked at.
const MOST: i64 = 10_000;
/// How long Kafka may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

type Offsets = HashMap<(String, String, i32), i64>;

/// Looks until it is dropped.
pub(super) async fn run(desk: Desk, kafka: KafkaArgs) {
    let mut sweep = Sweep { desk, kafka, passed: HashMap::new() };
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = sweep.look().await {
            tracing::debug!(%error, "outcomes that are overdue were not looked for");
        }
    }
}

struct Sweep {
    desk: Desk,
    kafka: KafkaArgs,
    /// When it was first seen that a commit has passed a record.
    passed: HashMap<(String, i64), Instant>,
}

impl Sweep {
    async fn look(&mut self) -> sqlx::Result<()> {
        let now_ms = clock::now_ms();
        let overdue = self.desk.overdue(before(now_ms, FRESH), MOST).await?;
        let known: HashSet<(&str, i64)> = overdue.iter().map(|one| (&one.job[..], one.position)).collect();
        self.passed.retain(|(job, position), _| known.contains(&(&job[..], *position)));
        if overdue.is_empty() {
            return Ok(());
        }
        let offsets = self.offsets(&overdue).await;
        let silent = before(now_ms, SILENT);
        let lost: Vec<&Overdue> = overdue
            .iter()
            .filter(|one| self.is_lost(one, offsets.get(&place(one)).copied(), silent))
            .collect();
        if !lost.is_empty() {
            tracing::warn!(letters = lost.len(), "nobody reported what became of replayed messages");
            self.desk.give_up(&lost, now_ms).await?;
        }
        Ok(())
    }

    fn is_lost(&mut self, overdue: &Overdue, committed: Option<i64>, silent_ms: i64) -> bool {
        let Some((committed, offset)) = committed.zip(overdue.offset) else {
            return overdue.sent_ms < silent_ms;
        };
        if committed <= offset {
            return false;
        }
        let key = (overdue.job.clone(), overdue.position);
        self.passed.entry(key).or_insert_with(Instant::now).elapsed() >= PASSED
    }

    /// What the groups have committed; nothing of those that do not answer.
    async fn offsets(&self, overdue: &[Overdue]) -> Offsets {
        let mut groups: BTreeMap<String, HashSet<(String, i32)>> = BTreeMap::new();
        for one in overdue.iter().filter(|one| !one.group.is_empty()) {
            if let Some(partition) = one.partition {
                groups.entry(one.group.clone()).or_default().insert((one.topic.clone(), partition));
            }
        }
        let kafka = self.kafka.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let mut offsets = Offsets::new();
            for (group, partitions) in groups {
                match ask(&kafka, &group, &partitions) {
                    Ok(found) => offsets.extend(found),
                    Err(error) => tracing::debug!(group, %error, "what it has committed is not known"),
                }
            }
            offsets
        });
        asked.await.unwrap_or_default()
    }
}

fn ask(kafka: &KafkaArgs, group: &str, partitions: &HashSet<(String, i32)>) -> KafkaResult<Offsets> {
    let own = [("group.id", group), ("enable.auto.commit", "false")];
    let consumer: BaseConsumer<Context> = kafka.config(&own).create_with_context(Context::default())?;
    let partitions = partitions.iter().map(|(topic, partition)| (topic.as_str(), *partition));
    let found = committed(&consumer, partitions, TIMEOUT)?;
    Ok(found
        .into_iter()
        .map(|found| ((group.to_owned(), found.topic, found.partition), found.offset))
        .collect())
}

fn place(overdue: &Overdue) -> (String, String, i32) {
    (overdue.group.clone(), overdue.topic.clone(), overdue.partition.unwrap_or(-1))
}

fn before(now_ms: i64, time: Duration) -> i64 {
    now_ms.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}
