//! What is counted, for Prometheus: the recorder. Each crate counts, and describes what it counts.

mod tally;

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use self::tally::Tally;

/// Upper bounds of the lateness buckets, in seconds.
const LATE: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];

/// Starts counting, once in a process. None where another recorder was installed before.
pub fn start() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE.get_or_init(install).as_ref()
}

fn install() -> Option<PrometheusHandle> {
    let lateness = Matcher::Full(consumer::metrics::LATENESS.to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(lateness, &LATE).ok()?;
    let handle = builder.install_recorder().ok()?;
    kafka::metrics::describe();
    consumer::metrics::describe();
    effects::metrics::describe();
    sandbox::capabilities::describe_metrics();
    desk::metrics::describe();
    Some(handle)
}

/// Folds what was recorded into buckets now and then, whether anybody scrapes or not: else it is
/// kept one by one.
pub async fn upkeep() {
    let mut turn = tokio::time::interval(Duration::from_secs(5));
    while let Some(handle) = start() {
        turn.tick().await;
        handle.run_upkeep();
    }
}
