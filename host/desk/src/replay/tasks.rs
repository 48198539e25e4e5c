//! The background tasks of a host's replays.

use std::sync::Arc;
use std::time::Duration;

use consumer::reports::Report;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::worker::Worker;
use super::{Replayer, outcomes, overdue};

/// Maximum wait for records in flight during shutdown.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum wait for the remaining outcomes to be recorded.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// The tasks that send dead letters and record outcomes.
pub struct ReplayTasks {
    replayer: Replayer,
    stop: CancellationToken,
    worker: JoinHandle<()>,
    overdue: JoinHandle<()>,
    recorder: JoinHandle<()>,
}

impl ReplayTasks {
    /// Starts the tasks on the current runtime. `reports` are the outcomes from the pipelines.
    pub fn start(replayer: Replayer, reports: mpsc::Receiver<Report>) -> Self {
        let shared = &replayer.0;
        let recorder =
            tokio::spawn(outcomes::record(shared.desk.clone(), reports, Arc::clone(&shared.outcomes)));
        let overdue = tokio::spawn(overdue::run(shared.desk.clone(), shared.kafka.clone()));
        let stop = CancellationToken::new();
        let worker = tokio::spawn(Worker::new(Arc::clone(shared), stop.clone()).run());
        Self { replayer, stop, worker, overdue, recorder }
    }

    /// Previews replays and wakes the worker.
    pub fn replayer(&self) -> &Replayer {
        &self.replayer
    }

    /// Stops sending. Records in flight are recorded before the leases are released.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        self.overdue.abort();
        if tokio::time::timeout(STOP_TIMEOUT, &mut self.worker).await.is_err() {
            tracing::warn!("a replay did not stop in time; some dead letters may be sent again");
            self.worker.abort();
        }
    }

    /// Records the remaining outcomes. Call it when no pipeline can report any more.
    pub async fn finish(mut self) {
        if tokio::time::timeout(FINISH_TIMEOUT, &mut self.recorder).await.is_err() {
            tracing::warn!("some outcomes of replayed messages were not recorded");
            self.recorder.abort();
        }
    }
}
