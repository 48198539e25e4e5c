//! Runs one replay: sends its dead letters in order, step by step.

mod pace;
mod publish;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use base::clock;
use desk_api::{DeadLetter, DeadLetterState, Replay, ReplayTarget};
use kafka::errors;
use kafka::publisher::Destination;
use rdkafka::error::RDKafkaErrorCode;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::pace::Pace;
use self::publish::SendResult;
use super::items::SkippedItem;
use super::route::{self, Route};
use super::steps::{Progress, Verdict};
use super::{LEASE, Shared};

/// How soon a pause, a cancellation or a lost lease is noticed.
const STATE_INTERVAL: Duration = Duration::from_millis(300);
/// Interval of lease renewals.
const RENEW_INTERVAL: Duration = Duration::from_secs(3);
/// Interval of the check for outcomes, in case no signal arrives.
const OUTCOME_INTERVAL: Duration = Duration::from_millis(250);
/// Bounds of the pause after an error; it doubles.
const MIN_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How long the number of a topic's partitions is cached.
const CACHE_TIME: Duration = Duration::from_secs(30);

/// A replay for which this host holds the lease.
pub(super) struct Runner {
    shared: Arc<Shared>,
    replay: Replay,
    /// Id of the audit log entry for its start.
    audit_entry: String,
    halt: CancellationToken,
    pace: Pace,
    topics: HashMap<String, (Instant, Destination)>,
    /// The results of the last batch, which are recorded while the next one is read.
    unrecorded: Vec<SendResult>,
    /// The position of the last dead letter of that batch.
    after: i64,
    /// How many dead letters may be sent until the outcomes of the step are read.
    allowed: u64,
    /// Whether the stored replay has a state reason.
    has_reason: bool,
    backoff: ExponentialBackoff,
}

/// The target of a dead letter.
enum Target {
    Topic(Destination),
    /// It is not sent, for this reason.
    Skip(String),
    /// Kafka does not answer.
    Unknown,
}

impl Runner {
    pub fn new(shared: Arc<Shared>, replay: Replay, audit_entry: String, halt: CancellationToken) -> Self {
        let pace = Pace::new(&replay.plan);
        let has_reason = !replay.state_reason.is_empty();
        Self {
            shared,
            replay,
            audit_entry,
            halt,
            pace,
            topics: HashMap::new(),
            unrecorded: Vec::new(),
            after: 0,
            allowed: 0,
            has_reason,
            backoff: backoff(),
        }
    }

    /// Runs until the replay is done, stopped, paused or cancelled, or the lease is lost.
    pub async fn run(mut self) {
        let lease =
            tokio::spawn(keep_lease(Arc::clone(&self.shared), self.replay.id.clone(), self.halt.clone()));
        while !self.halt.is_cancelled() {
            if let Err(error) = self.advance().await {
                tracing::warn!(replay = self.replay.id, %error, "a replay is waiting for the store");
                self.back_off().await;
            }
        }
        self.record().await;
        self.shared.outcomes.ended(&self.replay.id);
        lease.abort();
        if let Err(error) = self.shared.desk.release_lease(&self.replay.id, &self.shared.worker).await {
            tracing::debug!(replay = self.replay.id, %error, "the lease was not released and will expire");
        }
    }

    async fn advance(&mut self) -> sqlx::Result<()> {
        let shared = Arc::clone(&self.shared);
        let (desk, end) = (&shared.desk, self.step_end());
        if self.allowed == 0 && !self.look_at_outcomes(end).await? {
            return Ok(());
        }
        let limit = self.pace.batch_size().min(usize::try_from(self.allowed).unwrap_or(usize::MAX));
        let replay = self.replay.id.clone();
        let read = read(Arc::clone(&shared), replay, (self.after, end.cast_signed()), limit);
        let (batch, all_sent) = tokio::join!(read, self.record());
        if !all_sent {
            // In order: what was not sent comes first.
            self.after = 0;
            return Ok(());
        }
        match batch? {
            Batch::Items(items) => {
                self.allowed = self.allowed.saturating_sub(items.len() as u64);
                return self.send(items).await;
            }
            Batch::Lost => {
                self.halt.cancel();
                return Ok(());
            }
            Batch::Empty => {}
        }
        // Registered before the query, so that no signal is missed.
        let settled = shared.outcomes.settled.notified();
        if desk.has_pending_items(&self.replay.id, end.cast_signed()).await? {
            self.wait_for(settled).await;
            return Ok(());
        }
        self.end_step(end).await
    }

    /// Waits for an outcome.
    async fn wait_for(&self, settled: impl Future<Output = ()>) {
        tokio::select! {
            () = settled => {}
            () = tokio::time::sleep(OUTCOME_INTERVAL) => {}
            () = self.halt.cancelled() => {}
        }
    }

