//! One destination.

mod room;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use base::throttle::Throttle;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

pub use self::room::{Outage, Reservation, Room};
use crate::breaker::Breaker;
use crate::limit::Limit;
use crate::metrics::Gauges;
use crate::pace::Pace;

/// The interval at which a lower limit is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// The maximum time for which a destination may ask to be left alone.
const MAX_REST: Duration = Duration::from_secs(3600);
/// The pause of a waiting use that nothing else wakes.
const RECHECK: Duration = Duration::from_secs(60);

/// The settings of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The maximum number of uses at the same time.
    pub max: usize,
    /// The maximum number of uses per minute.
    pub per_minute: Option<NonZeroU32>,
    /// The number of failures in a row that open the breaker; None if it never opens.
    pub breaker: Option<u32>,
}

/// For the start-up summary: `up to 10 at a time, 600 per minute`.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "up to {} at a time", self.max)?;
        self.per_minute.map_or(Ok(()), |count| write!(f, ", {count} per minute"))
    }
}

/// A place outside the host, such as a mail server: the room there is, the pace, and whether it works.
///
/// A use first reserves a place among the next ones ([`Destination::reserve`]), which may take as long as an outage.
/// Then it is recorded, and enters ([`Reservation::enter`]), which takes as long as one use. There are more reservations
/// than uses at the same time, so that recording one use does not delay another.
#[derive(Debug)]
pub struct Destination {
    name: Arc<str>,
    options: Options,
    pace: Option<Pace>,
    state: Mutex<State>,
    reserving: Queue,
    entering: Queue,
    gauges: Gauges,
}

/// Waiting uses, in their order: only the first one waits for a condition.
#[derive(Debug, Default)]
struct Queue {
    turnstile: tokio::sync::Mutex<()>,
    /// The condition may have changed.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    breaker: Breaker,
    reserved: usize,
    /// Uses that have entered.
    in_use: usize,
    /// Uses that the destination has accepted so far.
    accepted: usize,
    waiting: usize,
    is_probing: bool,
    /// Until when it asked to be left alone.
    rests_until: Option<Instant>,
    /// Uses that succeeded since the start.
    succeeded: u64,
    report: Throttle,
}

/// The state of a destination for health checks, metrics and the API.
#[derive(Debug, Clone)]
pub struct Status {
    /// Its name.
    pub name: Arc<str>,
    /// The number of uses in progress.
    pub in_use: usize,
    /// The number of uses that wait for it to work, for room, or for its rate.
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
            reserved: 0,
            in_use: 0,
            accepted: 0,
            waiting: 0,
            is_probing: false,
            rests_until: None,
            succeeded: 0,
            report: Throttle::new(REPORT_INTERVAL),
        };
        Arc::new(Self {
            gauges: Gauges::of(&name),
            name,
            options,
            pace: options.per_minute.map(Pace::per_minute),
            state: Mutex::new(state),
            reserving: Queue::default(),
            entering: Queue::default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its settings.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Waits until the destination works, will soon have room, and may be used again at its rate, in the order of the
    /// calls. During an outage one use at a time is let through as a probe. `ahead` is the number of reservations for each
    /// use at the same time, at least 1.
    pub async fn reserve(self: &Arc<Self>, ahead: usize) -> Reservation {
        if let Some(reservation) = self.reserve_now(ahead) {
            return reservation;
        }
        let _waiting = WaitingUse::new(self);
        let _turn = self.reserving.turnstile.lock().await;
        loop {
            let until = match self.try_reserve(ahead) {
                Ok(reservation) => return reservation,
                Err(until) => until.unwrap_or_else(|| Instant::now() + RECHECK),
            };
            tokio::select! {
                () = self.reserving.changed.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// A reservation, if nobody waits and there is one.
    fn reserve_now(self: &Arc<Self>, ahead: usize) -> Option<Reservation> {
        let _turn = self.reserving.turnstile.try_lock().ok()?;
        self.try_reserve(ahead).ok()
    }

    /// A reservation, or when to try again, if that is known.
    fn try_reserve(self: &Arc<Self>, ahead: usize) -> Result<Reservation, Option<Instant>> {
        let mut state = self.state.lock();
        let probe_at = state.breaker.open().map(|open| open.probe_at);
        if let Some(probe_at) = probe_at {
            if state.is_probing {
                return Err(None);
            }
            if probe_at > Instant::now() {
                return Err(Some(probe_at));
            }
        }
        if let Some(until) = state.rests_until {
            if until > Instant::now() {
                return Err(Some(until));
            }
            state.rests_until = None;
        }
        if state.reserved >= ahead.max(1) * state.limit.current() {
            return Err(None);
        }
        if let Some(pace) = &self.pace {
            pace.take().map_err(Some)?;
        }
        state.reserved += 1;
        let is_probe = probe_at.is_some();
        state.is_probing |= is_probe;
        Ok(Reservation::new(self, is_probe))
    }

    /// It asked not to be used for this time, which is cut to an hour.
    pub fn rest(&self, time: Duration) {
        let until = Instant::now() + time.min(MAX_REST);
        let mut state = self.state.lock();
        state.rests_until = Some(state.rests_until.map_or(until, |before| before.max(until)));
    }

    /// The number of uses that succeeded since the start.
    pub fn succeeded(&self) -> u64 {
        self.state.lock().succeeded
    }

    /// Whether it works, as far as is known.
    pub fn works(&self) -> bool {
        self.state.lock().breaker.open().is_none()
    }

    /// How long it has not worked; None while it works, as far as is known.
    pub fn away(&self) -> Option<Duration> {
        self.state.lock().breaker.open().map(|open| open.time(Instant::now()))
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
