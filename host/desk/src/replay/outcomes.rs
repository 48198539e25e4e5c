//! Outcomes of replayed messages: reported by the pipelines, recorded by one task.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use base::clock;
use consumer::reports::{QUEUE, Report};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::{Notify, mpsc};

use super::items::{SentItem, outcome};
use crate::Desk;
use crate::sql;

/// Maximum number of reports per transaction.
const MAX_REPORTS: usize = 500;
/// A message may be handled before it is recorded as sent: how long its report is kept, and how often it is
/// retried.
const EARLY_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(50);
/// How long a report is left to the replay that sent its record, until the store is asked.
const LEFT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum pause while the store is unavailable.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Maximum duration of recording the remaining reports during shutdown.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Reports that are not recorded yet, shared by the recorder and the replays of this host.
#[derive(Debug, Default)]
pub(super) struct Unmatched {
    /// Reports, and when they were received.
    reports: Mutex<Vec<(Instant, Report)>>,
    /// The positions up to which the replays that run here are recorded as sent, by replay.
    recorded: Mutex<HashMap<String, i64>>,
    /// Outcomes were recorded.
    pub settled: Notify,
}

impl Unmatched {
    /// Gives these records their outcomes, so far as they are known: they are recorded as sent and ended at once.
    pub fn take(&self, replay: &str, sent: &mut [SentItem]) {
        let mut by_position: HashMap<i64, &mut SentItem> =
            sent.iter_mut().map(|item| (item.position, item)).collect();
        self.reports().retain(|(_, report)| {
            let item = Some(&report.tag).filter(|tag| tag.replay == replay);
            let item = item.and_then(|tag| by_position.get_mut(&tag.position));
            let Some(item) = item.filter(|item| item.is_of(report)) else { return true };
            item.failed = Some(report.failed);
            false
        });
    }

    /// These records of a replay were recorded as sent.
    pub fn recorded(&self, replay: &str, sent: &[SentItem]) {
        if let Some(last) = sent.iter().map(|item| item.position).max() {
            let mut positions = self.positions();
            let known = positions.entry(replay.to_owned()).or_default();
            *known = last.max(*known);
        }
        if sent.iter().any(|item| item.failed.is_some()) {
            self.settled.notify_waiters();
        }
    }

    /// A replay runs here no longer.
    pub fn ended(&self, replay: &str) {
        self.positions().remove(replay);
    }

    /// Takes the reports that may be on recorded records. The others are left to their replay, but not forever.
    fn take_due(&self) -> Vec<(Instant, Report)> {
        let recorded = self.positions();
        let is_due = |since: &Instant, report: &Report| {
            let last = recorded.get(&report.tag.replay);
            last.is_none_or(|last| report.tag.position <= *last) || since.elapsed() >= LEFT_TIMEOUT
        };
        self.reports().extract_if(.., |(since, report)| is_due(since, report)).collect()
    }

    fn reports(&self) -> MutexGuard<'_, Vec<(Instant, Report)>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn positions(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records reports until all senders are dropped.
pub(super) async fn record(desk: Desk, mut reports: mpsc::Receiver<Report>, unmatched: Arc<Unmatched>) {
    let mut recorder = Recorder { desk, unmatched, backoff: backoff(), pause: RETRY };
    let mut new = Vec::with_capacity(MAX_REPORTS);
    let mut due = Instant::now();
    loop {
        let waiting = recorder.unmatched.reports().len();
        let capacity = QUEUE.saturating_sub(waiting).min(MAX_REPORTS);
        tokio::select! {
            count = reports.recv_many(&mut new, capacity), if capacity > 0 => {
                if count == 0 {
                    break;
                }
                let now = Instant::now();
                if waiting == 0 {
                    due = now + recorder.pause;
                }
                // Together with others, and most of them by their replay.
                recorder.unmatched.reports().extend(new.drain(..).map(|report| (now, report)));
                continue;
            }
            () = tokio::time::sleep_until(due.into()), if waiting > 0 => {}
        }
        recorder.record().await;
        due = Instant::now() + recorder.pause;
    }
    let end = Instant::now() + FINISH_TIMEOUT;
    while !recorder.unmatched.reports().is_empty() && Instant::now() < end {
        recorder.record().await;
        tokio::time::sleep(RETRY).await;
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new().with_min_delay(RETRY * 2).with_max_delay(MAX_PAUSE).without_max_times().build()
}

struct Recorder {
    desk: Desk,
    unmatched: Arc<Unmatched>,
    backoff: ExponentialBackoff,
    pause: Duration,
}

impl Recorder {
    async fn record(&mut self) {
        let due = self.unmatched.take_due();
        if due.is_empty() {
            return;
        }
        let mut left = Vec::new();
        for chunk in due.chunks(MAX_REPORTS) {
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
        self.unmatched.reports().append(&mut left);
        self.unmatched.settled.notify_waiters();
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
                 AND position {} AND position BETWEEN $5 AND $6",
                self.store.is_first_of(sql::NUMBER, "$4")
            );
            let sql = sqlx::query(AssertSqlSafe(sql)).bind(outcome(failed));
            let sql = sql.bind(now_ms).bind(replay.to_owned());
            let (first, last) = range(&positions);
            let sql = sql.bind(sql::rows(positions.into_iter().map(|position| [position])));
            sql.bind(first).bind(last).execute(&mut *transaction).await?;
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
            let positions: Vec<i64> = indices.iter().map(|index| reports[*index].tag.position).collect();
            let items = self.sent_items(replay, &positions).await?;
            for index in indices {
                let report = reports[index];
                match items.get(&report.tag.position) {
                    Some((state, _)) if state == "waiting" => early.push(index),
                    Some((state, Some(item)))
                        if matches!(&state[..], "sent" | "unknown") && item.is_of(report) =>
                    {
                        settled.push(report);
                    }
                    _ => tracing::debug!(?report, "not a record of a replay"),
                }
            }
        }
        Ok((settled, early))
    }

    /// The states of these positions, and the records that were sent.
    async fn sent_items(
        &self,
        replay: &str,
        positions: &[i64],
    ) -> sqlx::Result<BTreeMap<i64, (String, Option<SentItem>)>> {
        let sql = format!(
            "SELECT l.position, l.state, l.letter, l.topic, l.topic_partition, l.topic_offset, \
             COALESCE((SELECT consumer_group FROM letters v WHERE v.id = l.letter), '') \
             FROM job_letters l WHERE l.job = $1 \
             AND position {} AND position BETWEEN $3 AND $4",
            self.store.is_first_of(sql::NUMBER, "$2")
        );
        let sql = sqlx::query(AssertSqlSafe(sql)).bind(replay.to_owned());
        let sql = sql.bind(sql::rows(positions.iter().map(|position| [position])));
        let (first, last) = range(positions);
        let rows = sql.bind(first).bind(last).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, sent_item(row)?)))).collect()
    }
}

