//! One job under way: its letters are sent in order, step after step.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use base::clock;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use kafka::errors;
use kafka::publisher::{Destination, Placed};
use rdkafka::error::RDKafkaErrorCode;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::record::{self, Route};
use super::rows::{Gone, Next, Sent};
use super::steps::Verdict;
use super::{LEASE, Shared};
use crate::jobs::{Job, Plan, Target};
use crate::{Letter, State};

/// How many letters are sent side by side, and written down together.
const MOST: usize = 500;
/// How many bytes of keys and values they have at most; one letter may have more.
const BYTES: i64 = 16 << 20;
/// How long what is sent together is spread at most, where a rate is given.
const SPREAD: Duration = Duration::from_millis(500);
/// What may be sent at once, as time: timers are no finer than a millisecond.
const BURST: Duration = Duration::from_millis(20);
/// How soon a pause, a cancel or a lost lease is noticed.
const LOOK: Duration = Duration::from_millis(300);
/// How often the lease is renewed.
const RENEW: Duration = Duration::from_secs(3);
/// How often outcomes are looked for, where nothing tells that some were written.
const OUTCOMES: Duration = Duration::from_millis(250);
/// The first and the longest wait before what failed is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long it is believed how many partitions a topic has.
const BELIEVED: Duration = Duration::from_secs(30);

/// A job that this host works on.
pub(super) struct Runner {
    pub shared: Arc<Shared>,
    pub job: Job,
    /// The action that made it.
    pub action: String,
    pub halt: CancellationToken,
    pace: Option<DefaultDirectRateLimiter>,
    topics: HashMap<String, (Instant, Destination)>,
    /// Whether it was told what the job waits for.
    told: bool,
    backoff: Duration,
}

/// What became of a letter whose turn it was.
enum Fate {
    Sent(Sent),
    Gone(Gone),
    /// It is sent later.
    Failed(String, RDKafkaErrorCode),
}

impl Runner {
    pub fn new(shared: Arc<Shared>, job: Job, action: String, halt: CancellationToken) -> Self {
        let pace = job.plan.rate.and_then(pace);
        // What it waited for before is not known.
        let told = !job.why.is_empty();
        Self { shared, job, action, halt, pace, topics: HashMap::new(), told, backoff: BACKOFF.0 }
    }

    /// Until it is done, stopped, paused, cancelled, or another host has it.
    pub async fn run(mut self) {
        let keeper = tokio::spawn(keep(Arc::clone(&self.shared), self.job.id.clone(), self.halt.clone()));
        while !self.halt.is_cancelled() {
            if let Err(error) = self.advance().await {
                tracing::warn!(job = self.job.id, %error, "a replay waits for the store");
                self.back_off().await;
            }
        }
        keeper.abort();
        if let Err(error) = self.shared.desk.release(&self.job.id, &self.shared.worker).await {
            tracing::debug!(job = self.job.id, %error, "a replay's lease was left to run out");
        }
    }

    async fn advance(&mut self) -> sqlx::Result<()> {
        let shared = Arc::clone(&self.shared);
        let (desk, end) = (&shared.desk, self.step_end());
        let next = desk.next_letters(&self.job.id, end.cast_signed(), most(&self.job.plan)).await?;
        if !next.is_empty() {
            return self.send(bounded(next)).await;
        }
        // Registered before it is looked, so that nothing is missed.
        let settled = shared.told.settled.notified();
        if desk.is_unsettled(&self.job.id, end.cast_signed()).await? {
            tokio::select! {
                () = settled => {}
                () = tokio::time::sleep(OUTCOMES) => {}
                () = self.halt.cancelled() => {}
            }
            return Ok(());
        }
        self.end_step(end).await
    }

    fn step_end(&self) -> u64 {
        let Job { plan, steps, stepped, letters, .. } = &self.job;
        stepped.saturating_add(plan.step(*steps)).min(*letters)
    }

    async fn end_step(&mut self, end: u64) -> sqlx::Result<()> {
        let desk = &self.shared.desk;
        let counts =
            desk.step_counts(&self.job.id, self.job.stepped.cast_signed(), end.cast_signed()).await?;
        let verdict = counts.judge(self.job.plan.limit_percent, end >= self.job.letters);
        let is_ours = desk.end_step(&self.job, &self.shared.worker, end, &verdict, clock::now_ms()).await?;
        if !is_ours || verdict != Verdict::Next {
            tracing::info!(job = self.job.id, ?verdict, letters = end, "a replay has ended, or was left");
            self.halt.cancel();
        }
        self.job.stepped = end;
        self.job.steps += 1;
        Ok(())
    }

