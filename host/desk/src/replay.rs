//! Sends letters back: the worker over the jobs that [`jobs`](super::jobs) keeps.
//!
//! A job is worked on by one host at a time, which has it by a lease; another takes over where the lease
//! runs out. A letter is published, then it is written down that it was: a host that is killed between the
//! two sends it again. What becomes of it [`outcomes`] says.

mod check;
mod job;
pub mod outcomes;
pub mod overdue;
mod readers;
mod record;
pub mod rows;
pub mod steps;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base::clock;
use consumer::reports::Report;
use consumer::subscription;
use kafka::publisher::Publisher;
use rdkafka::error::KafkaResult;
use settings::KafkaArgs;
use tokio::sync::{Notify, mpsc};
use tokio::task::{self, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub use self::check::{Check, Source, TopicShare};
use self::job::Runner;
use self::outcomes::Told;
pub use self::record::Route;
pub use self::rows::JobLetter;
use crate::jobs::Target;
use crate::{Desk, new_id};

/// How long a job is a host's without a sign of life from it.
const LEASE: Duration = Duration::from_secs(10);
/// How often jobs are looked for that nobody works on.
const LOOK: Duration = Duration::from_secs(1);
/// How many jobs a host works on at once.
const MOST: usize = 8;
/// How long what is being sent at the end may take.
const END: Duration = Duration::from_secs(5);
/// How long the reports that are left may take to be written.
const WRITTEN: Duration = Duration::from_secs(5);

/// Checks replays before they are made. Clones are the same.
#[derive(Clone)]
pub struct Replayer(Arc<Shared>);

/// What all jobs of a host share.
pub(super) struct Shared {
    desk: Desk,
    kafka: KafkaArgs,
    publisher: Arc<Publisher>,
    routes: Vec<Route>,
    /// This process, as the holder of leases.
    worker: String,
    /// There may be a job to take.
    wake: Notify,
    told: Arc<Told>,
}

/// The tasks of a host that send letters and write down outcomes.
pub struct Replay {
    replayer: Replayer,
    stop: CancellationToken,
    worker: JoinHandle<()>,
    overdue: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Replay {
    /// Starts them on this runtime.
    pub fn start(replayer: Replayer, reports: mpsc::Receiver<Report>) -> Self {
        let shared = &replayer.0;
        let writer = tokio::spawn(outcomes::write(shared.desk.clone(), reports, Arc::clone(&shared.told)));
        let overdue = tokio::spawn(overdue::run(shared.desk.clone(), shared.kafka.clone()));
        let stop = CancellationToken::new();
        let (active, foreign) = (HashMap::new(), HashSet::new());
        let worker = Worker { shared: Arc::clone(shared), stop: stop.clone(), active, foreign };
        let worker = tokio::spawn(worker.run());
        Self { replayer, stop, worker, overdue, writer }
    }

    /// For whoever makes jobs.
    pub fn replayer(&self) -> &Replayer {
        &self.replayer
    }

    /// Sends nothing more, and leaves its jobs to others once what is being sent is written down.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        self.overdue.abort();
        if tokio::time::timeout(END, &mut self.worker).await.is_err() {
            tracing::warn!("a replay is still sending; what it sent may be sent again");
            self.worker.abort();
        }
    }

    /// Writes the outcomes that are left, once no pipeline can report any more.
    pub async fn finish(mut self) {
        if tokio::time::timeout(WRITTEN, &mut self.writer).await.is_err() {
            tracing::warn!("outcomes of replayed messages were not written down");
            self.writer.abort();
        }
    }
}

impl Replayer {
    /// For the desk of a host with these topics. It sends nothing by itself.
    pub fn new(desk: Desk, kafka: KafkaArgs, publisher: Arc<Publisher>, routes: Vec<Route>) -> Self {
        let (worker, wake, told) = (new_id(), Notify::new(), Arc::default());
        Self(Arc::new(Shared { desk, kafka, publisher, routes, worker, wake, told }))
    }

    /// Somebody made, resumed, paused or cancelled a job.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    fn desk(&self) -> &Desk {
        &self.0.desk
    }

    fn kafka(&self) -> &KafkaArgs {
        &self.0.kafka
    }

    fn routes(&self) -> &[Route] {
        &self.0.routes
    }

    async fn partitions(&self, topic: &str) -> KafkaResult<Option<usize>> {
        self.0.partitions(topic).await
    }
}

