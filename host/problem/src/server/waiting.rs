//! The connections that wait for a request: idle ones, and those whose head is not complete.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The connections that wait, by the order in which they began to.
#[derive(Default)]
pub(super) struct Waiting {
    connections: Mutex<BTreeMap<u64, CancellationToken>>,
    next: AtomicU64,
    added: Notify,
}

impl Waiting {
    /// Closes the connection that has waited longest. False if none waits.
    pub(super) fn close_longest(&self) -> bool {
        let longest = self.lock().pop_first();
        longest.map(|(_, closed)| closed.cancel()).is_some()
    }

    /// Completes once a connection has begun to wait since the last call.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    fn add(&self, closed: CancellationToken) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, closed);
        self.added.notify_one();
        number
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among those that wait, while it has no request in progress.
pub(super) struct Place {
    waiting: Arc<Waiting>,
    number: AtomicU64,
    closed: CancellationToken,
}

impl Place {
    /// The place of a new connection, which waits for its first request.
    pub(super) fn new(waiting: &Arc<Waiting>) -> Self {
        let closed = CancellationToken::new();
        let number = waiting.add(closed.clone()).into();
        Self { waiting: Arc::clone(waiting), number, closed }
    }

    /// Cancelled when the connection has to make room.
    pub(super) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    /// The connection does not wait while this exists.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.waiting.lock().remove(&self.number.load(Ordering::Relaxed));
        Busy(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.number.load(Ordering::Relaxed));
    }
}

/// A request in progress.
pub(super) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        let Self(place) = self;
        place.number.store(place.waiting.add(place.closed.clone()), Ordering::Relaxed);
    }
}
