//! Whether a plugin is handed messages: a person may pause it, and its breaker may let it rest.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use base::text;
use destinations::Breaker;
use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::metrics::{PAUSED, RESTING};

/// Every message may start.
const OPEN: u8 = 0;
/// The breaker is open: one message at a time may start, as a probe.
const IS_RESTING: u8 = 1;
/// No message may start.
const IS_PAUSED: u8 = 2;

/// A pause that a person asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// When it began, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// The user's name, as given by the client.
    pub actor: String,
    /// The reason given.
    pub reason: String,
}

/// The state of a gate for health checks, metrics and the API.
#[derive(Debug, Clone)]
pub struct Status {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The pause, if there is one.
    pub pause: Option<Pause>,
    /// Since when the plugin rests, in milliseconds since the Unix epoch, and the latest failure.
    pub rest: Option<(i64, String)>,
}

/// The gate in front of one plugin in this process.
///
/// Workers ask it before they take messages from a partition, and the pipeline before it calls the plugin. While it is
/// open, both cost one atomic load.
#[derive(Debug)]
pub struct Gate {
    plugin: Arc<str>,
    has_breaker: bool,
    /// A copy of what `state` leads to.
    standing: AtomicU8,
    /// Whether the breaker counts failures: the next success must reset it.
    is_failing: AtomicBool,
    state: Mutex<State>,
    changed: Notify,
    gauges: Gauges,
}

#[derive(Debug)]
struct State {
    pause: Option<Pause>,
    breaker: Breaker,
    is_probing: bool,
    /// Partition and offset of the latest message that failed.
    last_failed: Option<(i32, i64)>,
}

/// The answer to a worker that wants to take messages.
#[derive(Debug)]
pub enum Admission {
    /// As many as it likes.
    Open,
    /// One message.
    Probe(Probe),
    /// None, until [`Gate::admits`].
    Closed,
}

/// The only message in progress that may show whether a resting plugin works again. Another one may follow when it is
/// dropped.
#[derive(Debug)]
pub struct Probe(Arc<Gate>);

/// When a message may start.
enum Next {
    Now,
    At(Instant),
    /// When something changes.
    Later,
}