    /// Decides by the outcomes of the step how many dead letters may be sent. Returns false if none may be sent now.
    async fn look_at_outcomes(&mut self, end: u64) -> sqlx::Result<bool> {
        if !self.record().await {
            // In order: what was not sent comes first.
            self.after = 0;
            return Ok(false);
        }
        let shared = Arc::clone(&self.shared);
        let settled = shared.outcomes.settled.notified();
        let (id, stepped) = (&self.replay.id, self.replay.stepped);
        let counts = shared.desk.step_counts(id, stepped.cast_signed(), end.cast_signed()).await?;
        let sent = stepped + counts.left_the_queue();
        match counts.progress(self.replay.plan.limit_percent) {
            // Everything is sent: the step ends by itself.
            _ if sent >= end => self.allowed = 1,
            Progress::Send(count) => self.allowed = count,
            Progress::Wait => self.wait_for(settled).await,
            Progress::Stop(reason) => self.finish_step(sent, &Verdict::Stop(reason)).await?,
        }
        Ok(self.allowed > 0)
    }

    fn step_end(&self) -> u64 {
        let Replay { plan, steps, stepped, dead_letters, .. } = &self.replay;
        stepped.saturating_add(plan.step(*steps)).min(*dead_letters)
    }

    async fn end_step(&mut self, end: u64) -> sqlx::Result<()> {
        let (desk, replay) = (&self.shared.desk, &self.replay);
        let counts = desk.step_counts(&replay.id, replay.stepped.cast_signed(), end.cast_signed()).await?;
        let verdict = counts.verdict(replay.plan.limit_percent, end >= replay.dead_letters);
        self.finish_step(end, &verdict).await
    }

    async fn finish_step(&mut self, end: u64, verdict: &Verdict) -> sqlx::Result<()> {
        let (desk, replay) = (&self.shared.desk, &self.replay);
        let is_ours = desk.end_step(replay, &self.shared.worker, end, verdict, clock::now_ms()).await?;
        if !is_ours || *verdict != Verdict::Continue {
            tracing::info!(replay = replay.id, ?verdict, dead_letters = end, "replay ended or released");
            self.halt.cancel();
        }
        self.replay.stepped = end;
        self.replay.steps += 1;
        self.allowed = 0;
        Ok(())
    }

    /// Sends dead letters concurrently. Their results are recorded later.
    async fn send(&mut self, items: Vec<(i64, Option<DeadLetter>)>) -> sqlx::Result<()> {
        let mut publishing = JoinSet::new();
        for (position, dead_letter) in items {
            self.after = position;
            let Some(dead_letter) = dead_letter else {
                let reason = "it is no longer in the store".to_owned();
                self.unrecorded.push(SendResult::Skipped(SkippedItem { position, reason }));
                continue;
            };
            match self.target(&dead_letter).await {
                Target::Topic(to) => {
                    if !self.pace.wait(&self.halt).await {
                        break;
                    }
                    publish::begin(&mut publishing, self.publish(to, dead_letter, position));
                }
                Target::Skip(reason) => {
                    self.unrecorded.push(SendResult::Skipped(SkippedItem { position, reason }));
                }
                Target::Unknown => {
                    self.unrecorded.push(SendResult::Failed(None, RDKafkaErrorCode::AllBrokersDown));
                    break;
                }
            }
        }
        self.unrecorded.extend(publishing.join_all().await);
        Ok(())
    }

    async fn target(&mut self, dead_letter: &DeadLetter) -> Target {
        if dead_letter.state != DeadLetterState::Open {
            return Target::Skip(format!("it is {}", dead_letter.state.as_str()));
        }
        let shared = Arc::clone(&self.shared);
        if let Some(reason) = route::unsendable_reason(dead_letter, &shared.routes) {
            return Target::Skip(reason);
        }
        let topic = &dead_letter.source.topic;
        if self.replay.plan.target == ReplayTarget::Retry {
            return match Route::retry_topic(&shared.routes, topic, &dead_letter.consumer_group) {
                Ok(to) => Target::Topic(to.clone()),
                Err(reason) => Target::Skip(reason),
            };
        }
        if let Some((_, to)) = self.topics.get(topic).filter(|(since, _)| since.elapsed() < CACHE_TIME) {
            return Target::Topic(to.clone());
        }
        let to = match shared.partitions(topic).await {
            Ok(Some(partitions)) => Destination::new(topic, partitions),
            Ok(None) => None,
            Err(_) => return Target::Unknown,
        };
        let Some(to) = to else { return Target::Skip(format!("topic {topic} does not exist")) };
        self.topics.insert(topic.clone(), (Instant::now(), to.clone()));
        Target::Topic(to)
    }

