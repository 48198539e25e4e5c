//! Which effects are under way in this process.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

type All = Arc<Mutex<HashMap<String, watch::Receiver<()>>>>;

/// The effects under way, by their ids.
#[derive(Default)]
pub(super) struct UnderWay(All);

/// An effect is under way until this is dropped.
pub(super) struct Turn {
    all: All,
    id: String,
    /// Closed at the end, which those who wait see.
    _end: watch::Sender<()>,
}

impl UnderWay {
    /// Waits until the effect is not under way; it is from here on.
    pub(super) async fn turn(&self, id: String) -> Turn {
        loop {
            let mut other = {
                let mut all = self.0.lock();
                match all.get(&id) {
                    Some(other) => other.clone(),
                    None => {
                        let (end, ended) = watch::channel(());
                        all.insert(id.clone(), ended);
                        return Turn { all: Arc::clone(&self.0), id, _end: end };
                    }
                }
            };
            // Nothing is ever sent: an error is the end.
            let _ = other.changed().await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}
