//! The time of a call. It stops while the host lets the call wait.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Measures a call, without the pauses that are not its own: waiting for a destination or the store, and effects with
/// time-outs of their own.
#[derive(Debug)]
pub struct CallClock {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    left: Duration,
    /// When the time began to run; None while it stands still.
    since: Option<Instant>,
    /// Pauses in which nothing has begun.
    waiting: u32,
    /// Pauses in which an effect is performed.
    performing: u32,
}

/// Stops a clock until it is dropped.
#[derive(Debug)]
pub struct Pause {
    clock: Arc<CallClock>,
    is_performing: bool,
}

impl CallClock {
    /// A running clock that expires after this time.
    pub fn start(time: Duration) -> Arc<Self> {
        let state = State { left: time, since: Some(Instant::now()), waiting: 0, performing: 0 };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Stops the clock while the call waits and nothing has begun: the call may be ended at any time.
    pub fn wait(self: &Arc<Self>) -> Pause {
        self.pause(false)
    }

    /// Stops the clock while an effect is performed that has time-outs of its own.
    pub fn perform(self: &Arc<Self>) -> Pause {
        self.pause(true)
    }

    fn pause(self: &Arc<Self>, is_performing: bool) -> Pause {
        let mut state = self.state.lock();
        if let Some(since) = state.since.take() {
            state.left = state.left.saturating_sub(since.elapsed());
        }
        *state.count(is_performing) += 1;
        drop(state);
        self.changed.notify_waiters();
        Pause { clock: Arc::clone(self), is_performing }
    }

    /// Completes when the time is over.
    pub async fn expired(&self) {
        self.when(|state| state.since.map(|since| since + state.left)).await;
    }

    /// Completes when the call waits and nothing that it requested has begun.
    pub async fn only_waits(&self) {
        self.when(|state| (state.waiting > 0 && state.performing == 0).then(Instant::now)).await;
    }

    /// Completes at the time that `due` names, if it still names it then.
    async fn when(&self, due: impl Fn(&State) -> Option<Instant>) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let at = due(&self.state.lock());
            match at {
                Some(at) if at <= Instant::now() => return,
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }
}

impl State {
    fn count(&mut self, is_performing: bool) -> &mut u32 {
        if is_performing { &mut self.performing } else { &mut self.waiting }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        let mut state = self.clock.state.lock();
        *state.count(self.is_performing) -= 1;
        if state.waiting + state.performing == 0 {
            state.since = Some(Instant::now());
        }
        drop(state);
        self.clock.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn pauses_do_not_count() {
        let clock = CallClock::start(SHORT * 2);
        let start = Instant::now();
        let (waiting, performing) = (clock.wait(), clock.perform());
        assert!(timeout(SHORT * 4, clock.expired()).await.is_err(), "it stands still");
        drop(waiting);
        assert!(timeout(SHORT * 4, clock.expired()).await.is_err(), "one pause is left");
        drop(performing);
        clock.expired().await;
        assert!(start.elapsed() >= SHORT * 10, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_pause_that_begins_later_stops_it_too() {
        let clock = CallClock::start(SHORT);
        let pausing = async {
            tokio::time::sleep(SHORT / 3).await;
            let pause = clock.wait();
            tokio::time::sleep(SHORT * 3).await;
            drop(pause);
        };
        let start = Instant::now();
        tokio::join!(clock.expired(), pausing);
        assert!(start.elapsed() >= SHORT * 4, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_call_that_performs_an_effect_does_not_only_wait() {
        let clock = CallClock::start(SHORT);
        assert!(timeout(SHORT, clock.only_waits()).await.is_err());
        let performing = clock.perform();
        let _waiting = clock.wait();
        assert!(timeout(SHORT, clock.only_waits()).await.is_err());
        drop(performing);
        clock.only_waits().await;
    }
}
