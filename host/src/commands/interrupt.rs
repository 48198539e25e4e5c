//! Ctrl-C and SIGTERM as a flag for a loop that polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Failure;

/// Turns the first signal into a flag. The second one ends the process: the loop may be stuck in a
/// write that nobody reads.
pub struct Interrupt {
    seen: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Interrupt {
    /// Starts to listen.
    pub fn listen() -> Result<Self, Failure> {
        Self::start().map_err(|error| Failure::unavailable(format!("cannot listen for signals: {error}")))
    }

    /// Whether it is time to stop.
    pub fn seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let _context = runtime.enter();
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let seen = Arc::new(AtomicBool::new(false));
        let flag = seen.clone();
        runtime.spawn(async move {
            loop {
                tokio::select! { _ = interrupts.recv() => (), _ = terminations.recv() => () }
                if flag.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
        drop(_context);
        Ok(Self { seen, _runtime: runtime })
    }
}
