//! Outcomes that never came: a host can be killed between the commit that passes a record and the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use base::clock;
use kafka::client;
use kafka::committed::committed;
use kafka::errors::Context;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;
use settings::KafkaArgs;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::Desk;
use crate::jobs::Target;
use crate::letters::small;

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
    let consumer: BaseConsumer<Context> =
        client::config(kafka, &own).create_with_context(Context::default())?;
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

/// A letter that was sent a while ago and has no outcome.
#[derive(Debug)]
pub struct Overdue {
    /// The job it was sent for.
    pub job: String,
    /// Its number there.
    pub position: i64,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_ms: i64,
    /// Where it was published.
    pub topic: String,
    /// Likewise.
    pub partition: Option<i32>,
    /// Likewise, where the broker told it.
    pub offset: Option<i64>,
    /// The group that reads it there.
    pub group: String,
}

impl Desk {
    /// Letters that were sent before this moment and have no outcome, oldest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn overdue(&self, before_ms: i64, most: i64) -> sqlx::Result<Vec<Overdue>> {
        let sql = sqlx::query(
            "SELECT l.job, l.position, l.sent, l.topic, l.topic_partition, l.topic_offset, j.target, \
             COALESCE((SELECT consumer_group FROM letters v WHERE v.id = l.letter), '') AS reader \
             FROM job_letters l JOIN jobs j ON j.id = l.job \
             WHERE l.state = 'sent' AND l.sent < $1 ORDER BY l.sent LIMIT $2",
        );
        let rows = sql.bind(before_ms).bind(most).fetch_all(&self.pool).await?;
        let overdue = |row: &AnyRow| {
            let (target, group): (String, String) = (row.try_get("target")?, row.try_get("reader")?);
            let retries = target == Target::Retry.as_str() && !group.is_empty();
            Ok(Overdue {
                job: row.try_get("job")?,
                position: row.try_get("position")?,
                sent_ms: row.try_get("sent")?,
                topic: row.try_get("topic")?,
                partition: small(row, "topic_partition").ok(),
                offset: row.try_get("topic_offset")?,
                group: if retries { format!("{group}-retry") } else { group },
            })
        };
        rows.iter().map(overdue).collect()
    }

    /// Nobody will know what became of these.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn give_up(&self, overdue: &[&Overdue], now_ms: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        for Overdue { job, position, .. } in overdue {
            let sql = sqlx::query(
                "UPDATE job_letters SET state = 'unknown', ended = $1 \
                 WHERE job = $2 AND position = $3 AND state = 'sent'",
            );
            sql.bind(now_ms).bind(job).bind(position).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }
}
