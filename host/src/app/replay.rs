//! The replay tasks: started and stopped with the app.

use std::sync::Arc;

use base::error::UserError;
use cli::preflight;
use consumer::reports::Report;
use desk::Desk;
use desk::replay::{ReplayTasks, Replayer, Route};
use kafka::publisher::Publisher;
use settings::RunArgs;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use super::RunningPlugin;

/// Starts the tasks if there is a desk.
///
/// # Errors
/// The settings of the store are invalid.
pub(super) fn start(
    desk: Option<(&Desk, mpsc::Receiver<Report>)>,
    args: &RunArgs,
    publisher: &Arc<Publisher>,
    running: &[RunningPlugin],
) -> Result<Option<ReplayTasks>, UserError> {
    let Some((desk, reports)) = desk else { return Ok(None) };
    let keep = preflight::store(args)?.map(|(_, keep)| keep).unwrap_or_default();
    let routes = running.iter().map(|running| Route::of(&running.pipeline)).collect();
    let replayer = Replayer::new(desk.clone(), args.kafka.clone(), Arc::clone(publisher), routes, keep);
    Ok(Some(ReplayTasks::start(replayer, reports)))
}

/// Stops the tasks while the plugins drain, and records the outcomes that they report until then.
pub(super) async fn stop(replay: Option<ReplayTasks>, draining: JoinHandle<()>) -> Result<(), JoinError> {
    let Some(mut replay) = replay else { return draining.await };
    let ((), drained) = tokio::join!(replay.stop(), draining);
    replay.finish().await;
    drained
}
