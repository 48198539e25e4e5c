//! Live updates: events on which browsers reload.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base::clock;
use desk_api::{Overview, PageSelector};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use super::Console;
use server::{DeskState, api, health};

/// Interval of the check for changes.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long a snapshot is reused.
const MAX_AGE: Duration = Duration::from_millis(1500);
/// Maximum number of connected browsers.
const MAX_LISTENERS: usize = 100;
/// Failures and replays that are part of the revision.
const FAILURES: usize = 20;
const REPLAYS: usize = 5;

/// The latest snapshot, shared by all pages.
pub struct Live {
    latest: Mutex<Option<Snapshot>>,
    listeners: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self { latest: Mutex::default(), listeners: Arc::new(Semaphore::new(MAX_LISTENERS)) }
    }
}

/// The state of the host at a point in time.
#[derive(Clone)]
pub struct Snapshot {
    at: Instant,
    /// The overview.
    pub overview: Overview,
    revision: u64,
}

impl Live {
    /// The current snapshot.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn snapshot(&self, state: &DeskState) -> sqlx::Result<Snapshot> {
        if let Some(latest) = self.latest.lock().as_ref().filter(|latest| latest.at.elapsed() < MAX_AGE) {
            return Ok(latest.clone());
        }
        let overview = api::overview(state).await?;
        let snapshot = Snapshot { at: Instant::now(), revision: revision(state, &overview).await?, overview };
        *self.latest.lock() = Some(snapshot.clone());
        Ok(snapshot)
    }
}

/// A hash that changes with anything that a page shows.
async fn revision(state: &DeskState, overview: &Overview) -> sqlx::Result<u64> {
    let failures = state.desk.failures(false, clock::now_ms(), &PageSelector::First, FAILURES).await?;
    let replays = state.desk.replays(&PageSelector::First, REPLAYS).await?;
    let audit_log = state.desk.audit_log(None, &PageSelector::First, 1).await?;
    let mut hash = DefaultHasher::new();
    for text in [
        serde_json::to_string(overview),
        serde_json::to_string(&api::partitions(state)),
        serde_json::to_string(&failures),
        serde_json::to_string(&replays),
        serde_json::to_string(&audit_log),
        serde_json::to_string(&state.trials.list()),
    ] {
        text.unwrap_or_default().hash(&mut hash);
    }
    Ok(hash.finish())
}

/// Changes with what the health strip shows.
fn health_revision(console: &Console) -> u64 {
    let mut hash = DefaultHasher::new();
    health::of(&console.0.status).hash(&mut hash);
    hash.finish()
}

/// Server-sent events: one for each change.
pub async fn events(State(console): State<Console>, state: DeskState) -> Response {
    let Ok(permit) = Arc::clone(&console.0.live.listeners).try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let (sender, receiver) = async_channel::bounded::<Result<Event, Infallible>>(1);
    tokio::spawn(async move {
        let _permit = permit;
        let mut intervals = interval(INTERVAL);
        intervals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        while !sender.is_closed() {
            intervals.tick().await;
            // Without the store, the health of the host is shown all the same.
            let snapshot = console.0.live.snapshot(&state).await.ok();
            let revision = (snapshot.map(|snapshot| snapshot.revision), health_revision(&console));
            if last.is_some_and(|last| last != revision) {
                let event = Event::default().event("changed").data(format!("{:x}", revision.1));
                if sender.send(Ok(event)).await.is_err() {
                    return;
                }
            }
            last = Some(revision);
        }
    });
    Sse::new(receiver).keep_alive(KeepAlive::default()).into_response()
}
