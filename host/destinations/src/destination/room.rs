//! The use of a destination, from its reservation to its result.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Destination;

/// The destination stopped working before a use began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage(pub String);

/// A place among the next uses of a destination. It is free again when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    destination: Arc<Destination>,
    is_probe: bool,
    has_begun: bool,
}

/// A use of a destination. It ends when this is dropped.
#[derive(Debug)]
pub struct Room {
    reservation: Reservation,
    is_accepted: bool,
}

impl Reservation {
    pub(super) fn new(destination: &Arc<Destination>, is_probe: bool) -> Self {
        Self { destination: Arc::clone(destination), is_probe, has_begun: false }
    }

    /// Waits for room, in the order of the calls.
    ///
    /// # Errors
    /// The destination has stopped working.
    pub async fn enter(self) -> Result<Room, Outage> {
        let destination = Arc::clone(&self.destination);
        let _turn = destination.entering.turnstile.lock().await;
        loop {
            if self.try_enter()? {
                return Ok(Room { reservation: self, is_accepted: false });
            }
            destination.entering.changed.notified().await;
        }
    }

    /// As [`Reservation::enter`], unless `unwanted` completes before there is room: nobody waits for the use any more.
    ///
    /// # Errors
    /// The destination has stopped working, or the use is not wanted.
    pub async fn enter_unless(self, unwanted: impl Future<Output = ()>) -> Result<Room, Outage> {
        tokio::select! {
            biased;
            () = unwanted => Err(Outage("the call has ended".to_owned())),
            room = self.enter() => room,
        }
    }

    fn try_enter(&self) -> Result<bool, Outage> {
        let mut state = self.destination.state.lock();
        if let Some(open) = state.breaker.open().filter(|_| !self.is_probe) {
            return Err(Outage(open.reason.clone()));
        }
        // A probe does not wait for uses from before the outage, which may hang.
        let has_room = state.in_use < state.limit.current() || self.is_probe;
        if has_room {
            state.in_use += 1;
            self.destination.gauges.in_use(state.in_use);
        }
        Ok(has_room)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let destination = &self.destination;
        let mut state = destination.state.lock();
        state.reserved -= 1;
        if self.is_probe {
            state.is_probing = false;
        }
        drop(state);
        if let Some(pace) = destination.pace.as_ref().filter(|_| !self.has_begun) {
            pace.give_back();
        }
        destination.reserving.changed.notify_one();
    }
}

impl Room {
    /// The destination.
    pub fn destination(&self) -> &Arc<Destination> {
        &self.reservation.destination
    }

    /// The number of uses that may take place without the others being refused.
    pub fn limit(&self) -> usize {
        self.destination().state.lock().limit.current()
    }

    /// The number of uses in progress, this one included.
    pub fn in_use(&self) -> usize {
        self.destination().state.lock().in_use
    }

    /// The destination has accepted the use, for example a connection. The result is still open.
    pub fn accepted(&mut self) {
        if !self.is_accepted {
            self.is_accepted = true;
            self.destination().state.lock().accepted += 1;
        }
    }

    /// The destination works: it did what it was asked for, or refused it for a reason that is not its own.
    pub fn succeeded(mut self) {
        self.succeed();
    }

    /// As [`Room::succeeded`], but this host leaves its room empty for a time, so that another one can have it.
    pub fn succeeded_and_stays(mut self, time: Duration) {
        self.succeed();
        tokio::spawn(async move {
            sleep(time).await;
            drop(self);
        });
    }

    fn succeed(&mut self) {
        self.reservation.has_begun = true;
        let destination = self.destination();
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
        self.reservation.has_begun = true;
        let destination = self.destination();
        destination.gauges.refused();
        let mut state = destination.state.lock();
        let others = state.accepted - usize::from(self.is_accepted);
        let in_use = state.in_use;
        state.limit.refused(others, in_use, Instant::now());
        let limit = state.limit.current();
        destination.gauges.limit(limit);
        let is_alone = others == 0 && in_use <= 1;
        if !is_alone && state.report.is_due() {
            tracing::warn!("{} refuses more than {limit} at a time: {reason}", destination.name);
        }
        drop(state);
        // While others are accepted, it works.
        if is_alone || self.reservation.is_probe {
            self.fail(reason);
        }
    }

    /// The destination refused the use for now, and it is unknown whether the number of uses or their rate is the
    /// reason: half as many may follow.
    pub fn throttled(mut self, reason: &str) {
        self.reservation.has_begun = true;
        let destination = self.destination();
        destination.gauges.refused();
        let mut state = destination.state.lock();
        let in_use = state.in_use;
        state.limit.refused(in_use / 2, in_use, Instant::now());
        destination.gauges.limit(state.limit.current());
        drop(state);
        self.fail(reason);
    }

    /// The use has lasted for longer than it does at a destination that works, and goes on.
    pub fn stalled(&self, reason: &str) {
        self.fail(reason);
    }

    /// The destination does not work.
    pub fn failed(mut self, reason: &str) {
        self.reservation.has_begun = true;
        self.fail(reason);
    }

    fn fail(&self, reason: &str) {
        let destination = self.destination();
        destination.gauges.failed();
        let mut state = destination.state.lock();
        let opened = state.breaker.failed(self.reservation.is_probe, reason, Instant::now());
        if opened {
            // After an outage it is asked carefully.
            state.limit.restart();
        }
        drop(state);
        if opened {
            destination.gauges.works(false);
            tracing::warn!(
                "{} does not work: {reason}; what needs it waits and spends no attempt, and one probe at a time is made",
                destination.name
            );
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let destination = self.destination();
        let mut state = destination.state.lock();
        state.in_use -= 1;
        state.accepted -= usize::from(self.is_accepted);
        destination.gauges.in_use(state.in_use);
        drop(state);
        destination.entering.changed.notify_one();
    }
}
