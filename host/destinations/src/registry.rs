//! All destinations of a host.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::Destination;

/// The destinations of a host, for health checks, metrics and the API.
#[derive(Debug, Clone, Default)]
pub struct Destinations(Arc<Mutex<Vec<Arc<Destination>>>>);

impl Destinations {
    /// Adds one.
    pub fn add(&self, destination: Arc<Destination>) {
        self.0.lock().push(destination);
    }

    /// All of them, in the order in which they were added.
    pub fn all(&self) -> Vec<Arc<Destination>> {
        self.0.lock().clone()
    }
}
