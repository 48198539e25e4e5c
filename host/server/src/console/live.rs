//! What changes while somebody looks: rates, and a word to the browser that there is something new.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base::clock;
use desk::At;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use super::Console;
use super::page::Open;
use crate::Office;
use crate::api::{self, Overview};

/// How often it is looked whether something has changed.
const INTERVAL: Duration = Duration::from_secs(2);
/// For how long what was seen is good enough for others who ask.
const FRESH: Duration = Duration::from_millis(1500);
/// The most browsers that are told.
const LISTENERS: usize = 100;

/// What was seen last. All who look share it.
pub struct Live {
    seen: Mutex<Option<Seen>>,
    listeners: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self { seen: Mutex::default(), listeners: Arc::new(Semaphore::new(LISTENERS)) }
    }
}

/// How the host stood at a moment.
#[derive(Clone)]
pub struct Seen {
    at: Instant,
    /// How the plugins stand.
    pub overview: Overview,
    /// Messages a second that each plugin has finished, in the overview's order; None at first.
    pub rates: Vec<Option<f64>>,
    revision: u64,
}

impl Live {
    /// How the host stands.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn look(&self, office: &Office) -> sqlx::Result<Seen> {
        let before = self.seen.lock().clone();
        if let Some(seen) = before.as_ref().filter(|seen| seen.at.elapsed() < FRESH) {
            return Ok(seen.clone());
        }
        let overview = api::look(office).await?;
        let seen = Seen {
            at: Instant::now(),
            rates: rates(before.as_ref(), &overview),
            revision: revision(office, &overview).await?,
            overview,
        };
        *self.seen.lock() = Some(seen.clone());
        Ok(seen)
    }
}

fn rates(before: Option<&Seen>, now: &Overview) -> Vec<Option<f64>> {
    let finished: HashMap<&str, (u64, Duration)> = before
        .into_iter()
        .flat_map(|seen| {
            let elapsed = seen.at.elapsed();
            seen.overview.plugins.iter().map(move |it| (&it.plugin[..], (it.done + it.dead, elapsed)))
        })
        .collect();
    let rate = |plugin: &api::PluginOverview| {
        let (before, elapsed) = finished.get(&plugin.plugin[..])?;
        Some((plugin.done + plugin.dead).saturating_sub(*before) as f64 / elapsed.as_secs_f64())
    };
    now.plugins.iter().map(rate).collect()
}

/// Another one whenever something that a page shows has changed.
async fn revision(office: &Office, overview: &Overview) -> sqlx::Result<u64> {
    let groups = office.desk.groups(false, clock::now_ms(), &At::First, 20).await?;
    let jobs = office.desk.jobs(&At::First, 5).await?;
    let actions = office.desk.actions(None, &At::First, 1).await?;
    let mut hash = DefaultHasher::new();
    for text in [
        serde_json::to_string(overview),
        serde_json::to_string(&groups),
        serde_json::to_string(&jobs),
        serde_json::to_string(&actions),
        serde_json::to_string(&office.trials.list()),
    ] {
        text.unwrap_or_default().hash(&mut hash);
    }
    Ok(hash.finish())
}

/// Tells the browser that there is something new, for as long as it listens.
pub async fn events(State(console): State<Console>, Open(office): Open) -> Response {
    let Ok(place) = Arc::clone(&console.0.live.listeners).try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let (tell, told) = async_channel::bounded::<Result<Event, Infallible>>(1);
    tokio::spawn(async move {
        let _place = place;
        let mut turns = interval(INTERVAL);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = None;
        while !tell.is_closed() {
            turns.tick().await;
            // While the store is away there is nothing new.
            let Ok(seen) = console.0.live.look(&office).await else { continue };
            if known.is_some_and(|known| known != seen.revision) {
                let event = Event::default().event("changed").data(format!("{:x}", seen.revision));
                if tell.send(Ok(event)).await.is_err() {
                    return;
                }
            }
            known = Some(seen.revision);
        }
    });
    Sse::new(told).keep_alive(KeepAlive::default()).into_response()
}
