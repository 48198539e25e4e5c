//! The task that sends letters back: from the app's start to its end.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use super::Running;
use crate::cli::RunArgs;
use crate::desk::Desk;
use crate::desk::replay::outcomes::Report;
use crate::desk::replay::{Replay, Replayer, Route};
use crate::kafka::publisher::Publisher;

/// Starts it where there is a desk.
pub(super) fn start(
    desk: Option<(&Desk, mpsc::Receiver<Report>)>,
    args: &RunArgs,
    publisher: &Arc<Publisher>,
    running: &[Running],
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
