//! Outcomes that are never reported: a host can be killed after it has committed a record's offset, and before the
//! outcome is recorded.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use base::clock::{self, millis};
use desk_api::ReplayTarget;
use kafka::client;
use kafka::committed::committed;
use kafka::errors::Context;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;
use settings::KafkaArgs;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::Desk;
use crate::rounds::MAX_ROWS;
use crate::sql::narrow;

/// Interval of the check.
const INTERVAL: Duration = Duration::from_secs(5);
/// Minimum age of a sent record that is checked.
const MIN_AGE: Duration = Duration::from_secs(5);
/// How long an outcome may still be reported after the group's committed offset has passed the record.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an outcome may be reported after sending, if the group's offsets are unknown.
const SENT_TIMEOUT: Duration = Duration::from_secs(600);
/// Maximum number of records per check.
const MAX_ITEMS: i64 = 10_000;
/// Timeout of requests to Kafka.
const TIMEOUT: Duration = Duration::from_secs(5);

type Offsets = HashMap<(String, String, i32), i64>;

/// Checks periodically until dropped.
pub(super) async fn run(desk: Desk, kafka: KafkaArgs) {
    let mut check = Check { desk, kafka, passed: HashMap::new() };
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Err(error) = check.run().await {
            tracing::debug!(%error, "the check for overdue outcomes failed");
        }
    }
}

struct Check {
    desk: Desk,
    kafka: KafkaArgs,
    /// When the committed offset was first seen beyond a record.
    passed: HashMap<(String, i64), Instant>,
}

impl Check {
    async fn run(&mut self) -> sqlx::Result<()> {
        let now_ms = clock::now_ms();
        let overdue = self.desk.overdue(before(now_ms, MIN_AGE), MAX_ITEMS).await?;
        let known: HashSet<(&str, i64)> = overdue.iter().map(|one| (&one.replay[..], one.position)).collect();
        self.passed.retain(|(replay, position), _| known.contains(&(&replay[..], *position)));
        if overdue.is_empty() {
            return Ok(());
        }
        let offsets = self.offsets(&overdue).await;
        let sent_before = before(now_ms, SENT_TIMEOUT);
        let lost: Vec<&Overdue> = overdue
            .iter()
            .filter(|one| self.is_lost(one, offsets.get(&partition(one)).copied(), sent_before))
            .collect();
        if !lost.is_empty() {
            tracing::warn!(count = lost.len(), "the outcomes of replayed messages were never reported");
            for some in lost.chunks(MAX_ROWS) {
                self.desk.mark_unknown(some, now_ms).await?;
            }
        }
        Ok(())
    }

    fn is_lost(&mut self, overdue: &Overdue, committed: Option<i64>, sent_before_ms: i64) -> bool {
        let Some((committed, offset)) = committed.zip(overdue.offset) else {
            return overdue.sent_ms < sent_before_ms;
        };
        if committed <= offset {
            return false;
        }
        let key = (overdue.replay.clone(), overdue.position);
        self.passed.entry(key).or_insert_with(Instant::now).elapsed() >= COMMITTED_TIMEOUT
    }

    /// Committed offsets of the groups that can be read.
    async fn offsets(&self, overdue: &[Overdue]) -> Offsets {
        let mut groups: BTreeMap<String, HashSet<(String, i32)>> = BTreeMap::new();
        for one in overdue.iter().filter(|one| !one.group.is_empty()) {
            if let Some(partition) = one.partition {
                groups.entry(one.group.clone()).or_default().insert((one.topic.clone(), partition));
            }
        }
        let kafka = self.kafka.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut offsets = Offsets::new();
            for (group, partitions) in groups {
                match committed_offsets(&kafka, &group, &partitions) {
                    Ok(found) => offsets.extend(found),
                    Err(error) => tracing::debug!(group, %error, "cannot read committed offsets"),
                }
            }
            offsets
        });
        read.await.unwrap_or_default()
    }
}

fn committed_offsets(
    kafka: &KafkaArgs,
    group: &str,
    partitions: &HashSet<(String, i32)>,
) -> KafkaResult<Offsets> {
    let own = [("group.id", group), ("enable.auto.commit", "false")];
    let consumer: BaseConsumer<Context> =
        client::config(kafka, &own).create_with_context(Context::default())?;
    let partitions = partitions.iter().map(|(topic, partition)| (topic.as_str(), *partition));
    let found = committed(&consumer, partitions, TIMEOUT)?;
    Ok(found
        .into_iter()
        .map(|found| ((group.to_owned(), found.topic, found.partition), found.offset))
        .collect())
}

fn partition(overdue: &Overdue) -> (String, String, i32) {
    (overdue.group.clone(), overdue.topic.clone(), overdue.partition.unwrap_or(-1))
}

fn before(now_ms: i64, age: Duration) -> i64 {
    now_ms.saturating_sub(millis(age))
}

/// A dead letter that was sent and has no outcome.
#[derive(Debug)]
pub struct Overdue {
    /// Id of the replay.
    pub replay: String,
    /// Its position in the replay.
    pub position: i64,
    /// Time at which it was sent, in milliseconds since the Unix epoch.
    pub sent_ms: i64,
    /// The topic it was sent to.
    pub topic: String,
    /// The partition it was sent to.
    pub partition: Option<i32>,
    /// Its offset, if the broker returned it.
    pub offset: Option<i64>,
    /// The consumer group that reads it.
    pub group: String,
}

impl Desk {
    /// Dead letters that were sent before this time and have no outcome, oldest first.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn overdue(&self, before_ms: i64, limit: i64) -> sqlx::Result<Vec<Overdue>> {
        let sql = sqlx::query(
            "SELECT l.job, l.position, l.sent, l.topic, l.topic_partition, l.topic_offset, j.target, \
             COALESCE((SELECT consumer_group FROM letters v WHERE v.id = l.letter), '') AS reader \
             FROM job_letters l JOIN jobs j ON j.id = l.job \
             WHERE l.state = 'sent' AND l.sent < $1 ORDER BY l.sent LIMIT $2",
        );
        let rows = sql.bind(before_ms).bind(limit).fetch_all(&self.pool).await?;
        let overdue = |row: &AnyRow| {
            let (target, group): (String, String) = (row.try_get("target")?, row.try_get("reader")?);
            let retries = target == ReplayTarget::Retry.as_str() && !group.is_empty();
            Ok(Overdue {
                replay: row.try_get("job")?,
                position: row.try_get("position")?,
                sent_ms: row.try_get("sent")?,
                topic: row.try_get("topic")?,
                partition: narrow(row, "topic_partition").ok(),
                offset: row.try_get("topic_offset")?,
                group: if retries { format!("{group}-retry") } else { group },
            })
        };
        rows.iter().map(overdue).collect()
    }

    /// Records the outcomes of these dead letters as unknown.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn mark_unknown(&self, overdue: &[&Overdue], now_ms: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        for Overdue { replay, position, .. } in overdue {
            let sql = sqlx::query(
                "UPDATE job_letters SET state = 'unknown', ended = $1 \
                 WHERE job = $2 AND position = $3 AND state = 'sent'",
            );
            sql.bind(now_ms).bind(replay).bind(position).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }
}