impl Shared {
    /// How many partitions a topic has; None where there is none, or there cannot be one of this name.
    async fn partitions(&self, topic: &str) -> KafkaResult<Option<usize>> {
        if !subscription::is_topic(topic) {
            return Ok(None);
        }
        let (publisher, topic) = (Arc::clone(&self.publisher), topic.to_owned());
        task::spawn_blocking(move || publisher.partitions(&topic)).await.unwrap_or(Ok(None))
    }
}

/// Takes jobs and works on them side by side.
struct Worker {
    shared: Arc<Shared>,
    stop: CancellationToken,
    /// What halts each job that is under way.
    active: HashMap<task::Id, (String, CancellationToken)>,
    /// Jobs that are other hosts' to do.
    foreign: HashSet<String>,
}

impl Worker {
    async fn run(mut self) {
        let (mut runners, shared) = (JoinSet::new(), Arc::clone(&self.shared));
        while !self.stop.is_cancelled() {
            if let Err(error) = self.take(&mut runners).await {
                tracing::debug!(%error, "replays were not looked for");
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = shared.wake.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(ended) = runners.join_next_with_id() => self.ended(ended),
            }
        }
        while let Some(ended) = runners.join_next_with_id().await {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a replay broke off; it goes on when its lease has run out");
                error.id()
            }
        };
        self.active.remove(&id);
    }

    /// Takes the jobs that are free.
    async fn take(&mut self, runners: &mut JoinSet<()>) -> sqlx::Result<()> {
        let desk = &self.shared.desk;
        for id in desk.free_jobs(clock::now_ms()).await? {
            // What a halted one is still sending is not written down yet: another job could send it too.
            let is_halting = self.active.values().any(|(_, halt)| halt.is_cancelled());
            let is_ours = self.active.values().any(|(active, _)| *active == id);
            if is_halting || self.active.len() >= MOST {
                return Ok(());
            }
            if is_ours || self.foreign.contains(&id) {
                continue;
            }
            let Some(job) = desk.job(&id).await? else { continue };
            if job.plan.target == Target::Retry
                && let Some(why) = self.is_foreign(&id).await?
            {
                desk.tell(&id, &why).await?;
                self.foreign.insert(id);
                continue;
            }
            let worker = &self.shared.worker;
            if !desk.lease(&id, worker, clock::now_ms(), lease_end()).await? {
                continue;
            }
            let action = desk.action_of(&id).await?.unwrap_or_else(|| id.clone());
            // Steps may have ended since it was looked at.
            let Some(job) = desk.job(&id).await? else { continue };
            tracing::info!(job = id, letters = job.letters, stepped = job.stepped, "a replay goes on");
            let halt = self.stop.child_token();
            let runner = Runner::new(Arc::clone(&self.shared), job, action, halt.clone());
            let task = runners.spawn(runner.run());
            self.active.insert(task.id(), (id, halt));
        }
        Ok(())
    }

    /// Why this host cannot send a job's letters to retry topics. None where it can.
    async fn is_foreign(&self, job: &str) -> sqlx::Result<Option<String>> {
        let sources = self.shared.desk.sources_of(job).await?;
        let refused = sources
            .iter()
            .find_map(|(topic, group)| Route::retry_topic(&self.shared.routes, topic, group).err());
        Ok(refused.map(|why| format!("waits for a host that can send it: {why}")))
    }
}

/// When a lease that begins now ends, in milliseconds since the Unix epoch.
fn lease_end() -> i64 {
    clock::now_ms().saturating_add_unsigned(LEASE.as_millis() as u64)
}
