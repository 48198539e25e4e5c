//! The Prometheus recorder. Each crate describes and updates its own metrics.

mod tally;

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sandbox::engine::guest_memory;

pub use self::tally::Tally;

/// Upper bounds of the lateness buckets, in seconds.
const LATENESS_BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];
/// Counts the log lines that could not be written.
const LOG_LINES_DROPPED: &str = "host_log_lines_dropped_total";
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
    guest_memory::describe_metrics();
    desk::metrics::describe();
    describe_counter!(LOG_LINES_DROPPED, "Log lines that could not be written to stderr.");
    Some(handle)
}

/// All metrics in Prometheus' text format.
pub fn render() -> String {
    guest_memory::update_metrics();
    counter!(LOG_LINES_DROPPED).absolute(base::stderr::dropped());
    start().map(|handle| handle.render()).unwrap_or_default()
}

/// Aggregates recorded samples periodically. Without it they accumulate until the next scrape.
pub async fn upkeep() {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    while let Some(handle) = start() {
        interval.tick().await;
        handle.run_upkeep();
    }
}