impl Gate {
    /// An open gate. The plugin rests after this many failures in a row; None if it never does.
    pub fn new(plugin: &Arc<str>, failures: Option<NonZeroU32>) -> Arc<Self> {
        let breaker = Breaker::new(failures.map(NonZeroU32::get));
        Arc::new(Self {
            plugin: Arc::clone(plugin),
            has_breaker: failures.is_some(),
            standing: AtomicU8::new(OPEN),
            is_failing: AtomicBool::new(false),
            state: Mutex::new(State { pause: None, breaker, is_probing: false, last_failed: None }),
            changed: Notify::new(),
            gauges: Gauges::of(plugin),
        })
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &Arc<str> {
        &self.plugin
    }

    /// Its state.
    pub fn status(&self) -> Status {
        let state = self.state.lock();
        let rest = state.breaker.open().map(|open| (open.since_ms, open.reason.clone()));
        Status { plugin: Arc::clone(&self.plugin), pause: state.pause.clone(), rest }
    }

    /// Begins a pause, or ends it. Calls that run may finish.
    pub fn set_pause(&self, pause: Option<Pause>) {
        let mut state = self.state.lock();
        if state.pause == pause {
            return;
        }
        match &pause {
            Some(Pause { actor, reason, .. }) => tracing::warn!(
                plugin = %self.plugin, by = text::line(actor.as_bytes()), reason = text::line(reason.as_bytes()),
                "the plugin is paused and is handed no messages; to resume it: host plugin resume"
            ),
            None => tracing::info!(plugin = %self.plugin, "the plugin is resumed"),
        }
        state.pause = pause;
        self.publish(&state);
    }

    /// Whether every message may start.
    pub fn is_open(&self) -> bool {
        self.standing.load(Ordering::Acquire) == OPEN
    }

    /// Whether the plugin is paused.
    pub fn is_paused(&self) -> bool {
        self.standing.load(Ordering::Acquire) == IS_PAUSED
    }

    /// Whether a message that was taken may start now.
    pub fn lets(&self, probe: Option<&Probe>) -> bool {
        match self.standing.load(Ordering::Acquire) {
            OPEN => true,
            IS_RESTING => probe.is_some(),
            _ => false,
        }
    }

    /// What a worker may take now.
    pub fn admit(self: &Arc<Self>) -> Admission {
        if self.is_open() { Admission::Open } else { self.admit_at(Instant::now()) }
    }

    fn admit_at(self: &Arc<Self>, now: Instant) -> Admission {
        let mut state = self.state.lock();
        match state.next(now) {
            Next::Now if state.breaker.open().is_none() => Admission::Open,
            Next::Now => {
                state.is_probing = true;
                Admission::Probe(Probe(Arc::clone(self)))
            }
            Next::At(_) | Next::Later => Admission::Closed,
        }
    }

    /// Completes when a worker may take messages.
    pub async fn admits(&self) {
        self.when(|state| state.next(Instant::now())).await;
    }

    /// Completes when the plugin is paused.
    pub async fn until_paused(&self) {
        self.when(|state| if state.pause.is_some() { Next::Now } else { Next::Later }).await;
    }

    async fn when(&self, next: impl Fn(&State) -> Next) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let next = next(&self.state.lock());
            match next {
                Next::Now => return,
                Next::At(at) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(at) => {}
                },
                Next::Later => changed.await,
            }
        }
    }

    /// A call succeeded: a plugin that rests works again.
    pub fn succeeded(&self) {
        if !self.is_failing.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        self.is_failing.store(false, Ordering::Relaxed);
        state.last_failed = None;
        if let Some(rested) = state.breaker.succeeded(Instant::now()) {
            tracing::info!(plugin = %self.plugin, seconds = rested.as_secs(), "the plugin works again");
            self.publish(&state);
        }
    }

    /// The plugin asked to retry the message at `origin`, its partition and offset. Returns whether the plugin rests
    /// now: the message is given back, and its attempt does not count.
    ///
    /// A message that fails again and again counts once, so that it cannot stop the others by itself.
    pub fn failed(&self, origin: (i32, i64), code: &str, probe: Option<&Probe>) -> bool {
        if !self.has_breaker {
            return false;
        }
        let mut state = self.state.lock();
        let is_repeated = state.last_failed.replace(origin) == Some(origin);
        if is_repeated && probe.is_none() {
            return state.breaker.open().is_some();
        }
        self.is_failing.store(true, Ordering::Relaxed);
        let code = text::line(code.as_bytes());
        if state.breaker.failed(probe.is_some(), &code, Instant::now()) {
            tracing::warn!(
                plugin = %self.plugin, code,
                "the plugin asked for a retry too often in a row and rests: one message at a time probes it, and \
                 none spends an attempt"
            );
            self.publish(&state);
        }
        state.breaker.open().is_some()
    }

    /// Makes a change known.
    fn publish(&self, state: &State) {
        let (is_paused, is_resting) = (state.pause.is_some(), state.breaker.open().is_some());
        let standing = match (is_paused, is_resting) {
            (true, _) => IS_PAUSED,
            (false, true) => IS_RESTING,
            (false, false) => OPEN,
        };
        self.standing.store(standing, Ordering::Release);
        self.gauges.set(is_paused, is_resting);
        self.changed.notify_waiters();
    }
}

impl State {
    fn next(&self, now: Instant) -> Next {
        if self.pause.is_some() {
            return Next::Later;
        }
        match self.breaker.open() {
            None => Next::Now,
            Some(_) if self.is_probing => Next::Later,
            Some(open) if open.probe_at <= now => Next::Now,
            Some(open) => Next::At(open.probe_at),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.state.lock().is_probing = false;
        self.0.changed.notify_waiters();
    }
}

/// The metrics of one gate.
struct Gauges {
    paused: Gauge,
    resting: Gauge,
}

impl Gauges {
    fn of(plugin: &Arc<str>) -> Self {
        let all = Self {
            paused: gauge!(PAUSED, "plugin" => plugin.to_string()),
            resting: gauge!(RESTING, "plugin" => plugin.to_string()),
        };
        all.set(false, false);
        all
    }

    fn set(&self, is_paused: bool, is_resting: bool) {
        self.paused.set(f64::from(u8::from(is_paused)));
        self.resting.set(f64::from(u8::from(is_resting)));
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
