//! Acquires replays and runs them concurrently.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base::clock;
use desk_api::ReplayTarget;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;

use super::route::Route;
use super::runner::Runner;
use super::{Shared, lease_end};

/// Interval of the search for replays without a worker.
const INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of concurrent replays per host.
const MAX_REPLAYS: usize = 8;

/// Acquires replays and runs them concurrently.
pub(super) struct Worker {
    shared: Arc<Shared>,
    stop: CancellationToken,
    /// Ids of running replays, by task.
    active: HashMap<task::Id, String>,
    /// Replays that only another host can send.
    foreign: HashSet<String>,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, stop: CancellationToken) -> Self {
        Self { shared, stop, active: HashMap::new(), foreign: HashSet::new() }
    }

    pub async fn run(mut self) {
        let (mut runners, shared) = (JoinSet::new(), Arc::clone(&self.shared));
        while !self.stop.is_cancelled() {
            if let Err(error) = self.acquire_all(&mut runners).await {
                tracing::debug!(%error, "cannot read replays");
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = shared.wake.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
                Some(result) = runners.join_next_with_id() => self.ended(result),
            }
        }
        while let Some(result) = runners.join_next_with_id().await {
            self.ended(result);
        }
    }

    fn ended(&mut self, result: Result<(task::Id, ()), task::JoinError>) {
        let id = match result {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a replay was aborted; it continues when its lease expires");
                error.id()
            }
        };
        self.active.remove(&id);
    }

    /// Acquires the replays that have no worker.
    async fn acquire_all(&mut self, runners: &mut JoinSet<()>) -> sqlx::Result<()> {
        for id in self.shared.desk.unleased_replays(clock::now_ms()).await? {
            if self.active.len() >= MAX_REPLAYS {
                return Ok(());
            }
            let is_active = self.active.values().any(|active| *active == id);
            if !is_active && !self.foreign.contains(&id) {
                self.acquire(id, runners).await?;
            }
        }
        Ok(())
    }

    async fn acquire(&mut self, id: String, runners: &mut JoinSet<()>) -> sqlx::Result<()> {
        let (desk, worker) = (&self.shared.desk, &self.shared.worker);
        let Some(replay) = desk.replay(&id).await? else { return Ok(()) };
        if replay.plan.target == ReplayTarget::Retry
            && let Some(reason) = self.foreign_reason(&id).await?
        {
            desk.set_state_reason(&id, &reason).await?;
            self.foreign.insert(id);
            return Ok(());
        }
        if !desk.lease(&id, worker, clock::now_ms(), lease_end()).await? {
            return Ok(());
        }
        let audit_entry = desk.start_entry(&id).await?.unwrap_or_else(|| id.clone());
        // Its steps may have changed before the lease.
        let Some(replay) = desk.replay(&id).await? else { return Ok(()) };
        tracing::info!(
            replay = id,
            dead_letters = replay.dead_letters,
            stepped = replay.stepped,
            "replay acquired"
        );
        let halt = self.stop.child_token();
        let runner = Runner::new(Arc::clone(&self.shared), replay, audit_entry, halt);
        let task = runners.spawn(runner.run());
        self.active.insert(task.id(), id);
        Ok(())
    }

    /// The reason why this host cannot send a replay's dead letters to retry topics; None if it can.
    async fn foreign_reason(&self, replay: &str) -> sqlx::Result<Option<String>> {
        let sources = self.shared.desk.unsent_sources(replay).await?;
        let refused = sources
            .iter()
            .find_map(|(topic, group)| Route::retry_topic(&self.shared.routes, topic, group).err());
        Ok(refused.map(|why| format!("waiting for a host that can send it: {why}")))
    }
}
