//! Outcomes of replayed messages: reported by the pipelines, recorded by one task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use base::clock;
use consumer::reports::{QUEUE, Report};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::{Notify, mpsc};

use crate::Desk;
use crate::sql;

/// Maximum number of reports per transaction.
const MAX_REPORTS: usize = 500;
/// A message may be handled before it is recorded as sent: how long its report is kept, and how often it is
/// retried.
const EARLY_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(50);
/// Maximum pause while the store is unavailable.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Maximum duration of recording the remaining reports during shutdown.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Signals between the recorder and the replays.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Dead letters were recorded as sent.
    pub sent: Notify,
    /// Outcomes were recorded.
    pub settled: Notify,
}

/// Records reports until all senders are dropped.
pub(super) async fn record(desk: Desk, mut reports: mpsc::Receiver<Report>, signals: Arc<Signals>) {
    let mut recorder = Recorder {
        desk,
        signals: Arc::clone(&signals),
        waiting: Vec::new(),
        backoff: backoff(),
        pause: RETRY,
    };
    let mut new = Vec::with_capacity(MAX_REPORTS);
    let mut due = Instant::now();
    loop {
        let capacity = QUEUE.saturating_sub(recorder.waiting.len()).min(MAX_REPORTS);
        let was_empty = recorder.waiting.is_empty();
        tokio::select! {
            count = reports.recv_many(&mut new, capacity), if capacity > 0 => {
                if count == 0 {
                    break;
                }
                let now = Instant::now();
                if was_empty {
                    due = now + recorder.pause;
                }
                // Together with others, and not before they are recorded as sent.
                recorder.waiting.extend(new.drain(..).map(|report| (now, report)));
                continue;
            }
            () = tokio::time::sleep_until(due.into()), if !was_empty => {}
            () = signals.sent.notified(), if !was_empty => {}
        }
        recorder.record().await;
        due = Instant::now() + recorder.pause;
    }
    let end = Instant::now() + FINISH_TIMEOUT;
    while !recorder.waiting.is_empty() && Instant::now() < end {
        recorder.record().await;
        tokio::time::sleep(RETRY).await;
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new().with_min_delay(RETRY * 2).with_max_delay(MAX_PAUSE).without_max_times().build()
}

struct Recorder {
    desk: Desk,
    signals: Arc<Signals>,
    /// Reports, and when they were received.
    waiting: Vec<(Instant, Report)>,
    backoff: ExponentialBackoff,
    pause: Duration,
}

impl Recorder {
    async fn record(&mut self) {
        let mut left = Vec::new();
        for chunk in self.waiting.chunks(MAX_REPORTS) {
            let reports: Vec<&Report> = chunk.iter().map(|(_, report)| report).collect();
            match self.desk.record_outcomes(&reports, clock::now_ms()).await {
                Ok(early) => {
                    (self.backoff, self.pause) = (backoff(), RETRY);
                    let early = early.into_iter().filter_map(|index| chunk.get(index));
                    left.extend(early.filter(|(since, _)| since.elapsed() < EARLY_TIMEOUT).cloned());
                }
                Err(error) => {
                    if self.pause == RETRY {
                        tracing::warn!(%error, "outcomes of replayed messages cannot be recorded; retrying");
                    }
                    self.pause = self.backoff.next().unwrap_or(MAX_PAUSE);
                    left.extend_from_slice(chunk);
                }
            }
        }
        self.waiting = left;
        self.signals.settled.notify_waiters();
    }
}

impl Desk {
    /// Records outcomes. Returns the indices of reports on dead letters that are not recorded as sent yet.
    ///
    /// # Errors
    /// The store is unavailable; nothing was recorded.
    pub async fn record_outcomes(&self, reports: &[&Report], now_ms: i64) -> sqlx::Result<Vec<usize>> {
        let (settled, early) = self.match_reports(reports).await?;
        if settled.is_empty() {
            return Ok(early);
        }
        let mut by_outcome: BTreeMap<(&str, bool), Vec<i64>> = BTreeMap::new();
        for Report { tag, failed, .. } in settled {
            by_outcome.entry((&tag.replay, *failed)).or_default().push(tag.position);
        }
        let mut transaction = self.begin().await?;
        for ((replay, failed), positions) in by_outcome {
            let sql = format!(
                "UPDATE job_letters SET state = $1, ended = $2 \
                 WHERE job = $3 AND COALESCE(state, '') IN ('sent', 'unknown') \
                 AND position {}",
                self.store.is_first_of(sql::NUMBER, "$4")
            );
            let sql = sqlx::query(AssertSqlSafe(sql)).bind(if failed { "failed" } else { "done" });
            let sql = sql.bind(now_ms).bind(replay.to_owned());
            let sql = sql.bind(sql::rows(positions.into_iter().map(|position| [position])));
            sql.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(early)
    }

    /// The reports on records that were sent, and the indices of those that are early.
    async fn match_reports<'r>(&self, reports: &[&'r Report]) -> sqlx::Result<(Vec<&'r Report>, Vec<usize>)> {
        let mut replays: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, report) in reports.iter().enumerate() {
            replays.entry(&report.tag.replay).or_default().push(index);
        }
        let (mut settled, mut early) = (Vec::new(), Vec::new());
        for (replay, indices) in replays {
            let positions = indices.iter().map(|index| reports[*index].tag.position);
            let items = self.sent_items(replay, positions).await?;
            for index in indices {
                let report = reports[index];
                match items.get(&report.tag.position) {
                    Some(item) if item.state == "waiting" => early.push(index),
                    Some(item) if item.is_of(report) => settled.push(report),
                    _ => tracing::debug!(?report, "not a record of a replay"),
                }
            }
        }
        Ok((settled, early))
    }

    async fn sent_items(
        &self,
        replay: &str,
        positions: impl Iterator<Item = i64>,
    ) -> sqlx::Result<BTreeMap<i64, SentItem>> {
        let sql = format!(
            "SELECT l.position, l.state, l.topic, l.topic_partition, l.topic_offset, \
             COALESCE((SELECT consumer_group FROM letters v WHERE v.id = l.letter), '') \
             FROM job_letters l WHERE l.job = $1 \
             AND l.position {}",
            self.store.is_first_of(sql::NUMBER, "$2")
        );
        let sql = sqlx::query(AssertSqlSafe(sql)).bind(replay.to_owned());
        let sql = sql.bind(sql::rows(positions.map(|position| [position])));
        let rows = sql.fetch_all(&self.pool).await?;
        let item = |row: &AnyRow| {
            let item = SentItem {
                state: row.try_get(1)?,
                topic: row.try_get(2)?,
                partition: row.try_get(3)?,
                offset: row.try_get(4)?,
                group: row.try_get(5)?,
            };
            Ok((row.try_get(0)?, item))
        };
        rows.iter().map(item).collect()
    }
}

/// The record that was sent for a dead letter.
struct SentItem {
    state: String,
    topic: Option<String>,
    partition: Option<i64>,
    offset: Option<i64>,
    group: String,
}

impl SentItem {
    /// Whether the report concerns exactly this record, in the dead letter's group.
    fn is_of(&self, report: &Report) -> bool {
        matches!(self.state.as_str(), "sent" | "unknown")
            && self.topic.as_ref() == Some(&report.topic)
            && self.partition == Some(i64::from(report.partition))
            && self.offset.is_none_or(|offset| offset == report.offset)
            && (self.group.is_empty() || self.group == report.group)
    }
}
