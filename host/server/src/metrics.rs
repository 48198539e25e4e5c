//! The Prometheus recorder. Each crate describes and updates its own metrics.

mod tally;

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use self::tally::Tally;

/// Upper bounds of the lateness buckets, in seconds.
const LATENESS_BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];
/// Interval of the recorder's maintenance.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Installs the recorder on the first call. None if another recorder is installed already.
pub fn start() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE.get_or_init(install).as_ref()
}

fn install() -> Option<PrometheusHandle> {
    let lateness = Matcher::Full(consumer::metrics::LATENESS.to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(lateness, &LATENESS_BUCKETS).ok()?;
    let handle = builder.install_recorder().ok()?;
    kafka::metrics::describe();
    consumer::metrics::describe();
    effects::metrics::describe();
    destinations::metrics::describe();
    sandbox::capabilities::describe_metrics();
    desk::metrics::describe();
    Some(handle)
}

/// Aggregates recorded samples periodically. Without it they accumulate until the next scrape.
pub async fn upkeep() {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    while let Some(handle) = start() {
        interval.tick().await;
        handle.run_upkeep();
    }
}
