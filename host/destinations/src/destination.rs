//! One destination.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use base::throttle::Throttle;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::breaker::Breaker;
use crate::limit::Limit;
use crate::metrics::Gauges;
use crate::pace::Pace;

/// The interval at which a lower limit is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// The pause of a waiting use that nothing else wakes.
const RECHECK: Duration = Duration::from_secs(60);

/// The settings of a destination.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The maximum number of uses at the same time.
    pub max: usize,
    /// The maximum number of uses per minute.
    pub per_minute: Option<NonZeroU32>,
    /// The number of failures in a row that open the breaker; None if it never opens.
    pub breaker: Option<u32>,
}

/// A place outside the host, such as a mail server: the room there is, the pace, and whether it works.
#[derive(Debug)]
pub struct Destination {
    name: Arc<str>,
    pace: Option<Pace>,
    /// Waiting uses queue here, in their order: only the first one waits for a condition.
    turnstile: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// The state has changed.
    changed: Notify,
    gauges: Gauges,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    breaker: Breaker,
    /// Uses from [`Destination::enter`] to the end of their [`Room`].
    in_use: usize,
    /// Uses that the destination has accepted so far.
    accepted: usize,
    waiting: usize,
    is_probing: bool,
    /// Uses that succeeded since the start.
    succeeded: u64,
    report: Throttle,
}

/// The condition that a use waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The destination does not work; a probe is made from time to time.
    Outage,
    /// The room is in use.
    Room,
    /// The maximum rate is reached.
    Rate,
}

/// The state of a destination for health checks, metrics and the API.
#[derive(Debug, Clone)]
pub struct Status {
    /// Its name.
    pub name: Arc<str>,
    /// The number of uses in progress.
    pub in_use: usize,
    /// The number of uses that wait.
    pub waiting: usize,
    /// The number of uses that it takes at the same time.
    pub limit: usize,
    /// The limit that it has taught by refusing more; None if it takes the configured maximum.
    pub learned: Option<usize>,
    /// Since when it does not work, in milliseconds since the Unix epoch, and the latest failure.
    pub outage: Option<(i64, String)>,
}