    /// Sends letters side by side, and writes down what became of them.
    async fn send(&mut self, next: Vec<Next>) -> sqlx::Result<()> {
        let began = Instant::now();
        let ids: Vec<&str> = next.iter().map(|next| &next.letter[..]).collect();
        let mut letters = self.shared.desk.letters_with(&ids).await?;
        let read = began.elapsed();
        let (mut fates, mut publishing) = (Vec::with_capacity(next.len()), JoinSet::new());
        for Next { position, letter: id, .. } in next {
            let to = match letters.remove(&id) {
                Some(letter) => self.destination(letter).await,
                None => Err("it is no longer in the store".to_owned()),
            };
            match to {
                Ok(Some((to, letter))) => {
                    if !self.may_go().await {
                        break;
                    }
                    begin(&mut publishing, self.publish(to, letter, position));
                }
                // Kafka does not say whether its topic is there.
                Ok(None) => {
                    fates.push(Fate::Failed(String::new(), RDKafkaErrorCode::AllBrokersDown));
                    break;
                }
                Err(why) => fates.push(Fate::Gone(Gone { position, why })),
            }
        }
        fates.extend(publishing.join_all().await);
        let (letters, published) = (fates.len(), began.elapsed());
        self.settle(fates).await;
        tracing::debug!(job = self.job.id, letters, ?read, ?published, written = ?began.elapsed(), "sent");
        Ok(())
    }

    /// Where a letter goes; None where Kafka does not say.
    async fn destination(&mut self, letter: Letter) -> Result<Option<(Destination, Letter)>, String> {
        if letter.state != State::Open {
            return Err(format!("it is {}", letter.state.as_str()));
        }
        let shared = Arc::clone(&self.shared);
        if let Some(why) = record::refuse(&letter, &shared.routes) {
            return Err(why);
        }
        let topic = &letter.source.topic;
        if self.job.plan.target == Target::Retry {
            let to = Route::retry_topic(&shared.routes, topic, &letter.consumer_group)?;
            return Ok(Some((to.clone(), letter)));
        }
        if let Some((_, to)) = self.topics.get(topic).filter(|(since, _)| since.elapsed() < BELIEVED) {
            return Ok(Some((to.clone(), letter)));
        }
        let to = match shared.partitions(topic).await {
            Ok(Some(partitions)) => Destination::new(topic, partitions),
            Ok(None) => None,
            Err(_) => return Ok(None),
        };
        let to = to.ok_or_else(|| format!("there is no topic {topic}"))?;
        self.topics.insert(topic.clone(), (Instant::now(), to.clone()));
        Ok(Some((to, letter)))
    }

    /// Waits for its turn by the rate. False where it must not be sent any more.
    async fn may_go(&self) -> bool {
        let clock = DefaultClock::default();
        while let Some(Err(until)) = self.pace.as_ref().map(RateLimiter::check) {
            tokio::select! {
                () = tokio::time::sleep(until.wait_time_from(clock.now())) => {}
                () = self.halt.cancelled() => {}
            }
            if self.halt.is_cancelled() {
                break;
            }
        }
        !self.halt.is_cancelled()
    }

    fn publish(
        &self,
        to: Destination,
        letter: Letter,
        position: i64,
    ) -> impl Future<Output = Fate> + Send + 'static {
        let (shared, job, target) = (Arc::clone(&self.shared), self.job.id.clone(), self.job.plan.target);
        async move {
            let now_ms = clock::now_ms();
            let headers = || record::header_list(&letter, &job, position, target, now_ms);
            let (key, value) = (letter.key.as_ref(), letter.value.as_ref());
            let (key, value) = (key.map(|key| &key.0[..]), value.map(|value| &value.0[..]));
            let partition = letter.source.partition;
            match shared.publisher.publish(&to, partition, key, value, &headers).await {
                Ok(Placed { partition, offset }) => {
                    let topic = to.name().into_owned();
                    let letter = letter.id.clone();
                    Fate::Sent(Sent { position, letter, topic, partition, offset: Some(offset) })
                }
                Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    let why = format!("{} refuses a record of its size", to.name());
                    Fate::Gone(Gone { position, why })
                }
                Err(code) => Fate::Failed(to.name().into_owned(), code),
            }
        }
    }

    /// What was published must be written down: it would be sent again.
    async fn settle(&mut self, fates: Vec<Fate>) {
        let (mut sent, mut gone, mut failed) = (Vec::new(), Vec::new(), None);
        for fate in fates {
            match fate {
                Fate::Sent(one) => sent.push(one),
                Fate::Gone(one) => gone.push(one),
                Fate::Failed(topic, code) => failed = Some((topic, code)),
            }
        }
        while !(sent.is_empty() && gone.is_empty()) {
            let desk = &self.shared.desk;
            match desk.note_sent(&self.job.id, &self.action, &sent, &gone, clock::now_ms()).await {
                Ok(()) => {
                    self.shared.told.sent.notify_one();
                    break;
                }
                Err(error) => {
                    tracing::warn!(job = self.job.id, %error, "what a replay sent waits to be written down");
                    tokio::time::sleep(self.backoff).await;
                    self.backoff = (self.backoff * 2).min(BACKOFF.1);
                }
            }
        }
        match failed {
            Some((topic, code)) => {
                self.topics.clear();
                let why = if topic.is_empty() {
                    "Kafka does not answer; it is tried again".to_owned()
                } else {
                    format!("cannot publish to {topic}: {}; it is tried again", errors::short(code))
                };
                tracing::warn!(job = self.job.id, why, "a replay waits");
                self.tell(&why).await;
                self.back_off().await;
            }
            None => {
                self.backoff = BACKOFF.0;
                if self.told {
                    self.tell("").await;
                }
            }
        }
    }

    async fn tell(&mut self, why: &str) {
        if self.shared.desk.tell(&self.job.id, why).await.is_ok() {
            self.told = !why.is_empty();
        }
    }

    async fn back_off(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(self.backoff) => {}
            () = self.halt.cancelled() => {}
        }
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }
}

