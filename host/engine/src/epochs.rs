//! The clock by which guests are interrupted. It stands still while no guest runs: a host without messages must not
//! wake a processor a hundred times a second.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::EngineWeak;

/// The interval at which guests can be interrupted.
pub const TICK: Duration = Duration::from_millis(10);
/// Ticks without a guest after which the clock stops. A guest that starts it again pays for a system call, so it
/// does not stop between the messages of a busy host.
const TICKS_UNTIL_REST: u32 = 100;

/// Advances the epochs of engines while guests run.
pub struct Epochs {
    clock: Arc<Clock>,
    thread: Thread,
}

/// A guest may run while this exists.
#[must_use]
pub struct Running<'a>(&'a Clock);

#[derive(Default)]
struct Clock {
    running: AtomicUsize,
    rests: AtomicBool,
    ended: AtomicBool,
}

impl Epochs {
    /// Starts the clock of `engines`. It ends when this, or each of them, is dropped.
    ///
    /// # Errors
    /// The process may have no more threads.
    pub fn start(engines: Vec<EngineWeak>) -> io::Result<Self> {
        let clock = Arc::<Clock>::default();
        let own = Arc::clone(&clock);
        let advance = move || {
            engines.iter().filter_map(EngineWeak::upgrade).map(|engine| engine.increment_epoch()).count()
        };
        let thread: JoinHandle<()> =
            thread::Builder::new().name("epochs".to_owned()).spawn(move || own.run(|| advance() > 0))?;
        Ok(Self { clock, thread: thread.thread().clone() })
    }

    /// Lets the clock run, at the latest from now on.
    pub fn run(&self) -> Running<'_> {
        // In this order, and `rest` in the opposite one: at least one of the two sees what the other has written.
        self.clock.running.fetch_add(1, SeqCst);
        if self.clock.rests.load(SeqCst) {
            self.thread.unpark();
        }
        Running(&self.clock)
    }
}

impl Drop for Epochs {
    fn drop(&mut self) {
        self.clock.ended.store(true, SeqCst);
        self.thread.unpark();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Clock {
    /// Calls `tick` at its interval until it returns false.
    fn run(&self, tick: impl Fn() -> bool) {
        let mut ticks_without_guest = 0;
        loop {
            thread::sleep(TICK);
            if self.ended.load(SeqCst) || !tick() {
                return;
            }
            ticks_without_guest = if self.running.load(SeqCst) == 0 { ticks_without_guest + 1 } else { 0 };
            if ticks_without_guest == TICKS_UNTIL_REST {
                self.rest();
                ticks_without_guest = 0;
            }
        }
    }

    /// Waits for a guest, or for the end.
    fn rest(&self) {
        self.rests.store(true, SeqCst);
        if self.running.load(SeqCst) == 0 && !self.ended.load(SeqCst) {
            // It may return early, and then the clock runs for another second.
            thread::park();
        }
        self.rests.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    const REST: Duration = TICK.saturating_mul(TICKS_UNTIL_REST);

    /// Ticks of a clock that runs until dropped.
    fn counted() -> (Epochs, Arc<AtomicU32>) {
        let (clock, ticks) = (Arc::<Clock>::default(), Arc::<AtomicU32>::default());
        let (own, counted) = (Arc::clone(&clock), Arc::clone(&ticks));
        let thread = thread::spawn(move || own.run(|| counted.fetch_add(1, SeqCst) < u32::MAX));
        (Epochs { clock, thread: thread.thread().clone() }, ticks)
    }

    fn wait(condition: impl Fn() -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(std::time::Instant::now() < end, "it takes too long");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_clock_rests_without_guests_and_runs_with_one() {
        let (epochs, ticks) = counted();
        for _ in 0..2 {
            wait(|| epochs.clock.rests.load(SeqCst));
            let before = ticks.load(SeqCst);
            thread::sleep(TICK * 5);
            assert_eq!(ticks.load(SeqCst), before);
            let running = epochs.run();
            wait(|| ticks.load(SeqCst) >= before + 3);
            drop(running);
        }
    }

    #[test]
    fn the_clock_does_not_rest_while_a_guest_runs() {
        let (epochs, ticks) = counted();
        let _running = epochs.run();
        let other = epochs.run();
        drop(other);
        thread::sleep(REST + TICK * 10);
        assert!(!epochs.clock.rests.load(SeqCst));
        let before = ticks.load(SeqCst);
        wait(|| ticks.load(SeqCst) > before);
    }

    #[test]
    fn a_clock_that_rests_ends() {
        let (epochs, ticks) = counted();
        wait(|| epochs.clock.rests.load(SeqCst));
        drop(epochs);
        wait(|| Arc::strong_count(&ticks) == 1);
    }
}
