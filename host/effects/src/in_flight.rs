//! The effects that are in flight in this process.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

type All = Arc<Mutex<HashMap<String, watch::Receiver<()>>>>;

/// The effects in flight, by id.
#[derive(Default)]
pub(super) struct InFlight(All);

/// The permit to perform an effect. The effect is in flight until the permit is dropped.
pub(super) struct Permit {
    all: All,
    id: String,
    /// Closed when the permit is dropped, which wakes the waiting attempts.
    _end: watch::Sender<()>,
}

impl InFlight {
    /// Waits until the effect is not in flight, and marks it as in flight.
    pub(super) async fn acquire(&self, id: String) -> Permit {
        loop {
            let mut other = {
                let mut all = self.0.lock();
                match all.get(&id) {
                    Some(other) => other.clone(),
                    None => {
                        let (end, ended) = watch::channel(());
                        all.insert(id.clone(), ended);
                        return Permit { all: Arc::clone(&self.0), id, _end: end };
                    }
                }
            };
            // Nothing is ever sent: an error means that the permit was dropped.
            let _ = other.changed().await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}
