//! What became of replayed messages: reported by the pipelines, written by one task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::clock;
use consumer::reports::{QUEUE, Report};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::{Notify, mpsc};

use super::rows::placeholders;
use crate::Desk;

/// How many reports one transaction takes.
const MOST: usize = 500;
/// A record may be handled before it is written down that it was sent: how long its report is kept, and how
/// often it is looked again.
const EARLY: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(50);
/// The longest wait before a store that does not answer is tried again.
const BACKOFF: Duration = Duration::from_secs(5);
/// How long reports that are left at the end may take.
const END: Duration = Duration::from_secs(2);

/// What the writer and the jobs tell each other.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// It was written down that letters were sent.
    pub sent: Notify,
    /// Outcomes were written down.
    pub settled: Notify,
}

/// Writes reports until nobody can make any more.
pub(super) async fn write(desk: Desk, mut reports: mpsc::Receiver<Report>, told: Arc<Told>) {
    let mut writer = Writer { desk, told: Arc::clone(&told), waiting: Vec::new(), backoff: AGAIN };
    let mut new = Vec::with_capacity(MOST);
    loop {
        let room = QUEUE.saturating_sub(writer.waiting.len()).min(MOST);
        let again = tokio::time::sleep(writer.backoff);
        tokio::select! {
            count = reports.recv_many(&mut new, room), if room > 0 => if count == 0 { break },
            () = again, if !writer.waiting.is_empty() => {}
            () = told.sent.notified(), if !writer.waiting.is_empty() => {}
        }
        let now = Instant::now();
        writer.waiting.extend(new.drain(..).map(|report| (now, report)));
        writer.write().await;
    }
    let end = Instant::now() + END;
    while !writer.waiting.is_empty() && Instant::now() < end {
        writer.write().await;
        tokio::time::sleep(AGAIN).await;
    }
}

struct Writer {
    desk: Desk,
    told: Arc<Told>,
    /// Since when.
    waiting: Vec<(Instant, Report)>,
    backoff: Duration,
}

impl Writer {
    async fn write(&mut self) {
        let mut left = Vec::new();
        for some in self.waiting.chunks(MOST) {
            let reports: Vec<&Report> = some.iter().map(|(_, report)| report).collect();
            match self.desk.note_outcomes(&reports, clock::now_ms()).await {
                Ok(early) => {
                    self.backoff = AGAIN;
                    let early = early.into_iter().filter_map(|index| some.get(index));
                    left.extend(early.filter(|(since, _)| since.elapsed() < EARLY).cloned());
                }
                Err(error) => {
                    if self.backoff == AGAIN {
                        tracing::warn!(%error, "outcomes of replayed messages wait for the store");
                    }
                    self.backoff = (self.backoff * 2).min(BACKOFF);
                    left.extend_from_slice(some);
                }
            }
        }
        self.waiting = left;
        self.told.settled.notify_waiters();
    }
}

impl Desk {
    /// Writes down outcomes. Returns which reports came before it was written down that their records were
    /// sent.
    ///
    /// # Errors
    /// The store does not answer; nothing was written.
    pub async fn note_outcomes(&self, reports: &[&Report], now_ms: i64) -> sqlx::Result<Vec<usize>> {
        let mut jobs: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, report) in reports.iter().enumerate() {
            jobs.entry(&report.tag.replay).or_default().push(index);
        }
        let (mut early, mut settled) = (Vec::new(), Vec::new());
        for (job, indices) in jobs {
            let known = self.known(job, indices.iter().map(|index| reports[*index].tag.position)).await?;
            for index in indices {
                let report = reports[index];
                match known.get(&report.tag.position) {
                    Some(known) if known.state == "waiting" => early.push(index),
                    Some(known) if known.is_of(report) => settled.push(report),
                    _ => tracing::debug!(?report, "no replay's"),
                }
            }
        }
        if settled.is_empty() {
            return Ok(early);
        }
        let mut by_end: BTreeMap<(&str, bool), Vec<i64>> = BTreeMap::new();
        for Report { tag, failed, .. } in settled {
            by_end.entry((&tag.replay, *failed)).or_default().push(tag.position);
        }
        let mut transaction = self.begin().await?;
        for ((job, failed), positions) in by_end {
            let sql = format!(
                "UPDATE job_letters SET state = $1, ended = $2 \
                 WHERE job = $3 AND state IN ('sent', 'unknown') AND position IN {}",
                placeholders(4, 1, positions.len())
            );
            let sql = sqlx::query(AssertSqlSafe(sql)).bind(if failed { "failed" } else { "done" });
            let sql = sql.bind(now_ms).bind(job.to_owned());
            let sql = positions.into_iter().fold(sql, |sql, position| sql.bind(position));
            sql.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(early)
    }

    async fn known(
        &self,
        job: &str,
        positions: impl ExactSizeIterator<Item = i64>,
    ) -> sqlx::Result<BTreeMap<i64, Known>> {
        let sql = format!(
            "SELECT l.position, l.state, l.topic, l.topic_partition, l.topic_offset, \
             COALESCE((SELECT consumer_group FROM letters v WHERE v.id = l.letter), '') \
             FROM job_letters l WHERE l.job = $1 AND l.position IN {}",
            placeholders(2, 1, positions.len())
        );
        let sql = sqlx::query(AssertSqlSafe(sql)).bind(job.to_owned());
        let sql = positions.fold(sql, |sql, position| sql.bind(position));
        let rows = sql.fetch_all(&self.pool).await?;
        let known = |row: &sqlx::any::AnyRow| {
            let known = Known {
                state: row.try_get(1)?,
                topic: row.try_get(2)?,
                partition: row.try_get(3)?,
                offset: row.try_get(4)?,
                group: row.try_get(5)?,
            };
            Ok((row.try_get(0)?, known))
        };
        rows.iter().map(known).collect()
    }
}

/// What the store knows of a letter that a report names.
struct Known {
    state: String,
    topic: Option<String>,
    partition: Option<i64>,
    offset: Option<i64>,
    group: String,
}

impl Known {
    /// Whether the report is about the very record that was published, in the group that the letter is of.
    fn is_of(&self, report: &Report) -> bool {
        matches!(self.state.as_str(), "sent" | "unknown")
            && self.topic.as_ref() == Some(&report.topic)
            && self.partition == Some(i64::from(report.partition))
            && self.offset.is_none_or(|offset| offset == report.offset)
            && (self.group.is_empty() || self.group == report.group)
    }
}
