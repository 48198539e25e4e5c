//! Replays: they publish dead letters again.
//!
//! A replay freezes the ids of its dead letters when it [starts](store). One host at a time works on it, under a
//! lease; another host takes over when the lease expires. A dead letter is published, and then recorded as sent,
//! so a host that is killed in between sends it again. The pipelines report the [outcomes].

mod creation;
mod effects;
mod headers;
pub mod items;
pub mod outcomes;
pub mod overdue;
mod preview;
mod results;
mod route;
mod runner;
pub mod steps;
pub mod store;
mod tasks;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use base::clock::{self, millis};
use consumer::subscription;
use kafka::publisher::Publisher;
use kafka_inquiry::Inquiry;
use kafka_inquiry::readers::{self, Readers};
use rdkafka::error::KafkaResult;
use settings::KafkaArgs;
use tokio::sync::Notify;
use tokio::task;

use self::outcomes::Unmatched;
pub use self::route::Route;
pub use self::store::{ReplayError, Source};
pub use self::tasks::ReplayTasks;
use crate::{Desk, sortable_id};

/// For how long the groups that read a topic count as known.
const READERS_FRESH: Duration = Duration::from_secs(30);
/// How long a lease lasts without renewal.
const LEASE: Duration = Duration::from_secs(10);

/// Previews replays, and wakes the worker that sends them. Clones share their state.
#[derive(Clone)]
pub struct Replayer(Arc<Shared>);

/// State shared by all replays of a host.
struct Shared {
    desk: Desk,
    kafka: KafkaArgs,
    readers: Arc<Inquiry<Readers>>,
    publisher: Arc<Publisher>,
    routes: Vec<Route>,
    /// How long the ledger keeps effects.
    keep_effects: Duration,
    /// This process's id as the holder of leases.
    worker: String,
    /// Signals that a replay was created or changed.
    wake: Notify,
    outcomes: Arc<Unmatched>,
}

impl Replayer {
    /// Replays for the desk of a host with these routes, whose ledger keeps effects for `keep_effects`. Sends nothing
    /// by itself; see [`ReplayTasks`].
    pub fn new(
        desk: Desk,
        kafka: KafkaArgs,
        publisher: Arc<Publisher>,
        routes: Vec<Route>,
        keep_effects: Duration,
    ) -> Self {
        let readers = Inquiry::new(&kafka, readers::of, READERS_FRESH);
        let (worker, wake, outcomes) = (sortable_id(), Notify::new(), Arc::default());
        Self(Arc::new(Shared {
            desk,
            kafka,
            readers,
            publisher,
            routes,
            keep_effects,
            worker,
            wake,
            outcomes,
        }))
    }

    /// Signals that a replay was created, resumed, paused or cancelled.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }
}

impl Shared {
    /// The number of a topic's partitions; None if the topic does not exist, or its name is invalid.
    async fn partitions(&self, topic: &str) -> KafkaResult<Option<usize>> {
        if !subscription::is_topic(topic) {
            return Ok(None);
        }
        let (publisher, topic) = (Arc::clone(&self.publisher), topic.to_owned());
        task::spawn_blocking(move || publisher.partitions(&topic)).await.unwrap_or(Ok(None))
    }
}

/// The end of a lease that begins now, in milliseconds since the Unix epoch.
fn lease_end() -> i64 {
    clock::now_ms().saturating_add(millis(LEASE))
}
