//! Whether the store of effects is available, for health checks and metrics.

use std::sync::Arc;

use base::clock;
use parking_lot::Mutex;

use crate::metrics;

/// The state of the store. Clones share it.
#[derive(Debug, Clone)]
pub struct StoreHealth(Arc<Mutex<Option<Outage>>>);

/// An outage of the store: effects wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// The latest error, with the store's URL and without its password.
    pub error: String,
}

impl StoreHealth {
    /// A store that is available.
    pub(super) fn new() -> Self {
        metrics::store_available(true);
        Self(Arc::default())
    }

    /// The outage, if there is one.
    pub fn outage(&self) -> Option<Outage> {
        self.0.lock().clone()
    }

    /// The store did not do what it was asked for.
    pub(super) fn failed(&self, error: String) {
        let mut outage = self.0.lock();
        let since_ms = outage.as_ref().map_or_else(clock::now_ms, |outage| outage.since_ms);
        *outage = Some(Outage { since_ms, error });
        metrics::store_available(false);
    }

    /// The store works.
    pub(super) fn succeeded(&self) {
        let mut outage = self.0.lock();
        if outage.take().is_some() {
            metrics::store_available(true);
        }
    }
}