impl Destination {
    /// A destination of which nothing is known yet.
    pub fn new(name: impl Into<Arc<str>>, options: Options) -> Arc<Self> {
        let name = name.into();
        let state = State {
            limit: Limit::new(options.max),
            breaker: Breaker::new(options.breaker),
            in_use: 0,
            accepted: 0,
            waiting: 0,
            is_probing: false,
            succeeded: 0,
            report: Throttle::new(REPORT_INTERVAL),
        };
        Arc::new(Self {
            gauges: Gauges::of(&name),
            name,
            pace: options.per_minute.map(Pace::per_minute),
            turnstile: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
            changed: Notify::new(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Waits until the destination works, has room and may be used again at its rate, in the order of the calls. During
    /// an outage one use at a time is let through as a probe.
    pub async fn enter(self: &Arc<Self>) -> Room {
        if let Some(room) = self.enter_now() {
            return room;
        }
        let _waiting = WaitingUse::new(self);
        let _turn = self.turnstile.lock().await;
        loop {
            let until = match self.try_enter() {
                Ok(room) => return room,
                Err((_, until)) => until.unwrap_or_else(|| Instant::now() + RECHECK),
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// A room, if nobody waits and there is one.
    fn enter_now(self: &Arc<Self>) -> Option<Room> {
        let _turn = self.turnstile.try_lock().ok()?;
        self.try_enter().ok()
    }

    /// A room, or what to wait for, and until when if that is known.
    fn try_enter(self: &Arc<Self>) -> Result<Room, (Waiting, Option<Instant>)> {
        let mut state = self.state.lock();
        let probe_at = state.breaker.open().map(|open| open.probe_at);
        if let Some(probe_at) = probe_at {
            if state.is_probing {
                return Err((Waiting::Outage, None));
            }
            if probe_at > Instant::now() {
                return Err((Waiting::Outage, Some(probe_at)));
            }
        }
        if state.in_use >= state.limit.current() {
            return Err((Waiting::Room, None));
        }
        if let Some(pace) = &self.pace {
            pace.take().map_err(|until| (Waiting::Rate, Some(until)))?;
        }
        state.in_use += 1;
        let is_probe = probe_at.is_some();
        state.is_probing |= is_probe;
        self.gauges.in_use(state.in_use);
        Ok(Room { destination: Arc::clone(self), is_probe, is_accepted: false, is_used: false })
    }

    /// The number of uses that succeeded since the start.
    pub fn succeeded(&self) -> u64 {
        self.state.lock().succeeded
    }

    /// Whether it works, as far as is known.
    pub fn works(&self) -> bool {
        self.state.lock().breaker.open().is_none()
    }

    /// Its state.
    pub fn status(&self) -> Status {
        let state = self.state.lock();
        Status {
            name: Arc::clone(&self.name),
            in_use: state.in_use,
            waiting: state.waiting,
            limit: state.limit.current(),
            learned: state.limit.learned(),
            outage: state.breaker.open().map(|open| (open.since_ms, open.reason.clone())),
        }
    }
}

/// A place to use a destination. It is free again when this is dropped.
#[derive(Debug)]
pub struct Room {
    destination: Arc<Destination>,
    is_probe: bool,
    is_accepted: bool,
    is_used: bool,
}

impl Room {
    /// The destination.
    pub fn destination(&self) -> &Arc<Destination> {
        &self.destination
    }

    /// The destination has accepted the use, for example a connection. The result is still open.
    pub fn accepted(&mut self) {
        if !self.is_accepted {
            self.is_accepted = true;
            self.destination.state.lock().accepted += 1;
        }
    }

    /// The destination works: it did what it was asked for, or refused it for a reason of its own.
    pub fn succeeded(mut self) {
        self.is_used = true;
        let destination = &self.destination;
        let mut state = destination.state.lock();
        let (now, is_full) = (Instant::now(), state.in_use >= state.limit.current());
        state.succeeded += 1;
        state.limit.succeeded(is_full, now);
        let was_open = state.breaker.succeeded(now);
        destination.gauges.limit(state.limit.current());
        drop(state);
        if let Some(time) = was_open {
            destination.gauges.works(true);
            tracing::info!("{} works again, after {:.1} s", destination.name, time.as_secs_f64());
        }
    }

    /// The destination refused the use for now: it has no room for it.
    pub fn refused(mut self, reason: &str) {
        self.is_used = true;
        let destination = Arc::clone(&self.destination);
        destination.gauges.refused();
        let mut state = destination.state.lock();
        let others = state.accepted - usize::from(self.is_accepted);
        let in_use = state.in_use;
        state.limit.refused(others, in_use, Instant::now());
        let limit = state.limit.current();
        destination.gauges.limit(limit);
        if state.report.is_due() {
            tracing::warn!("{} refuses more than {limit} at a time: {reason}", destination.name);
        }
        let is_alone = others == 0 && in_use <= 1;
        drop(state);
        // While others are accepted, it works.
        if is_alone || self.is_probe {
            self.fail(reason);
        }
    }

    /// The destination does not work.
    pub fn failed(mut self, reason: &str) {
        self.is_used = true;
        self.fail(reason);
    }

    fn fail(&self, reason: &str) {
        let destination = &self.destination;
        destination.gauges.failed();
        let mut state = destination.state.lock();
        let opened = state.breaker.failed(self.is_probe, reason, Instant::now());
        if opened {
            // After an outage it is asked carefully.
            state.limit.restart();
        }
        drop(state);
        if opened {
            destination.gauges.works(false);
            tracing::warn!(
                "{} does not work: {reason}; what needs it waits and spends no attempt, one probe at a time is made",
                destination.name
            );
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let destination = &self.destination;
        let mut state = destination.state.lock();
        state.in_use -= 1;
        state.accepted -= usize::from(self.is_accepted);
        if self.is_probe {
            state.is_probing = false;
        }
        destination.gauges.in_use(state.in_use);
        drop(state);
        if let Some(pace) = destination.pace.as_ref().filter(|_| !self.is_used) {
            pace.give_back();
        }
        destination.changed.notify_one();
    }
}

/// A use that waits, for the metric.
struct WaitingUse<'a>(&'a Destination);

impl<'a> WaitingUse<'a> {
    fn new(destination: &'a Destination) -> Self {
        let mut state = destination.state.lock();
        state.waiting += 1;
        destination.gauges.waiting(state.waiting);
        Self(destination)
    }
}

impl Drop for WaitingUse<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.waiting -= 1;
        self.0.gauges.waiting(state.waiting);
    }
}

#[cfg(test)]
#[path = "destination_tests.rs"]
mod tests;