    /// Records the results. Retries until that succeeds: published dead letters would be sent again. Returns false if one
    /// was not sent.
    async fn record(&mut self) -> bool {
        let (mut sent, mut skipped, mut failed) = (Vec::new(), Vec::new(), None);
        if self.unrecorded.is_empty() {
            return true;
        }
        for result in self.unrecorded.drain(..) {
            match result {
                SendResult::Sent(item) => sent.push(item),
                SendResult::Skipped(item) => skipped.push(item),
                SendResult::Failed(topic, code) => failed = Some((topic, code)),
            }
        }
        self.shared.outcomes.take(&self.replay.id, &mut sent);
        while !(sent.is_empty() && skipped.is_empty()) {
            let (desk, id) = (&self.shared.desk, &self.replay.id);
            match desk.record_sent(id, &self.audit_entry, &sent, &skipped, clock::now_ms()).await {
                Ok(()) => {
                    self.shared.outcomes.recorded(id, &sent);
                    break;
                }
                Err(error) => {
                    tracing::warn!(replay = id, %error, "sent dead letters cannot be recorded; retrying");
                    tokio::time::sleep(self.backoff.next().unwrap_or(MAX_PAUSE)).await;
                }
            }
        }
        if let Some((topic, code)) = failed {
            self.wait_for_kafka(topic, code).await;
            return false;
        }
        self.backoff = backoff();
        if self.has_reason {
            self.set_reason("").await;
        }
        true
    }

    async fn wait_for_kafka(&mut self, topic: Option<String>, code: RDKafkaErrorCode) {
        self.topics.clear();
        let reason = match topic {
            None => "Kafka is unavailable; retrying".to_owned(),
            Some(topic) if code == RDKafkaErrorCode::InvalidTimestamp => {
                format!("cannot publish to {topic}: {}; retrying", clock::KAFKA_REFUSES)
            }
            Some(topic) => format!("cannot publish to {topic}: {}; retrying", errors::short(code)),
        };
        tracing::warn!(replay = self.replay.id, reason, "a replay is waiting for Kafka");
        self.set_reason(&reason).await;
        self.back_off().await;
    }

    async fn set_reason(&mut self, reason: &str) {
        if self.shared.desk.set_state_reason(&self.replay.id, reason).await.is_ok() {
            self.has_reason = !reason.is_empty();
        }
    }

    async fn back_off(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(self.backoff.next().unwrap_or(MAX_PAUSE)) => {}
            () = self.halt.cancelled() => {}
        }
    }
}

/// The next dead letters of a replay.
enum Batch {
    /// Their positions, and those that are still in the store. They are claimed.
    Items(Vec<(i64, Option<DeadLetter>)>),
    /// There are none.
    Empty,
    /// The replay is not running, or another worker holds the lease.
    Lost,
}

/// Claims and reads the next dead letters between these positions.
async fn read(shared: Arc<Shared>, replay: String, between: (i64, i64), limit: usize) -> sqlx::Result<Batch> {
    let desk = &shared.desk;
    let waiting = pace::bounded(desk.waiting_items(&replay, between, limit).await?);
    if waiting.is_empty() {
        return Ok(Batch::Empty);
    }
    let last = waiting.last().map_or(0, |item| item.position);
    if !desk.claim(&replay, &shared.worker, last, super::lease_end()).await? {
        return Ok(Batch::Lost);
    }
    let ids: Vec<&str> = waiting.iter().map(|item| &item.dead_letter[..]).collect();
    let mut dead_letters = desk.dead_letters_by_id(&ids).await?;
    let items = waiting.iter().map(|item| (item.position, dead_letters.remove(&item.dead_letter)));
    Ok(Batch::Items(items.collect()))
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new().with_min_delay(MIN_PAUSE).with_max_delay(MAX_PAUSE).without_max_times().build()
}

/// Renews the lease, until aborted or the lease is lost. Halts the replay when it is not running any more: its lease
/// lasts until the records in flight are recorded.
async fn keep_lease(shared: Arc<Shared>, replay: String, halt: CancellationToken) {
    let (desk, worker) = (&shared.desk, &shared.worker);
    let mut renewed = Instant::now();
    while renewed.elapsed() < LEASE {
        tokio::time::sleep(STATE_INTERVAL).await;
        if renewed.elapsed() >= RENEW_INTERVAL {
            let now = Instant::now();
            match desk.renew_lease(&replay, worker, super::lease_end()).await {
                Ok(true) => renewed = now,
                Ok(false) => break,
                Err(_) => continue,
            }
        }
        if let Ok(false) = desk.holds_lease(&replay, worker).await {
            halt.cancel();
        }
    }
    halt.cancel();
}
