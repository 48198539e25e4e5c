//! The task that sends letters back: from the app's start to its end.

use std::sync::Arc;

use consumer::reports::Report;
use desk::Desk;
use desk::replay::{Replay, Replayer, Route};
use kafka::publisher::Publisher;
use settings::RunArgs;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use super::RunningPlugin;

/// Starts it where there is a desk.
pub(super) fn start(
    desk: Option<(&Desk, mpsc::Receiver<Report>)>,
    args: &RunArgs,
    publisher: &Arc<Publisher>,
    running: &[RunningPlugin],
) -> Option<Replay> {
    let (desk, reports) = desk?;
    let routes = running.iter().map(|running| Route::of(&running.pipeline)).collect();
    let replayer = Replayer::new(desk.clone(), args.kafka.clone(), Arc::clone(publisher), routes);
    Some(Replay::start(replayer, reports))
}

/// Stops it while the plugins drain; what they report until then is written down.
pub(super) async fn stop(replay: Option<Replay>, draining: JoinHandle<()>) -> Result<(), JoinError> {
    let Some(mut replay) = replay else { return draining.await };
    let ((), drained) = tokio::join!(replay.stop(), draining);
    replay.finish().await;
    drained
}
