//! Logging to standard error, one line per event.

use base::stderr::{self, Stderr};
use tracing_subscriber::EnvFilter;

/// The default of `RUST_LOG`: the lines of plugins, and events for operators.
const DEFAULT_FILTER: &str = "info,mailin_embedded=warn";

/// Starts logging. A second call has no effect.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .with_ansi(stderr::is_coloured())
        .try_init();
}