/// Halts a job that does not run any more, or that another host may have.
async fn keep(shared: Arc<Shared>, job: String, halt: CancellationToken) {
    let (desk, worker) = (&shared.desk, &shared.worker);
    let mut renewed = Instant::now();
    while renewed.elapsed() < LEASE {
        tokio::time::sleep(LOOK).await;
        let kept = if renewed.elapsed() < RENEW {
            desk.holds(&job, worker).await
        } else {
            let now = Instant::now();
            let kept = desk.renew(&job, worker, super::lease_end()).await;
            if kept.is_ok() {
                renewed = now;
            }
            kept
        };
        if let Ok(false) = kept {
            break;
        }
    }
    halt.cancel();
}

/// Hands a record over to the producer at once, so that records keep their order.
fn begin(publishing: &mut JoinSet<Fate>, record: impl Future<Output = Fate> + Send + 'static) {
    let mut record: Pin<Box<dyn Future<Output = Fate> + Send>> = Box::pin(record);
    match record.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(fate) => publishing.spawn(async move { fate }),
        Poll::Pending => publishing.spawn(record),
    };
}

/// So many letters a second, evenly.
fn pace(rate: f64) -> Option<DefaultDirectRateLimiter> {
    let burst = (rate * BURST.as_secs_f64()).max(1.0) as u32;
    let quota = Quota::with_period(Duration::try_from_secs_f64(1.0 / rate).ok()?)?;
    Some(RateLimiter::direct(quota.allow_burst(burst.try_into().ok()?)))
}

/// How many letters are taken together.
fn most(plan: &Plan) -> usize {
    plan.rate.map_or(MOST, |rate| ((rate * SPREAD.as_secs_f64()) as usize).clamp(1, MOST))
}

/// As many of them as have not too many bytes.
fn bounded(mut next: Vec<Next>) -> Vec<Next> {
    let mut bytes = 0_i64;
    let fitting = next.iter().take_while(|next| {
        bytes = bytes.saturating_add(next.size);
        bytes <= BYTES
    });
    let count = fitting.count().max(1);
    next.truncate(count);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_together_is_bounded_by_rate_and_size() {
        let plan = |rate| Plan { rate, ..Plan::default() };
        assert_eq!(most(&plan(None)), MOST);
        assert_eq!(most(&plan(Some(0.1))), 1);
        assert_eq!(most(&plan(Some(100.0))), 50);
        assert_eq!(most(&plan(Some(1e6))), MOST);
        let next = |size| Next { position: 1, letter: String::new(), size };
        assert_eq!(bounded(vec![next(BYTES + 1), next(1)]).len(), 1);
        assert_eq!(bounded(vec![next(BYTES), next(0), next(1)]).len(), 2);
    }

    #[test]
    fn a_rate_is_kept_from_the_first_letter_on() {
        for rate in [0.5, 50.0, 1000.0, 1e6] {
            let pace = pace(rate).expect("a rate");
            let burst = (0..).take_while(|_| pace.check().is_ok()).count();
            // A very fast one refills while it is counted.
            let most = (rate * BURST.as_secs_f64()).max(1.0) * 2.0;
            assert!(burst >= 1 && burst as f64 <= most, "{rate}: {burst}");
        }
        assert!(pace(1e-9).is_none_or(|pace| pace.check().is_ok()));
    }
}
