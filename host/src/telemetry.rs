//! Logging to standard error, one line per event.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The default of `RUST_LOG`: the plugins' lines, and what operators need to know.
const DEFAULT_FILTER: &str = "info,mailin_embedded=warn";

/// Starts logging. A second call has no effect.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