/// The first and the last of these positions. PostgreSQL expects a new replay to be small, from the statistics of the ones
/// before: without them, it would read all of its positions to find a few.
fn range(positions: &[i64]) -> (i64, i64) {
    let (first, last) = (positions.iter().min(), positions.iter().max());
    (first.copied().unwrap_or_default(), last.copied().unwrap_or_default())
}

fn sent_item(row: &AnyRow) -> sqlx::Result<Option<SentItem>> {
    let (topic, partition): (Option<String>, Option<i64>) = (row.try_get(3)?, row.try_get(4)?);
    let Some((topic, partition)) = topic.zip(partition) else { return Ok(None) };
    Ok(Some(SentItem {
        position: row.try_get(0)?,
        dead_letter: row.try_get(2)?,
        topic,
        partition: i32::try_from(partition).unwrap_or(-1),
        offset: row.try_get(5)?,
        group: row.try_get(6)?,
        failed: None,
    }))
}

impl SentItem {
    /// Whether the report concerns exactly this record, in the dead letter's group.
    fn is_of(&self, report: &Report) -> bool {
        self.topic == report.topic
            && self.partition == report.partition
            && self.offset.is_none_or(|offset| offset == report.offset)
            && (self.group.is_empty() || self.group == report.group)
    }
}

#[cfg(test)]
mod tests {
    use consumer::reports::ReplayTag;

    use super::*;

    const REPLAY: &str = "0123456789abcdef0123456789abcdef";

    fn sent(position: i64, offset: i64) -> SentItem {
        let (dead_letter, topic, group) = (position.to_string(), "t".to_owned(), "g".to_owned());
        SentItem { position, dead_letter, topic, partition: 0, offset: Some(offset), group, failed: None }
    }

    fn report(position: i64, offset: i64, failed: bool) -> Report {
        let tag = ReplayTag { replay: REPLAY.to_owned(), position };
        Report { tag, group: "g".to_owned(), topic: "t".to_owned(), partition: 0, offset, failed }
    }

    #[test]
    fn a_replay_takes_the_outcomes_of_its_own_records_and_leaves_the_others() {
        let unmatched = Unmatched::default();
        let others = [
            report(1, 11, true),
            Report { group: "billing".to_owned(), ..report(1, 10, true) },
            Report { tag: ReplayTag { replay: "f".repeat(32), position: 1 }, ..report(1, 10, true) },
            report(9, 19, true),
        ];
        let all = others.iter().cloned().chain([report(1, 10, false), report(2, 12, true)]);
        unmatched.reports().extend(all.map(|report| (Instant::now(), report)));
        let mut items = [sent(1, 10), sent(2, 12), sent(3, 13)];
        unmatched.take(REPLAY, &mut items);
        assert_eq!(items.each_ref().map(|item| item.failed), [Some(false), Some(true), None]);
        assert_eq!(unmatched.reports().len(), others.len());
        // What is recorded is compared with the store; a record that is in flight is left to its replay.
        unmatched.recorded(REPLAY, &items);
        assert_eq!(unmatched.take_due().len(), others.len() - 1);
        assert_eq!(unmatched.reports()[0].1.tag.position, 9);
        unmatched.ended(REPLAY);
        assert_eq!(unmatched.take_due().len(), 1);
    }
}
