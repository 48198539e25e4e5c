//! The order of a call's records for one topic. They are published concurrently, but handed to the producer in order.

use std::collections::HashMap;
use std::convert::Infallible;

use tokio::sync::oneshot;

/// The latest record for each topic.
#[derive(Default)]
pub(super) struct Order(HashMap<String, oneshot::Receiver<Infallible>>);

/// The place of a record. The next one follows when this is dropped.
pub(super) struct Turn {
    before: Option<oneshot::Receiver<Infallible>>,
    /// Nothing is ever sent.
    _after: oneshot::Sender<Infallible>,
}

impl Order {
    /// The place after all others for this topic.
    pub(super) fn next(&mut self, topic: &str) -> Turn {
        let (after, ended) = oneshot::channel();
        Turn { before: self.0.insert(topic.to_owned(), ended), _after: after }
    }
}

impl Turn {
    /// Waits until the record before was handed to the producer, or will not be for now.
    pub(super) async fn wait(mut self) -> Self {
        if let Some(before) = self.before.take() {
            let _ = before.await;
        }
        self
    }
}
